// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

func mutantsOfVerdicts(add addReceiver) {
	says := func(clause, what string, f func(*inbox, context.Context, rotation.Key) error) {
		add(clause, what, func() rotationtest.ReceiverSuite {
			b := newInbox()
			b.verify = func(ctx context.Context, key rotation.Key) error { return f(b, ctx, key) }
			return rotationtest.ReceiverSuite{Consumer: b.mute(), Verifier: rotation.VerifierFunc(b.Verify)}
		})
	}
	says("V1", "always nil", func(*inbox, context.Context, rotation.Key) error { return nil })
	says("V1", "always refuses", func(*inbox, context.Context, rotation.Key) error { return rotation.ErrRejected })
	says("V1", "always fails", func(*inbox, context.Context, rotation.Key) error { return errRefused })
	says("V1", "has another error for a refusal", func(b *inbox, _ context.Context, key rotation.Key) error {
		if b.answer(b.accepts(), key) != nil {
			return errRefused
		}
		return nil
	})
	says("V1", "fails for a value of another form", func(b *inbox, _ context.Context, key rotation.Key) error {
		if len(key.Secret.Reveal()) == 64 {
			return errRefused
		}
		return b.answer(b.accepts(), key)
	})
	says("V1", "refuses what has no value", func(b *inbox, _ context.Context, key rotation.Key) error {
		if _, ok := among(b.accepts(), key.Secret); !ok {
			return rotation.ErrRejected
		}
		return nil
	})
	says("V1", "refuses no key", func(b *inbox, _ context.Context, key rotation.Key) error {
		if key.IsZero() {
			return rotation.ErrRejected
		}
		return b.answer(b.accepts(), key)
	})
	says("V1", "takes an ended context for a refusal", func(b *inbox, ctx context.Context, key rotation.Key) error {
		if ctx.Err() != nil {
			return rotation.ErrRejected
		}
		return b.answer(b.accepts(), key)
	})
	says("V1", "takes an ended context for yes", func(b *inbox, ctx context.Context, key rotation.Key) error {
		if ctx.Err() != nil {
			return nil
		}
		return b.answer(b.accepts(), key)
	})
	says("V2", "takes what it is asked about twice", func(b *inbox, _ context.Context, key rotation.Key) error {
		asked := b.matched[key.Serial]
		if err := b.answer(b.accepts(), key); err != nil {
			if !key.Secret.IsZero() && !asked.IsZero() {
				b.take(append(slices.Clone(b.told()), key))
			}
			b.match(key)
			return err
		}
		return nil
	})
	says("V2", "shuts with a question whose context has ended", func(b *inbox, ctx context.Context, key rotation.Key) error {
		if ctx.Err() != nil {
			b.take(nil)
			return ctx.Err()
		}
		return b.answer(b.accepts(), key)
	})
	says("V2", "says yes a few times", func() func(*inbox, context.Context, rotation.Key) error {
		times := map[int64]int{}
		return func(b *inbox, _ context.Context, key rotation.Key) error {
			if times[key.Serial]++; times[key.Serial] > 4 {
				return rotation.ErrRejected
			}
			return b.answer(b.accepts(), key)
		}
	}())
	late := func(what string, f func(*inbox, rotation.Key) error) {
		add("Deliver", what, func() rotationtest.ReceiverSuite {
			b := newInbox()
			b.lag = time.Minute
			b.verify = func(_ context.Context, key rotation.Key) error { return f(b, key) }
			return rotationtest.ReceiverSuite{Consumer: b.mute(), Verifier: rotation.VerifierFunc(b.Verify), Deliver: b.receive, Lag: time.Minute}
		})
	}
	late("what it was told", func(b *inbox, key rotation.Key) error { return b.answer(b.told(), key) })
	late("all that it ever accepted", func(b *inbox, key rotation.Key) error {
		return b.answer(slices.Concat(b.old, b.set), key)
	})
	add("Deliver", "of one process, and another one stays behind", func() rotationtest.ReceiverSuite {
		b, other := newInbox(), newInbox()
		b.deploy = func(ctx context.Context, req rotation.DeployRequest) error {
			if len(req.Accept) > 1 || len(other.told()) == 0 {
				return errors.Join(b.obey(ctx, req), other.obey(ctx, req))
			}
			return b.obey(ctx, req)
		}
		return rotationtest.ReceiverSuite{Consumer: b, Deliver: func(_ context.Context, key rotation.Key) error {
			if b.count(key.Secret) == nil || other.count(key.Secret) == nil {
				return nil
			}
			return rotation.ErrRejected
		}}
	})
}

func mutantsOfProcesses(add addReceiver) {
	tells := func(what string, truth bool, f func(*inbox) ([]rotation.Instance, error)) {
		add("Observe", what, func() rotationtest.ReceiverSuite {
			b := newInbox()
			b.lag = time.Minute
			b.observe = func(context.Context) ([]rotation.Instance, error) { return f(b) }
			s := b.suite()
			if !truth {
				s.Deliver = nil
			}
			return s
		})
	}
	tells("what it was told", true, func(b *inbox) ([]rotation.Instance, error) { return instancesOf(b.told()), nil })
	tells("nothing", false, func(*inbox) ([]rotation.Instance, error) { return nil, nil })
	tells("always fails", false, func(*inbox) ([]rotation.Instance, error) { return nil, errors.New("down") })
	tells("nothing where there is no secret", false, func(b *inbox) ([]rotation.Instance, error) {
		if len(b.accepts()) == 0 {
			return nil, nil
		}
		return instancesOf(b.accepts()), nil
	})
	tells("the newest alone", false, func(b *inbox) ([]rotation.Instance, error) {
		return instancesOf(b.accepts()[:min(1, len(b.accepts()))]), nil
	})
	tells("one secret twice", false, func(b *inbox) ([]rotation.Instance, error) {
		all := instancesOf(b.accepts())
		return append(all, all[0]), nil
	})
	tells("one process that stays behind", false, func(b *inbox) ([]rotation.Instance, error) {
		return append(instancesOf(b.accepts()), rotation.Instance{Name: "inbox-3"}), nil
	})
	tells("one process that accepts more", false, func(b *inbox) ([]rotation.Instance, error) {
		return append(instancesOf(b.accepts()), rotation.Instance{Name: "inbox-2", Key: rotation.Key{Serial: 1 << 50}}), nil
	})
	tells("more than it accepts", false, func(b *inbox) ([]rotation.Instance, error) {
		all := instancesOf(b.accepts())
		for _, k := range b.old {
			if !slices.ContainsFunc(b.accepts(), k.Equal) {
				all = append(all, rotation.Instance{Name: "inbox-1", Key: rotation.Key{Serial: k.Serial}})
			}
		}
		return all, nil
	})
	each := func(what string, change func(*inbox, *rotation.Instance)) {
		tells(what, false, func(b *inbox) ([]rotation.Instance, error) {
			instances := instancesOf(b.accepts())
			for i := range instances {
				change(b, &instances[i])
			}
			return instances, nil
		})
	}
	each("no identity", func(_ *inbox, i *rotation.Instance) { i.Key = rotation.Key{} })
	each("an id that is the webhook's", func(_ *inbox, i *rotation.Instance) { i.Key.Serial = 0 })
	each("a name and no identity", func(b *inbox, i *rotation.Instance) { i.Key = rotation.Key{Name: "hooks-v2"} })
	each("the value", func(b *inbox, i *rotation.Instance) { i.Key.Secret = secret.Random(16) })
	each("the future", func(_ *inbox, i *rotation.Instance) { i.AsOf = time.Now().Add(time.Hour) })
	each("what was long ago", func(_ *inbox, i *rotation.Instance) { i.AsOf = time.Now().Add(-24 * time.Hour) })
}

func mutantsOfReceipts(add addReceiver) {
	counts := func(what string, f func(*inbox, rotation.Key) (rotation.Usage, error)) {
		add("Usage", what, func() rotationtest.ReceiverSuite {
			b := newInbox()
			b.usage = func(_ context.Context, key rotation.Key) (rotation.Usage, error) { return f(b, key) }
			return b.suite()
		})
	}
	each := func(what string, change func(*rotation.Usage)) {
		counts(what, func(b *inbox, key rotation.Key) (rotation.Usage, error) {
			u := b.figures(key)
			change(&u)
			return u, nil
		})
	}
	each("without evidence", func(u *rotation.Usage) { u.AsOf = time.Time{} })
	each("evidence from the future", func(u *rotation.Usage) { u.AsOf = time.Now().Add(time.Hour) })
	each("begins after it ends", func(u *rotation.Usage) { u.Since = u.AsOf.Add(time.Second) })
	each("a delivery from the future", func(u *rotation.Usage) {
		if !u.LastUsed.IsZero() {
			u.LastUsed = u.LastUsed.Add(time.Hour)
		}
	})
	each("nothing", func(u *rotation.Usage) { u.LastUsed = time.Time{} })
	each("what nobody delivered", func(u *rotation.Usage) { u.LastUsed = u.AsOf })
	counts("always fails", func(*inbox, rotation.Key) (rotation.Usage, error) { return rotation.Usage{}, errRefused })
	counts("by the value, which nobody asks with", func(b *inbox, key rotation.Key) (rotation.Usage, error) {
		k, _ := among(b.accepts(), key.Secret)
		return b.figures(k), nil
	})
	counts("by an id that is the webhook's", func(b *inbox, key rotation.Key) (rotation.Usage, error) {
		u := b.figures(key)
		for _, k := range b.accepts() {
			if at := b.figures(k).LastUsed; k.ID == key.ID && at.After(u.LastUsed) {
				u.LastUsed = at
			}
		}
		return u, nil
	})
	takes := func(what string, f func(*inbox, secret.Value) error) {
		add("Usage", what, func() rotationtest.ReceiverSuite {
			b := newInbox()
			b.takes = func(value secret.Value) error { return f(b, value) }
			return b.suite()
		})
	}
	takes("of the newest, whatever matched", func(b *inbox, value secret.Value) error {
		if _, ok := among(b.accepts(), value); !ok {
			return rotation.ErrRejected
		}
		b.match(b.accepts()[0])
		return nil
	})
	takes("of the oldest, whatever matched", func(b *inbox, value secret.Value) error {
		if _, ok := among(b.accepts(), value); !ok {
			return rotation.ErrRejected
		}
		b.match(b.accepts()[len(b.accepts())-1])
		return nil
	})
	takes("of what was refused", func(b *inbox, value secret.Value) error {
		if err := b.count(value); err != nil {
			for _, k := range b.accepts() {
				b.match(k)
			}
			return err
		}
		return nil
	})
	add("Usage", "counts questions", func() rotationtest.ReceiverSuite {
		b := newInbox()
		b.verify = func(_ context.Context, key rotation.Key) error { return b.count(key.Secret) }
		return b.suite()
	})
	add("Usage", "counts deployments", func() rotationtest.ReceiverSuite {
		b := newInbox()
		b.deploy = func(ctx context.Context, req rotation.DeployRequest) error {
			for _, k := range req.Accept {
				b.match(k)
			}
			return b.obey(ctx, req)
		}
		return b.suite()
	})
	add("Usage", "forgets at each request", func() rotationtest.ReceiverSuite {
		b := newInbox()
		b.deploy = func(ctx context.Context, req rotation.DeployRequest) error {
			clear(b.matched)
			return b.obey(ctx, req)
		}
		return b.suite()
	})
	add("Usage", "forgets when the set changes", func() rotationtest.ReceiverSuite {
		b := newInbox()
		b.deploy = func(ctx context.Context, req rotation.DeployRequest) error {
			if len(req.Accept) != len(b.told()) {
				clear(b.matched)
			}
			return b.obey(ctx, req)
		}
		return b.suite()
	})
}

func mutantsOfReadiness(add addReceiver) {
	lags := func(what string, real, told time.Duration) {
		add("Lag", what, func() rotationtest.ReceiverSuite {
			b := readyInbox{inbox: newInbox(), name: "inbox", promises: told}
			b.lag = real
			return rotationtest.ReceiverSuite{Consumer: b, Deliver: b.receive, Patience: time.Hour}
		})
	}
	lags("is negative", 0, -time.Second)
	lags("is longer than it says", time.Minute, time.Second)
	lags("is there and is said not to be", time.Second, 0)

	named := func(what string, name func(*inbox) string) {
		add("Identity", what, func() rotationtest.ReceiverSuite {
			b := newInbox()
			return rotationtest.ReceiverSuite{Consumer: b, Verifier: namedInbox{b, func() string { return name(b) }}}
		})
	}
	named("is empty", func(*inbox) string { return " " })
	named("is another one each time", func() func(*inbox) string {
		n := 0
		return func(*inbox) string { n++; return fmt.Sprint("inbox ", n) }
	}())
	named("is that of what it accepts", func(b *inbox) string { return fmt.Sprint("inbox of ", len(b.told())) })
	named("carries a value", func(b *inbox) string {
		for _, k := range b.told() {
			return k.Secret.Reveal()
		}
		return "inbox"
	})

	checks := func(what string, check func(*inbox) error) {
		add("Check", what, func() rotationtest.ReceiverSuite {
			b := readyInbox{inbox: newInbox(), name: "inbox"}
			b.check = func() error { return check(b.inbox) }
			return rotationtest.ReceiverSuite{Consumer: b, Deliver: b.receive}
		})
	}
	checks("fails", func(*inbox) error { return errRefused })
	checks("forgets everything", func(b *inbox) error { b.take(nil); return nil })
	add("Check", "does not validate", func() rotationtest.ReceiverSuite {
		b := newInbox()
		return rotationtest.ReceiverSuite{Consumer: b, Verifier: invalid{b}}
	})
}

// namedInbox has an identity.
type namedInbox struct {
	*inbox
	name func() string
}

func (n namedInbox) Identity() string { return n.name() }

// invalid does not validate.
type invalid struct{ *inbox }

func (invalid) Validate() error { return errRefused }
