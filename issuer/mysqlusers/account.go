// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mysqlusers

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// account is a user as the server has it.
type account struct {
	user, host string
	maria      bool
	raw        bool // a backslash in a literal stands for itself (sql_mode NO_BACKSLASH_ESCAPES)
	locked     bool
	entries    []entry // its passwords, the newest first; never none
	doubled    bool    // MySQL has the same one as the first and as the second
}

// entry is one password: what the server keeps of it. It must not be printed.
type entry struct{ plugin, auth string }

// free reports whether a key can be issued into the account: it is locked, and has no password that Enable could bring back.
func (a account) free() bool {
	return a.locked && !slices.ContainsFunc(a.entries, func(e entry) bool { return !e.unusable() })
}

// unusable reports whether nobody can log in with it. MariaDB makes "invalid" of CREATE USER ... IDENTIFIED VIA ... USING 'invalid'.
// An empty one is none either while the account is locked; where it is not, Check complains. Other plugins need no password to log in.
func (e entry) unusable() bool {
	known := e.plugin == native || e.plugin == sha2
	return known && (e.auth == "" || e.auth == "invalid" || e.auth == freedHash(e.plugin))
}

// find is the place of a password, -1 if the account has not got it; false if that cannot be told.
func (a account) find(value secret.Value) (n int, known bool) {
	known = true
	for n, e := range a.entries {
		if e.unusable() {
			continue
		}
		same, readable := false, true
		switch e.plugin {
		case native:
			same = e.auth == nativeHash(value)
		case sha2:
			same, readable = sha2Matches(e.auth, value)
		default:
			readable = false
		}
		if same {
			return n, true
		}
		known = known && readable
	}
	return -1, known
}

func (a account) plugins() []string {
	var all []string
	for _, e := range a.entries {
		all = append(all, e.plugin)
	}
	return all
}

// identified is the clause that gives an account these passwords and no others.
func (a account) identified(entries ...entry) string {
	var parts []string
	for _, e := range entries {
		parts = append(parts, e.plugin+" AS "+a.literal(e.auth))
	}
	return " IDENTIFIED WITH " + strings.Join(parts, " OR ")
}

func (a account) name() string { return identifier(a.user) + "@" + identifier(a.host) }

// ansiName is the name as a server with the sql_mode ANSI_QUOTES says it.
func (a account) ansiName() string { return ansi(a.user) + "@" + ansi(a.host) }

func ansi(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// identifier quotes a name. In backticks a backslash means nothing, whatever sql_mode says.
func identifier(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// literal quotes a text for a statement that takes no parameters. The salts that MySQL makes are of any character below 128 but "$" and 0.
func (a account) literal(text string) string {
	if !a.raw {
		text = strings.ReplaceAll(text, `\`, `\\`)
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// querier is a *sql.DB or a *sql.Conn.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

const (
	mariaQuery = "SELECT Priv FROM mysql.global_priv WHERE User = ? AND Host = ?"
	mysqlQuery = "SELECT plugin, authentication_string, account_locked, COALESCE(JSON_UNQUOTE(JSON_EXTRACT(User_attributes, '$.additional_password')), '') FROM mysql.user WHERE User = ? AND Host = ?"
)

// look reads an account. A user that does not exist is sql.ErrNoRows.
func (i *Issuer) look(ctx context.Context, q querier, user string) (account, error) {
	a := account{user: user, host: i.cfg.Host}
	var version, mode string
	if err := q.QueryRowContext(ctx, "SELECT VERSION(), @@SESSION.sql_mode").Scan(&version, &mode); err != nil {
		return a, err
	}
	a.raw = strings.Contains(mode, "NO_BACKSLASH_ESCAPES")
	if a.maria = strings.Contains(version, "MariaDB"); a.maria {
		var priv []byte
		if err := q.QueryRowContext(ctx, mariaQuery, a.user, a.host).Scan(&priv); err != nil {
			return a, err
		}
		return a, a.parse(priv)
	}
	var first entry
	var locked, second string
	if err := q.QueryRowContext(ctx, mysqlQuery, a.user, a.host).Scan(&first.plugin, &first.auth, &locked, &second); err != nil {
		return a, err
	}
	a.locked, a.entries = locked == "Y", []entry{first}
	switch second {
	case "":
	case first.auth:
		a.doubled = true // left by a drop that was cut short
	default:
		a.entries = append(a.entries, entry{first.plugin, second})
	}
	return a, nil
}

// privJSON is what MariaDB keeps of a user. An empty object among auth_or stands for the fields outside.
type privJSON struct {
	Plugin string     `json:"plugin"`
	Auth   string     `json:"authentication_string"`
	Locked bool       `json:"account_locked"`
	Or     []privJSON `json:"auth_or"`
}

func (a *account) parse(priv []byte) error {
	var p privJSON
	if err := json.Unmarshal(priv, &p); err != nil {
		return problem("mysqlusers: mysql.global_priv is not as this package knows it") // the error would quote it
	}
	a.locked = p.Locked
	main := entry{p.Plugin, p.Auth}
	if len(p.Or) == 0 {
		a.entries = []entry{main}
		return nil
	}
	for _, o := range p.Or {
		e := entry{o.Plugin, o.Auth}
		if e == (entry{}) {
			e = main
		}
		a.entries = append(a.entries, e)
	}
	return nil
}

// accounts reads all of them, or fails.
func (i *Issuer) accounts(ctx context.Context) ([]account, error) {
	var all []account
	for _, user := range i.cfg.Users {
		a, err := i.look(ctx, i.cfg.DB, user)
		if err != nil {
			return nil, failed(ctx, "List", user, err)
		}
		all = append(all, a)
	}
	return all, nil
}

// call is a change of an account on one connection.
type call struct {
	conn *sql.Conn
	sent bool // an ALTER USER was
}

const (
	lockTime    = 10              // seconds that a change waits for one by another process
	releaseTime = 3 * time.Second // how long it may take to let the next one go on
)

// change has do change a user while nobody else does. An error from before a statement was sent, and one that the server answered, say
// that nothing was changed, as ErrNotIssued.
func (i *Issuer) change(ctx context.Context, what, user string, do func(*call, account) error) error {
	c := &call{}
	err := i.try(ctx, c, user, do)
	switch {
	case err == nil:
		return nil
	case c.sent && !isAnswer(err):
		return failed(ctx, what, user, err)
	default:
		return failed(ctx, what, user, err, rotation.ErrNotIssued)
	}
}

func (i *Issuer) try(ctx context.Context, c *call, user string, do func(*call, account) error) error {
	conn, err := i.cfg.DB.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	c.conn = conn
	lock := "handover " + fingerprint(user+"@"+i.cfg.Host)
	var got sql.NullInt64
	if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, ?)", lock, lockTime).Scan(&got); err != nil {
		return err
	}
	if got.Int64 != 1 {
		return problem(fmt.Sprintf("mysqlusers: somebody else changes user %q at the same time", user), rotation.ErrConflict, rotation.ErrNotIssued)
	}
	defer func() {
		release, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
		defer cancel()
		if _, err := conn.ExecContext(release, "DO RELEASE_LOCK(?)", lock); err != nil {
			_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // it is closed, and the lock goes with it
		}
	}()
	a, err := i.look(ctx, conn, user)
	if err != nil {
		return err
	}
	return do(c, a)
}

// alter changes an account.
func (c *call) alter(ctx context.Context, a account, clause string) error {
	c.sent = true
	_, err := c.conn.ExecContext(ctx, "ALTER USER "+a.name()+clause)
	return err
}
