// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package pgusers_test

import (
	"context"
	"database/sql"
	"errors"
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
	"github.com/handover-go/handover/secret"
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
	if err := users.Check(ctx); err != nil {
		log.Fatal(err)
	}
	base, err := pgx.ParseConfig("host=db.example.com dbname=orders sslmode=verify-full application_name=orders") // a name, for who looks for open sessions
	if err != nil {
		log.Fatal(err)
	}
	secrets, err := store.OpenFile("/var/lib/orders/secrets", secret.New(os.Getenv("SECRETS_KEY"))) // or a secret manager
	if err != nil {
		log.Fatal(err)
	}
	err = store.Seed(ctx, secrets, "orders-db", rotation.Key{
		ID:         "orders_a", // who logs in today
		Attributes: map[string]string{"user": "orders_a"},
		Secret:     secret.New(os.Getenv("ORDERS_PASSWORD")),
		IssuedAt:   time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC),
	})
	if err != nil && !errors.Is(err, rotation.ErrConflict) { // it is under rotation since an earlier start
		log.Fatal(err)
	}
	progress := journal.NewPostgres(admin, "rotation")
	if err := progress.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
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
		Journal: progress,
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
