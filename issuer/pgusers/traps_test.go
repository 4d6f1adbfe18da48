// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package pgusers_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/issuer/pgusers"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// login opens a session with a key, which stays until the test ends it.
func (w *world) login(t testing.TB, key rotation.Key, application string) *sql.Conn {
	t.Helper()
	base := w.base()
	base.RuntimeParams["application_name"] = application
	connector, err := pgusers.Connect(base)(key)
	require.NoError(t, err)
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	c, err := db.Conn(t.Context())
	require.NoError(t, err)
	return c
}

func (w *world) accepts(t testing.TB, key rotation.Key) {
	t.Helper()
	require.NoError(t, w.verifier().Verify(t.Context(), key))
}

func (w *world) refuses(t testing.TB, key rotation.Key) {
	t.Helper()
	require.ErrorIs(t, w.verifier().Verify(t.Context(), key), rotation.ErrRejected)
}

// A mistake in the configuration is told when it is made, by the name of its field.
func TestNew(t *testing.T) {
	db := &sql.DB{}
	good := pgusers.Config{DB: db, Server: "db:5432/orders", Users: []string{"a", "b"}}
	_, err := pgusers.New(good)
	require.NoError(t, err)
	for want, spoil := range map[string]func(*pgusers.Config){
		"Config.DB is required":              func(c *pgusers.Config) { c.DB = nil },
		"Config.Server is required":          func(c *pgusers.Config) { c.Server = "" },
		"Config.Server holds a user":         func(c *pgusers.Config) { c.Server = "postgres://me:hunter2@db/orders" },
		"Config.Users: two are required":     func(c *pgusers.Config) { c.Users = []string{"a", "b", "c"} },
		"Config.Users: a name is empty":      func(c *pgusers.Config) { c.Users = []string{"a", ""} },
		"longer than 63 bytes":               func(c *pgusers.Config) { c.Users = []string{"a", strings.Repeat("ü", 32)} },
		"is no name":                         func(c *pgusers.Config) { c.Users = []string{"a", "b\x00c"} },
		"Config.Users: both are the same":    func(c *pgusers.Config) { c.Users = []string{"a", "a"} },
		"Config.ValidFor is negative":        func(c *pgusers.Config) { c.ValidFor = -1 },
		"Config.ReplicaLag is negative":      func(c *pgusers.Config) { c.ReplicaLag = -1 },
		"required; Config.Server is require": func(c *pgusers.Config) { c.DB, c.Server = nil, "" },
	} {
		c := good
		spoil(&c)
		_, err := pgusers.New(c)
		require.ErrorContains(t, err, want)
		require.True(t, strings.HasPrefix(err.Error(), "pgusers: Config."), "%v", err)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

// Names are whatever the catalog holds.
func TestNamesAreQuoted(t *testing.T) {
	w := start(t)
	for _, name := range []string{`it's`, `say "hi"`, `two words`, `Capital`, `Überfluß 🔑`, `back\slash`, `%s$1;--`, strings.Repeat("x", 54)} {
		a, b := unique(name), unique(name)
		require.NoError(t, w.create(t.Context(), a, b))
		w.do(t, "COMMENT ON ROLE "+quoted(b)+` IS E'its own \\ comment''s [handover: key x] text'`)
		i := w.issuer(t, a, b)
		first := mustIssue(t, i, rotation.Key{})
		require.Equal(t, a, first.ID)
		second := mustIssue(t, i, first)
		require.Equal(t, b, second.ID)
		w.accepts(t, first)
		w.accepts(t, second)
		require.NoError(t, i.Revoke(t.Context(), first))
		w.refuses(t, first)
		w.accepts(t, second)
		require.NoError(t, i.Revoke(t.Context(), second))
		var comment string
		require.NoError(t, w.super.QueryRow("SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = $1", b).Scan(&comment))
		require.Equal(t, `its own \ comment's [handover: key x] text [handover: free]`, comment)
	}
}

// A server that logs every statement logs no password, and neither does what collects statements.
func TestPasswordsAreNotLogged(t *testing.T) {
	w := start(t)
	i, _, _ := w.pair(t)
	admin := w.adminName(t)
	w.do(t, "ALTER ROLE "+admin+" SET log_statement = 'all'", "ALTER ROLE "+admin+" SET log_min_duration_statement = 0")
	w.admin.SetMaxIdleConns(0) // the setting is for new sessions
	key := mustIssue(t, i, rotation.Key{})
	w.accepts(t, key)
	text, err := os.ReadFile(filepath.Join(w.Dir(), "log"))
	require.NoError(t, err)
	require.Contains(t, string(text), "WITH LOGIN PASSWORD 'SCRAM-SHA-256$4096:", "the statement was logged")
	require.NotContains(t, string(text), key.Secret.Reveal())
}

// The same user comes back two generations later: what is left of the first key must not kill its successor.
func TestSlotReturns(t *testing.T) {
	w := start(t)
	i, a, _ := w.pair(t)
	first := mustIssue(t, i, rotation.Key{})
	second := mustIssue(t, i, first)
	require.NoError(t, i.Revoke(t.Context(), first))
	third := mustIssue(t, i, second)
	require.Equal(t, a, third.ID)
	c := w.login(t, third, "orders")
	for _, old := range []rotation.Key{first, identity(first)} {
		require.NoError(t, i.Revoke(t.Context(), old))
		require.ErrorIs(t, i.Disable(t.Context(), old), rotation.ErrNotFound)
		require.ErrorIs(t, i.Enable(t.Context(), old), rotation.ErrNotFound)
	}
	w.accepts(t, third)
	require.NoError(t, c.PingContext(t.Context()), "its session lives on")

	require.NoError(t, i.Revoke(t.Context(), third))
	byHand := rotation.Key{ID: a, Secret: secret.New("by hand")}
	w.do(t, "ALTER ROLE "+quoted(a)+" LOGIN PASSWORD 'by hand'")
	require.NoError(t, i.Revoke(t.Context(), first))
	require.NoError(t, i.Revoke(t.Context(), third))
	w.accepts(t, byHand)
	require.NoError(t, i.Revoke(t.Context(), byHand))
	w.refuses(t, byHand)
}

// A session outlives the password that it was opened with.
func TestRevokeEndsSessions(t *testing.T) {
	w := start(t)
	i, _, _ := w.pair(t)
	key := mustIssue(t, i, rotation.Key{})
	other := mustIssue(t, i, key)
	c, stays := w.login(t, key, "orders"), w.login(t, other, "orders")
	require.NoError(t, c.PingContext(t.Context()))
	require.NoError(t, i.Revoke(t.Context(), key))
	require.Error(t, c.PingContext(t.Context()))
	require.NoError(t, stays.PingContext(t.Context()))

	// One that died between the two halves of Revoke is finished by the next.
	w.do(t, "ALTER ROLE "+quoted(key.ID)+" LOGIN PASSWORD 'by hand'")
	byHand := rotation.Key{ID: key.ID, Secret: secret.New("by hand")}
	c = w.login(t, byHand, "orders")
	w.do(t, "ALTER ROLE "+quoted(key.ID)+" NOLOGIN PASSWORD NULL")
	require.NoError(t, c.PingContext(t.Context()))
	require.NoError(t, i.Revoke(t.Context(), key))
	require.Error(t, c.PingContext(t.Context()))
}

// NOLOGIN leaves sessions as they are: it would prove nothing of whoever has one, so it waits and names them.
func TestDisableWaitsForSessions(t *testing.T) {
	w := start(t)
	i, a, _ := w.pair(t)
	key := mustIssue(t, i, rotation.Key{})
	c := w.login(t, key, "reports")
	err := i.Disable(t.Context(), key)
	var pid int
	require.NoError(t, c.QueryRowContext(t.Context(), "SELECT pg_backend_pid()").Scan(&pid))
	require.EqualError(t, err, fmt.Sprintf(`pgusers: Disable: user %q has 1 session open, for one pid %d of application_name "reports" from 127.0.0.1: `+
		`have that consumer close them; usually it is a pool without SetConnMaxLifetime`, a, pid))
	w.accepts(t, key)
	_ = c.Raw(func(any) error { return driver.ErrBadConn }) // the way to have the pool close it
	require.NoError(t, i.Disable(t.Context(), key))
	w.refuses(t, key)
	require.NoError(t, i.Disable(t.Context(), key), "again, as after a lost answer")
	require.NoError(t, i.Enable(t.Context(), key))
	w.accepts(t, key)

	// One that was cut short has left the user without a login, and its pool cannot grow: the next one mends that.
	w.login(t, key, "reports")
	w.do(t, "ALTER ROLE "+quoted(a)+" NOLOGIN")
	require.ErrorContains(t, i.Disable(t.Context(), key), `application_name "reports"`)
	w.accepts(t, key)
}

// A deadline of the password before would end the new one too.
func TestOldDeadlineIsLifted(t *testing.T) {
	w := start(t)
	_, a, b := w.pair(t)
	w.do(t, "ALTER ROLE "+quoted(a)+" VALID UNTIL '2001-01-01'")
	w.accepts(t, mustIssue(t, w.issuer(t, a, b), rotation.Key{}))
}

func TestValidFor(t *testing.T) {
	w := start(t)
	_, a, b := w.pair(t)
	i, err := pgusers.New(pgusers.Config{DB: w.admin, Server: w.Addr, Users: []string{a, b}, ValidFor: time.Hour})
	require.NoError(t, err)
	key := mustIssue(t, i, rotation.Key{})
	require.WithinDuration(t, time.Now().Add(time.Hour), key.ExpiresAt, time.Minute)
	infos, err := i.List(t.Context())
	require.NoError(t, err)
	require.Len(t, infos, 1)
	require.True(t, key.ExpiresAt.Equal(infos[0].Key.ExpiresAt), "%v, listed %v", key.ExpiresAt, infos[0].Key.ExpiresAt)
	w.accepts(t, key)
	w.do(t, "ALTER ROLE "+quoted(a)+" VALID UNTIL '2001-01-01'")
	w.refuses(t, key)
}

// With one user alone the old password is dead at once, and so are the sessions that were opened with it.
func TestOneUserEndsSessions(t *testing.T) {
	w := start(t)
	user := unique("alone")
	require.NoError(t, w.create(t.Context(), user))
	i := w.issuer(t, user)
	first := mustIssue(t, i, rotation.Key{})
	c := w.login(t, first, "orders")
	second := mustIssue(t, i, first)
	w.refuses(t, first)
	require.Error(t, c.PingContext(t.Context()))
	require.NoError(t, i.Revoke(t.Context(), first))
	w.accepts(t, second)
	require.True(t, i.Describe().KillsOld)
}

// A key that was put under rotation by hand has no name, and perhaps no ID.
func TestSeededKey(t *testing.T) {
	w := start(t)
	i, a, b := w.pair(t)
	w.do(t, "ALTER ROLE "+quoted(b)+" LOGIN PASSWORD 'chosen by a person'")
	whole := rotation.Key{ID: b, Secret: secret.New("chosen by a person")}
	for _, seeded := range []rotation.Key{whole, {ID: b}, {Secret: whole.Secret}} {
		w.do(t, "ALTER ROLE "+quoted(b)+" LOGIN PASSWORD 'chosen by a person'", "COMMENT ON ROLE "+quoted(b)+" IS NULL")
		infos, err := i.List(t.Context())
		require.NoError(t, err)
		require.Len(t, infos, 1)
		require.Equal(t, rotation.Key{ID: b, Attributes: map[string]string{"user": b}}, infos[0].Key)

		next := mustIssue(t, i, seeded)
		require.Equal(t, a, next.ID, "it is the other one's turn")
		require.NoError(t, i.Disable(t.Context(), seeded))
		w.refuses(t, whole)
		_, err = issue(t.Context(), i, next)
		require.ErrorIs(t, err, rotation.ErrNoSlot, "what is only disabled is not free")
		require.NoError(t, i.Enable(t.Context(), whole))
		w.accepts(t, whole)
		require.NoError(t, i.Revoke(t.Context(), seeded))
		w.refuses(t, whole)
		require.ErrorIs(t, i.Enable(t.Context(), whole), rotation.ErrNotFound)
		w.accepts(t, next)
		require.NoError(t, i.Revoke(t.Context(), next))
	}
}

// A user that can log in may be in use: it is never taken over, and no other user is touched at all.
func TestNobodyElsesUser(t *testing.T) {
	w := start(t)
	i, a, b := w.pair(t)
	w.do(t, "ALTER ROLE "+quoted(a)+" LOGIN PASSWORD 'one'", "ALTER ROLE "+quoted(b)+" LOGIN PASSWORD 'two'")
	for _, current := range []rotation.Key{{}, {ID: a}, {ID: "somebody"}} {
		_, err := issue(t.Context(), i, current)
		require.ErrorIs(t, err, rotation.ErrNoSlot)
		require.ErrorIs(t, err, rotation.ErrNotIssued)
	}
	w.accepts(t, rotation.Key{ID: a, Secret: secret.New("one")})
	w.accepts(t, rotation.Key{ID: b, Secret: secret.New("two")})
	require.ErrorContains(t, i.Revoke(t.Context(), rotation.Key{ID: w.User}), "is not touched")
	require.ErrorContains(t, i.Revoke(t.Context(), rotation.Key{}), "give it the user's name as ID")
	require.NoError(t, i.Revoke(t.Context(), rotation.Key{Secret: secret.New("of nobody")}))
	w.accepts(t, rotation.Key{ID: a, Secret: secret.New("one")})
	w.accepts(t, rotation.Key{ID: b, Secret: secret.New("two")})
	_, err := i.Issue(t.Context(), rotation.IssueRequest{Name: "x", Chosen: rotation.Key{ID: w.User, Secret: secret.New("three")}})
	require.ErrorIs(t, err, rotation.ErrNotIssued)
}

// A user that is gone needs no revocation, and cannot get a password.
func TestUserIsGone(t *testing.T) {
	w := start(t)
	a, b := unique("a"), unique("b")
	i := w.issuer(t, a, b)
	require.NoError(t, i.Revoke(t.Context(), rotation.Key{ID: a}))
	_, err := issue(t.Context(), i, rotation.Key{ID: a})
	require.ErrorIs(t, err, rotation.ErrNotFound)
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	_, err = i.List(t.Context())
	require.ErrorContains(t, err, "does not exist: create it NOLOGIN")
}

// No firewall, full server or other trouble is taken for a refusal of the key.
func TestRejectedIsDefinite(t *testing.T) {
	w := on(t, servers.Postgres(t))
	i, _, _ := w.pair(t)
	key := mustIssue(t, i, rotation.Key{})
	w.accepts(t, key)
	hba := filepath.Join(w.Dir(), "data", "pg_hba.conf")
	rules, err := os.ReadFile(hba)
	require.NoError(t, err)
	line := fmt.Sprintf("host all %s all reject\n", quoted(key.ID))
	require.NoError(t, os.WriteFile(hba, append([]byte(line), rules...), 0o600))
	w.do(t, "SELECT pg_reload_conf()")
	require.Eventually(t, func() bool { return w.verifier().Verify(t.Context(), key) != nil }, 20*time.Second, 20*time.Millisecond)
	require.NotErrorIs(t, w.verifier().Verify(t.Context(), key), rotation.ErrRejected)

	for _, code := range []string{"53300", "57P03", "3D000", "08006", "28000"} {
		require.False(t, pgusers.Rejected(&pgconn.PgError{Code: code, Routine: "ClientAuthentication"}), code)
	}
	require.False(t, pgusers.Rejected(errors.New("no route to host")))
}

// What is printed of anything here, or fails, holds neither a password nor what the server keeps of it.
func TestNothingIsPrinted(t *testing.T) {
	w := start(t)
	i, a, _ := w.pair(t)
	w.do(t, "ALTER ROLE "+quoted(a)+" SUPERUSER")
	key, err := i.Choose(t.Context(), rotation.IssueRequest{Current: rotation.Key{}})
	require.NoError(t, err)
	require.Equal(t, a, key.ID)
	_, err = i.Issue(t.Context(), rotation.IssueRequest{Name: "denied", Chosen: key})
	require.ErrorIs(t, err, rotation.ErrDenied)
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	s, sessionsErr := i.Sessions("orders", 1)
	require.NoError(t, sessionsErr)
	cfg := pgusers.Config{DB: w.admin, Server: w.Addr, Users: []string{a}}
	for _, v := range []any{err, i, *i, s, *s, cfg, w.verifier()} {
		text := fmt.Sprintf("%v %+v %#v", v, v, v)
		if data, err := json.Marshal(v); err == nil {
			text += string(data)
		}
		for cause := err; cause != nil; cause = errors.Unwrap(cause) {
			text += cause.Error()
		}
		require.NotContains(t, text, key.Secret.Reveal())
		require.NotContains(t, text, "SCRAM-SHA-256$")
		require.NotContains(t, text, w.Password)
	}
	_, err = i.Issue(t.Context(), rotation.IssueRequest{Name: "odd", Chosen: rotation.Key{ID: a, Secret: secret.New("pässwörd of mine")}})
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	require.NotContains(t, err.Error(), "pässwörd")
}

// The server tells who is connected, and with which user.
func TestSessions(t *testing.T) {
	w := start(t)
	i, a, b := w.pair(t)
	_, err := i.Sessions("", 1)
	require.Error(t, err)
	s, err := i.Sessions("orders", 2)
	require.NoError(t, err)
	old := mustIssue(t, i, rotation.Key{})
	key := mustIssue(t, i, old)

	w.login(t, key, "orders")
	w.login(t, old, "reports")
	seen, err := s.Observe(t.Context())
	require.NoError(t, err)
	require.Empty(t, seen, "fewer than there should be are no evidence")
	require.ErrorIs(t, s.Verify(t.Context(), key), rotation.ErrNotYet)

	w.login(t, key, "orders")
	seen, err = s.Observe(t.Context())
	require.NoError(t, err)
	require.Len(t, seen, 2)
	require.Equal(t, rotation.Key{ID: b}, seen[0].Key)
	require.NoError(t, s.Verify(t.Context(), key))

	w.login(t, old, "orders")
	err = s.Verify(t.Context(), key)
	require.ErrorIs(t, err, rotation.ErrNotYet)
	require.ErrorContains(t, err, a)
	require.Error(t, s.Verify(t.Context(), rotation.Key{}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Observe(ctx)
	require.ErrorIs(t, err, context.Canceled)
}
