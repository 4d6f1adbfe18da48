// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package pgusers_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/issuer/pgusers"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/verify"
)

func TestMain(m *testing.M) { servers.Main(m) }

// world is a server with an administrator who is no superuser.
type world struct {
	*servers.PostgresServer
	super *sql.DB
	admin *sql.DB // CREATEROLE and pg_signal_backend, and nothing else
}

// start returns the world on the server that the tests share.
func start(t *testing.T) *world {
	t.Helper()
	return on(t, servers.Shared(t, servers.Postgres))
}

func on(t *testing.T, s *servers.PostgresServer) *world {
	t.Helper()
	w := &world{PostgresServer: s, super: open(t, s.DSN(s.User, s.Password, "postgres"))}
	name, password := unique("admin"), rand.Text()
	w.do(t, "CREATE ROLE "+name+" LOGIN CREATEROLE PASSWORD '"+password+"'", "GRANT pg_signal_backend TO "+name)
	w.admin = open(t, s.DSN(name, password, "postgres"))
	return w
}

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

func unique(name string) string { return name + "_" + strings.ToLower(rand.Text()[:8]) }

// do runs statements as the superuser.
func (w *world) do(t testing.TB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		_, err := w.super.ExecContext(context.WithoutCancel(t.Context()), s)
		require.NoError(t, err, s)
	}
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

func (w *world) adminName(t testing.TB) (name string) {
	t.Helper()
	require.NoError(t, w.admin.QueryRow("SELECT current_user").Scan(&name))
	return name
}

// create makes users that are not in use yet. On a server of PostgreSQL 16 or later the administrator gets ADMIN OPTION on them.
func (w *world) create(ctx context.Context, users ...string) error {
	var admin string
	if err := w.admin.QueryRowContext(ctx, "SELECT current_user").Scan(&admin); err != nil {
		return err
	}
	for _, u := range users {
		_, err := w.super.ExecContext(ctx, "CREATE ROLE "+quoted(u)+" NOLOGIN; GRANT "+quoted(u)+" TO "+admin+" WITH ADMIN OPTION", pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			return err
		}
	}
	return nil
}

// pair makes two users and their issuer.
func (w *world) pair(t testing.TB) (*pgusers.Issuer, string, string) {
	t.Helper()
	a, b := unique("a"), unique("b")
	require.NoError(t, w.create(t.Context(), a, b))
	return w.issuer(t, a, b), a, b
}

func (w *world) issuer(t testing.TB, users ...string) *pgusers.Issuer {
	t.Helper()
	i, err := pgusers.New(pgusers.Config{DB: w.admin, Server: w.Addr, Users: users})
	require.NoError(t, err)
	return i
}

// base is where users log in, over TCP with a password.
func (w *world) base() *pgx.ConnConfig {
	host, port, _ := net.SplitHostPort(w.Addr)
	n, _ := strconv.Atoi(port)
	c, err := pgx.ParseConfig("sslmode=disable connect_timeout=10")
	if err != nil {
		panic(err)
	}
	c.Host, c.Port, c.Database = host, uint16(n), "postgres"
	return c
}

func (w *world) verifier() verify.Login { return pgusers.Login(w.base()) }

// issue makes a key as the engine does.
func issue(ctx context.Context, i *pgusers.Issuer, current rotation.Key) (rotation.Key, error) {
	req := rotation.IssueRequest{Credential: "orders", Name: unique("orders-v"), Generation: current.Generation + 1, Current: current}
	var err error
	if req.Chosen, err = i.Choose(ctx, req); err != nil {
		return rotation.Key{}, err
	}
	key, err := i.Issue(ctx, req)
	key.Name, key.Generation = req.Name, req.Generation
	return key, err
}

func mustIssue(t testing.TB, i *pgusers.Issuer, current rotation.Key) rotation.Key {
	t.Helper()
	key, err := issue(t.Context(), i, current)
	require.NoError(t, err)
	return key
}

func TestIssuerSuite(t *testing.T) {
	w := start(t)
	i, _, _ := w.pair(t)
	rotationtest.IssuerSuite{Issuer: i, Verifier: w.verifier()}.Run(t)
}

// One user alone: issuing ends the old password.
func TestIssuerSuiteOfOneUser(t *testing.T) {
	w := start(t)
	user := unique("alone")
	require.NoError(t, w.create(t.Context(), user))
	rotationtest.IssuerSuite{Issuer: w.issuer(t, user), Verifier: w.verifier()}.Run(t)
}

func TestVerifierSuite(t *testing.T) {
	w := start(t)
	i, _, _ := w.pair(t)
	live := mustIssue(t, i, rotation.Key{})
	dead := mustIssue(t, i, live)
	require.NoError(t, i.Revoke(t.Context(), dead))
	closed, nowhere := w.base(), w.base()
	closed.Port, nowhere.Database = 1, "there is no such database"
	rotationtest.VerifierSuite{
		Verifier: w.verifier(), Live: live, Dead: dead,
		Down: []rotation.Verifier{pgusers.Login(closed)},
	}.Run(t)
	require.NotErrorIs(t, pgusers.Login(nowhere).Verify(t.Context(), live), rotation.ErrRejected)
}

func TestSimulate(t *testing.T) {
	w := start(t)
	rotationtest.Simulate(t, rotationtest.Simulation{
		RealClock: true, CallTimeout: 600 * time.Millisecond, Sample: 3,
		Issuer: func(ctx context.Context, world *rotationtest.World) (rotation.Issuer, rotation.Verifier, error) {
			a, b := world.Credential+"-a", world.Credential+"-b"
			world.Cleanup(func() { w.drop(t, a, b) })
			if err := w.create(ctx, a, b); err != nil {
				return nil, nil, err
			}
			i, err := pgusers.New(pgusers.Config{DB: w.admin, Server: w.Addr, Users: []string{a, b}})
			return i, w.verifier(), err
		},
	})
}

func TestSimulateOneUser(t *testing.T) {
	w := start(t)
	rotationtest.Simulate(t, rotationtest.Simulation{
		RealClock: true, CallTimeout: 600 * time.Millisecond, Sample: 1,
		Issuer: func(ctx context.Context, world *rotationtest.World) (rotation.Issuer, rotation.Verifier, error) {
			user := world.Credential
			world.Cleanup(func() { w.drop(t, user) })
			if err := w.create(ctx, user); err != nil {
				return nil, nil, err
			}
			i, err := pgusers.New(pgusers.Config{DB: w.admin, Server: w.Addr, Users: []string{user}})
			return i, w.verifier(), err
		},
	})
}

// drop removes users when their sessions have ended.
func (w *world) drop(t testing.TB, users ...string) {
	for _, u := range users {
		if _, err := w.super.ExecContext(context.WithoutCancel(t.Context()), "DROP ROLE "+quoted(u)); err != nil {
			t.Logf("DROP ROLE %s: %v", u, err)
		}
	}
}

// Where no server answers nothing is issued, nothing is thought dead, and nothing is told.
func TestNoServer(t *testing.T) {
	db, err := sql.Open("pgx", "postgres://admin:secret-of-the-admin@127.0.0.1:1/postgres")
	require.NoError(t, err)
	defer db.Close()
	i, err := pgusers.New(pgusers.Config{DB: db, Server: "127.0.0.1:1", Users: []string{"a", "b"}})
	require.NoError(t, err)
	_, err = issue(t.Context(), i, rotation.Key{ID: "a"})
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	_, listErr := i.List(t.Context())
	errs := []error{
		err, listErr, i.Revoke(t.Context(), rotation.Key{ID: "a"}), i.Disable(t.Context(), rotation.Key{ID: "a"}),
		i.Enable(t.Context(), rotation.Key{ID: "a"}), i.Check(t.Context()),
	}
	for n, err := range errs {
		require.Error(t, err, n)
		require.NotErrorIs(t, err, rotation.ErrNotFound)
		require.NotContains(t, fmt.Sprintf("%v %+v", err, err), "secret-of-the-admin")
		require.Equal(t, 1, strings.Count(err.Error(), "pgusers:"), "%v", err)
		var public rotation.PublicError
		require.True(t, errors.As(err, &public), "%v", err)
	}
}
