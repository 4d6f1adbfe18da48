// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/rotation"
)

// Login opens one database connection with the key, pings and closes it. Use it for Credential.Verifier. It is safe for
// concurrent use as far as its functions are. A server that locks a user out after failed logins locks out the living user
// too: give each key a user of its own there.
type Login struct {
	Open     func(rotation.Key) (driver.Connector, error) // required: does no I/O itself
	Rejected func(error) bool                             // required: the driver's error for a wrong password or unknown user, nothing else
}

var (
	_ rotation.Verifier = Login{}
	_ rotation.Checker  = Login{}
)

// Verify logs in with key. It returns nil if that works, rotation.ErrRejected for an error of which Rejected is true, and
// another error if it is not known. No text of the driver is in it: drivers quote connection strings. database/sql asks up to
// three times where the driver says driver.ErrBadConn.
func (l Login) Verify(ctx context.Context, key rotation.Key) error {
	if err := l.Validate(); err != nil {
		return err
	}
	if key.Secret.IsZero() {
		return wire.Problem("verify: Login: the key has no secret to present")
	}
	connector, err := l.Open(key)
	if err != nil || connector == nil {
		return wire.Problem("verify: Login.Open failed")
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	err = db.PingContext(ctx)
	_ = db.Close() // whether the connection closes well says nothing of the key
	switch {
	case err == nil:
		return nil
	case l.Rejected(err):
		return wire.Problem("verify: the database refuses the key", rotation.ErrRejected)
	}
	text, is := wire.Reason(ctx, err)
	return wire.Problem("verify: the database cannot be asked: "+text, is...)
}

// Check is Validate: there is no key to present yet.
func (l Login) Check(context.Context) error { return l.Validate() }

// Validate names every field that is missing. It does no I/O.
func (l Login) Validate() error {
	var errs []error
	if l.Open == nil {
		errs = append(errs, wire.Problem("verify: Login.Open is required"))
	}
	if l.Rejected == nil {
		errs = append(errs, wire.Problem("verify: Login.Rejected is required"))
	}
	return errors.Join(errs...)
}
