// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
)

var errPassword = errors.New("password authentication failed")

// database accepts one key. It is a driver, too.
type database struct {
	accepts atomic.Int64 // a serial
	tries   atomic.Int64
	opens   atomic.Int64
	closes  atomic.Int64
}

func (d *database) open(k rotation.Key) (driver.Connector, error) {
	d.opens.Add(1)
	return &dbConnector{d, k.Serial}, nil
}

func (d *database) Open(string) (driver.Conn, error) { return nil, errors.ErrUnsupported }

type dbConnector struct {
	db     *database
	serial int64
}

func (c *dbConnector) Connect(context.Context) (driver.Conn, error) {
	c.db.tries.Add(1)
	if c.db.accepts.Load() != c.serial {
		return nil, errPassword
	}
	return dbConn{}, nil
}

func (c *dbConnector) Driver() driver.Driver { return c.db }

func (c *dbConnector) Close() error { c.db.closes.Add(1); return nil }

type dbConn struct{}

func (dbConn) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }
func (dbConn) Close() error                        { return nil }
func (dbConn) Begin() (driver.Tx, error)           { return nil, errors.ErrUnsupported }

func TestConnectorConnectsWithTheLiveKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(stored(rotation.RoleCurrent, 1))
		h := follow(t, s)
		var d database
		d.accepts.Store(1)
		db := sql.OpenDB(consumer.Connector(h, d.open))
		db.SetMaxIdleConns(-1) // each ping connects
		for range 5 {
			require.NoError(t, db.PingContext(t.Context()))
		}
		require.EqualValues(t, 1, d.opens.Load())
		require.Same(t, &d, db.Driver())

		s.set(stored(rotation.RoleCurrent, 2))
		d.accepts.Store(2)
		for range 5 { // the first one is refused and looks
			require.NoError(t, db.PingContext(t.Context()))
		}
		require.EqualValues(t, 11, d.tries.Load())
		require.EqualValues(t, 2, d.opens.Load())
		require.NoError(t, db.Close())
		require.EqualValues(t, 2, d.closes.Load())
	})
}

func TestConnectorLooksSeldomWhileTheDatabaseIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(stored(rotation.RoleCurrent, 1))
		h, err := consumer.Follow(t.Context(), consumer.Source{Store: s, Credential: credential, Every: 24 * time.Hour})
		require.NoError(t, err)
		defer h.Close()
		var d database
		c := consumer.Connector(h, d.open)
		loads := s.count()
		for range 1000 {
			_, err := c.Connect(t.Context())
			require.ErrorIs(t, err, errPassword)
		}
		require.EqualValues(t, 1000, d.tries.Load(), "without a newer key no second try")
		require.Equal(t, 1, s.count()-loads)
	})
}

func TestConnectorOpensAgainWhenItFailed(t *testing.T) {
	mine := errors.New("mine")
	calls := 0
	var d database
	d.accepts.Store(1)
	c := consumer.Connector(consumer.Static(key(1)), func(k rotation.Key) (driver.Connector, error) {
		switch calls++; calls {
		case 1:
			return nil, mine
		case 2:
			panic("hush-b")
		case 3:
			return nil, nil
		}
		return d.open(k)
	})
	_, err := c.Connect(t.Context())
	require.ErrorIs(t, err, mine)
	_, err = c.Connect(t.Context())
	require.ErrorContains(t, err, "panicked")
	_, err = c.Driver().Open("")
	require.ErrorContains(t, err, "no connector")
	_, err = c.Connect(t.Context())
	require.NoError(t, err)
	require.Equal(t, 4, calls)

	_, err = consumer.Connector(nil, nil).Connect(t.Context())
	require.ErrorContains(t, err, "required")
}
