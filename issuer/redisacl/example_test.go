// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package redisacl_test

import (
	"context"
	"errors"
	"log"
	"os"

	"github.com/redis/go-redis/v9"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/issuer/redisacl"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

// A service rotates the password of the Redis that it uses, on a primary and its replica.
func Example() {
	ctx := context.Background()
	var nodes []*redis.Client
	for _, addr := range []string{"redis-1.internal:6379", "redis-2.internal:6379"} {
		nodes = append(nodes, redis.NewClient(&redis.Options{
			Addr: addr, Username: "handover", Password: os.Getenv("REDIS_ADMIN_PASSWORD"), ContextTimeoutEnabled: true,
		}))
	}
	issuer, err := redisacl.New(redisacl.Config{User: "app", Nodes: nodes})
	if err != nil {
		log.Fatal(err)
	}
	secrets, err := store.OpenFile("/var/lib/app/secrets", secret.New(os.Getenv("SECRETS_KEY")))
	if err != nil {
		log.Fatal(err)
	}
	inUse := secret.New(os.Getenv("REDIS_PASSWORD"))
	err = store.Seed(ctx, secrets, "app-redis", rotation.Key{ID: redisacl.ID(inUse), Secret: inUse})
	if err != nil && !errors.Is(err, rotation.ErrConflict) { // it is under rotation since an earlier start
		log.Fatal(err)
	}
	handle, err := consumer.Follow(ctx, consumer.Source{Store: secrets, Credential: "app-redis"})
	if err != nil {
		log.Fatal(err)
	}
	defer handle.Close()
	client := redis.NewClient(&redis.Options{
		Addr: "redis-1.internal:6379",
		CredentialsProvider: func() (user, password string) { // asked for each new connection
			return "app", handle.Key().Secret.Reveal()
		},
	})
	defer client.Close()

	rotator, err := rotation.New(rotation.Config{
		Journal: journal.InStore(secrets),
		Store:   secrets,
		Credentials: []rotation.Credential{{
			Name: "app-redis", Type: rotation.Database, Issuer: issuer,
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
