// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package pgusers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/handover-go/handover/rotation"
)

const (
	sessionLook = 20 * time.Millisecond  // between two looks at sessions that are to end
	goodbye     = 100 * time.Millisecond // a session that was closed takes so long to be gone, on a server that is busy
	opening     = 100 * time.Millisecond // and one that was let in so long to be shown
)

const ofUser = ` FROM pg_stat_activity WHERE usename = $1 AND pid <> pg_backend_pid()`

const endSessions = `SELECT count(pg_terminate_backend(pid))` + ofUser

// terminate ends the sessions of a user and sees them gone, for a while: one that was let in just before is not shown yet.
func (i *Issuer) terminate(ctx context.Context, user string) error {
	last := time.Now() // when one can have been let in, or was seen
	for {
		var open int
		err := i.cfg.DB.QueryRowContext(ctx, endSessions, user).Scan(&open)
		if err != nil {
			return failed(ctx, "the sessions of a user that lost its password were not ended", user, err)
		}
		switch {
		case open > 0:
			last = time.Now()
		case time.Since(last) >= opening:
			return nil
		}
		if err := pause(ctx, sessionLook); err != nil {
			return failed(ctx, "the sessions of a user that lost its password are still ending", user, err)
		}
	}
}

// The address is told to members of the user and of pg_read_all_stats, and a Unix socket has none.
const oneSession = `SELECT count(*) OVER (), pid, coalesce(application_name, ''), coalesce(' from ' || host(client_addr), '')` + ofUser +
	` AND application_name IS DISTINCT FROM $2 ORDER BY pid LIMIT 1`

// unused fails while a session of the user is open, and tells whose it is.
func (i *Issuer) unused(ctx context.Context, user string) error {
	closing := time.Now().Add(goodbye)
	for {
		var open, pid int
		var application, host string
		err := i.cfg.DB.QueryRowContext(ctx, oneSession, user, doorName).Scan(&open, &pid, &application, &host)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return failed(ctx, "Disable", user, err)
		}
		if time.Now().After(closing) {
			return problem(fmt.Sprintf("pgusers: Disable: user %q has %s open, for one pid %d of application_name %q%s: have that consumer close them; usually it is a pool without SetConnMaxLifetime",
				user, plural(open, "session"), pid, application, host))
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

// Sessions looks at who is connected: for Binding.Verifier of a consumer that keeps connections open, a service with a pool for
// one. It comes from [Issuer.Sessions] and is safe for concurrent use.
type Sessions struct {
	issuer      *Issuer
	application string
	least       int
}

var (
	_ rotation.Verifier   = (*Sessions)(nil)
	_ rotation.Observer   = (*Sessions)(nil)
	_ rotation.Identifier = (*Sessions)(nil)
)

// Sessions looks at the sessions of one application, by its application_name, which clients set themselves. Fewer sessions than
// least (less than 1 is 1) are no evidence: give the number of processes times the connections that each keeps open, because
// a process that has none at the moment is not seen.
//
// The administrator needs no right for it. Behind a pooler the pooler's sessions are seen.
func (i *Issuer) Sessions(application string, least int) (*Sessions, error) {
	if application == "" {
		return nil, problem("pgusers: Sessions: an application_name is required")
	}
	return &Sessions{i, application, max(least, 1)}, nil
}

// Observe returns each open session and the user that it was opened with, now; none if they are fewer than there should be.
func (s *Sessions) Observe(ctx context.Context) ([]rotation.Instance, error) {
	var seen []rotation.Instance
	asOf := time.Now()
	for _, user := range s.issuer.cfg.Users {
		rows, err := s.issuer.cfg.DB.QueryContext(ctx, `SELECT pid`+ofUser+` AND application_name = $2 ORDER BY pid`, user, s.application)
		if err != nil {
			return nil, failed(ctx, "Sessions", user, err)
		}
		for rows.Next() {
			var pid int
			if err = rows.Scan(&pid); err == nil {
				seen = append(seen, rotation.Instance{Name: fmt.Sprintf("%s, pid %d", s.application, pid), Key: rotation.Key{ID: user}, AsOf: asOf})
			}
		}
		if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
			return nil, failed(ctx, "Sessions", user, err)
		}
	}
	if len(seen) < s.least {
		return nil, nil
	}
	return seen, nil
}

// Verify returns nil if all sessions of the application are key's user's, and rotation.ErrNotYet if some are not, or too few are
// open. It presents no key and never says rotation.ErrRejected.
func (s *Sessions) Verify(ctx context.Context, key rotation.Key) error {
	user := UserOf(key)
	if user == "" {
		return problem("pgusers: Sessions: the key has no ID to compare with")
	}
	seen, err := s.Observe(ctx)
	if err != nil {
		return err
	}
	if len(seen) == 0 {
		return problem(fmt.Sprintf("pgusers: Sessions: application %q has fewer than %s open", s.application, plural(s.least, "session")), rotation.ErrNotYet)
	}
	for _, instance := range seen {
		if instance.Key.ID != user {
			return problem(fmt.Sprintf("pgusers: Sessions: %s has a session of user %q", instance.Name, instance.Key.ID), rotation.ErrNotYet)
		}
	}
	return nil
}

// Identity is the issuer's, and the application.
func (s *Sessions) Identity() string {
	return fmt.Sprintf("%s, sessions of %q", s.issuer.Identity(), s.application)
}
