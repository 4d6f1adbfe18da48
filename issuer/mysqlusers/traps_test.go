// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mysqlusers_test

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer/mysqlusers"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// login opens a session with a key, which stays until the test ends it.
func (w *world) login(t testing.TB, key rotation.Key) *sql.Conn {
	t.Helper()
	connector, err := mysqlusers.Connect(w.base)(key)
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
	good := mysqlusers.Config{DB: &sql.DB{}, Server: "db:3306", Users: []string{"a", "b"}}
	_, err := mysqlusers.New(good)
	require.NoError(t, err)
	for want, spoil := range map[string]func(*mysqlusers.Config){
		"Config.DB is required":           func(c *mysqlusers.Config) { c.DB = nil },
		"Config.Server is required":       func(c *mysqlusers.Config) { c.Server = "" },
		"Config.Server holds a user":      func(c *mysqlusers.Config) { c.Server = "me:hunter2@tcp(db:3306)/" },
		"Config.Users: two are required":  func(c *mysqlusers.Config) { c.Users = nil },
		"Config.Users: a name is empty":   func(c *mysqlusers.Config) { c.Users = []string{"a", ""} },
		"longer than 80 characters":       func(c *mysqlusers.Config) { c.Users = []string{"a", strings.Repeat("ü", 81)} },
		"is no name":                      func(c *mysqlusers.Config) { c.Users = []string{"a", "b#c"} },
		"Config.Users: both are the same": func(c *mysqlusers.Config) { c.Users = []string{"a", "a"} },
		"Config.ReplicaLag is negative":   func(c *mysqlusers.Config) { c.ReplicaLag = -1 },
	} {
		c := good
		spoil(&c)
		_, err := mysqlusers.New(c)
		require.ErrorContains(t, err, want)
		require.True(t, strings.HasPrefix(err.Error(), "mysqlusers: Config."), "%v", err)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

// Where no server answers nothing is issued, nothing is thought dead, and nothing is told.
func TestNoServer(t *testing.T) {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr = "admin", "secret-of-the-admin", "tcp", "127.0.0.1:1"
	i, err := mysqlusers.New(mysqlusers.Config{DB: open(t, c), Server: c.Addr, Users: []string{"a", "b"}})
	require.NoError(t, err)
	_, err = issue(t.Context(), i, rotation.Key{ID: "a"})
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	_, listErr := i.List(t.Context())
	key := rotation.Key{ID: "a", Secret: secret.Random(16)}
	for n, err := range []error{err, listErr, i.Revoke(t.Context(), key), i.Disable(t.Context(), key), i.Enable(t.Context(), key), i.Check(t.Context())} {
		require.Error(t, err, n)
		require.NotErrorIs(t, err, rotation.ErrNotFound)
		require.NotContains(t, fmt.Sprintf("%v %+v", err, err), "secret-of-the-admin")
		require.Equal(t, 1, strings.Count(err.Error(), "mysqlusers:"), "%v", err)
		var public rotation.PublicError
		require.True(t, errors.As(err, &public), "%v", err)
	}
}

// Names are whatever the server takes.
func testNames(t *testing.T, w *world) {
	for _, name := range []string{`it's`, `say "hi"`, `two words`, `Capital`, `Überfluß`, `back\slash`, "tick`s", `%s$1;--`} {
		a, b := unique(name), unique(name)
		require.NoError(t, w.create(t.Context(), a, b))
		i := w.issuer(t, a, b)
		first := mustIssue(t, i, rotation.Key{})
		require.Equal(t, a, first.ID)
		second := mustIssue(t, i, first)
		w.accepts(t, first)
		w.accepts(t, second)
		require.NoError(t, i.Revoke(t.Context(), first))
		w.refuses(t, first)
		w.accepts(t, second)
		require.NoError(t, i.Check(t.Context()))
		w.drop(t, a, b)
	}
}

// A server that logs every statement logs no password: it is sent hashes, or hides the password itself.
func testLog(t *testing.T, w *world) {
	w.do(t, "SET GLOBAL log_output = 'TABLE'", "SET GLOBAL general_log = 1")
	defer w.do(t, "SET GLOBAL general_log = 0", "SET GLOBAL log_output = 'FILE'")
	var keys []rotation.Key
	for _, i := range []*mysqlusers.Issuer{w.create2(t), w.create1(t)} {
		key := mustIssue(t, i, rotation.Key{})
		keys = append(keys, key, mustIssue(t, i, key))
	}
	rows, err := w.root.Query("SELECT argument FROM mysql.general_log")
	require.NoError(t, err)
	defer rows.Close()
	changes := 0
	for rows.Next() {
		var statement string
		require.NoError(t, rows.Scan(&statement))
		if strings.HasPrefix(statement, "ALTER USER") {
			changes++
		}
		for _, key := range keys {
			require.NotContains(t, statement, key.Secret.Reveal())
		}
	}
	require.NoError(t, rows.Err())
	require.GreaterOrEqual(t, changes, 4)
}

// The same user comes back two generations later: what is left of the first key must not kill its successor.
func testSlotReturns(t *testing.T, w *world) {
	i, a, _ := w.pair(t)
	first := mustIssue(t, i, rotation.Key{})
	second := mustIssue(t, i, first)
	require.NoError(t, i.Revoke(t.Context(), first))
	third := mustIssue(t, i, second)
	require.Equal(t, a, third.ID)
	c := w.login(t, third)
	identity := first
	identity.Secret = secret.Value{}
	require.ErrorIs(t, i.Disable(t.Context(), first), rotation.ErrNotFound)
	require.ErrorIs(t, i.Enable(t.Context(), first), rotation.ErrNotFound)
	require.NoError(t, i.Revoke(t.Context(), first))
	if w.maria {
		require.NoError(t, i.Revoke(t.Context(), identity), "the fingerprint tells")
	}
	require.ErrorContains(t, i.Revoke(t.Context(), rotation.Key{ID: a}), "without its value it cannot be told")
	w.accepts(t, third)
	require.NoError(t, c.PingContext(t.Context()), "its session lives on")
}

// A session outlives the password that it was opened with.
func testRevokeEndsSessions(t *testing.T, w *world) {
	i, a, _ := w.pair(t)
	key := mustIssue(t, i, rotation.Key{})
	other := mustIssue(t, i, key)
	c, stays := w.login(t, key), w.login(t, other)
	require.NoError(t, i.Revoke(t.Context(), key))
	require.Error(t, c.PingContext(t.Context()))
	require.NoError(t, stays.PingContext(t.Context()))
	require.ErrorContains(t, i.EndSessions(t.Context(), w.me), "is not touched")

	// One that died between the two halves of Revoke is finished by the next.
	byHand := rotation.Key{ID: a, Secret: secret.New("byhand1")}
	w.do(t, "ALTER USER "+quoted(a)+" IDENTIFIED BY 'byhand1' ACCOUNT UNLOCK")
	c = w.login(t, byHand)
	w.do(t, "ALTER USER "+quoted(a)+" IDENTIFIED BY '' ACCOUNT LOCK")
	require.NoError(t, c.PingContext(t.Context()))
	require.NoError(t, i.Revoke(t.Context(), key))
	require.Error(t, c.PingContext(t.Context()))

	// Names differ by case, and the list of sessions does not tell.
	upper := strings.ToUpper(a)
	w.do(t, "CREATE USER "+quoted(upper)+" IDENTIFIED BY 'byhand1'")
	defer w.drop(t, upper)
	c = w.login(t, rotation.Key{ID: upper, Secret: byHand.Secret})
	require.NoError(t, i.EndSessions(t.Context(), a))
	require.NoError(t, c.PingContext(t.Context()))
}

// ACCOUNT LOCK leaves sessions as they are: it would prove nothing of whoever has one, so it waits and names them.
func testDisableWaits(t *testing.T, w *world) {
	i, a, _ := w.pair(t)
	key := mustIssue(t, i, rotation.Key{})
	c := w.login(t, key)
	err := i.Disable(t.Context(), key)
	require.ErrorContains(t, err, fmt.Sprintf("mysqlusers: Disable: user %q has 1 session open, one from host ", a))
	w.accepts(t, key)
	_ = c.Raw(func(any) error { return driver.ErrBadConn }) // the way to have the pool close it
	require.NoError(t, i.Disable(t.Context(), key))
	w.refuses(t, key)
	require.NoError(t, i.Disable(t.Context(), key), "again, as after a lost answer")
	require.NoError(t, i.Enable(t.Context(), key))
	w.accepts(t, key)

	// One that was cut short has left the account locked, and its pool cannot grow: the next one mends that.
	w.login(t, key)
	w.do(t, "ALTER USER "+quoted(a)+" ACCOUNT LOCK")
	require.ErrorContains(t, i.Disable(t.Context(), key), "has 1 session open")
	w.accepts(t, key)
}

// A key that was put under rotation by hand has no fingerprint, and perhaps no ID: its value tells.
func testSeeded(t *testing.T, w *world) {
	i, a, b := w.pair(t)
	whole := rotation.Key{ID: b, Secret: secret.New("chosen by a person")}
	for _, seeded := range []rotation.Key{whole, {Secret: whole.Secret}} {
		w.do(t, "ALTER USER "+quoted(b)+" IDENTIFIED BY 'chosen by a person' ACCOUNT UNLOCK")
		infos, err := i.List(t.Context())
		require.NoError(t, err)
		require.Len(t, infos, 1)
		require.Equal(t, b, mysqlusers.UserOf(infos[0].Key))

		next := mustIssue(t, i, seeded)
		require.Equal(t, a, next.ID, "it is the other one's turn")
		require.NoError(t, i.Disable(t.Context(), seeded))
		w.refuses(t, whole)
		_, err = issue(t.Context(), i, next)
		require.ErrorIs(t, err, rotation.ErrNoSlot, "what is only disabled is not free")
		require.NoError(t, i.Enable(t.Context(), seeded))
		w.accepts(t, whole)
		require.NoError(t, i.Revoke(t.Context(), seeded))
		w.refuses(t, whole)
		require.ErrorIs(t, i.Enable(t.Context(), whole), rotation.ErrNotFound)
		w.accepts(t, next)
		require.NoError(t, i.Revoke(t.Context(), next))
	}
}

func testSeededDual(t *testing.T, w *world) {
	for _, id := range []bool{true, false} {
		user := unique("one")
		w.do(t, "CREATE USER "+quoted(user)+" IDENTIFIED BY 'chosen by a person'")
		i := w.issuer(t, user)
		seeded := rotation.Key{Secret: secret.New("chosen by a person")}
		if id {
			seeded.ID = user
		}
		whole := rotation.Key{ID: user, Secret: seeded.Secret}
		next := mustIssue(t, i, seeded)
		w.accepts(t, whole)
		w.accepts(t, next)
		require.NoError(t, i.Revoke(t.Context(), seeded))
		w.refuses(t, whole)
		w.accepts(t, next)
		w.drop(t, user)
	}
}

// One user has two passwords: each can be taken away, in any order and more than once, and the other lives.
func testDual(t *testing.T, w *world) {
	i := w.create1(t)
	first := mustIssue(t, i, rotation.Key{})
	second := mustIssue(t, i, first)
	require.NotEqual(t, first.ID, second.ID)
	require.Equal(t, mysqlusers.UserOf(first), mysqlusers.UserOf(second))
	again, err := i.Issue(t.Context(), rotation.IssueRequest{Name: second.Name, Current: first, Chosen: second})
	require.NoError(t, err, "the same once more, as after a lost answer")
	require.Equal(t, second.ID, again.ID)
	w.accepts(t, first)
	w.accepts(t, second)
	_, err = issue(t.Context(), i, second)
	require.ErrorIs(t, err, rotation.ErrNoSlot)
	w.accepts(t, first)

	session := w.login(t, second)
	require.NoError(t, i.Revoke(t.Context(), second), "a roll-back: the newer one goes")
	require.NoError(t, i.Revoke(t.Context(), second))
	w.refuses(t, second)
	w.accepts(t, first)
	require.NoError(t, session.PingContext(t.Context()), "nobody can tell whose it is")
	require.NoError(t, i.EndSessions(t.Context(), mysqlusers.UserOf(first)))
	require.Error(t, session.PingContext(t.Context()))

	third := mustIssue(t, i, first)
	require.NoError(t, i.Revoke(t.Context(), first), "the older one goes")
	w.refuses(t, first)
	w.accepts(t, third)
	require.ErrorIs(t, i.Disable(t.Context(), third), errors.ErrUnsupported)
	session = w.login(t, third)
	require.NoError(t, i.Revoke(t.Context(), third), "the last one goes")
	w.refuses(t, third)
	require.Error(t, session.PingContext(t.Context()))
	fourth := mustIssue(t, i, third)
	w.accepts(t, fourth)

	w.do(t, "ALTER USER "+quoted(mysqlusers.UserOf(fourth))+" ACCOUNT LOCK")
	for _, chosen := range []rotation.Key{fourth, third} {
		_, err = i.Issue(t.Context(), rotation.IssueRequest{Name: "locked", Current: fourth, Chosen: chosen})
		require.ErrorContains(t, err, "has a password and is locked")
		require.ErrorIs(t, err, rotation.ErrNotIssued)
	}
	w.do(t, "ALTER USER "+quoted(mysqlusers.UserOf(fourth))+" ACCOUNT UNLOCK")
	w.accepts(t, fourth)
}

// A user that can log in may be in use: it is never taken over, and no other user is touched at all.
func testNobodyElses(t *testing.T, w *world) {
	i, a, b := w.pair(t)
	w.do(t, "ALTER USER "+quoted(a)+" IDENTIFIED BY 'one' ACCOUNT UNLOCK", "ALTER USER "+quoted(b)+" IDENTIFIED BY 'two' ACCOUNT UNLOCK")
	for _, current := range []rotation.Key{{}, {ID: a}, {ID: "somebody"}} {
		_, err := issue(t.Context(), i, current)
		require.ErrorIs(t, err, rotation.ErrNoSlot)
		require.ErrorIs(t, err, rotation.ErrNotIssued)
	}
	w.accepts(t, rotation.Key{ID: a, Secret: secret.New("one")})
	w.accepts(t, rotation.Key{ID: b, Secret: secret.New("two")})
	require.NoError(t, i.Revoke(t.Context(), rotation.Key{Secret: secret.New("three")}), "nobody has it")
	require.ErrorContains(t, i.Revoke(t.Context(), rotation.Key{ID: w.me, Secret: secret.New("one")}), "is not touched")
	_, err := i.Issue(t.Context(), rotation.IssueRequest{Name: "x", Chosen: rotation.Key{ID: w.me, Secret: secret.Random(16)}})
	require.ErrorIs(t, err, rotation.ErrNotIssued)
}

// A user that is gone needs no revocation, and cannot get a password.
func testGone(t *testing.T, w *world) {
	a, b := unique("a"), unique("b")
	i := w.issuer(t, a, b)
	require.NoError(t, i.Revoke(t.Context(), rotation.Key{ID: a}))
	_, err := issue(t.Context(), i, rotation.Key{ID: a})
	require.ErrorIs(t, err, rotation.ErrNotFound)
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	_, err = i.List(t.Context())
	require.ErrorContains(t, err, "does not exist: create it with ACCOUNT LOCK")
}

// What is printed of anything here, or fails, holds neither a password nor what the server keeps of it.
func testPrinted(t *testing.T, w *world) {
	poor := unique("poor")
	w.do(t, "CREATE USER "+quoted(poor)+" IDENTIFIED BY 'secret-of-the-admin'", "GRANT SELECT ON mysql.* TO "+quoted(poor))
	defer w.drop(t, poor)
	c := w.base.Clone()
	c.User, c.Passwd = poor, "secret-of-the-admin"
	full, a, b := w.pair(t)
	i, err := mysqlusers.New(mysqlusers.Config{DB: open(t, c), Server: c.Addr, Users: []string{a, b}})
	require.NoError(t, err)
	key, err := i.Choose(t.Context(), rotation.IssueRequest{})
	require.NoError(t, err)
	_, denied := i.Issue(t.Context(), rotation.IssueRequest{Name: "denied", Chosen: key})
	require.ErrorIs(t, denied, rotation.ErrDenied)
	require.ErrorIs(t, denied, rotation.ErrNotIssued)
	_, err = full.Issue(t.Context(), rotation.IssueRequest{Chosen: key})
	require.NoError(t, err)
	w.do(t, "GRANT SELECT ON test.* TO "+quoted(b))
	checked := i.Check(t.Context())
	require.ErrorIs(t, checked, rotation.ErrDenied)
	s, err := i.Sessions("", 1)
	require.NoError(t, err)
	var hash string
	require.NoError(t, w.root.QueryRow("SELECT authentication_string FROM mysql.user WHERE User = ?", a).Scan(&hash))
	for _, v := range []any{denied, checked, i, *i, s, *s, mysqlusers.Config{DB: w.admin, Server: w.base.Addr, Users: []string{a}}, w.verifier()} {
		text := fmt.Sprintf("%v %+v %#v", v, v, v)
		if data, err := json.Marshal(v); err == nil {
			text += string(data)
		}
		for _, not := range []string{key.Secret.Reveal(), hash, "secret-of-the-admin"} {
			require.NotContains(t, text, not)
		}
	}
}

// The server tells who is connected, and with which user.
func testSessions(t *testing.T, w *world) {
	_, err := w.create1(t).Sessions("", 1)
	require.Error(t, err)
	i, a, b := w.pair(t)
	s, err := i.Sessions("", 2)
	require.NoError(t, err)
	elsewhere, err := i.Sessions("192.0.2.1", 1)
	require.NoError(t, err)
	old := mustIssue(t, i, rotation.Key{})
	key := mustIssue(t, i, old)

	w.login(t, key)
	seen, err := s.Observe(t.Context())
	require.NoError(t, err)
	require.Empty(t, seen, "fewer than there should be are no evidence")
	w.login(t, key)
	seen, err = s.Observe(t.Context())
	require.NoError(t, err)
	require.Len(t, seen, 2)
	require.Equal(t, rotation.Key{ID: b}, seen[0].Key)
	require.NoError(t, s.Verify(t.Context(), key))
	require.ErrorIs(t, elsewhere.Verify(t.Context(), key), rotation.ErrNotYet)

	w.login(t, old)
	err = s.Verify(t.Context(), key)
	require.ErrorIs(t, err, rotation.ErrNotYet)
	require.ErrorContains(t, err, a)
	require.Error(t, s.Verify(t.Context(), rotation.Key{}))
}

// Each thing that is missing is named, to whoever asks before anything is issued.
func testCheck(t *testing.T, w *world) {
	i, a, b := w.pair(t)
	require.NoError(t, i.Check(t.Context()))
	otherwise := w.as.Clone()
	otherwise.Params = map[string]string{"sql_mode": "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'"}
	_, other, another := w.pair(t)
	quoting, err := mysqlusers.New(mysqlusers.Config{DB: open(t, otherwise), Server: w.base.Addr, Users: []string{other, another}})
	require.NoError(t, err)
	require.NoError(t, quoting.Check(t.Context()), "the server quotes names otherwise")
	require.NoError(t, quoting.Revoke(t.Context(), mustIssue(t, quoting, rotation.Key{})))
	kill := "CONNECTION_ADMIN"
	if w.maria {
		kill = "CONNECTION ADMIN"
	}
	me := quoted(w.me)
	for _, c := range []struct {
		want, spoil, mend string
		denied            bool
	}{
		{fmt.Sprintf("user %q lacks what %q has: GRANT SELECT ON `test`.* TO %s", b, a, quoted(b)), "GRANT SELECT ON test.* TO " + quoted(a), "REVOKE SELECT ON test.* FROM " + quoted(a), false},
		{fmt.Sprintf("user %q logs in with an empty password", a), "ALTER USER " + quoted(a) + " ACCOUNT UNLOCK", "ALTER USER " + quoted(a) + " ACCOUNT LOCK", false},
		{fmt.Sprintf("2 accounts have the name %q", a), "CREATE USER `" + a + "`@`192.0.2.1` ACCOUNT LOCK", "DROP USER `" + a + "`@`192.0.2.1`", false},
		{"the server is read only: connect Config.DB to the primary", "SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0", false},
		{"lacks PROCESS", "REVOKE PROCESS ON *.* FROM " + me, "GRANT PROCESS ON *.* TO " + me, true},
		{"lacks CONNECTION ADMIN", "REVOKE " + kill + " ON *.* FROM " + me, "GRANT " + kill + " ON *.* TO " + me, true},
		{"lacks CREATE USER", "REVOKE CREATE USER ON *.* FROM " + me, "GRANT CREATE USER ON *.* TO " + me, true},
	} {
		t.Run(c.want, func(t *testing.T) {
			w.do(t, c.spoil)
			err := i.Check(t.Context())
			w.do(t, c.mend)
			require.ErrorContains(t, err, c.want)
			require.Equal(t, c.denied, errors.Is(err, rotation.ErrDenied))
			require.NoError(t, i.Check(t.Context()))
		})
	}
	require.ErrorContains(t, w.issuer(t, w.me).Check(t.Context()), "the administrator is user")
	if w.maria {
		if _, err := w.root.Exec("INSTALL SONAME 'simple_password_check'"); err == nil { // not every package has it
			checked := i.Check(t.Context())
			_, err := issue(t.Context(), i, rotation.Key{ID: b})
			w.do(t, "UNINSTALL SONAME 'simple_password_check'")
			require.ErrorContains(t, checked, "SET GLOBAL strict_password_validation = OFF")
			require.ErrorContains(t, err, "strict_password_validation has to be off")
			require.ErrorIs(t, err, rotation.ErrNotIssued)
			require.NoError(t, i.Check(t.Context()))
		}
		hash := "mysql_native_password USING PASSWORD('x"
		w.do(t, "ALTER USER "+quoted(a)+" IDENTIFIED VIA "+hash+"1') OR "+hash+"2')")
		require.ErrorContains(t, i.Check(t.Context()), "has two passwords: where users take turns each has one")
		w.do(t, "ALTER USER "+quoted(a)+" IDENTIFIED VIA unix_socket")
		require.ErrorContains(t, i.Check(t.Context()), "plugin unix_socket: change it to mysql_native_password")
		_, err := issue(t.Context(), i, rotation.Key{ID: b})
		require.ErrorContains(t, err, "plugin unix_socket")
		require.ErrorIs(t, err, rotation.ErrNotIssued)
	}
}
