// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mysqlusers_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/issuer/mysqlusers"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/verify"
)

func TestMain(m *testing.M) { servers.Main(m) }

// mysqlDSN names the variable with the administrator of a MySQL 8 that may be used: "root:password@tcp(127.0.0.1:3306)/".
const mysqlDSN = "HANDOVER_MYSQL_DSN"

// world is a server with an administrator who has what is documented and nothing else.
type world struct {
	root  *sql.DB
	admin *sql.DB
	as    *mysql.Config // the administrator's
	me    string        // its name
	base  *mysql.Config // where users log in
	maria bool
}

// tests are run against each server.
var tests = map[string]func(*testing.T, *world){
	"suite of two users":       func(t *testing.T, w *world) { suite(t, w, w.create2) },
	"suite of two passwords":   func(t *testing.T, w *world) { suite(t, w, w.create1) },
	"simulate two users":       func(t *testing.T, w *world) { simulate(t, w, 2, 2) },
	"simulate two passwords":   func(t *testing.T, w *world) { simulate(t, w, 1, 1) },
	"verifier suite":           testVerifier,
	"names are quoted":         testNames,
	"passwords are not logged": testLog,
	"slot returns":             testSlotReturns,
	"revoke ends sessions":     testRevokeEndsSessions,
	"revoke among logins":      testRevokeAmongLogins,
	"disable waits":            testDisableWaits,
	"seeded key":               testSeeded,
	"seeded key of one user":   testSeededDual,
	"two passwords":            testDual,
	"nobody else's user":       testNobodyElses,
	"user is gone":             testGone,
	"nothing is printed":       testPrinted,
	"sessions":                 testSessions,
	"check":                    testCheck,
	"pool under load":          testPool,
	"lost answers":             testLostAnswers,
}

func TestMariaDB(t *testing.T) {
	s := servers.Shared(t, servers.MariaDB)
	w := newWorld(t, s.DSN(s.User, s.Password, ""))
	for name, f := range tests {
		t.Run(name, func(t *testing.T) { f(t, w) })
	}
}

// The dual passwords of MySQL are proven against a fake where no MySQL is given: see fake_test.go.
func TestMySQL(t *testing.T) {
	dsn := os.Getenv(mysqlDSN)
	if dsn == "" {
		t.Skip(mysqlDSN + " names no MySQL: not tested against a real one")
	}
	w := newWorld(t, dsn)
	for name, f := range tests {
		t.Run(name, func(t *testing.T) { f(t, w) })
	}
}

func newWorld(t *testing.T, dsn string) *world {
	t.Helper()
	root, err := mysql.ParseDSN(dsn)
	require.NoError(t, err)
	w := &world{root: open(t, root), me: unique("rotator")}
	var version string
	require.NoError(t, w.root.QueryRow("SELECT VERSION()").Scan(&version))
	w.maria = strings.Contains(version, "MariaDB")
	password, kill := rand.Text(), "CONNECTION_ADMIN"
	if w.maria {
		kill = "CONNECTION ADMIN"
	}
	w.do(t, "CREATE USER "+w.me+"@'%' IDENTIFIED BY '"+password+"'", "GRANT CREATE USER, PROCESS, "+kill+" ON *.* TO "+w.me+"@'%'",
		"GRANT SELECT ON mysql.* TO "+w.me+"@'%'")
	t.Cleanup(func() { w.drop(t, w.me) })
	w.base = root.Clone()
	w.base.User, w.base.Passwd, w.base.DBName = "", "", ""
	w.base.Timeout = 10 * time.Second
	w.as = w.base.Clone()
	w.as.User, w.as.Passwd = w.me, password
	w.admin = open(t, w.as)
	return w
}

func open(t testing.TB, c *mysql.Config) *sql.DB {
	t.Helper()
	connector, err := mysql.NewConnector(c)
	require.NoError(t, err)
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}

func unique(name string) string { return name + "_" + strings.ToLower(rand.Text()[:8]) }

// do runs statements as root.
func (w *world) do(t testing.TB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		_, err := w.root.ExecContext(context.WithoutCancel(t.Context()), s)
		require.NoError(t, err, s)
	}
}

func quoted(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`@`%`" }

func (w *world) create(ctx context.Context, users ...string) error {
	for _, u := range users {
		if _, err := w.root.ExecContext(ctx, "CREATE USER "+quoted(u)+" ACCOUNT LOCK"); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) create2(t testing.TB) *mysqlusers.Issuer {
	i, _, _ := w.pair(t)
	return i
}

func (w *world) create1(t testing.TB) *mysqlusers.Issuer { return w.issuer(t, w.single(t)) }

func (w *world) single(t testing.TB) string {
	user := unique("one")
	require.NoError(t, w.create(t.Context(), user))
	t.Cleanup(func() { w.drop(t, user) })
	return user
}

func (w *world) pair(t testing.TB) (*mysqlusers.Issuer, string, string) {
	t.Helper()
	a, b := unique("a"), unique("b")
	require.NoError(t, w.create(t.Context(), a, b))
	t.Cleanup(func() { w.drop(t, a, b) })
	return w.issuer(t, a, b), a, b
}

func (w *world) drop(t testing.TB, users ...string) {
	for _, u := range users {
		if _, err := w.root.ExecContext(context.WithoutCancel(t.Context()), "DROP USER "+quoted(u)); err != nil {
			t.Logf("DROP USER: %v", err)
		}
	}
}

func (w *world) issuer(t testing.TB, users ...string) *mysqlusers.Issuer {
	t.Helper()
	i, err := mysqlusers.New(mysqlusers.Config{DB: w.admin, Server: w.base.Addr, Users: users})
	require.NoError(t, err)
	return i
}

func (w *world) verifier() verify.Login { return mysqlusers.Login(w.base) }

// issue makes a key as the engine does.
func issue(ctx context.Context, i *mysqlusers.Issuer, current rotation.Key) (rotation.Key, error) {
	req := rotation.IssueRequest{Credential: "orders", Name: unique("orders-v"), Generation: current.Generation + 1, Current: current}
	var err error
	if req.Chosen, err = i.Choose(ctx, req); err != nil {
		return rotation.Key{}, err
	}
	key, err := i.Issue(ctx, req)
	key.Name, key.Generation = req.Name, req.Generation
	return key, err
}

func mustIssue(t testing.TB, i *mysqlusers.Issuer, current rotation.Key) rotation.Key {
	t.Helper()
	key, err := issue(t.Context(), i, current)
	require.NoError(t, err)
	return key
}

func suite(t *testing.T, w *world, create func(testing.TB) *mysqlusers.Issuer) {
	rotationtest.IssuerSuite{Issuer: create(t), Verifier: w.verifier()}.Run(t)
}

func simulate(t *testing.T, w *world, users, sample int) {
	rotationtest.Simulate(t, rotationtest.Simulation{
		RealClock: true, CallTimeout: 600 * time.Millisecond, Sample: sample,
		Issuer: func(ctx context.Context, world *rotationtest.World) (rotation.Issuer, rotation.Verifier, error) {
			var names []string
			for n := range users {
				names = append(names, fmt.Sprintf("%s%d", world.Credential[len("handover-"):], n)) // MySQL takes 32 characters
			}
			world.Cleanup(func() { w.drop(t, names...) })
			if err := w.create(ctx, names...); err != nil {
				return nil, nil, err
			}
			i, err := mysqlusers.New(mysqlusers.Config{DB: w.admin, Server: w.base.Addr, Users: names})
			return i, w.verifier(), err
		},
	})
}

func testVerifier(t *testing.T, w *world) {
	i := w.create2(t)
	live := mustIssue(t, i, rotation.Key{})
	dead := mustIssue(t, i, live)
	require.NoError(t, i.Revoke(t.Context(), dead))
	closed := w.base.Clone()
	closed.Addr = "127.0.0.1:1"
	rotationtest.VerifierSuite{Verifier: w.verifier(), Live: live, Dead: dead, Down: []rotation.Verifier{mysqlusers.Login(closed)}}.Run(t)
}
