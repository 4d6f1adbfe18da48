// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

func mutantsOfObserve(add addConsumer) {
	tells := func(what string, truth bool, f func(*app, []rotation.Instance) ([]rotation.Instance, error)) {
		add("Observe", what, func() rotationtest.ConsumerSuite {
			a := &app{lag: time.Minute}
			s := rotationtest.ConsumerSuite{Consumer: able{Consumer: a, lag: time.Minute, observe: func(ctx context.Context) ([]rotation.Instance, error) {
				instances, _ := a.observe(ctx)
				return f(a, instances)
			}}}
			if truth {
				s.Uses = a.uses
			}
			return s
		})
	}
	tells("what it was told", true, func(a *app, instances []rotation.Instance) ([]rotation.Instance, error) {
		return []rotation.Instance{{Name: "app-1", Key: rotation.Key{Serial: a.key.Serial}}}, nil
	})
	tells("nothing", true, func(*app, []rotation.Instance) ([]rotation.Instance, error) { return nil, nil })
	tells("nothing, and nobody else does", false, func(*app, []rotation.Instance) ([]rotation.Instance, error) { return nil, nil })
	tells("always fails", true, func(*app, []rotation.Instance) ([]rotation.Instance, error) { return nil, errors.New("down") })
	each := func(what string, change func(*app, *rotation.Instance)) {
		tells(what, true, func(a *app, instances []rotation.Instance) ([]rotation.Instance, error) {
			for i := range instances {
				change(a, &instances[i])
			}
			return instances, nil
		})
	}
	each("no identity", func(_ *app, i *rotation.Instance) { i.Key = rotation.Key{} })
	each("a name and no identity", func(a *app, i *rotation.Instance) { i.Key = rotation.Key{Name: a.used().Name} })
	each("a generation for a serial", func(a *app, i *rotation.Instance) { i.Key = rotation.Key{Serial: int64(a.used().Generation)} })
	each("the value", func(a *app, i *rotation.Instance) { i.Key.Secret = a.used().Secret })
	each("the future", func(_ *app, i *rotation.Instance) { i.AsOf = time.Now().Add(time.Hour) })
	each("what was long ago", func(_ *app, i *rotation.Instance) { i.AsOf = time.Now().Add(-24 * time.Hour) })
	tells("one instance that stays behind", true, func(_ *app, instances []rotation.Instance) ([]rotation.Instance, error) {
		return append(instances, rotation.Instance{Name: "app-2", Key: rotation.Key{Serial: 1 << 50}}), nil
	})
	add("Observe", "shows whatever was minted", func() rotationtest.ConsumerSuite {
		p, a := rotationtest.NewProvider(), &app{}
		var last rotation.Key
		s := a.suite()
		s.Mint = func(context.Context) (rotation.Key, error) { last = p.Mint(); return last, nil }
		s.Consumer = able{Consumer: a, observe: func(context.Context) ([]rotation.Instance, error) {
			return []rotation.Instance{{Name: "app-1", Key: rotation.Key{ID: last.ID}}}, nil
		}}
		return s
	})
}

func mutantsOfConsumerAbilities(add addConsumer) {
	lags := func(what string, real, told time.Duration) {
		add("Lag", what, func() rotationtest.ConsumerSuite {
			a := &app{lag: real}
			return rotationtest.ConsumerSuite{Consumer: able{Consumer: a, lag: told}, Uses: a.uses, Patience: time.Hour}
		})
	}
	lags("is negative", 0, -time.Second)
	lags("is longer than it says", time.Minute, time.Second)
	lags("is there and is said not to be", time.Second, 0)

	with := func(clause, what string, change func(*app, *able)) {
		add(clause, what, func() rotationtest.ConsumerSuite {
			a, p := &app{}, rotationtest.NewProvider()
			c := able{Consumer: a, observe: a.observe}
			change(a, &c)
			return rotationtest.ConsumerSuite{
				Consumer: c, Uses: a.uses, Restarts: a.restarted,
				Mint: func(context.Context) (rotation.Key, error) { return p.Mint(), nil },
			}
		})
	}
	with("Verify", "always nil", func(_ *app, c *able) {
		c.verify = func(context.Context, rotation.Key) error { return nil }
	})
	with("Verify", "never nil", func(_ *app, c *able) {
		c.verify = func(context.Context, rotation.Key) error { return rotation.ErrNotYet }
	})
	with("Verify", "takes the key", func(a *app, c *able) {
		c.verify = func(ctx context.Context, key rotation.Key) error {
			if a.key.Serial == key.Serial {
				return nil
			}
			a.take(key)
			return rotation.ErrRejected
		}
	})
	with("Check", "fails", func(_ *app, c *able) { c.check = func(context.Context) error { return errRefused } })
	with("Check", "loses the key", func(a *app, c *able) {
		c.check = func(context.Context) error { a.key.Secret = secret.New("x"); return nil }
	})
	with("Check", "restarts", func(a *app, c *able) {
		c.check = func(context.Context) error { a.take(a.key); return nil }
	})
	with("Validate", "fails", func(_ *app, c *able) { c.validate = func() error { return errRefused } })
}
