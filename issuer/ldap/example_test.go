// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package ldap_test

import (
	"context"
	"log"
	"os"
	"time"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/issuer/ldap"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

// The password that a service binds to the company's directory with is rotated by itself. The service reads it from the store
// for each connection.
func Example() {
	ctx := context.Background()
	issuer, err := ldap.New(ldap.Config{
		URL:           "ldaps://ldap-1.example.org",
		Replicas:      []string{"ldaps://ldap-2.example.org"},
		Propagation:   time.Minute,
		DN:            "uid=app,ou=services,dc=example,dc=org",
		AdminDN:       "uid=handover,ou=services,dc=example,dc=org",
		AdminPassword: secret.New(os.Getenv("LDAP_ADMIN_PASSWORD")),
	})
	if err != nil {
		log.Fatal(err)
	}
	secrets, err := store.OpenFile("/var/lib/app/secrets", secret.New(os.Getenv("SECRETS_KEY")))
	if err != nil {
		log.Fatal(err)
	}
	inUse, err := issuer.Find(ctx, secret.New(os.Getenv("LDAP_PASSWORD")))
	if err != nil {
		log.Fatal(err)
	}
	if err := store.Seed(ctx, secrets, "app-ldap", inUse); err != nil {
		log.Fatal(err)
	}
	handle, err := consumer.Follow(ctx, consumer.Source{Store: secrets, Credential: "app-ldap"})
	if err != nil {
		log.Fatal(err)
	}
	defer handle.Close()

	rotator, err := rotation.New(rotation.Config{
		Journal: journal.InStore(secrets),
		Store:   secrets,
		Credentials: []rotation.Credential{{
			Name: "app-ldap", Type: rotation.ServiceAccount, Issuer: issuer,
			Consumers: []rotation.Binding{{Name: "this process", Consumer: handle}},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := rotator.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
