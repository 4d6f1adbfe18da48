// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mysqlusers_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer/mysqlusers"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/verify"
)

// fakeMySQL stands for a MySQL 8.4 with one account, as a driver of database/sql. It knows the statements of this package and what
// the manual says of two passwords (ALTER USER, Dual Password Support); it is no proof that a MySQL does so. What a real one does
// TestMySQL shows where there is one.
type fakeMySQL struct {
	plugin string
	raw    bool          // its sql_mode is NO_BACKSLASH_ESCAPES
	lock   chan struct{} // full while a connection has what GET_LOCK gives; a mutex would keep a bubble's clock from going on

	mu     sync.Mutex // guards the fields below
	first  string
	second string
	locked bool
	lose   bool // the answer to the next ALTER USER that sets a password
}

const fakeUser = "orders"

func newFake(plugin string) *fakeMySQL {
	return &fakeMySQL{plugin: plugin, lock: make(chan struct{}, 1), locked: true}
}

func (f *fakeMySQL) Connect(context.Context) (driver.Conn, error) { return &fakeConn{f: f}, nil }
func (f *fakeMySQL) Driver() driver.Driver                        { return nil }

type fakeConn struct {
	f    *fakeMySQL
	held bool
}

func (c *fakeConn) release() {
	if c.held {
		c.held = false
		<-c.f.lock
	}
}

func (*fakeConn) Prepare(string) (driver.Stmt, error) { return nil, driver.ErrSkip }
func (c *fakeConn) Close() error                      { c.release(); return nil }
func (*fakeConn) Begin() (driver.Tx, error)           { return nil, driver.ErrSkip }

// rows is an answer.
type rows struct{ left [][]driver.Value }

func answer(all ...[]driver.Value) (driver.Rows, error) { return &rows{all}, nil }

func (r *rows) Columns() []string {
	if len(r.left) == 0 {
		return nil
	}
	return make([]string, len(r.left[0]))
}
func (r *rows) Close() error { return nil }
func (r *rows) Next(dest []driver.Value) error {
	if len(r.left) == 0 {
		return io.EOF
	}
	copy(dest, r.left[0])
	r.left = r.left[1:]
	return nil
}

func (c *fakeConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if strings.HasPrefix(query, "SELECT GET_LOCK") {
		select {
		case c.f.lock <- struct{}{}:
			c.held = true
			return answer([]driver.Value{int64(1)})
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	switch {
	case query == "SELECT VERSION(), @@SESSION.sql_mode":
		mode := "STRICT_TRANS_TABLES"
		if c.f.raw {
			mode = "STRICT_TRANS_TABLES,NO_BACKSLASH_ESCAPES"
		}
		return answer([]driver.Value{"8.4.9", mode})
	case strings.HasPrefix(query, "SELECT plugin") && args[0].Value == fakeUser:
		locked := "N"
		if c.f.locked {
			locked = "Y"
		}
		return answer([]driver.Value{c.f.plugin, c.f.first, locked, c.f.second})
	case strings.Contains(query, "PROCESSLIST"):
		return answer()
	case strings.HasPrefix(query, "SELECT VERSION(), CURRENT_USER()"):
		return answer([]driver.Value{"8.4.9", "rotator@%", false})
	case strings.Contains(query, "USER_PRIVILEGES"):
		return answer([]driver.Value{"CREATE USER"}, []driver.Value{"PROCESS"}, []driver.Value{"CONNECTION_ADMIN"})
	case strings.HasPrefix(query, "SELECT COUNT(*) FROM mysql.user"):
		return answer([]driver.Value{int64(1)})
	}
	return nil, &mysql.MySQLError{Number: 1064, Message: query}
}

var (
	setsHash    = regexp.MustCompile("(?s)^ALTER USER `orders`@`%` IDENTIFIED WITH (\\w+) AS '(.*)'( ACCOUNT (?:UN)?LOCK)?$")
	retains     = regexp.MustCompile("^ALTER USER `orders`@`%` IDENTIFIED WITH (\\w+) BY '([^']*)' RETAIN CURRENT PASSWORD$")
	discardsOld = "ALTER USER `orders`@`%` DISCARD OLD PASSWORD"
)

func (c *fakeConn) ExecContext(ctx context.Context, query string, _ []driver.NamedValue) (driver.Result, error) {
	if strings.HasPrefix(query, "DO RELEASE_LOCK") {
		c.release()
		return driver.ResultNoRows, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f := c.f
	f.mu.Lock()
	defer f.mu.Unlock()
	lost := func() (driver.Result, error) {
		if f.lose {
			f.lose = false
			return nil, mysql.ErrInvalidConn
		}
		return driver.ResultNoRows, nil
	}
	if p := setsHash.FindStringSubmatch(query); p != nil { // without RETAIN the second password stays as it is
		hash, ok := f.unquote(p[2])
		if !ok || p[1] != f.plugin { // a change of plugin ends the second one
			return nil, &mysql.MySQLError{Number: 1827, Message: query}
		}
		f.first = hash
		if p[3] != "" {
			f.locked = p[3] == " ACCOUNT LOCK"
		}
		return lost()
	}
	if p := retains.FindStringSubmatch(query); p != nil {
		if f.first == "" {
			return nil, &mysql.MySQLError{Number: 3878, Message: query}
		}
		if p[1] != f.plugin {
			return nil, &mysql.MySQLError{Number: 3894, Message: query}
		}
		f.second, f.first = f.first, mysqlusers.ServerHash(f.plugin, secret.New(p[2])) // whatever was the second is gone
		return lost()
	}
	if query == discardsOld {
		f.second = ""
		return driver.ResultNoRows, nil
	}
	return nil, &mysql.MySQLError{Number: 1064, Message: query}
}

// unquote reads what stands between the quotes of a literal; false if the literal ends before.
func (f *fakeMySQL) unquote(text string) (string, bool) {
	var out strings.Builder
	for n := 0; n < len(text); n++ {
		if text[n] == '\'' || text[n] == '\\' && !f.raw {
			if n++; n == len(text) || text[n] != text[n-1] {
				return "", false // the server knows more escapes, of which none is used here
			}
		}
		out.WriteByte(text[n])
	}
	return out.String(), true
}

// verifier logs in.
func (f *fakeMySQL) verifier() rotation.Verifier {
	return verify.Login{
		Rejected: mysqlusers.Rejected,
		Open: func(key rotation.Key) (driver.Connector, error) {
			return fakeLogin{f, key}, nil
		},
	}
}

type fakeLogin struct {
	f   *fakeMySQL
	key rotation.Key
}

func (l fakeLogin) Driver() driver.Driver { return nil }

func (l fakeLogin) Connect(ctx context.Context) (driver.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	for _, hash := range []string{l.f.first, l.f.second} {
		if hash != "" && mysqlusers.HashMatches(l.f.plugin, hash, l.key.Secret) && mysqlusers.UserOf(l.key) == fakeUser {
			if l.f.locked {
				return nil, &mysql.MySQLError{Number: 3118}
			}
			return &fakeConn{f: l.f}, nil
		}
	}
	return nil, &mysql.MySQLError{Number: 1045}
}

func (f *fakeMySQL) issuer(t interface{ Cleanup(func()) }) (*mysqlusers.Issuer, error) {
	db := sql.OpenDB(f)
	t.Cleanup(func() { db.Close() })
	return mysqlusers.New(mysqlusers.Config{DB: db, Server: "fake", Users: []string{fakeUser}})
}

// Two passwords of one user, as MySQL has them.
func TestFakeMySQL(t *testing.T) {
	for _, plugin := range []string{"caching_sha2_password", "mysql_native_password"} {
		t.Run(plugin, func(t *testing.T) {
			f := newFake(plugin)
			i, err := f.issuer(t)
			require.NoError(t, err)
			rotationtest.IssuerSuite{Issuer: i, Verifier: f.verifier()}.Run(t)
		})
	}
}

func TestFakeMySQLSimulate(t *testing.T) {
	for plugin, sample := range map[string]int{"mysql_native_password": 20, "caching_sha2_password": 3} { // whose hash takes its time
		t.Run(plugin, func(t *testing.T) {
			rotationtest.Simulate(t, rotationtest.Simulation{
				Sample: sample,
				Issuer: func(_ context.Context, w *rotationtest.World) (rotation.Issuer, rotation.Verifier, error) {
					f := newFake(plugin)
					i, err := f.issuer(w)
					return i, f.verifier(), err
				},
			})
		})
	}
}

// RETAIN said twice ends the password in use, DISCARD OLD ends whatever is second: neither is ever sent where it would.
func TestFakeMySQLKeepsTheOtherPassword(t *testing.T) {
	for _, raw := range []bool{false, true} {
		t.Run(fmt.Sprintf("NO_BACKSLASH_ESCAPES %v", raw), func(t *testing.T) { testFakeKeeps(t, raw) })
	}
}

func testFakeKeeps(t *testing.T, raw bool) {
	f := newFake("caching_sha2_password")
	f.raw = raw
	i, err := f.issuer(t)
	require.NoError(t, err)
	accepted := func(keys ...rotation.Key) {
		t.Helper()
		for _, key := range keys {
			require.NoError(t, f.verifier().Verify(t.Context(), key))
		}
	}
	first := mustIssue(t, i, rotation.Key{})
	chosen, err := i.Choose(t.Context(), rotation.IssueRequest{Current: first})
	require.NoError(t, err)
	req := rotation.IssueRequest{Name: "second", Current: first, Chosen: chosen}
	f.lose = true
	_, err = i.Issue(t.Context(), req)
	require.ErrorContains(t, err, "the connection ended before the answer did")
	require.NotErrorIs(t, err, rotation.ErrNotIssued)
	accepted(first, chosen)
	second, err := i.Issue(t.Context(), req) // the same again
	require.NoError(t, err)
	accepted(first, second)
	_, err = issue(t.Context(), i, second)
	require.ErrorIs(t, err, rotation.ErrNoSlot)
	accepted(first, second)

	require.NoError(t, i.Revoke(t.Context(), second), "a roll-back")
	accepted(first)
	require.ErrorIs(t, f.verifier().Verify(t.Context(), second), rotation.ErrRejected)
	require.Empty(t, f.second)
	require.NoError(t, i.Revoke(t.Context(), second), "again, when the other one is alone")
	accepted(first)

	cut := mustIssue(t, i, first)
	f.lose = true // between the two statements of a roll-back
	require.Error(t, i.Revoke(t.Context(), cut))
	accepted(first)
	require.NoError(t, i.Revoke(t.Context(), cut), "it is gone, and the other one is both the first and the second")
	require.NoError(t, i.Revoke(t.Context(), first))
	require.Empty(t, f.second, "nothing is left that an unlocked account would accept again")
	first = mustIssue(t, i, first)
	third := mustIssue(t, i, first)
	accepted(first, third)
	require.NoError(t, i.Revoke(t.Context(), first))
	accepted(third)
	require.ErrorIs(t, f.verifier().Verify(t.Context(), first), rotation.ErrRejected)
	require.NoError(t, i.Revoke(t.Context(), mustIssue(t, i, third)), "what stays has a salt of the server's own")
	accepted(third)
	identity := third
	identity.Secret = secret.Value{}
	require.ErrorContains(t, i.Revoke(t.Context(), identity), "without its value it cannot be told")
	accepted(third)
	require.NotContains(t, fmt.Sprintf("%+v", err), third.Secret.Reveal())
}
