// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

// A consumerMutant is a consumer with one mistake, and the clause that has to find it.
type consumerMutant struct {
	clause string
	build  func() rotationtest.ConsumerSuite
}

func consumerMutants() map[string]consumerMutant {
	all := map[string]consumerMutant{}
	add := func(clause, what string, build func() rotationtest.ConsumerSuite) {
		all[clause+" "+what] = consumerMutant{clause, build}
	}
	mutantsOfUse(add)
	mutantsOfWaiting(add)
	mutantsOfRepeats(add)
	mutantsOfPending(add)
	mutantsOfDeployErrors(add)
	mutantsOfContext(add)
	mutantsOfObserve(add)
	mutantsOfConsumerAbilities(add)
	return all
}

type addConsumer func(clause, what string, build func() rotationtest.ConsumerSuite)

type deployFunc = func(context.Context, rotation.DeployRequest) error

// deploys is an app whose Deploy is replaced.
func deploys(f func(*app) deployFunc) func() rotationtest.ConsumerSuite {
	return func() rotationtest.ConsumerSuite {
		a := &app{}
		a.deploy = f(a)
		return a.suite()
	}
}

// reads is a reader whose Deploy is replaced.
func reads(f func(*reader) deployFunc) func() rotationtest.ConsumerSuite {
	return func() rotationtest.ConsumerSuite {
		r := newReader()
		r.deploy = f(r)
		return r.suite()
	}
}

func mutantsOfUse(add addConsumer) {
	add("C1", "does nothing", deploys(func(*app) deployFunc {
		return func(context.Context, rotation.DeployRequest) error { return nil }
	}))
	add("C1", "always fails", deploys(func(*app) deployFunc {
		return func(context.Context, rotation.DeployRequest) error { return errRefused }
	}))
	add("C1", "cuts the value", deploys(func(a *app) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			req.Key.Secret = secret.New(strings.TrimRight(req.Key.Secret.Reveal(), "="))
			return a.obey(ctx, req)
		}
	}))
	add("C1", "ignores an emergency", deploys(func(a *app) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if req.Emergency {
				return nil
			}
			return a.obey(ctx, req)
		}
	}))
	add("C1", "never gets a key", func() rotationtest.ConsumerSuite {
		s := new(app).suite()
		s.Uses = func(context.Context) (rotation.Key, error) { return rotation.Key{}, nil }
		return s
	})
	add("C1", "is later than it may be", func() rotationtest.ConsumerSuite {
		s := (&app{lag: 2 * time.Minute}).suite()
		s.Lag = time.Minute
		return s
	})
	add("C1", "falls back to the old key", func() rotationtest.ConsumerSuite {
		a := &app{}
		a.deploy = func(ctx context.Context, req rotation.DeployRequest) error {
			err := a.obey(ctx, req)
			if err == nil { // it reads an old file again, in half a minute
				a.mu.Lock()
				a.key, a.old, a.from = a.old, a.key, time.Now().Add(30*time.Second)
				a.mu.Unlock()
			}
			return err
		}
		s := a.suite()
		s.Lag = time.Minute
		return s
	})
	add("C1", "is said to use whatever was minted", func() rotationtest.ConsumerSuite {
		p, s := rotationtest.NewProvider(), new(app).suite()
		var last rotation.Key
		s.Mint = func(context.Context) (rotation.Key, error) { last = p.Mint(); return last, nil }
		s.Uses = func(context.Context) (rotation.Key, error) { return rotation.Key{ID: last.ID}, nil }
		return s
	})
}

func mutantsOfWaiting(add addConsumer) {
	add("C2", "never gets on", deploys(func(*app) deployFunc {
		return func(context.Context, rotation.DeployRequest) error { return rotation.ErrNotYet }
	}))
	add("C2", "begins anew with each call", func() rotationtest.ConsumerSuite {
		s := rolling(true).suite()
		s.Patience = time.Hour
		return s
	})
	add("C2", "waits longer than it may", func() rotationtest.ConsumerSuite {
		s := rolling(false).suite()
		s.Patience = 30 * time.Second
		return s
	})
	add("C2", "has another error for not yet", func() rotationtest.ConsumerSuite {
		a := rolling(false)
		roll := a.deploy
		a.deploy = func(ctx context.Context, req rotation.DeployRequest) error {
			if err := roll(ctx, req); err != nil {
				return errRefused
			}
			return nil
		}
		s := a.suite()
		s.Patience = 2 * time.Minute
		return s
	})
	add("C2", "says nil before it is so", func() rotationtest.ConsumerSuite {
		r := newReader()
		r.deploy = func(ctx context.Context, req rotation.DeployRequest) error {
			if err := r.look(ctx, req); !errors.Is(err, rotation.ErrNotYet) {
				return err
			}
			return nil
		}
		return r.suite()
	})
	add("C2", "remembers its failure", reads(func(r *reader) deployFunc {
		failures := map[string]error{}
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if failures[req.ID] == nil {
				failures[req.ID] = r.look(ctx, req)
			}
			return failures[req.ID]
		}
	}))
	add("C2", "loses its key while it waits", reads(func(r *reader) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			err := r.look(ctx, req)
			if errors.Is(err, rotation.ErrNotYet) {
				r.take(rotation.Key{})
			}
			return err
		}
	}))
}

func mutantsOfRepeats(add addConsumer) {
	add("C3", "takes only newer keys", deploys(func(a *app) deployFunc {
		var newest int64
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if req.Key.Serial < newest && a.key.Generation-req.Key.Generation < 100 { // of this rotation, not of another clause
				return nil
			}
			newest = req.Key.Serial
			return a.obey(ctx, req)
		}
	}))
	add("C3", "refuses an older key", deploys(func(a *app) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if req.Key.Serial == a.key.Serial-1 {
				return errRefused
			}
			return a.obey(ctx, req)
		}
	}))
	add("C3", "takes no older key in an emergency", deploys(func(a *app) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if req.Emergency && req.Key.Serial < a.key.Serial {
				return nil
			}
			return a.obey(ctx, req)
		}
	}))
	add("C3", "remembers every request", deploys(func(a *app) deployFunc {
		done := map[string]bool{}
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if done[req.ID] {
				return nil
			}
			err := a.obey(ctx, req)
			done[req.ID] = err == nil
			return err
		}
	}))
	add("C3", "restarts for the same request", deploys(func(a *app) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			a.mu.Lock()
			a.done = ""
			a.mu.Unlock()
			return a.obey(ctx, req)
		}
	}))
	add("C3", "toggles", deploys(func(a *app) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if req.ID == a.done {
				req.ID, req.Key = "toggled", a.old
			}
			return a.obey(ctx, req)
		}
	}))
	add("C3", "refuses the same request", deploys(func(a *app) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if req.ID == a.done {
				return rotation.ErrConflict
			}
			return a.obey(ctx, req)
		}
	}))
}

func mutantsOfPending(add addConsumer) {
	add("C4", "says nil to a pending key and ignores it", deploys(func(a *app) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if req.Role == rotation.RolePending {
				return nil
			}
			return a.obey(ctx, req)
		}
	}))
	add("C4", "reads the current key whatever it is told", reads(func(r *reader) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if req.Role == rotation.RolePending {
				v, err := r.secrets.Load(ctx, req.Credential)
				r.take(v.Key(rotation.RoleCurrent))
				return err
			}
			return r.look(ctx, req)
		}
	}))
	add("C4", "has another error for what it cannot", deploys(func(a *app) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if req.Role == rotation.RolePending {
				return errRefused
			}
			return a.obey(ctx, req)
		}
	}))
	add("C4", "says that it cannot and does it", deploys(func(a *app) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if err := a.obey(ctx, req); req.Role != rotation.RolePending || err != nil {
				return err
			}
			return errors.ErrUnsupported
		}
	}))
	add("C4", "counts what it cannot as done", deploys(func(a *app) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if req.Role == rotation.RolePending && ctx.Err() == nil {
				a.done = req.ID
				return errors.ErrUnsupported
			}
			return a.obey(ctx, req)
		}
	}))
	add("C4", "takes a pending key and no other any more", deploys(func(a *app) deployFunc {
		canary := map[int64]bool{}
		return func(ctx context.Context, req rotation.DeployRequest) error {
			canary[req.Key.Serial] = canary[req.Key.Serial] || req.Role == rotation.RolePending
			if canary[a.key.Serial] && req.Key.Serial < a.key.Serial {
				return nil
			}
			return a.obey(ctx, req)
		}
	}))
	add("C4", "takes the newest of the store by itself", func() rotationtest.ConsumerSuite {
		r := newReader()
		s := r.suite()
		s.Uses = func(ctx context.Context) (rotation.Key, error) {
			v, err := r.secrets.Load(ctx, "payments")
			if key := v.Key(rotation.RolePending); !key.IsZero() && key.Serial > r.key.Serial {
				return key, err
			}
			return r.uses(ctx)
		}
		return s
	})
}

func mutantsOfDeployErrors(add addConsumer) {
	when := map[string]func(context.Context, rotation.DeployRequest) bool{
		"under an ended context": func(ctx context.Context, _ rotation.DeployRequest) bool { return ctx.Err() != nil },
		"for an odd value": func(_ context.Context, req rotation.DeployRequest) bool {
			return strings.ContainsAny(req.Key.Secret.Reveal(), "\n\x00")
		},
		"for an odd id": func(_ context.Context, req rotation.DeployRequest) bool { return strings.Contains(req.Key.ID, "%") },
		"for a pending key that is odd": func(_ context.Context, req rotation.DeployRequest) bool {
			return req.Role == rotation.RolePending && strings.Contains(req.Key.ID, "%")
		},
	}
	for what, fits := range when {
		for how, show := range map[string]func(string) error{
			"plain":  func(s string) error { return errors.New("write TOKEN=" + s) },
			"quoted": func(s string) error { return fmt.Errorf("write TOKEN=%q", s) },
			"%#v":    func(s string) error { return leak{s} },
			"public": func(s string) error { return fmt.Errorf("deploy: %w", &publicLeak{s}) },
		} {
			add("Errors", "value in the error of Deploy "+what+", "+how, deploys(func(a *app) deployFunc {
				return func(ctx context.Context, req rotation.DeployRequest) error {
					if fits(ctx, req) {
						return show(req.Key.Secret.Reveal())
					}
					return a.obey(ctx, req)
				}
			}))
		}
	}
	with := func(what string, change func(*app, *able)) {
		add("Errors", what, func() rotationtest.ConsumerSuite {
			a := &app{}
			c := able{Consumer: a}
			change(a, &c)
			return rotationtest.ConsumerSuite{Consumer: &c, Uses: a.uses}
		})
	}
	with("value in the error of Verify", func(_ *app, c *able) {
		c.verify = func(_ context.Context, key rotation.Key) error { return errors.New(key.Secret.Reveal()) }
	})
	with("value in the error of Check", func(a *app, c *able) {
		c.check = func(context.Context) error { return errors.New(a.key.Secret.Reveal()) }
	})
	with("value in the error of Observe", func(a *app, c *able) {
		c.observe = func(ctx context.Context) ([]rotation.Instance, error) {
			if ctx.Err() != nil {
				return nil, errors.New(a.key.Secret.Reveal())
			}
			return a.observe(ctx)
		}
	})
	with("value in the name of an instance", func(a *app, c *able) {
		c.observe = func(ctx context.Context) ([]rotation.Instance, error) {
			instances, err := a.observe(ctx)
			instances[0].Name += a.key.Secret.Reveal()
			return instances, err
		}
	})
	with("value in the identity", func(a *app, c *able) {
		a.deploy = func(ctx context.Context, req rotation.DeployRequest) error {
			c.identity = req.Key.Secret.Reveal()
			return a.obey(ctx, req)
		}
	})
	add("Errors", "value in the instructions for a person", deploys(func(*app) deployFunc {
		return func(_ context.Context, req rotation.DeployRequest) error {
			return rotation.Manual("enter " + req.Key.Secret.Reveal())
		}
	}))
}

func mutantsOfContext(add addConsumer) {
	add("Context", "ignores it", deploys(func(a *app) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			return a.obey(context.WithoutCancel(ctx), req)
		}
	}))
	add("Context", "stops between the old key and the new one", deploys(func(a *app) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if ctx.Err() != nil {
				a.take(rotation.Key{})
			}
			return a.obey(ctx, req)
		}
	}))
	add("Context", "counts as done what did not happen", deploys(func(a *app) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if ctx.Err() != nil {
				a.done = req.ID
			}
			return a.obey(ctx, req)
		}
	}))
	add("Value", "success without a value", deploys(func(a *app) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if req.Key.Secret.IsZero() {
				return ctx.Err()
			}
			return a.obey(ctx, req)
		}
	}))
	add("Value", "uses no value", deploys(func(a *app) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if req.Key.Secret.IsZero() {
				a.take(req.Key)
			}
			return a.obey(ctx, req)
		}
	}))
	add("Value", "counts as done what had no value", deploys(func(a *app) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if req.Key.Secret.IsZero() {
				a.done = req.ID
			}
			return a.obey(ctx, req)
		}
	}))
	add("Value", "reader that says nil to what it does not know", func() rotationtest.ConsumerSuite {
		r := newReader()
		r.deploy = func(ctx context.Context, req rotation.DeployRequest) error {
			if req.Key.Secret.IsZero() {
				return nil
			}
			return r.look(ctx, req)
		}
		return r.suite()
	})
}
