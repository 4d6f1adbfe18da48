// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/handover-go/handover/internal/journaltest"
	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// place is where a journal lies. Every open is a pool of its own, as another process has it.
type place interface {
	open(t testing.TB) *sql.DB
	journal(db *sql.DB) *journal.SQL
	table() string
	golden() string
}

// sqliteFile is a file in a directory of its own.
type sqliteFile struct{ path, pragmas string }

// documented are the settings that NewSQLite's documentation names.
const documented = "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"

func newSQLiteFile(t testing.TB) place {
	return sqliteFile{filepath.Join(t.TempDir(), "journal.db"), documented}
}

func (p sqliteFile) open(t testing.TB) *sql.DB       { return openDB(t, "sqlite", "file:"+p.path+p.pragmas) }
func (p sqliteFile) journal(db *sql.DB) *journal.SQL { return journal.NewSQLite(db, p.table()) }
func (p sqliteFile) table() string                   { return "handover" }
func (p sqliteFile) golden() string                  { return "schema-v1-sqlite.sql" }

// postgresSchema is a schema of its own; path are the schemas before and after it.
type postgresSchema struct{ dsn, name, before, after, qualifier string }

func (p postgresSchema) open(t testing.TB) *sql.DB {
	return openDB(t, "pgx", p.dsn+"&search_path="+p.before+p.name+p.after)
}

func (p postgresSchema) journal(db *sql.DB) *journal.SQL { return journal.NewPostgres(db, p.table()) }
func (p postgresSchema) table() string                   { return p.qualifier + "handover" }
func (p postgresSchema) golden() string                  { return "schema-v1-postgres.sql" }

// newSchema returns a function that makes schemas in a database of a server of its own.
func newSchema(t testing.TB, parameters string) func(testing.TB) place {
	dsn := servers.Postgres(t).Socket("postgres") + parameters
	admin := openDB(t, "pgx", dsn)
	var schemas atomic.Int64
	return func(t testing.TB) place {
		p := postgresSchema{dsn: dsn, name: fmt.Sprintf("test%d", schemas.Add(1))}
		execute(t, admin, "CREATE SCHEMA "+p.name)
		return p
	}
}

func openDB(t testing.TB, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

func execute(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
}

func migrated(t testing.TB, p place, db *sql.DB) *journal.SQL {
	t.Helper()
	j := p.journal(db)
	require.NoError(t, j.Migrate(t.Context()))
	return j
}

// contract runs the suite for journals, and what package journal promises beside it.
func contract(t *testing.T, newPlace func(testing.TB) place) {
	p := newPlace(t)
	t.Run("suite", rotationtest.JournalSuite{
		Journal: migrated(t, p, p.open(t)), Name: "conformance",
		Entries: 3000, // three pages of the index
		Reopen:  func(context.Context) (rotation.Journal, error) { return p.journal(p.open(t)), nil },
	}.Run)
	journaltest.Run(t, func(t *testing.T) rotation.Journal {
		p := newPlace(t)
		return migrated(t, p, p.open(t))
	})
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	contract(t, newSQLiteFile)
	common(t, newSQLiteFile)
}

// TestSQLiteOneConnection has a pool that would lock up if one statement waited for another.
func TestSQLiteOneConnection(t *testing.T) {
	t.Parallel()
	open := func(t *testing.T) rotation.Journal {
		db := openDB(t, "sqlite", ":memory:")
		db.SetMaxOpenConns(1)
		j := journal.NewSQLite(db, "order") // a word of SQL
		require.NoError(t, j.Migrate(t.Context()))
		return j
	}
	t.Run("suite", rotationtest.JournalSuite{Journal: open(t), Name: "conformance"}.Run)
	journaltest.Run(t, open)
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	newPlace := newSchema(t, "")
	contract(t, newPlace)
	common(t, newPlace)
	for name, test := range map[string]func(*testing.T, postgresSchema){
		"clock":      testServerClock,
		"rights":     testRights,
		"durability": testPostgresDurability,
		"locked":     testLockedRow,
	} {
		t.Run(name, func(t *testing.T) { test(t, newPlace(t).(postgresSchema)) })
	}
	t.Run("schema", func(t *testing.T) {
		contract(t, func(t testing.TB) place {
			p := newPlace(t).(postgresSchema)
			p.qualifier = "Ops_" + p.name + "."
			execute(t, p.open(t), fmt.Sprintf(`CREATE SCHEMA "Ops_%s"`, p.name))
			return p
		})
		p := newPlace(t).(postgresSchema)
		db := p.open(t)
		execute(t, db, `CREATE SCHEMA "Apart"`)
		require.NoError(t, journal.NewPostgres(db, "Apart.Journal").Migrate(t.Context()))
		execute(t, db, `SELECT version FROM "Apart"."Journal_schema"`, `SELECT data FROM "Apart"."Journal"`)
	})
}

// TestPostgresSimpleProtocol is what pgx speaks through a connection pooler.
func TestPostgresSimpleProtocol(t *testing.T) {
	t.Parallel()
	newPlace := newSchema(t, "&default_query_exec_mode=simple_protocol")
	contract(t, newPlace)
	common(t, newPlace)
}

func readGolden(t *testing.T, p place) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "journal", "testdata", p.golden()))
	require.NoError(t, err)
	return string(text)
}
