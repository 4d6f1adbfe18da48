// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mysqlusers_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/issuer/mysqlusers"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store"
)

// A service that rotates its own database password. It connects with whichever user's turn it is.
func Example() {
	ctx := context.Background()
	admin, err := sql.Open("mysql", os.Getenv("ADMIN_DSN"))
	if err != nil {
		log.Fatal(err)
	}
	users, err := mysqlusers.New(mysqlusers.Config{DB: admin, Server: "db.example.com:3306", Users: []string{"orders_a", "orders_b"}})
	if err != nil {
		log.Fatal(err)
	}
	base, err := mysql.ParseDSN("tcp(db.example.com:3306)/orders?tls=true")
	if err != nil {
		log.Fatal(err)
	}
	secrets := store.NewMemory() // store.OpenFile, or a secret manager
	key, err := consumer.Follow(ctx, consumer.Source{Store: secrets, Credential: "orders-db"})
	if err != nil {
		log.Fatal(err)
	}
	defer key.Close()
	db := sql.OpenDB(consumer.Connector(key, mysqlusers.Connect(base))) // what the service uses
	db.SetConnMaxLifetime(15 * time.Minute)

	reports, err := users.Sessions("10.0.0.7", 4) // another service, which is seen in the database
	if err != nil {
		log.Fatal(err)
	}
	rotator, err := rotation.New(rotation.Config{
		Journal: journal.NewMemory(), // journal.NewSQLite, or journal.NewPostgres
		Store:   secrets,
		Credentials: []rotation.Credential{{
			Name: "orders-db", Type: rotation.Database, Issuer: users, Verifier: mysqlusers.Login(base),
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
	_, err := mysqlusers.New(mysqlusers.Config{Users: []string{"orders"}})
	fmt.Println(err)
	// Output: mysqlusers: Config.DB is required; Config.Server is required
}
