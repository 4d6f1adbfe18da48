// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package pgusers_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/issuer/pgusers"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store"
)

// service is a credential that is in use: stored, followed and rotated.
type service struct {
	store   rotation.SecretStore
	handle  *consumer.Handle
	rotator *rotation.Rotator
}

// serve puts a first key into use.
func serve(t *testing.T, w *world, i *pgusers.Issuer, lag time.Duration) *service {
	t.Helper()
	s := &service{store: store.NewMemory()}
	require.NoError(t, store.Seed(t.Context(), s.store, "orders-db", mustIssue(t, i, rotation.Key{})))
	var err error
	s.handle, err = consumer.Follow(t.Context(), consumer.Source{Store: s.store, Credential: "orders-db", Every: 20 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { s.handle.Close() })
	s.rotator, err = rotation.New(rotation.Config{
		Journal: journal.NewMemory(), Store: s.store, Lease: 6 * time.Second, CallTimeout: 5 * time.Second, ClockSkew: 10 * time.Millisecond,
		Credentials: []rotation.Credential{{
			Name: "orders-db", Type: rotation.Database, Issuer: i, Verifier: w.verifier(),
			Consumers: []rotation.Binding{{Name: "orders", Consumer: s.handle, Lag: lag}},
			Policy:    rotation.Policy{Overlap: 10 * time.Millisecond, Quiet: 10 * time.Millisecond},
		}},
	})
	require.NoError(t, err)
	return s
}

// rotate rotates until the end.
func (s *service) rotate(t *testing.T) rotation.Status {
	t.Helper()
	st, err := s.rotator.Rotate(t.Context(), "orders-db", rotation.Trigger{ID: rand.Text()})
	require.Eventually(t, func() bool {
		if st.Last == nil || st.Open != nil {
			st, err = s.rotator.Advance(t.Context(), "orders-db")
		}
		return st.Last != nil && st.Open == nil
	}, 2*time.Minute, 20*time.Millisecond, "%v", err)
	return st
}

// A pool under load goes through three rotations, so that each user comes back, and no query fails.
func TestPoolUnderLoad(t *testing.T) {
	w := start(t)
	i, _, _ := w.pair(t)
	const lag = 2500 * time.Millisecond // database/sql looks for connections that are too old once a second
	s := serve(t, w, i, lag)
	db := sql.OpenDB(consumer.Connector(s.handle, pgusers.Connect(w.base())))
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
				var one int
				if err := db.QueryRowContext(context.WithoutCancel(ctx), "SELECT 1 FROM pg_sleep(0.003)").Scan(&one); err != nil {
					failures.Add(1)
					t.Log(err)
				}
				queries.Add(1)
			}
		})
	}
	var users []string
	for range 3 {
		st := s.rotate(t)
		assert.Equal(t, rotation.Rotated, st.Last.Outcome, "%v", st)
		assert.Empty(t, st.Debts)
		users = append(users, st.Last.NewID)
	}
	cancel()
	work.Wait()
	require.Zero(t, failures.Load())
	require.Greater(t, queries.Load(), int64(100))
	require.Equal(t, users[0], users[2])
	require.NotEqual(t, users[0], users[1])
	t.Logf("%d queries, none failed", queries.Load())
}

// In an emergency the sessions of the compromised user end with its password.
func TestEmergencyEndsSessions(t *testing.T) {
	w := start(t)
	i, _, _ := w.pair(t)
	s := serve(t, w, i, time.Hour)
	old := s.handle.Key()
	thief := w.login(t, old, "somewhere else")
	report, err := s.rotator.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{"orders-db"}})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		if !report.Done() {
			_, _ = s.rotator.Advance(t.Context(), "orders-db") // what goes wrong is tried again
			report, err = s.rotator.Incident(t.Context(), "INC-1")
		}
		return err == nil && report.Done()
	}, time.Minute, 20*time.Millisecond)
	require.Error(t, thief.PingContext(t.Context()))
	w.refuses(t, old)
	w.accepts(t, s.handle.Key())
}

// Whoever is logging in while the password is taken away is out when Revoke returns.
func TestRevokeAmongLogins(t *testing.T) {
	w := start(t)
	i, a, _ := w.pair(t)
	key := mustIssue(t, i, rotation.Key{})
	var work sync.WaitGroup
	var logins atomic.Int64
	for range 6 {
		work.Go(func() {
			for {
				base := w.base()
				base.User, base.Password = key.ID, key.Secret.Reveal()
				c, err := pgx.ConnectConfig(t.Context(), base)
				if err != nil { // a refusal, or the end of a session that has just begun
					return
				}
				defer c.Close(context.WithoutCancel(t.Context()))
				logins.Add(1)
			}
		})
	}
	assert.Eventually(t, func() bool { return logins.Load() > 20 }, time.Minute, time.Millisecond)
	assert.NoError(t, i.Revoke(t.Context(), key))
	assert.Never(t, func() bool {
		var open int
		err := w.super.QueryRow("SELECT count(*) FROM pg_stat_activity WHERE usename = $1", a).Scan(&open)
		return err != nil || open > 0
	}, 300*time.Millisecond, 20*time.Millisecond)
	work.Wait()
	t.Logf("%d logins", logins.Load())
}

// The server dies in the middle of Issue: when COMMIT has arrived, and before. The error says neither yes nor no, and the
// rotation finds out.
func TestServerDiesInIssue(t *testing.T) {
	for _, c := range []struct {
		name   string
		landed bool
	}{{"after the commit", true}, {"before the commit", false}} {
		t.Run(c.name, func(t *testing.T) {
			w := on(t, servers.Postgres(t))
			_, a, b := w.pair(t)
			p := newProxy(t, w.Addr)
			var admin string
			require.NoError(t, w.admin.QueryRow("SELECT current_user").Scan(&admin))
			password := rand.Text()
			w.do(t, "ALTER ROLE "+admin+" PASSWORD '"+password+"'")
			far := *w.PostgresServer
			far.Addr = p.addr
			i, err := pgusers.New(pgusers.Config{DB: open(t, far.DSN(admin, password, "postgres")), Server: w.Addr, Users: []string{a, b}})
			require.NoError(t, err)
			s := serve(t, w, i, 0)

			p.commit = func(forward func()) {
				defer close(p.over)
				if c.landed {
					forward()
					assert.Eventually(t, func() bool {
						var login bool
						err := w.super.QueryRow("SELECT rolcanlogin FROM pg_roles WHERE rolname = $1", b).Scan(&login)
						return err == nil && login
					}, 20*time.Second, 5*time.Millisecond)
				}
				w.Kill()
				w.Start()
			}
			p.arm()
			first, err := i.Choose(t.Context(), rotation.IssueRequest{Current: s.handle.Key()})
			require.NoError(t, err)
			_, err = i.Issue(t.Context(), rotation.IssueRequest{Name: "lost", Chosen: first})
			require.Error(t, err)
			require.NotErrorIs(t, err, rotation.ErrNotIssued)
			<-p.over
			require.Equal(t, c.landed, w.verifier().Verify(t.Context(), first) == nil)
			first.Name = "lost"
			require.Eventually(t, func() bool { return i.Revoke(t.Context(), first) == nil }, 20*time.Second, 20*time.Millisecond)

			p.arm()
			st := s.rotate(t)
			<-p.over
			require.Equal(t, rotation.Rotated, st.Last.Outcome)
			infos, err := i.List(t.Context())
			require.NoError(t, err)
			require.Len(t, infos, 1)
			require.Equal(t, st.Last.NewID, infos[0].Key.ID)
			w.accepts(t, s.handle.Key())
		})
	}
}

// With one user alone the sessions of the old password end also where the answer to COMMIT is lost: what was issued is adopted then, and
// not issued again.
func TestLostAnswerOfOneUserEndsSessions(t *testing.T) {
	w := start(t)
	user := unique("alone")
	require.NoError(t, w.create(t.Context(), user))
	old := mustIssue(t, w.issuer(t, user), rotation.Key{})
	session := w.login(t, old, "orders")

	p := newProxy(t, w.Addr)
	name, password := w.adminName(t), rand.Text()
	w.do(t, "ALTER ROLE "+name+" PASSWORD '"+password+"'")
	far := *w.PostgresServer
	far.Addr = p.addr
	i, err := pgusers.New(pgusers.Config{DB: open(t, far.DSN(name, password, "postgres")), Server: w.Addr, Users: []string{user}})
	require.NoError(t, err)
	p.commit = func(forward func()) {
		forward()
		close(p.over)
	}
	p.arm()
	chosen, err := i.Choose(t.Context(), rotation.IssueRequest{Current: old})
	require.NoError(t, err)
	_, err = i.Issue(t.Context(), rotation.IssueRequest{Name: "lost", Chosen: chosen})
	require.Error(t, err)
	require.NotErrorIs(t, err, rotation.ErrNotIssued)
	<-p.over
	require.Eventually(t, func() bool { return w.verifier().Verify(t.Context(), chosen) == nil }, 20*time.Second, 20*time.Millisecond)
	require.Error(t, session.PingContext(t.Context()))
}

// proxy stands between an administrator and the server. It has what happens to the next COMMIT decided.
type proxy struct {
	addr   string
	armed  atomic.Bool
	over   chan struct{} // closed by commit
	commit func(forward func())
}

func (p *proxy) arm() {
	p.over = make(chan struct{})
	p.armed.Store(true)
}

func newProxy(t *testing.T, server string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{addr: l.Addr().String()}
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
	defer server.Close()
	var back sync.WaitGroup
	defer back.Wait()
	back.Go(func() { io.Copy(client, server); client.Close() })
	defer server.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if bytes.Contains(buf[:n], []byte("commit")) && p.armed.CompareAndSwap(true, false) {
			client.Close() // the answer goes nowhere
			p.commit(func() { server.Write(buf[:n]) })
			return
		}
		if _, writeErr := server.Write(buf[:n]); err != nil || writeErr != nil {
			return
		}
	}
}
