// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/handover-go/handover/rotation"
)

// SQL is a journal in one table, over database/sql: the caller opens the database with a driver of their choice and closes
// it. The database must not be reached with a credential that this journal drives. SQL is safe for concurrent use, by any
// number of processes. Its methods block as long as the database does, and end with their context.
//
// The table comes with a second one, named after it with the suffix "_schema", that holds the version of the schema. Making
// both is Migrate's work and takes rights that a service does not need at run time: SELECT, INSERT and UPDATE are enough,
// and SELECT on the second table for Check.
type SQL struct {
	db      *sql.DB
	dialect dialect
	table   string            // as it was given
	replace *strings.Replacer // makes a statement of a template
}

// NewSQLite returns a journal in a table of a SQLite database, of version 3.24 or later. It does no I/O. The table is a
// plain identifier: letters of ASCII, digits and underscores. A mistake is an error of every method.
//
// The file belongs on a local disk, because SQLite's locks do not hold on network file systems, and all processes that
// share it on one machine. Every connection needs these settings, so they belong in the DSN: busy_timeout, without which
// two processes that write at the same moment get SQLITE_BUSY (a plain error, after which Save can be tried again, and never
// rotation.ErrConflict); journal_mode WAL, so that readers and the writer do not wait for each other; and synchronous FULL,
// without which a power failure takes back what Save has confirmed. For the driver modernc.org/sqlite:
//
//	file:/var/lib/app/journal.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)
//
// Entry.SavedAt is by this process's clock, which is the only one that SQLite has too.
func NewSQLite(db *sql.DB, table string) *SQL { return newSQL(db, sqlite(), table) }

// NewPostgres returns a journal in a table of a PostgreSQL database, of version 11 or later. It does no I/O. The table is a
// plain identifier (letters of ASCII, digits and underscores) or two of them, schema.table; upper case stays upper case. A
// mistake is an error of every method. Entry.SavedAt is by the server's clock, to the microsecond.
func NewPostgres(db *sql.DB, table string) *SQL { return newSQL(db, postgres(), table) }

func newSQL(db *sql.DB, d dialect, table string) *SQL {
	schema, name, qualified := strings.Cut(table, ".")
	if !qualified {
		schema, name = "", table
	}
	quote := func(name string) string {
		if qualified {
			return `"` + schema + `"."` + name + `"`
		}
		return `"` + name + `"`
	}
	return &SQL{db: db, dialect: d, table: table, replace: strings.NewReplacer(
		"{table}", quote(name), "{name}", name,
		"{versions}", quote(name+versionsSuffix), "{versions name}", name+versionsSuffix,
		"{index}", `"`+name+indexSuffix+`"`,
		"{now}", d.now, "{text}", d.text, "{blob}", d.blob, "?", d.mark,
	)}
}

// Templates of statements. The parameters of both ways to save are the same.
const (
	selectEntry = `SELECT credential, revision, due, saved_at, data FROM {table} WHERE `
	loadEntry   = selectEntry + `credential = ?1`
	insertEntry = `INSERT INTO {table} (credential, revision, due, saved_at, data)
		VALUES (?1, CAST(?4 AS BIGINT) + 1, ?2, {now}, ?3) ON CONFLICT (credential) DO NOTHING`
	updateEntry = `UPDATE {table} SET revision = revision + 1, due = ?2, saved_at = {now}, data = ?3
		WHERE credential = ?1 AND revision = ?4`
)

// Load returns the entry of credential, or a zero Entry. A row with a revision that no Save writes is an error.
func (j *SQL) Load(ctx context.Context, credential string) (rotation.Entry, error) {
	if err := errors.Join(j.setup(), checkLoad(ctx, credential)); err != nil {
		return rotation.Entry{}, wrap(err, "load", credential)
	}
	entries, err := query(ctx, j.db, scanEntry, j.replace.Replace(loadEntry), credential)
	if err != nil || len(entries) == 0 {
		return rotation.Entry{}, wrap(j.explain(ctx, err), "load", credential)
	}
	if entries[0].Revision < 1 { // to a Save it would be absent, and for ever in conflict
		return rotation.Entry{}, wrap(malformed("the journal entry has no valid revision"), "load", credential)
	}
	return entries[0], nil
}

// Save writes e if its Revision is the one that is stored, and fails with rotation.ErrConflict if it is not. It is durable on
// return as far as the database is (see Check).
func (j *SQL) Save(ctx context.Context, e rotation.Entry) error {
	err := errors.Join(j.setup(), checkSave(ctx, e))
	if err == nil {
		err = j.save(ctx, e)
	}
	return wrap(err, "save", e.Credential)
}

func (j *SQL) save(ctx context.Context, e rotation.Entry) error {
	statement := updateEntry
	if e.Revision == 0 {
		statement = insertEntry
	}
	data := e.Data
	if data == nil {
		data = []byte{} // nil would be NULL
	}
	args := []any{e.Credential, sql.NullInt64{Int64: nanos(e.Due), Valid: !e.Due.IsZero()}, data, e.Revision}
	if j.dialect.clock != nil {
		args = append(args, nanos(j.dialect.clock()))
	}
	result, err := j.db.ExecContext(ctx, j.replace.Replace(statement), args...)
	if err != nil {
		return j.explain(ctx, err)
	}
	written, err := result.RowsAffected()
	if err == nil && written == 0 {
		return rotation.ErrConflict
	}
	return err
}

// Identity names the kind of database and the table. Which database it is only its driver knows.
func (j *SQL) Identity() string { return j.dialect.name + " table " + j.table }

// Validate says what is missing or wrong in the arguments of the constructor, without I/O.
func (j *SQL) Validate() error {
	if err := j.setup(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

func (j *SQL) setup() error {
	var errs []error
	if j.db == nil {
		errs = append(errs, setupError("db is required"))
	}
	if err := j.dialect.checkTable(j.table); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func scanEntry(rows *sql.Rows) (rotation.Entry, error) {
	var e rotation.Entry
	var due sql.NullInt64
	var savedAt int64
	err := rows.Scan(&e.Credential, &e.Revision, &due, &savedAt, &e.Data)
	e.SavedAt = fromNanos(savedAt)
	if due.Valid {
		e.Due = fromNanos(due.Int64)
	}
	if len(e.Data) == 0 {
		e.Data = nil
	}
	return e, err
}

// querier is a database or one connection of it.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// query reads all rows before it returns, so that no caller holds a connection while it asks for the next one.
func query[T any](ctx context.Context, q querier, scan func(*sql.Rows) (T, error), text string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// scanOne reads rows of one column.
func scanOne[T any](rows *sql.Rows) (T, error) {
	var value T
	err := rows.Scan(&value)
	return value, err
}
