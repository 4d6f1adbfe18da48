// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mysqlusers_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/issuer/mysqlusers"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store"
)

// A pool under load goes through three rotations, with two users and with two passwords, and no query fails.
func testPool(t *testing.T, w *world) {
	t.Run("two users", func(t *testing.T) { poolUnderLoad(t, w, w.create2(t)) })
	t.Run("two passwords", func(t *testing.T) { poolUnderLoad(t, w, w.create1(t)) })
}

func poolUnderLoad(t *testing.T, w *world, i *mysqlusers.Issuer) {
	secrets := store.NewMemory()
	require.NoError(t, store.Seed(t.Context(), secrets, "orders-db", mustIssue(t, i, rotation.Key{})))
	handle, err := consumer.Follow(t.Context(), consumer.Source{Store: secrets, Credential: "orders-db", Every: 20 * time.Millisecond})
	require.NoError(t, err)
	defer handle.Close()
	rotator, err := rotation.New(rotation.Config{
		Journal: journal.NewMemory(), Store: secrets, Lease: 6 * time.Second, CallTimeout: 5 * time.Second, ClockSkew: 10 * time.Millisecond,
		Credentials: []rotation.Credential{{
			Name: "orders-db", Type: rotation.Database, Issuer: i, Verifier: w.verifier(),
			Consumers: []rotation.Binding{{Name: "orders", Consumer: handle, Lag: 2500 * time.Millisecond}}, // database/sql looks once a second
			Policy:    rotation.Policy{Overlap: 10 * time.Millisecond, Quiet: 10 * time.Millisecond},
		}},
	})
	require.NoError(t, err)
	db := sql.OpenDB(consumer.Connector(handle, mysqlusers.Connect(w.base)))
	defer db.Close()
	db.SetMaxOpenConns(6)
	db.SetMaxIdleConns(6)
	db.SetConnMaxLifetime(200 * time.Millisecond)

	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	var queries, failures atomic.Int64
	for range 6 {
		work.Go(func() {
			for ctx.Err() == nil {
				var zero int
				if err := db.QueryRowContext(context.WithoutCancel(ctx), "SELECT SLEEP(0.003)").Scan(&zero); err != nil {
					failures.Add(1)
					t.Log(err)
				}
				queries.Add(1)
			}
		})
	}
	var users []string
	for range 3 {
		st, err := rotator.Rotate(t.Context(), "orders-db", rotation.Trigger{ID: rand.Text()})
		assert.Eventually(t, func() bool {
			if st.Last == nil || st.Open != nil {
				st, err = rotator.Advance(t.Context(), "orders-db")
			}
			return st.Last != nil && st.Open == nil
		}, 2*time.Minute, 20*time.Millisecond, "%v", err)
		assert.Equal(t, rotation.Rotated, st.Last.Outcome, "%v", st)
		assert.Empty(t, st.Debts)
		users = append(users, st.Last.NewID)
	}
	cancel()
	work.Wait()
	require.Zero(t, failures.Load())
	require.Greater(t, queries.Load(), int64(100))
	require.Len(t, slices.Compact(users), 3, "each one is another than the one before")
	t.Logf("%d queries, none failed", queries.Load())
}

// Whoever is logging in while the password is taken away is out when Revoke returns.
func testRevokeAmongLogins(t *testing.T, w *world) {
	i, a, _ := w.pair(t)
	key := mustIssue(t, i, rotation.Key{})
	connector, err := mysqlusers.Connect(w.base)(key)
	require.NoError(t, err)
	var work sync.WaitGroup
	var logins atomic.Int64
	for range 6 {
		work.Go(func() {
			for {
				c, err := connector.Connect(t.Context())
				if err != nil { // a refusal, or the end of a session that has just begun
					return
				}
				defer c.Close()
				logins.Add(1)
			}
		})
	}
	assert.Eventually(t, func() bool { return logins.Load() > 20 }, time.Minute, time.Millisecond)
	assert.NoError(t, i.Revoke(t.Context(), key))
	assert.Never(t, func() bool {
		var open int
		err := w.root.QueryRow("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = ?", a).Scan(&open)
		return err != nil || open > 0
	}, 300*time.Millisecond, 20*time.Millisecond)
	work.Wait()
}
