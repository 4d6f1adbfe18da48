// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

// inbox is a receiver in memory that does everything right, where no field replaces it. A new set is in effect after lag.
type inbox struct {
	lag     time.Duration
	deploy  func(ctx context.Context, req rotation.DeployRequest) error
	takes   func(value secret.Value) error
	verify  func(ctx context.Context, key rotation.Key) error
	observe func(ctx context.Context) ([]rotation.Instance, error)
	usage   func(ctx context.Context, key rotation.Key) (rotation.Usage, error)

	mu       sync.Mutex
	old, set []rotation.Key
	from     time.Time // set is in effect from here on
	matched  map[int64]time.Time
	since    time.Time
}

func newInbox() *inbox { return &inbox{matched: map[int64]time.Time{}, since: time.Now()} }

func (b *inbox) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	if b.deploy != nil {
		return b.deploy(ctx, req)
	}
	return b.obey(ctx, req)
}

func (b *inbox) obey(ctx context.Context, req rotation.DeployRequest) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if slices.ContainsFunc(req.Accept, func(k rotation.Key) bool { return k.Secret.IsZero() }) {
		return errRefused
	}
	b.take(req.Accept)
	return nil
}

func (b *inbox) take(set []rotation.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.old, b.set, b.from = b.inEffect(), slices.Clone(set), time.Now().Add(b.lag)
}

func (b *inbox) inEffect() []rotation.Key {
	if time.Now().Before(b.from) {
		return b.old
	}
	return b.set
}

// accepts is what it accepts now, in truth.
func (b *inbox) accepts() []rotation.Key {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inEffect()
}

// told is what it was told last.
func (b *inbox) told() []rotation.Key {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.set
}

func among(keys []rotation.Key, value secret.Value) (rotation.Key, bool) {
	for _, k := range keys {
		if !value.IsZero() && k.Secret.Equal(value) {
			return k, true
		}
	}
	return rotation.Key{}, false
}

// receive takes a genuine delivery.
func (b *inbox) receive(_ context.Context, key rotation.Key) error {
	if b.takes != nil {
		return b.takes(key.Secret)
	}
	return b.count(key.Secret)
}

func (b *inbox) count(value secret.Value) error {
	k, ok := among(b.accepts(), value)
	if !ok {
		return rotation.ErrRejected
	}
	b.match(k)
	return nil
}

func (b *inbox) match(k rotation.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.matched[k.Serial] = time.Now()
}

func (b *inbox) Verify(ctx context.Context, key rotation.Key) error {
	if b.verify != nil {
		return b.verify(ctx, key)
	}
	return b.answer(b.accepts(), key)
}

func (b *inbox) answer(accepted []rotation.Key, key rotation.Key) error {
	if key.Secret.IsZero() {
		return errRefused
	}
	if _, ok := among(accepted, key.Secret); !ok {
		return fmt.Errorf("%v: %w", key, rotation.ErrRejected)
	}
	return nil
}

func (b *inbox) Observe(ctx context.Context) ([]rotation.Instance, error) {
	if b.observe != nil {
		return b.observe(ctx)
	}
	return instancesOf(b.accepts()), nil
}

// instancesOf is what two processes show that accept the same.
func instancesOf(set []rotation.Key) []rotation.Instance {
	var all []rotation.Instance
	for _, name := range []string{"inbox-1", "inbox-2"} {
		for _, k := range set {
			all = append(all, rotation.Instance{Name: name, Key: rotation.Key{Serial: k.Serial, ID: k.ID}, AsOf: time.Now()})
		}
		if len(set) == 0 {
			all = append(all, rotation.Instance{Name: name, AsOf: time.Now()})
		}
	}
	return all
}

func (b *inbox) Usage(ctx context.Context, key rotation.Key) (rotation.Usage, error) {
	if b.usage != nil {
		return b.usage(ctx, key)
	}
	return b.figures(key), nil
}

func (b *inbox) figures(key rotation.Key) rotation.Usage {
	b.mu.Lock()
	defer b.mu.Unlock()
	return rotation.Usage{LastUsed: b.matched[key.Serial], Since: b.since, AsOf: time.Now(), Source: "inbox"}
}

// suite is what the writer of the inbox would run.
func (b *inbox) suite() rotationtest.ReceiverSuite {
	return rotationtest.ReceiverSuite{Consumer: b, Deliver: b.receive, Lag: b.lag}
}

// mute is an inbox without abilities.
func (b *inbox) mute() rotation.Consumer { return rotation.ConsumerFunc(b.Deploy) }

// readyInbox adds abilities of what a rotation.New looks at.
type readyInbox struct {
	*inbox
	name     string
	promises time.Duration
	check    func() error
}

func (b readyInbox) Lag() time.Duration { return b.promises }
func (b readyInbox) Identity() string   { return b.name }

func (b readyInbox) Check(context.Context) error {
	if b.check == nil {
		return nil
	}
	return b.check()
}

// follower is an inbox that takes its set from the store.
type follower struct {
	*inbox
	secrets *rotationtest.Store
}

func newFollower() follower { return follower{newInbox(), rotationtest.NewStore()} }

func (f follower) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	v, err := f.secrets.Load(ctx, req.Credential)
	if err != nil {
		return err
	}
	f.take(v.Accepted())
	if !slices.EqualFunc(v.Accepted(), req.Accept, func(a, b rotation.Key) bool { return a.Serial == b.Serial && a.Secret.Equal(b.Secret) }) {
		return fmt.Errorf("the store shows something else: %w", rotation.ErrNotYet)
	}
	return nil
}

func (f follower) suite() rotationtest.ReceiverSuite {
	return rotationtest.ReceiverSuite{Consumer: f, Deliver: f.receive, Store: f.secrets, Credential: "hooks"}
}

// slow is an inbox whose rollouts take a minute.
func slow(again bool) *inbox {
	b := newInbox()
	var id string
	var ready time.Time
	b.deploy = func(ctx context.Context, req rotation.DeployRequest) error {
		if ctx.Err() != nil || slices.ContainsFunc(req.Accept, func(k rotation.Key) bool { return k.Secret.IsZero() }) {
			return errRefused
		}
		if id != req.ID || again {
			id, ready = req.ID, time.Now().Add(time.Minute)
		}
		if time.Now().Before(ready) {
			return rotation.ErrNotYet
		}
		return b.obey(ctx, req)
	}
	return b
}

// cannot has the abilities and says that it has not.
type cannot struct{ rotation.Consumer }

func (cannot) Verify(context.Context, rotation.Key) error { return errors.ErrUnsupported }

func (cannot) Observe(context.Context) ([]rotation.Instance, error) {
	return nil, errors.ErrUnsupported
}

func (cannot) Usage(context.Context, rotation.Key) (rotation.Usage, error) {
	return rotation.Usage{}, errors.ErrUnsupported
}
