// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// testServerClock puts another clock into the database: SavedAt follows it.
func testServerClock(t *testing.T, p postgresSchema) {
	execute(t, p.open(t), `CREATE SCHEMA fake`, // found before the server's own
		`CREATE FUNCTION fake.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT '2030-01-02 03:04:05.678901+00'::timestamptz $$`)
	p.before, p.after, p.qualifier = "fake,", ",pg_catalog", p.name+"."
	j := migrated(t, p, p.open(t))
	require.NoError(t, j.Save(t.Context(), rotation.Entry{Credential: "a"}))
	for revision := range int64(2) {
		e, err := j.Load(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, revision+1, e.Revision)
		assert.Equal(t, time.Date(2030, 1, 2, 3, 4, 5, 678901000, time.UTC), e.SavedAt)
		require.NoError(t, j.Save(t.Context(), e))
	}
}

// testRights gives a service no more than the documentation says.
func testRights(t *testing.T, p postgresSchema) {
	admin := p.open(t)
	migrated(t, p, admin)
	execute(t, admin, `CREATE ROLE service LOGIN`, `GRANT USAGE ON SCHEMA `+p.name+` TO service`,
		`GRANT SELECT, INSERT, UPDATE ON handover TO service`,
		`GRANT SELECT ON handover_schema TO service`)
	p.dsn += "&user=service"
	j := p.journal(p.open(t))
	require.NoError(t, j.Check(t.Context()))
	require.NoError(t, j.Migrate(t.Context())) // there is nothing to do
	for revision := range int64(2) {
		require.NoError(t, j.Save(t.Context(), rotation.Entry{Credential: "a", Revision: revision, Due: due}))
	}
	entries, err := j.Due(t.Context(), []string{"a"}, due.Add(1), 1)
	require.NoError(t, err)
	assert.Len(t, entries, 1)

	execute(t, admin, `REVOKE ALL ON handover FROM service`)
	err = j.Save(t.Context(), rotation.Entry{Credential: "a", Revision: 2})
	require.ErrorContains(t, err, "permission denied")
	assert.NotContains(t, err.Error(), "Migrate")
}

func testPostgresDurability(t *testing.T, p postgresSchema) {
	require.NoError(t, migrated(t, p, p.open(t)).Check(t.Context()))
	p.dsn += "&synchronous_commit=off"
	require.ErrorContains(t, p.journal(p.open(t)).Check(t.Context()), "synchronous_commit")
}

// testLockedRow has somebody else's transaction in the way: Save ends with its context. The server may go on with it for a
// moment, so whether it was written only a Load tells.
func testLockedRow(t *testing.T, p postgresSchema) {
	db := p.open(t)
	j := migrated(t, p, db)
	require.NoError(t, j.Save(t.Context(), rotation.Entry{Credential: "a"}))
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), `SELECT 1 FROM handover FOR UPDATE`)
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = j.Save(ctx, rotation.Entry{Credential: "a", Revision: 1})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.NotErrorIs(t, err, rotation.ErrConflict)
	require.NoError(t, tx.Rollback())
	require.NoError(t, increment(t.Context(), j, 1))
}

// Every schedule opens the journal anew, as another process does.
func TestPostgresSimulate(t *testing.T) {
	s := servers.Postgres(t)
	admin := openDB(t, "pgx", s.DSN(s.User, s.Password, "postgres"))
	require.NoError(t, journal.NewPostgres(admin, "handover").Migrate(t.Context()))
	rotationtest.Simulate(t, rotationtest.Simulation{
		RealClock: true, Sample: 6,
		Journal: func(_ context.Context, w *rotationtest.World) (rotation.Journal, error) {
			db, err := sql.Open("pgx", s.DSN(s.User, s.Password, "postgres"))
			if err != nil {
				return nil, err
			}
			w.Cleanup(func() { db.Close() })
			return journal.NewPostgres(db, "handover"), nil
		},
	})
}
