// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/verify"
)

var errPassword = errors.New("password " + canary + " is wrong")

// database is a driver in memory.
type database struct {
	connect, ping error
	hang          bool
	opened        int
	open          int
}

func (d *database) Connect(ctx context.Context) (driver.Conn, error) {
	if d.hang {
		<-ctx.Done()
		return nil, fmt.Errorf("%s: %w", canary, ctx.Err())
	}
	d.opened++
	if d.connect != nil {
		return nil, d.connect
	}
	d.open++
	return connection{d}, nil
}

func (d *database) Driver() driver.Driver { return nil }

type connection struct{ d *database }

func (c connection) Ping(context.Context) error { return c.d.ping }
func (c connection) Close() error               { c.d.open--; return errors.New(canary) }

func (connection) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }

func (connection) Begin() (driver.Tx, error) { return nil, errors.ErrUnsupported }

func (d *database) login() verify.Login                         { return verify.Login{Open: d.with, Rejected: wrong} }
func (d *database) with(rotation.Key) (driver.Connector, error) { return d, nil }

func wrong(err error) bool { return errors.Is(err, errPassword) }

func TestLogin(t *testing.T) {
	var got rotation.Key
	d := &database{}
	l := verify.Login{Rejected: wrong, Open: func(k rotation.Key) (driver.Connector, error) {
		got = k
		return d, nil
	}}
	require.NoError(t, l.Verify(t.Context(), key))
	assert.True(t, got.Equal(key))
	assert.Equal(t, 1, d.opened)
	assert.Zero(t, d.open, "the connection is closed")
}

func TestLoginRejected(t *testing.T) {
	for _, d := range []*database{{connect: errPassword}, {ping: errPassword}} {
		err := d.login().Verify(t.Context(), key)
		require.ErrorIs(t, err, rotation.ErrRejected)
		clean(t, err)
		assert.Equal(t, 1, d.opened, "a wrong password is tried once: more lock the user out")
		assert.Zero(t, d.open)
	}
}

func TestLoginUnknown(t *testing.T) {
	for _, d := range []*database{{connect: errors.New(canary)}, {ping: errors.New(canary)}} {
		unknown(t, d.login().Verify(t.Context(), key))
		assert.Zero(t, d.open)
	}
	for name, open := range map[string]func(rotation.Key) (driver.Connector, error){
		"error": func(rotation.Key) (driver.Connector, error) { return nil, fmt.Errorf("%w: %s", errPassword, canary) },
		"nil":   func(rotation.Key) (driver.Connector, error) { return nil, nil },
	} {
		err := verify.Login{Open: open, Rejected: wrong}.Verify(t.Context(), key)
		unknown(t, err)
		assert.ErrorContains(t, err, "Login.Open failed", name)
	}
	d := &database{}
	unknown(t, d.login().Verify(t.Context(), rotation.Key{ID: "k1"}))
	assert.Zero(t, d.opened, "no secret, no login")

	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := (&database{hang: true}).login().Verify(ctx, key)
		unknown(t, err)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestLoginValidate(t *testing.T) {
	var l verify.Login
	for _, err := range []error{l.Validate(), l.Check(t.Context()), l.Verify(t.Context(), key)} {
		assert.ErrorContains(t, err, "verify: Login.Open is required")
		assert.ErrorContains(t, err, "verify: Login.Rejected is required")
	}
}
