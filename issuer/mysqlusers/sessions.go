// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package mysqlusers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/handover-go/handover/rotation"
)

const (
	sessionLook = 20 * time.Millisecond  // between two looks at sessions that are to end
	goodbye     = 100 * time.Millisecond // a session that was closed takes so long to be gone, on a server that is busy
	opening     = 100 * time.Millisecond // and one that was let in so long to be shown
)

// session is one that is open.
type session struct {
	id   int64
	host string // of the client, without its port
}

// sessions are those of a user, oldest first.
func (i *Issuer) sessions(ctx context.Context, user string) ([]session, error) {
	rows, err := i.cfg.DB.QueryContext(ctx, "SELECT ID, COALESCE(HOST, ''), USER FROM information_schema.PROCESSLIST WHERE USER = ? AND ID <> CONNECTION_ID() ORDER BY ID", user)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var open []session
	for rows.Next() {
		var s session
		var name string
		if err := rows.Scan(&s.id, &s.host, &name); err != nil {
			return nil, err
		}
		if name != user { // the server compares names of accounts to the letter, and those in this list without regard to case
			continue
		}
		if host, _, err := net.SplitHostPort(s.host); err == nil {
			s.host = host
		}
		open = append(open, s)
	}
	return open, rows.Err()
}

// EndSessions ends every session of a user (KILL CONNECTION), and returns when they are gone. [Issuer.Revoke] does it for a user that
// has no password any more. For a user with two passwords it is for a person, in an emergency: clients that have the right one
// connect again.
func (i *Issuer) EndSessions(ctx context.Context, user string) error {
	const what = "the sessions of a user were not ended"
	if !slices.Contains(i.cfg.Users, user) {
		return problem(fmt.Sprintf("mysqlusers: EndSessions: user %q is none of Config.Users, and is not touched", user))
	}
	last := time.Now() // when one can have been let in, or was seen
	for {
		open, err := i.sessions(ctx, user)
		if err != nil {
			return failed(ctx, what, user, err)
		}
		for _, s := range open {
			_, err := i.cfg.DB.ExecContext(ctx, fmt.Sprintf("KILL CONNECTION %d", s.id))
			var answer *mysql.MySQLError
			if err != nil && !(errors.As(err, &answer) && answer.Number == 1094) { // 1094: it has ended by itself
				return failed(ctx, what, user, err)
			}
		}
		switch {
		case len(open) > 0:
			last = time.Now()
		case time.Since(last) >= opening:
			return nil
		}
		if err := pause(ctx, sessionLook); err != nil {
			return failed(ctx, what, user, err)
		}
	}
}

// unused fails while a session of the user is open, and tells where it comes from.
func (i *Issuer) unused(ctx context.Context, user string) error {
	closing := time.Now().Add(goodbye)
	for {
		open, err := i.sessions(ctx, user)
		switch {
		case err != nil:
			return failed(ctx, "Disable", user, err)
		case len(open) == 0:
			return nil
		case time.Now().After(closing):
			return problem(fmt.Sprintf("mysqlusers: Disable: user %q has %s open, one from host %q: have that consumer close them",
				user, plural(len(open), "session"), open[0].host))
		}
		if err := pause(ctx, sessionLook); err != nil {
			return failed(ctx, "Disable", user, err)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// plural is "1 session" or "2 sessions".
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// Sessions looks at who is connected: for Binding.Verifier of a consumer that keeps connections open, a service with a pool for
// one. It comes from [Issuer.Sessions] and is safe for concurrent use.
type Sessions struct {
	issuer *Issuer
	host   string
	least  int
}

var (
	_ rotation.Verifier   = (*Sessions)(nil)
	_ rotation.Observer   = (*Sessions)(nil)
	_ rotation.Identifier = (*Sessions)(nil)
)

// Sessions looks at the sessions from one host, as the server calls it (an address, where names are not resolved), or from all hosts
// if that is empty. Fewer sessions than least (less than 1 is 1) are no evidence: give the number of processes times the
// connections that each keeps open, because a process that has none at the moment is not seen.
//
// It needs two users: nothing tells with which password of a user a session was opened. Behind a proxy the proxy's sessions are seen.
func (i *Issuer) Sessions(host string, least int) (*Sessions, error) {
	if i.dual() {
		return nil, problem("mysqlusers: Sessions: with one user nothing tells which password a session was opened with")
	}
	return &Sessions{i, host, max(least, 1)}, nil
}

// Observe returns each open session and the user that it was opened with, now; none if they are fewer than there should be.
func (s *Sessions) Observe(ctx context.Context) ([]rotation.Instance, error) {
	var seen []rotation.Instance
	asOf := time.Now()
	for _, user := range s.issuer.cfg.Users {
		open, err := s.issuer.sessions(ctx, user)
		if err != nil {
			return nil, failed(ctx, "Sessions", user, err)
		}
		for _, o := range open {
			if s.host == "" || s.host == o.host {
				seen = append(seen, rotation.Instance{Name: fmt.Sprintf("%s, session %d", o.host, o.id), Key: rotation.Key{ID: user}, AsOf: asOf})
			}
		}
	}
	if len(seen) < s.least {
		return nil, nil
	}
	return seen, nil
}

// Verify returns nil if all sessions are key's user's, and rotation.ErrNotYet if some are not, or too few are open. It presents no key
// and never says rotation.ErrRejected.
func (s *Sessions) Verify(ctx context.Context, key rotation.Key) error {
	user := UserOf(key)
	if user == "" {
		return problem("mysqlusers: Sessions: the key has no ID to compare with")
	}
	seen, err := s.Observe(ctx)
	if err != nil {
		return err
	}
	if len(seen) == 0 {
		return problem(fmt.Sprintf("mysqlusers: Sessions: fewer than %s open", plural(s.least, "session")), rotation.ErrNotYet)
	}
	for _, instance := range seen {
		if instance.Key.ID != user {
			return problem(fmt.Sprintf("mysqlusers: Sessions: %s is of user %q", instance.Name, instance.Key.ID), rotation.ErrNotYet)
		}
	}
	return nil
}

// Identity is the issuer's, and the host.
func (s *Sessions) Identity() string {
	return fmt.Sprintf("%s, sessions from %q", s.issuer.Identity(), s.host)
}
