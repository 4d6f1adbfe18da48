// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"sync"

	"github.com/handover-go/handover/rotation"
)

// Connector returns a driver.Connector that makes each connection with the live key, for sql.OpenDB. It calls open once for
// each key, and again only if that failed. It is safe for concurrent use if what open returns is.
//
// Whether a connection failed because of the key only the driver could tell. So any failure makes it ask Handle.Reject for a
// newer key, and if there is one, it tries once more.
//
// Connections that are open stay as they are: bound them with sql.DB.SetConnMaxLifetime and give that time as Binding.Lag, in
// particular where the database ends the sessions of a user that is dropped. sql.DB.Close closes what open returned, where it
// has a method Close.
func Connector(h *Handle, open func(rotation.Key) (driver.Connector, error)) driver.Connector {
	return &connector{handle: h, open: open}
}

type connector struct {
	handle *Handle
	open   func(rotation.Key) (driver.Connector, error)

	mu   sync.Mutex // guards what follows
	now  *opened
	ends []io.Closer // of every connector opened: connections may live on with an older one
}

// opened is the connector of one key.
type opened struct {
	key rotation.Key
	get func() (driver.Connector, error)
}

var (
	_ driver.Connector = (*connector)(nil)
	_ io.Closer        = (*connector)(nil)
)

// Connect opens a connection with the live key.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	key, conn, err := c.connect(ctx)
	if err == nil || c.handle == nil || ctx.Err() != nil || !c.handle.Reject(ctx, key) {
		return conn, err
	}
	_, conn, err = c.connect(ctx)
	return conn, err
}

func (c *connector) connect(ctx context.Context) (rotation.Key, driver.Conn, error) {
	key, inner, err := c.inner()
	if err != nil {
		return key, nil, err
	}
	conn, err := inner.Connect(ctx)
	return key, conn, err
}

// inner returns the driver's connector for the live key.
func (c *connector) inner() (rotation.Key, driver.Connector, error) {
	if c.handle == nil || c.open == nil {
		return rotation.Key{}, nil, required("Connector: a handle and a function")
	}
	c.mu.Lock()
	key := c.handle.Key() // under the lock, so that nobody goes back to an older one
	if c.now == nil || !c.now.key.Equal(key) {
		c.now = &opened{key, sync.OnceValues(func() (driver.Connector, error) { return c.make(key) })}
	}
	now := c.now
	c.mu.Unlock()

	inner, err := now.get()
	if err != nil {
		c.mu.Lock()
		if c.now == now {
			c.now = nil
		}
		c.mu.Unlock()
	}
	return key, inner, err
}

func (c *connector) make(key rotation.Key) (driver.Connector, error) {
	var inner driver.Connector
	err := guard("Connector: the function", func() (err error) {
		inner, err = c.open(key)
		return err
	})
	if err != nil {
		return nil, err
	}
	if inner == nil {
		return nil, fail(nil, "Connector: the function returned no connector")
	}
	if end, ok := inner.(io.Closer); ok {
		c.mu.Lock()
		c.ends = append(c.ends, end)
		c.mu.Unlock()
	}
	return inner, nil
}

// Driver returns the driver behind the connector of the live key.
func (c *connector) Driver() driver.Driver {
	_, inner, err := c.inner()
	if err != nil {
		return noDriver{err}
	}
	return inner.Driver()
}

// Close closes what open returned.
func (c *connector) Close() error {
	c.mu.Lock()
	ends := c.ends
	c.ends, c.now = nil, nil
	c.mu.Unlock()
	var errs []error
	for _, end := range ends {
		errs = append(errs, end.Close())
	}
	return errors.Join(errs...)
}

// noDriver stands for a driver that cannot be had.
type noDriver struct{ err error }

func (d noDriver) Open(string) (driver.Conn, error) { return nil, d.err }
