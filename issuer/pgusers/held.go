// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package pgusers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// Whether a user holds a key is told by two witnesses. The mark knows what was issued here and nothing of a password that somebody has
// set by hand since. A login knows the password, where the key's value is known; a definite answer of it comes before the mark.

// answer is what one of them says.
type answer int

const (
	unsure answer = iota
	yes
	no
)

// says is what the mark knows of a key. What was not issued here has no name.
func (s slot) says(key rotation.Key) answer {
	switch {
	case s.free():
		return no
	case s.mark.state == holding && s.mark.name == key.Name:
		return yes
	case s.mark.state == unmarked && key.Name == "":
		return yes
	case s.mark.state != unmarked && key.Name != "":
		return no // another one was issued since, or its password was taken away
	}
	return unsure
}

// holds reports whether it is key that lives in the slot, or is switched off there. What neither witness can tell is an error, but of a
// key with a name and a user without a mark: who sets a password by hand takes the mark away, so it is the mark of key that is gone.
func (i *Issuer) holds(ctx context.Context, d *door, what string, s slot, key rotation.Key) (bool, error) {
	says := s.says(key)
	if says == no {
		return false, nil
	}
	if !s.expired { // of an expired password the server says the same as of a wrong one
		if found := d.opens(ctx, s.user, key.Secret); found != unsure {
			return found == yes, nil
		}
	}
	if says == unsure && s.mark.state != unmarked {
		return false, problem(fmt.Sprintf(`pgusers: %s: the comment of user %q says "%s", and it cannot be told whether the user holds a password that was set by hand since: if it does, COMMENT ON ROLE %s IS NULL`,
			what, s.user, s.mark.comment(""), identifier(s.user)))
	}
	return says == yes, nil
}

// door is where the administrator is connected to: there it is asked whether a user is let in with a password. nil: nobody can be asked,
// as Config.DB is wrapped.
type door struct{ cfg *pgx.ConnConfig }

// door looks where a connection of the administrator leads to.
func (i *Issuer) door(ctx context.Context, what string) (*door, error) {
	conn, err := i.cfg.DB.Conn(ctx)
	if err != nil {
		return nil, failed(ctx, what, "", err, rotation.ErrNotIssued)
	}
	defer conn.Close()
	var d *door
	_ = conn.Raw(func(driver any) error {
		if c, ok := driver.(*stdlib.Conn); ok {
			d = &door{doorConfig(c.Conn())}
		}
		return nil
	})
	return d, nil
}

// doorConfig leads to the very server of a connection: another one of its list of hosts can be behind.
func doorConfig(c *pgx.Conn) *pgx.ConnConfig {
	cfg := c.Config()
	dial, server := cfg.DialFunc, c.PgConn().Conn().RemoteAddr()
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dial(ctx, server.Network(), server.String())
	}
	cfg.RuntimeParams = map[string]string{"application_name": doorName}
	cfg.RequireAuth = "scram-sha-256,md5" // to be let in without a password proves nothing
	cfg.ValidateConnect, cfg.AfterConnect, cfg.Tracer = nil, nil, nil
	return cfg
}

const (
	doorName = "handover: is this the password?" // while Disable looks its sessions count for nothing
	doorTime = 2 * time.Second                   // what is not told by then is not told
)

// opens reports whether a user has a password. It logs in, and out again.
func (d *door) opens(ctx context.Context, user string, value secret.Value) answer {
	if d == nil || value.IsZero() {
		return unsure
	}
	cfg := d.cfg.Copy()
	cfg.User, cfg.Password = user, value.Reveal()
	ctx, cancel := context.WithTimeout(ctx, doorTime)
	defer cancel()
	c, err := pgx.ConnectConfig(ctx, cfg)
	if err == nil {
		_ = c.Close(ctx)
		return yes
	}
	var said *pgconn.PgError
	switch {
	case !errors.As(err, &said):
	case said.Code == "28P01" && said.Routine == "auth_failed": // a pooler in front, which has passwords of its own, names no routine
		return no
	case said.Code == "28000" && said.Routine == "InitializeSessionUserId": // it may not log in, which is told to who has the password
		return yes
	}
	return unsure
}
