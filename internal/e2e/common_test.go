// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
)

var due = time.Date(2026, 3, 4, 5, 6, 7, 123456789, time.UTC)

// common runs the tests that SQLite and PostgreSQL share beside the contract.
func common(t *testing.T, newPlace func(testing.TB) place) {
	for name, test := range map[string]func(*testing.T, place){
		"migrate":         testMigrate,
		"migrate at once": testMigrateAtOnce,
		"golden":          testGolden,
		"newer":           testNewer,
		"not made":        testNotMade,
		"other table":     testOtherTable,
		"pools":           testPools,
	} {
		t.Run(name, func(t *testing.T) { test(t, newPlace(t)) })
	}
}

// schemaOf describes all that a database has.
func schemaOf(t *testing.T, p place, db *sql.DB) []string {
	t.Helper()
	query := `SELECT coalesce(sql, name) FROM sqlite_master ORDER BY 1`
	if _, ok := p.(postgresSchema); ok {
		query = `SELECT format('%s.%s %s null=%s %s', table_name, column_name, data_type, is_nullable, collation_name)
			FROM information_schema.columns WHERE table_schema = current_schema()
			UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1`
	}
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer rows.Close()
	var all []string
	for rows.Next() {
		var one string
		require.NoError(t, rows.Scan(&one))
		all = append(all, one)
	}
	require.NoError(t, rows.Err())
	return all
}

func testMigrate(t *testing.T, p place) {
	db := p.open(t)
	j := migrated(t, p, db)
	require.NoError(t, j.Save(t.Context(), rotation.Entry{Credential: "a", Due: due}))
	before := schemaOf(t, p, db)
	for range 3 {
		migrated(t, p, p.open(t))
	}
	assert.Equal(t, before, schemaOf(t, p, db))
	require.NoError(t, j.Check(t.Context()))
	e, err := j.Load(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, int64(1), e.Revision)
}

func testMigrateAtOnce(t *testing.T, p place) {
	const processes = 8
	p.open(t)
	results := make(chan error)
	start := make(chan struct{})
	for range processes {
		j := p.journal(p.open(t))
		go func() {
			<-start
			results <- j.Migrate(context.Background())
		}()
	}
	close(start)
	for range processes {
		assert.NoError(t, <-results)
	}
	require.NoError(t, p.journal(p.open(t)).Check(t.Context()))
}

// testGolden reads what version 1 of the schema was when it was released. It changes only by an addition: the next version.
func testGolden(t *testing.T, p place) {
	fresh := p.open(t)
	migrated(t, p, fresh)
	made := schemaOf(t, p, fresh)
	execute(t, fresh, `DROP TABLE handover`, `DROP TABLE handover_schema`)
	statements := strings.Split(strings.TrimSpace(readGolden(t, p)), ";\n")
	for n, statement := range statements {
		statements[n] = strings.TrimSuffix(statement, ";")
	}
	execute(t, fresh, statements...)
	golden := schemaOf(t, p, fresh)
	assert.Equal(t, golden, made)

	j := migrated(t, p, fresh)
	assert.Equal(t, golden, schemaOf(t, p, fresh))
	require.NoError(t, j.Check(t.Context()))
	e, err := j.Load(t.Context(), "payments")
	require.NoError(t, err)
	assert.Equal(t, rotation.Entry{
		Credential: "payments", Revision: 7, Due: due, Data: []byte(`{"v":1}`),
		SavedAt: time.Date(2026, 3, 1, 0, 0, 0, 5e8, time.UTC),
	}, e)
	entries, err := j.Due(t.Context(), []string{"handover/installation", "payments"}, due.Add(1), 9)
	require.NoError(t, err)
	assert.Equal(t, []rotation.Entry{e}, entries)
	reserved, err := j.Load(t.Context(), "handover/installation")
	require.NoError(t, err)
	assert.True(t, reserved.Due.IsZero())
	require.NoError(t, j.Save(t.Context(), e))
}

func testNewer(t *testing.T, p place) {
	db := p.open(t)
	j := migrated(t, p, db)
	execute(t, db, `INSERT INTO handover_schema (version) VALUES (2)`)
	before := schemaOf(t, p, db)
	for _, err := range []error{j.Migrate(t.Context()), j.Check(t.Context())} {
		require.ErrorContains(t, err, "the schema has version 2 and this program knows only 1")
		var public rotation.PublicError
		assert.ErrorAs(t, err, &public)
	}
	assert.Equal(t, before, schemaOf(t, p, db))
}

func testNotMade(t *testing.T, p place) {
	j := p.journal(p.open(t))
	_, load := j.Load(t.Context(), "a")
	_, due := j.Due(t.Context(), []string{"a"}, due, 1)
	create := j.Save(t.Context(), rotation.Entry{Credential: "a", Data: []byte("canary")})
	update := j.Save(t.Context(), rotation.Entry{Credential: "a", Revision: 1, Data: []byte("canary")})
	for _, err := range []error{load, due, create, update, j.Check(t.Context())} {
		require.ErrorContains(t, err, "the table "+p.table()+" has not been made: call Migrate")
		assert.NotErrorIs(t, err, rotation.ErrConflict)
		assert.NotContains(t, err.Error(), "canary")
		var public rotation.PublicError
		if assert.ErrorAs(t, err, &public) {
			assert.Equal(t, "the table "+p.table()+" has not been made: call Migrate", public.Public())
		}
	}
}

// testOtherTable finds a table of that name that is not a journal, and leaves nothing behind.
func testOtherTable(t *testing.T, p place) {
	db := p.open(t)
	db.SetMaxOpenConns(1)
	execute(t, db, `CREATE TABLE handover (customer INTEGER)`, `INSERT INTO handover VALUES (42)`)
	before := schemaOf(t, p, db)
	j := p.journal(db)
	require.Error(t, j.Migrate(t.Context()))
	assert.Equal(t, before, schemaOf(t, p, db))
	require.ErrorContains(t, j.Check(t.Context()), "call Migrate")
	require.Error(t, j.Save(t.Context(), rotation.Entry{Credential: "a"}))
	execute(t, db, `DROP TABLE handover`) // the connection is not in a transaction
	migrated(t, p, p.open(t))
}

// testPools lets writers with pools of their own add to one entry: nothing is lost.
func testPools(t *testing.T, p place) {
	const writers, each = 6, 10
	migrated(t, p, p.open(t))
	results := make(chan error)
	for range writers {
		j := p.journal(p.open(t))
		go func() { results <- increment(context.Background(), j, each) }()
	}
	for range writers {
		require.NoError(t, <-results)
	}
	e, err := p.journal(p.open(t)).Load(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, int64(writers*each), e.Revision)
}

// increment saves the entry "a" n times, beginning anew after a conflict.
func increment(ctx context.Context, j rotation.Journal, n int) error {
	for n > 0 {
		e, err := j.Load(ctx, "a")
		if err != nil {
			return err
		}
		e.Credential = "a"
		switch err := j.Save(ctx, e); {
		case err == nil:
			n--
		case !errors.Is(err, rotation.ErrConflict):
			return err
		}
	}
	return nil
}
