// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
)

// counted counts the writes to a journal, those that lose a race included.
type counted struct {
	rotation.Journal
	writes *atomic.Int64
}

func (c counted) Save(ctx context.Context, e rotation.Entry) error {
	c.writes.Add(1)
	return c.Journal.Save(ctx, e)
}

// fleet rotates so many credentials, all overdue, with so many processes over one SQLite file, each with a connection of
// its own. It returns the journal's writes.
func fleet(t *testing.T, rotators, credentials int) int64 {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "journal.db")
	secrets := store.NewMemory()
	var creds []rotation.Credential
	var providers []*rotationtest.Provider
	for i := range credentials {
		p := rotationtest.NewProvider()
		name := fmt.Sprintf("credential-%03d", i)
		key := p.Mint()
		key.IssuedAt = time.Now().Add(-100 * 24 * time.Hour)
		require.NoError(t, store.Seed(ctx, secrets, name, key))
		providers = append(providers, p)
		creds = append(creds, rotation.Credential{
			Name: name, Type: rotation.APIKey, Issuer: p,
			Consumers: []rotation.Binding{{Name: "web", Consumer: rotationtest.NewConsumer(p)}, {Name: "jobs", Consumer: rotationtest.NewConsumer(p)}},
		})
	}
	var writes atomic.Int64
	var all []*rotation.Rotator
	for range rotators {
		db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_txlock=immediate")
		require.NoError(t, err)
		t.Cleanup(func() { db.Close() })
		j := journal.NewSQLite(db, "handover")
		require.NoError(t, j.Migrate(ctx))
		r, err := rotation.New(rotation.Config{
			Journal: counted{j, &writes}, Store: secrets, Credentials: creds,
			Policy: rotation.Policy{Overlap: -1, Quiet: -1}, ClockSkew: 100 * time.Millisecond, Parallel: 4,
			Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		require.NoError(t, err)
		all = append(all, r)
	}
	run, stop := context.WithTimeout(ctx, 5*time.Minute)
	defer stop()
	var wg sync.WaitGroup
	for _, r := range all {
		wg.Go(func() { _ = r.Run(run) })
	}
	done := func() bool {
		list, err := all[0].List(ctx)
		if err != nil {
			return false
		}
		for _, st := range list {
			if st.Open != nil || st.Generation < 2 || len(st.Debts) > 0 {
				return false
			}
		}
		return true
	}
	for !done() {
		require.NoError(t, run.Err(), "not everything was rotated in time")
		select {
		case <-run.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	stop()
	wg.Wait()
	for i, p := range providers {
		require.Equal(t, 1, p.Calls("Issue"), "credential %d: one new key, not more", i)
		require.Equal(t, 1, p.Calls("Revoke"), "credential %d: one revocation", i)
		require.Len(t, p.Live(), 1)
	}
	return writes.Load()
}

// Two processes that share a journal share the work: nothing is done twice, and finding that out costs little. A process that is new
// takes one look at what is open already, whoever drives it: a lease taken and given back.
func TestTwoRotatorsShareOneFile(t *testing.T) {
	const credentials = 200
	one := fleet(t, 1, credentials)
	two := fleet(t, 2, credentials)
	t.Logf("journal writes: %d with one rotator, %d with two", one, two)
	const look = 2
	require.LessOrEqual(t, two, one+one/10+look*credentials)
}
