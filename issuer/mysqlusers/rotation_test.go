// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mysqlusers_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
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

// The connection breaks under the statement that sets a password: when it has arrived, and before. The error says neither yes nor
// no, and the same request again does no harm to the other password.
func testLostAnswers(t *testing.T, w *world) {
	for name, create := range map[string]func(testing.TB) []string{
		"two users":     func(t testing.TB) []string { _, a, b := w.pair(t); return []string{a, b} },
		"two passwords": func(t testing.TB) []string { return []string{w.single(t)} },
	} {
		for _, landed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, landed %v", name, landed), func(t *testing.T) {
				p := newProxy(t, w.as.Addr, landed)
				far := w.as.Clone()
				far.Addr = p.addr
				far.Logger = &mysql.NopLogger{}
				i, err := mysqlusers.New(mysqlusers.Config{DB: open(t, far), Server: w.as.Addr, Users: create(t)})
				require.NoError(t, err)
				first := mustIssue(t, i, rotation.Key{})
				req := rotation.IssueRequest{Name: "lost", Current: first}
				req.Chosen, err = i.Choose(t.Context(), req)
				require.NoError(t, err)

				p.armed.Store(true)
				_, err = i.Issue(t.Context(), req)
				require.Error(t, err)
				require.NotErrorIs(t, err, rotation.ErrNotIssued)
				require.False(t, p.armed.Load())
				if landed {
					require.Eventually(t, func() bool { return w.verifier().Verify(t.Context(), req.Chosen) == nil }, 20*time.Second, 10*time.Millisecond)
				} else {
					w.refuses(t, req.Chosen)
				}
				second, err := i.Issue(t.Context(), req)
				require.NoError(t, err)
				w.accepts(t, first)
				w.accepts(t, second)
			})
		}
	}
}

// proxy stands between an administrator and the server. When it is armed, it breaks the connection at the next ALTER USER.
type proxy struct {
	addr   string
	armed  atomic.Bool
	landed bool // the statement gets through
}

func newProxy(t *testing.T, server string, landed bool) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{addr: l.Addr().String(), landed: landed}
	var work sync.WaitGroup
	t.Cleanup(func() { l.Close(); work.Wait() })
	work.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { p.pass(client, server) })
		}
	})
	return p
}

func (p *proxy) pass(client net.Conn, addr string) {
	defer client.Close()
	server, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	var back sync.WaitGroup
	defer back.Wait()
	defer server.Close()
	back.Go(func() { io.Copy(client, server); client.Close() })
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if bytes.Contains(buf[:n], []byte("ALTER USER")) && p.armed.CompareAndSwap(true, false) {
			client.Close() // the answer goes nowhere
			if p.landed {
				server.Write(buf[:n])
			}
			return
		}
		if _, writeErr := server.Write(buf[:n]); err != nil || writeErr != nil {
			return
		}
	}
}
