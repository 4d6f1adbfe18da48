// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
)

// The tests that need a database are in internal/e2e.

// down is a database that cannot be reached.
type down struct{ err error }

func (d down) Connect(context.Context) (driver.Conn, error) { return nil, d.err }
func (d down) Driver() driver.Driver                        { return nil }

// each calls every method of j that fails when j cannot work.
func each(ctx context.Context, j *journal.SQL) map[string]error {
	_, load := j.Load(ctx, "a")
	_, due := j.Due(ctx, []string{"a"}, due, 1)
	save := j.Save(ctx, rotation.Entry{Credential: "a", Data: []byte("canary")})
	return map[string]error{"Load": load, "Due": due, "Save": save, "Migrate": j.Migrate(ctx), "Check": j.Check(ctx)}
}

func TestSQLTableNames(t *testing.T) {
	db := sql.OpenDB(down{errors.New("reached")})
	bad := []string{
		"", ".", "a.", ".a", "a.b.c", "1a", "a b", `a"b`, "a'b", "a;b", "a-b", "ä", "a\n", " a", "a\x00",
		"a; DROP TABLE a", strings.Repeat("a", 57), "public." + strings.Repeat("a", 57),
	}
	good := []string{"a", "_", "Handover_Journal2", "order", strings.Repeat("a", 56)}
	for _, open := range []func(*sql.DB, string) *journal.SQL{journal.NewSQLite, journal.NewPostgres} {
		for _, table := range bad {
			j := open(db, table)
			require.ErrorContains(t, j.Validate(), "journal: table ", "%q", table)
			for name, err := range each(t.Context(), j) {
				require.ErrorContains(t, err, "table ", "%s %q", name, table)
				assert.NotContains(t, err.Error(), "reached", "%s %q", name, table)
				assert.Equal(t, 1, strings.Count(err.Error(), "journal: "), err.Error())
			}
		}
		for _, table := range good {
			require.NoError(t, open(db, table).Validate(), table)
		}
	}
	require.NoError(t, journal.NewPostgres(db, "ops.journal").Validate())
	require.Error(t, journal.NewSQLite(db, "ops.journal").Validate())
}

func TestSQLNilDatabase(t *testing.T) {
	for _, j := range []*journal.SQL{journal.NewSQLite(nil, "a b"), journal.NewPostgres(nil, "a b")} {
		err := j.Validate()
		require.ErrorContains(t, err, "db is required")
		require.ErrorContains(t, err, "not a plain identifier")
		for name, err := range each(t.Context(), j) {
			require.ErrorContains(t, err, "db is required", name)
		}
	}
}

func TestSQLDown(t *testing.T) {
	reason := errors.New("no route")
	db := sql.OpenDB(down{reason})
	for _, j := range []*journal.SQL{journal.NewSQLite(db, "a"), journal.NewPostgres(db, "a")} {
		for name, err := range each(t.Context(), j) {
			require.ErrorIs(t, err, reason, name)
			assert.NotErrorIs(t, err, rotation.ErrConflict, name)
			assert.NotContains(t, err.Error(), "canary", name)
		}
	}
}

func TestSQLIdentity(t *testing.T) {
	assert.Equal(t, "sqlite table a", journal.NewSQLite(nil, "a").Identity())
	assert.Equal(t, "postgres table ops.a", journal.NewPostgres(nil, "ops.a").Identity())
}

var (
	_ rotation.Journal     = (*journal.Memory)(nil)
	_ rotation.Journal     = (*journal.Stored)(nil)
	_ rotation.Conditional = (*journal.Stored)(nil)
	_ rotation.Identifier  = (*journal.Stored)(nil)
	_ rotation.Checker     = (*journal.Stored)(nil)
	_ rotation.Journal     = (*journal.SQL)(nil)
	_ rotation.Identifier  = (*journal.SQL)(nil)
	_ rotation.Checker     = (*journal.SQL)(nil)
)
