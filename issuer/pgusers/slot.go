// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package pgusers

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

// slot is a user as the server has it.
type slot struct {
	user    string
	login   bool
	ends    time.Time // VALID UNTIL; zero: never
	expired bool      // by the server's clock
	note    string    // its comment, without the mark
	mark    mark
}

// mark is the end of a user's comment: what this package has put there. Comments are part of the transaction that changes the
// user, are told to everybody and hold no secret.
type mark struct {
	state state
	name  string // of the key; empty: it was not issued here
}

type state string

const (
	unmarked state = ""
	holding  state = "key"
	freed    state = "free"
)

// marked finds the last mark of a comment: what stands before it is somebody else's, whatever it looks like.
var marked = regexp.MustCompile(`(?s)^(?:(.*) )?\[handover: (key|free)(?: (.*))?\]$`)

func parseComment(text string) (note string, m mark) {
	if p := marked.FindStringSubmatch(text); p != nil {
		return p[1], mark{state(p[2]), p[3]}
	}
	return text, mark{}
}

func (m mark) comment(note string) string {
	text := "[handover: " + string(m.state)
	if m.name != "" {
		text += " " + m.name
	}
	return strings.TrimPrefix(note+" "+text+"]", " ")
}

// free reports whether a key can be issued into the slot: nobody can log in, and nobody will by Enable.
func (s slot) free() bool { return !s.login && s.mark.state != holding }

// holder names what lives in the slot.
func (s slot) holder() string {
	if s.mark.state == holding && s.mark.name != "" {
		return "key " + s.mark.name
	}
	return "a key that was not issued here"
}

// write alters the user and marks it.
func (s slot) write(ctx context.Context, tx *sql.Tx, alter string, m mark) error {
	if _, err := tx.ExecContext(ctx, alter); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "COMMENT ON ROLE "+identifier(s.user)+" IS "+literal(m.comment(s.note)))
	return err
}

const slotQuery = `SELECT rolcanlogin, CASE WHEN isfinite(rolvaliduntil) THEN rolvaliduntil END, coalesce(rolvaliduntil < now(), false),
	coalesce(shobj_description(oid, 'pg_authid'), '') FROM pg_roles WHERE rolname = $1`

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// look reads a slot. A user that does not exist is sql.ErrNoRows.
func look(ctx context.Context, q querier, user string) (slot, error) {
	s := slot{user: user}
	var ends sql.NullTime
	var comment string
	if err := q.QueryRowContext(ctx, slotQuery, user).Scan(&s.login, &ends, &s.expired, &comment); err != nil {
		return s, err
	}
	s.ends = ends.Time
	s.note, s.mark = parseComment(comment)
	return s, nil
}

// slots reads all of them, or fails.
func (i *Issuer) slots(ctx context.Context) ([]slot, error) {
	var all []slot
	for _, user := range i.cfg.Users {
		s, err := look(ctx, i.cfg.DB, user)
		if err != nil {
			return nil, failed(ctx, "List", user, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// change has do change a user in one transaction, while nobody else does. Every error but one without an answer to COMMIT says
// that nothing was changed, as ErrNotIssued.
func (i *Issuer) change(ctx context.Context, what, user string, do func(*sql.Tx, slot) error) error {
	err := i.try(ctx, user, do)
	switch {
	case err == nil:
		return nil
	case isLost(err):
		return failed(ctx, what, user, err)
	default:
		return failed(ctx, what, user, err, rotation.ErrNotIssued)
	}
}

func (i *Issuer) try(ctx context.Context, user string, do func(*sql.Tx, slot) error) error {
	tx, err := i.cfg.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtext($1))", "handover: "+user); err != nil {
		return err
	}
	s, err := look(ctx, tx, user)
	if err != nil {
		return err
	}
	if err := do(tx, s); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return &lost{err}
	}
	return nil
}

// identifier quotes a name for a statement. New has refused what cannot be one.
func identifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal quotes a text for a statement that takes no parameters, whatever standard_conforming_strings says.
func literal(text string) string {
	text = strings.ReplaceAll(text, `'`, `''`)
	if strings.Contains(text, `\`) {
		return ` E'` + strings.ReplaceAll(text, `\`, `\\`) + `'`
	}
	return `'` + text + `'`
}

// plural is "1 session" or "2 sessions".
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
