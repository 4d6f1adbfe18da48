// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package pgusers_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/issuer/pgusers"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store"
)

// A service that rotates its own database password. It connects with whichever user's turn it is.
func Example() {
	ctx := context.Background()
	admin, err := sql.Open("pgx", os.Getenv("ADMIN_DSN"))
	if err != nil {
		log.Fatal(err)
	}
	users, err := pgusers.New(pgusers.Config{DB: admin, Server: "db.example.com:5432/orders", Users: []string{"orders_a", "orders_b"}})
	if err != nil {
		log.Fatal(err)
	}
	base, err := pgx.ParseConfig("host=db.example.com dbname=orders sslmode=verify-full")
	if err != nil {
		log.Fatal(err)
	}
	secrets := store.NewMemory() // store.OpenFile, or a secret manager
	key, err := consumer.Follow(ctx, consumer.Source{Store: secrets, Credential: "orders-db"})
	if err != nil {
		log.Fatal(err)
	}
	defer key.Close()
	db := sql.OpenDB(consumer.Connector(key, pgusers.Connect(base))) // what the service uses
	db.SetConnMaxLifetime(15 * time.Minute)

	reports, err := users.Sessions("reports", 4) // another service, which is seen in the database
	if err != nil {
		log.Fatal(err)
	}
	rotator, err := rotation.New(rotation.Config{
		Journal: journal.NewPostgres(admin, "rotation"),
		Store:   secrets,
		Credentials: []rotation.Credential{{
			Name: "orders-db", Type: rotation.Database, Issuer: users, Verifier: pgusers.Login(base),
			Consumers: []rotation.Binding{
				{Name: "orders", Consumer: key, Lag: 16 * time.Minute},
				{Name: "reports", Consumer: consumer.Polling{Every: time.Hour}, Verifier: reports},
			},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(rotator.Run(ctx))
}

func ExampleNew() {
	_, err := pgusers.New(pgusers.Config{Users: []string{"orders"}})
	fmt.Println(err)
	// Output: pgusers: Config.DB is required; Config.Server is required
}
