// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package vaultdb_test

import (
	"database/sql/driver"
	"errors"
	"log"
	"time"

	"github.com/handover-go/handover/issuer/vaultdb"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/verify"
	"github.com/hashicorp/vault/api"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// A service that cannot talk to Vault gets a new database user every week; the role's default_ttl is 30 days.
func Example() {
	client, err := api.NewClient(api.DefaultConfig()) // VAULT_ADDR, VAULT_TOKEN, VAULT_CACERT
	if err != nil {
		log.Fatal(err)
	}
	users, err := vaultdb.New(vaultdb.Config{Client: client, Role: "app", Exclusive: true})
	if err != nil {
		log.Fatal(err)
	}
	login := verify.Login{
		Open: func(key rotation.Key) (driver.Connector, error) {
			config, err := pgx.ParseConfig("postgres://db.example.com/orders")
			if err != nil {
				return nil, err
			}
			config.User, config.Password = key.Attributes[vaultdb.AttributeUser], key.Secret.Reveal()
			return stdlib.GetConnector(*config), nil
		},
		Rejected: func(err error) bool {
			var refused *pgconn.PgError
			return errors.As(err, &refused) && refused.Code == "28P01"
		},
	}
	credential := rotation.Credential{
		Name: "orders-database", Type: rotation.Database, Issuer: users, Verifier: login,
		Store:  store.NewMemory(), // vaultkv, or whatever the service reads
		Policy: rotation.Policy{MaxAge: 7 * 24 * time.Hour},
	}
	_ = credential // for rotation.Config.Credentials
}
