// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"regexp"
	"strings"
	"time"
)

// dialect is what SQLite and PostgreSQL do not have in common.
type dialect struct {
	name      string
	qualified bool             // a table may be schema.table
	mark      string           // in front of the number of a parameter
	text      string           // type of the primary key, compared byte by byte
	blob      string           // type of bytes
	now       string           // nanoseconds since 1970, where it is not the parameter ?5
	clock     func() time.Time // for the parameter ?5; nil: there is none
	begin     []string         // begins a transaction that no other Migrate of the table can be in
	exists    string           // 1 if there is a table {table}, 0 if not
	versions  string           // the same for {versions}
	durable   func(ctx context.Context, q querier) error
	busy      func(error) bool // another process has a lock that was not waited for
}

func sqlite() dialect {
	const exists = `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = '%' COLLATE NOCASE`
	return dialect{
		name:     "sqlite",
		mark:     "?",
		text:     "TEXT",
		blob:     "BLOB",
		now:      "?5",
		clock:    time.Now,
		begin:    []string{"BEGIN IMMEDIATE"}, // a lock taken later in a transaction is refused at once, not waited for
		exists:   strings.Replace(exists, "%", "{name}", 1),
		versions: strings.Replace(exists, "%", "{versions name}", 1),
		durable:  durableSQLite,
		// The first process that opens a file may be changing its mode, and no timeout waits for that. Each driver has errors of its
		// own, with SQLite's text in them.
		busy: func(err error) bool { return strings.Contains(err.Error(), "database is locked") },
	}
}

func postgres() dialect {
	// Reading pg_class, beside to_regclass, makes the server look afresh: alone it answers from a cache that may be as old as
	// the beginning of the transaction, before the lock was waited for.
	const exists = `SELECT count(*) FROM pg_catalog.pg_class WHERE oid = to_regclass('%')`
	return dialect{
		name:      "postgres",
		qualified: true,
		mark:      "$",
		text:      `TEXT COLLATE "C"`, // an index in the order of a locale breaks when the locale's library changes
		blob:      "BYTEA",
		now:       "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) * 1000",
		begin:     []string{"BEGIN", `SELECT pg_advisory_xact_lock(hashtextextended('handover {table}', 0))`},
		exists:    strings.Replace(exists, "%", "{table}", 1),
		versions:  strings.Replace(exists, "%", "{versions}", 1),
		durable:   durablePostgres,
		busy:      func(error) bool { return false },
	}
}

const (
	versionsSuffix = "_schema"
	indexSuffix    = "_due"
	maxName        = 63 - len(versionsSuffix) // PostgreSQL cuts longer names off
)

var plain = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// checkTable lets only names through that can stand in a statement.
func (d dialect) checkTable(table string) error {
	parts := []string{table}
	if d.qualified {
		parts = strings.SplitN(table, ".", 2)
	}
	for _, part := range parts {
		switch {
		case table == "":
			return setupError("table is required")
		case !plain.MatchString(part):
			return setupErrorf("table %q is not a plain identifier", table)
		case len(part) > maxName:
			return setupErrorf("table %q is longer than %d characters", table, maxName)
		}
	}
	return nil
}

// durableSQLite refuses settings under which a power failure takes back what was committed: in WAL mode anything below FULL,
// in the other modes OFF (https://www.sqlite.org/pragma.html#pragma_synchronous).
func durableSQLite(ctx context.Context, q querier) error {
	level, err := query(ctx, q, scanOne[int], "PRAGMA synchronous")
	if err != nil {
		return err
	}
	mode, err := query(ctx, q, scanOne[string], "PRAGMA journal_mode")
	if err != nil {
		return err
	}
	least := 1 // NORMAL
	if len(mode) == 1 && strings.EqualFold(mode[0], "wal") {
		least = 2 // FULL
	}
	if len(level) == 1 && level[0] < least {
		return setupError("what is saved can be lost in a power failure: set the pragma synchronous to FULL")
	}
	return nil
}

// durablePostgres refuses synchronous_commit=off (https://www.postgresql.org/docs/current/wal-async-commit.html).
func durablePostgres(ctx context.Context, q querier) error {
	level, err := query(ctx, q, scanOne[string], "SHOW synchronous_commit")
	if err != nil {
		return err
	}
	if len(level) == 1 && level[0] == "off" {
		return setupError("what is saved can be lost in a crash: set synchronous_commit to on for this user or database")
	}
	return nil
}
