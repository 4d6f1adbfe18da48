// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx
	_ "modernc.org/sqlite"             // the driver sqlite, in pure Go

	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

// edges is how late the provider's edge servers learn of a new or a revoked key. The slowest one decides Traits.Propagation.
var edges = []time.Duration{0, 40 * time.Millisecond, 90 * time.Millisecond}

// The names of the environment variables that carry what a child may know.
const (
	worldVar    = "OPERATOR_WORLD"      // everybody: where things are
	storeKeyVar = "OPERATOR_STORE_KEY"  // services and replicas: unseals the secret store
	adminVar    = "OPERATOR_ADMIN"      // replicas alone: the provider's administrator token
	noticeVar   = "OPERATOR_NOTICE_KEY" // replicas alone: signs the notices
	auditVar    = "OPERATOR_AUDIT_KEY"  // replicas alone: signs the checkpoints of the audit trails
)

// world is where everything is. It holds no secret.
type world struct {
	N        int           // credentials
	Dir      string        // of this run
	Postgres string        // DSN of the journal's database; empty: SQLite, in Dir
	Provider string        // base URL of the provider: the account of a credential is below it
	Hosts    []string      // host:port of each machine that runs the services
	Notices  string        // URL that takes the notices
	Pause    time.Duration // between two requests of a service with one key
	Window   rotation.Window
}

func (w world) environment() string {
	data, err := json.Marshal(w)
	if err != nil {
		panic(err) // texts and numbers
	}
	return worldVar + "=" + string(data)
}

// worldOfChild is the world that the parent handed over.
func worldOfChild() (world, error) {
	var w world
	if err := json.Unmarshal([]byte(os.Getenv(worldVar)), &w); err != nil {
		return w, errors.New("this is a role of the operator: run it without arguments")
	}
	return w, nil
}

// secretOf reads a secret that the parent handed over.
func secretOf(name string) secret.Value { return secret.New(os.Getenv(name)) }

// account is the URL of a credential's account at the provider.
func (w world) account(credential string) string { return w.Provider + "/accounts/" + credential }

// trail is the folder of the audit trail of a replica: each has one of its own.
func (w world) trail(replica string) string { return filepath.Join(w.Dir, "audit", replica) }

// openStore opens the sealed store of one credential. Everybody shares it who was given its key: one file each, so that 300
// credentials do not wait for each other.
func (w world) openStore(credential string, key secret.Value) (*store.File, error) {
	return store.OpenFile(filepath.Join(w.Dir, "secrets", credential+".sealed"), key)
}

// openJournal opens what the replicas share: where every rotation stands. The caller closes the database.
func (w world) openJournal(ctx context.Context) (*journal.SQL, *sql.DB, error) {
	driver, dsn, open := "pgx", w.Postgres, journal.NewPostgres
	if dsn == "" {
		options := url.Values{"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)"}}
		driver, dsn, open = "sqlite", "file:"+filepath.Join(w.Dir, "journal.db")+"?"+options.Encode(), journal.NewSQLite
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(16)
	progress := open(db, "handover")
	if err := errors.Join(progress.Migrate(ctx), progress.Check(ctx)); err != nil {
		db.Close()
		return nil, nil, fmt.Errorf("the journal: %w", err)
	}
	return progress, db, nil
}
