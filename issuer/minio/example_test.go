// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package minio_test

import (
	"context"
	"fmt"
	"log"
	"os"

	s3 "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/issuer/minio"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

// A service that rotates its own access key. In a fleet all of it shares one store, and a journal in a database.
func Example() {
	ctx := context.Background()
	keys, err := minio.New(minio.Config{
		URL:         "https://minio.example.com:9000",
		Credentials: credentials.NewEnvMinio(), // the administrator's
		User:        "uploads",
	})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()
	values, err := store.OpenFile("/var/lib/uploads/keys", secret.New(os.Getenv("STORE_KEY")))
	if err != nil {
		log.Fatal(err)
	}
	handle, err := consumer.Follow(ctx, consumer.Source{Store: values, Credential: "uploads-s3"})
	if err != nil {
		log.Fatal(err)
	}
	defer handle.Close()

	// The client takes a key once, so it is made anew for each.
	client, err := consumer.Derive(handle, func(key rotation.Key) (*s3.Client, error) {
		return s3.New("minio.example.com:9000", &s3.Options{
			Secure: true, Creds: credentials.NewStaticV4(key.ID, key.Secret.Reveal(), ""),
		})
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Get().EndpointURL())

	rotator, err := rotation.New(rotation.Config{
		Journal: journal.InStore(values),
		Store:   values,
		Credentials: []rotation.Credential{{
			Name: "uploads-s3", Type: rotation.APIKey, Issuer: keys, Contact: "storage@example.com",
			Consumers: []rotation.Binding{{Name: "uploads", Consumer: handle}},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(rotator.Run(ctx))
}
