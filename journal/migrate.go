// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"
)

// schemaVersion is what this code reads and writes.
const schemaVersion = 1

// schemaSteps lead from each version of the schema to the next. A step that was released is never changed. Version 1 is
// kept in testdata.
var schemaSteps = [schemaVersion][]string{
	{
		`CREATE TABLE {table} (
	credential {text} NOT NULL PRIMARY KEY,
	revision BIGINT NOT NULL,
	due BIGINT,
	saved_at BIGINT NOT NULL,
	data {blob} NOT NULL
)`,
		`CREATE INDEX {index} ON {table} (due, credential) WHERE due IS NOT NULL`,
	},
}

// Migrate makes the table, or upgrades it to what this code knows, in one transaction. It does nothing if that has been done
// already, and any number of processes may call it at the same time. It fails, and changes nothing, if the schema is newer
// than this code or if a table of that name is there that Migrate did not make.
func (j *SQL) Migrate(ctx context.Context) error {
	if err := errors.Join(j.setup(), ctx.Err()); err != nil {
		return fmt.Errorf("journal: migrate: %w", err)
	}
	err := j.migrate(ctx)
	for pause := 20 * time.Millisecond; err != nil && j.dialect.busy(err) && pause < time.Second; pause *= 2 {
		select {
		case <-ctx.Done():
		case <-time.After(pause):
			err = j.migrate(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("journal: migrate table %s: %w", j.table, err)
	}
	return nil
}

// migrate looks without a lock first: the usual case needs no right to make tables.
func (j *SQL) migrate(ctx context.Context) error {
	version, err := j.version(ctx, j.db)
	if err == nil && version < schemaVersion {
		err = j.exclusively(ctx, func(conn *sql.Conn) error { return j.upgrade(ctx, conn) })
	}
	return err
}

// Check says whether the journal can do its part: the arguments of the constructor are right, the database answers, the
// table has been made by this version of Migrate, and the database's settings do not give up durability for speed.
func (j *SQL) Check(ctx context.Context) error {
	if err := errors.Join(j.setup(), ctx.Err()); err != nil {
		return fmt.Errorf("journal: check: %w", err)
	}
	version, err := j.version(ctx, j.db)
	switch {
	case err != nil:
	case version == 0:
		err = j.notMade()
	case version < schemaVersion:
		err = setupErrorf("the schema has version %d, this program needs %d: call Migrate", version, schemaVersion)
	default:
		err = j.dialect.durable(ctx, j.db)
	}
	if err != nil {
		return fmt.Errorf("journal: check table %s: %w", j.table, err)
	}
	return nil
}

// version of the schema; zero: there is none yet.
func (j *SQL) version(ctx context.Context, q querier) (int64, error) {
	there, err := query(ctx, q, scanOne[int], j.replace.Replace(j.dialect.versions))
	if err != nil || there[0] == 0 {
		return 0, err
	}
	versions, err := query(ctx, q, scanOne[int64], j.replace.Replace(`SELECT coalesce(max(version), 0) FROM {versions}`))
	if err != nil {
		return 0, err
	}
	if versions[0] > schemaVersion {
		return 0, setupErrorf("the schema has version %d and this program knows only %d: it needs a newer release",
			versions[0], schemaVersion)
	}
	return versions[0], nil
}

func (j *SQL) upgrade(ctx context.Context, conn *sql.Conn) error {
	version, err := j.version(ctx, conn) // another process may have been faster
	if err != nil || version == schemaVersion {
		return err
	}
	statements := []string{`CREATE TABLE IF NOT EXISTS {versions} (version BIGINT NOT NULL PRIMARY KEY)`}
	for n := version; n < schemaVersion; n++ {
		statements = append(statements, schemaSteps[n]...)
		statements = append(statements, fmt.Sprintf(`INSERT INTO {versions} (version) VALUES (%d)`, n+1))
	}
	for _, statement := range statements {
		if _, err := conn.ExecContext(ctx, j.replace.Replace(statement)); err != nil {
			return err
		}
	}
	return nil
}

// exclusively runs do in a transaction that no other Migrate can be in. It is written out because database/sql's Tx cannot
// begin one of SQLite's IMMEDIATE transactions.
func (j *SQL) exclusively(ctx context.Context, do func(*sql.Conn) error) error {
	conn, err := j.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, statement := range j.dialect.begin {
		if _, err = conn.ExecContext(ctx, j.replace.Replace(statement)); err != nil {
			break
		}
	}
	if err == nil {
		err = do(conn)
	}
	if err == nil {
		_, err = conn.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		rollBack(ctx, conn)
	}
	return err
}

// rollBack ends the transaction, or else the connection, so that nobody gets it from the pool with a transaction open.
func rollBack(ctx context.Context, conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
}

// explain adds to a driver's error that the table is missing, if it is: every driver says so in its own words.
func (j *SQL) explain(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	there, probe := query(ctx, j.db, scanOne[int], j.replace.Replace(j.dialect.exists))
	if probe == nil && there[0] == 0 {
		return fmt.Errorf("%w (%w)", j.notMade(), err)
	}
	return err
}

func (j *SQL) notMade() error {
	return setupErrorf("the table %s has not been made: call Migrate", j.table)
}
