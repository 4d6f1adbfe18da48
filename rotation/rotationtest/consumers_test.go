// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

var errRefused = errors.New("refused")

// app is a consumer in memory that takes the key from the request and does everything right, unless deploy is set. A new key
// is in use after lag, and the app is restarted for it.
type app struct {
	lag    time.Duration
	deploy func(ctx context.Context, req rotation.DeployRequest) error

	mu       sync.Mutex
	old, key rotation.Key
	from     time.Time // key is in use from here on
	done     string    // ID of the last request
	restarts int
}

func (a *app) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	if a.deploy != nil {
		return a.deploy(ctx, req)
	}
	return a.obey(ctx, req)
}

func (a *app) obey(ctx context.Context, req rotation.DeployRequest) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if req.Key.Secret.IsZero() {
		return errRefused
	}
	a.mu.Lock()
	done := a.done == req.ID
	a.done = req.ID
	a.mu.Unlock()
	if !done {
		a.take(req.Key)
	}
	return nil
}

// take restarts the app with key.
func (a *app) take(key rotation.Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.old, a.key, a.from = a.used(), key, time.Now().Add(a.lag)
	a.restarts++
}

func (a *app) used() rotation.Key {
	if time.Now().Before(a.from) {
		return a.old
	}
	return a.key
}

func (a *app) uses(context.Context) (rotation.Key, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return rotation.Key{Secret: a.used().Secret}, nil
}

func (a *app) restarted(context.Context) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.restarts, nil
}

// suite is what the writer of the app would run.
func (a *app) suite() rotationtest.ConsumerSuite {
	return rotationtest.ConsumerSuite{Consumer: a, Uses: a.uses, Restarts: a.restarted}
}

// able adds abilities to a Consumer.
type able struct {
	rotation.Consumer
	observe  func(context.Context) ([]rotation.Instance, error)
	verify   func(context.Context, rotation.Key) error
	check    func(context.Context) error
	validate func() error
	lag      time.Duration
	identity string
}

func (c able) Observe(ctx context.Context) ([]rotation.Instance, error) {
	if c.observe == nil {
		return nil, errors.ErrUnsupported
	}
	return c.observe(ctx)
}

func (c able) Verify(ctx context.Context, key rotation.Key) error {
	if c.verify == nil {
		return errors.ErrUnsupported
	}
	return c.verify(ctx, key)
}

func (c able) Check(ctx context.Context) error {
	if c.check == nil {
		return errors.ErrUnsupported
	}
	return c.check(ctx)
}

func (c able) Validate() error {
	if c.validate == nil {
		return nil
	}
	return c.validate()
}

func (c able) Lag() time.Duration { return c.lag }
func (c able) Identity() string   { return cmp.Or(c.identity, "app") }

// observe tells the truth of an app.
func (a *app) observe(context.Context) ([]rotation.Instance, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := a.used()
	if key.IsZero() {
		return nil, nil
	}
	return []rotation.Instance{{Name: "app-1", Key: rotation.Key{Serial: key.Serial}, AsOf: time.Now()}}, nil
}

// reader is a consumer that takes its key from the store, unless deploy is set.
type reader struct {
	app
	secrets *rotationtest.Store
	canary  bool // can be one
}

func newReader() *reader {
	return &reader{secrets: rotationtest.NewStore(), canary: true}
}

func (r *reader) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	if r.deploy != nil {
		return r.deploy(ctx, req)
	}
	return r.look(ctx, req)
}

func (r *reader) look(ctx context.Context, req rotation.DeployRequest) error {
	if req.Role == rotation.RolePending && !r.canary {
		return errors.ErrUnsupported
	}
	v, err := r.secrets.Load(ctx, req.Credential)
	if err != nil {
		return err
	}
	key := v.Key(req.Role)
	if key.Serial != req.Key.Serial || key.Secret.IsZero() {
		return fmt.Errorf("the store shows %v: %w", key, rotation.ErrNotYet)
	}
	r.take(key)
	return nil
}

func (r *reader) suite() rotationtest.ConsumerSuite {
	return rotationtest.ConsumerSuite{Consumer: r, Uses: r.uses, Store: r.secrets, Credential: "payments"}
}

// wrapped is a decorator that has an Unwrap method.
type wrapped struct{ inner rotation.Consumer }

func (w wrapped) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	return w.inner.Deploy(ctx, req)
}
func (w wrapped) Unwrap() rotation.Consumer { return w.inner }

// rolling is a consumer whose rollouts take a minute.
func rolling(again bool) *app {
	a := &app{}
	var id string
	var ready time.Time
	a.deploy = func(ctx context.Context, req rotation.DeployRequest) error {
		if ctx.Err() != nil || req.Key.Secret.IsZero() {
			return errRefused
		}
		if id != req.ID || again {
			id, ready = req.ID, time.Now().Add(time.Minute)
		}
		if time.Now().Before(ready) {
			return rotation.ErrNotYet
		}
		return a.obey(ctx, req)
	}
	return a
}
