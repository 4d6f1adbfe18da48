// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

// A receiverMutant is a receiver with one mistake, and the clause that has to find it.
type receiverMutant struct {
	clause string
	build  func() rotationtest.ReceiverSuite
}

type addReceiver func(clause, what string, build func() rotationtest.ReceiverSuite)

func receiverMutants() map[string]receiverMutant {
	all := map[string]receiverMutant{}
	add := func(clause, what string, build func() rotationtest.ReceiverSuite) {
		all[clause+" "+what] = receiverMutant{clause, build}
	}
	for what, m := range mutantsOfSets() {
		add(m.clause, what, accepting(m.deploy))
	}
	mutantsOfAcceptance(add)
	mutantsOfProgress(add)
	mutantsOfDoors(add)
	mutantsOfReceiverErrors(add)
	mutantsOfVerdicts(add)
	mutantsOfProcesses(add)
	mutantsOfReceipts(add)
	mutantsOfReadiness(add)
	return all
}

// accepting is an inbox whose Deploy is replaced.
func accepting(f func(*inbox) deployFunc) func() rotationtest.ReceiverSuite {
	return func() rotationtest.ReceiverSuite {
		b := newInbox()
		b.deploy = f(b)
		return b.suite()
	}
}

// setMutant is a mistake of Deploy alone, in what is accepted after it.
type setMutant struct {
	clause string
	deploy func(*inbox) deployFunc
}

// alters is an inbox that takes another request than it gets.
func alters(f func(*rotation.DeployRequest)) func(*inbox) deployFunc {
	return func(b *inbox) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			req.Accept = slices.Clone(req.Accept)
			f(&req)
			return b.obey(ctx, req)
		}
	}
}

// skips is an inbox that says nil to some requests and does nothing.
func skips(when func(rotation.DeployRequest) bool) func(*inbox) deployFunc {
	return func(b *inbox) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if when(req) {
				return ctx.Err()
			}
			return b.obey(ctx, req)
		}
	}
}

func mutantsOfSets() map[string]setMutant {
	newest := func(set []rotation.Key) int64 {
		if len(set) == 0 {
			return 0
		}
		return set[0].Serial
	}
	return map[string]setMutant{
		"does nothing": {"C1", skips(func(rotation.DeployRequest) bool { return true })},
		"takes the newest alone": {"C1", alters(func(req *rotation.DeployRequest) {
			req.Accept = req.Accept[:min(1, len(req.Accept))]
		})},
		"takes the key and not the set": {"C1", alters(func(req *rotation.DeployRequest) {
			if !req.Key.IsZero() {
				req.Accept = []rotation.Key{req.Key}
			}
		})},
		"takes the oldest alone": {"C1", alters(func(req *rotation.DeployRequest) {
			req.Accept = req.Accept[max(len(req.Accept)-1, 0):]
		})},
		"drops nothing": {"C1", func(b *inbox) deployFunc {
			return func(ctx context.Context, req rotation.DeployRequest) error {
				req.Accept = slices.Concat(req.Accept, b.told())
				return b.obey(ctx, req)
			}
		}},
		"drops nothing that was accepted at last": {"C1", func(b *inbox) deployFunc {
			return func(ctx context.Context, req rotation.DeployRequest) error {
				if len(req.Accept) == 1 && len(b.told()) == 2 {
					return ctx.Err()
				}
				return b.obey(ctx, req)
			}
		}},
		"cuts the values": {"C1", alters(func(req *rotation.DeployRequest) {
			for i, k := range req.Accept {
				req.Accept[i].Secret = secret.New(strings.TrimRight(k.Secret.Reveal(), "="))
			}
		})},
		"takes only what is newer": {"C3", func(b *inbox) deployFunc {
			return skips(func(req rotation.DeployRequest) bool {
				return len(req.Accept) == 1 && newest(req.Accept) < newest(b.told()) && newest(b.told())-newest(req.Accept) < 10
			})(b)
		}},
		"takes back nothing that it dropped": {"C3", func(b *inbox) deployFunc {
			dropped := map[int64]bool{}
			return func(ctx context.Context, req rotation.DeployRequest) error {
				for _, k := range b.told() {
					dropped[k.Serial] = dropped[k.Serial] || !slices.ContainsFunc(req.Accept, k.Equal)
				}
				req.Accept = slices.DeleteFunc(slices.Clone(req.Accept), func(k rotation.Key) bool { return dropped[k.Serial] })
				return b.obey(ctx, req)
			}
		}},
		"remembers every request": {"C3", func(b *inbox) deployFunc {
			done := map[string]bool{}
			return func(ctx context.Context, req rotation.DeployRequest) error {
				if done[req.ID] {
					return nil
				}
				err := b.obey(ctx, req)
				done[req.ID] = err == nil
				return err
			}
		}},
		"toggles": {"C3", func(b *inbox) deployFunc {
			last := ""
			return func(ctx context.Context, req rotation.DeployRequest) error {
				if last == req.ID {
					req.Accept = req.Accept[:min(1, len(req.Accept))]
				}
				last = req.ID
				return b.obey(ctx, req)
			}
		}},
		"ignores a pending secret": {"C4", alters(func(req *rotation.DeployRequest) {
			if req.Role == rotation.RolePending {
				req.Accept = slices.DeleteFunc(req.Accept, req.Key.Equal)
			}
		})},
		"ignores a request for a pending secret": {"C4", skips(func(req rotation.DeployRequest) bool {
			return req.Role == rotation.RolePending
		})},
		"takes a current secret alone": {"C4", alters(func(req *rotation.DeployRequest) {
			if req.Role == rotation.RoleCurrent && len(req.Accept) > 0 && req.Key.Equal(req.Accept[0]) {
				req.Accept = req.Accept[:1]
			}
		})},
		"takes no secret for no change": {"Empty", skips(func(req rotation.DeployRequest) bool { return len(req.Accept) == 0 })},
		"takes no secret once": {"Empty", func(b *inbox) deployFunc {
			shut := false
			return func(ctx context.Context, req rotation.DeployRequest) error {
				if shut = shut || len(req.Accept) == 0; shut {
					req.Accept = nil
				}
				return b.obey(ctx, req)
			}
		}},
		"ignores an emergency":              {"Emergency", skips(func(req rotation.DeployRequest) bool { return req.Emergency })},
		"is never without a secret":         {"Emergency", skips(func(req rotation.DeployRequest) bool { return req.Emergency && len(req.Accept) == 0 })},
		"takes no successor while it burns": {"Emergency", skips(func(req rotation.DeployRequest) bool { return req.Emergency && req.Role == rotation.RolePending })},
		"drains in an emergency": {"Emergency", func(b *inbox) deployFunc {
			return func(ctx context.Context, req rotation.DeployRequest) error {
				if req.Emergency {
					req.Accept = slices.Concat(req.Accept, b.told())
				}
				return b.obey(ctx, req)
			}
		}},
		"stops between the old set and the new one": {"Context", func(b *inbox) deployFunc {
			return func(ctx context.Context, req rotation.DeployRequest) error {
				if ctx.Err() != nil {
					b.take(nil)
				}
				return b.obey(ctx, req)
			}
		}},
		"counts as done what did not happen": {"Context", func(b *inbox) deployFunc {
			done := ""
			return func(ctx context.Context, req rotation.DeployRequest) error {
				if ctx.Err() != nil {
					done = req.ID
				}
				if done == req.ID && ctx.Err() == nil {
					return nil
				}
				return b.obey(ctx, req)
			}
		}},
		"loses the others for one without a value": {"Value", func(b *inbox) deployFunc {
			return func(ctx context.Context, req rotation.DeployRequest) error {
				err := b.obey(ctx, req)
				if err != nil && ctx.Err() == nil {
					b.take(nil)
				}
				return err
			}
		}},
		"counts as done what had no value": {"Value", func(b *inbox) deployFunc {
			done := ""
			return func(ctx context.Context, req rotation.DeployRequest) error {
				if done == req.ID {
					return nil
				}
				err := b.obey(ctx, req)
				if err != nil && ctx.Err() == nil {
					done = req.ID
				}
				return err
			}
		}},
	}
}

func mutantsOfAcceptance(add addReceiver) {
	add("C1", "always fails", accepting(func(*inbox) deployFunc {
		return func(context.Context, rotation.DeployRequest) error { return errRefused }
	}))
	add("C1", "verifies nothing", func() rotationtest.ReceiverSuite {
		b := newInbox()
		b.takes = func(secret.Value) error { return nil }
		return b.suite()
	})
	add("C1", "verifies nothing, and only deliveries show it", func() rotationtest.ReceiverSuite {
		return rotationtest.ReceiverSuite{
			Consumer: newInbox().mute(),
			Deliver:  func(context.Context, rotation.Key) error { return nil },
		}
	})
	add("C1", "is later than it may be", func() rotationtest.ReceiverSuite {
		b := newInbox()
		b.lag = 2 * time.Minute
		s := b.suite()
		s.Lag = time.Minute
		return s
	})
	add("C1", "falls back to what it accepted before", func() rotationtest.ReceiverSuite {
		b := newInbox()
		b.deploy = func(ctx context.Context, req rotation.DeployRequest) error {
			err := b.obey(ctx, req)
			if err == nil { // it reads an old file again, in half a minute
				b.mu.Lock()
				b.old, b.set, b.from = b.set, b.old, time.Now().Add(30*time.Second)
				b.mu.Unlock()
			}
			return err
		}
		s := b.suite()
		s.Lag = time.Minute
		return s
	})
	add("C3", "refuses the same request", accepting(func(b *inbox) deployFunc {
		last := ""
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if last == req.ID {
				return rotation.ErrConflict
			}
			last = req.ID
			return b.obey(ctx, req)
		}
	}))
	add("C4", "is no canary", accepting(func(b *inbox) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if req.Role == rotation.RolePending {
				return errors.ErrUnsupported
			}
			return b.obey(ctx, req)
		}
	}))
	add("Context", "ignores it", accepting(func(b *inbox) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			return b.obey(context.WithoutCancel(ctx), req)
		}
	}))
	add("Context", "ignores it, and nothing tells", func() rotationtest.ReceiverSuite {
		return rotationtest.ReceiverSuite{Consumer: rotation.ConsumerFunc(func(context.Context, rotation.DeployRequest) error { return nil })}
	})
}

func mutantsOfProgress(add addReceiver) {
	add("C2", "never gets on", accepting(func(*inbox) deployFunc {
		return func(context.Context, rotation.DeployRequest) error { return rotation.ErrNotYet }
	}))
	patient := func(what string, b func() *inbox, patience time.Duration) {
		add("C2", what, func() rotationtest.ReceiverSuite {
			s := b().suite()
			s.Patience = patience
			return s
		})
	}
	patient("begins anew with each call", func() *inbox { return slow(true) }, time.Hour)
	patient("waits longer than it may", func() *inbox { return slow(false) }, 30*time.Second)
	patient("has another error for not yet", func() *inbox {
		b := slow(false)
		roll := b.deploy
		b.deploy = func(ctx context.Context, req rotation.DeployRequest) error {
			if roll(ctx, req) != nil {
				return errRefused
			}
			return nil
		}
		return b
	}, 2*time.Minute)
	follows := func(what string, f func(follower) deployFunc) {
		add("C2", what, func() rotationtest.ReceiverSuite {
			b := newFollower()
			s := b.suite()
			s.Consumer = listens{b, f(b)}
			return s
		})
	}
	follows("says nil before it is so", func(b follower) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if err := b.Deploy(ctx, req); !errors.Is(err, rotation.ErrNotYet) {
				return err
			}
			return nil
		}
	})
	follows("remembers its failure", func(b follower) deployFunc {
		failures := map[string]error{}
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if failures[req.ID] == nil {
				failures[req.ID] = b.Deploy(ctx, req)
			}
			return failures[req.ID]
		}
	})
	follows("accepts nothing while it waits", func(b follower) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			err := b.Deploy(ctx, req)
			if errors.Is(err, rotation.ErrNotYet) {
				b.take(nil)
			}
			return err
		}
	})
}

// listens is a follower whose Deploy is replaced.
type listens struct {
	follower
	deploy deployFunc
}

func (l listens) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	return l.deploy(ctx, req)
}

// mutantsOfDoors are open to those who have no secret.
func mutantsOfDoors(add addReceiver) {
	open := func(clause, what string, when func(*inbox, secret.Value) bool) {
		add(clause, what, func() rotationtest.ReceiverSuite {
			b := newInbox()
			b.takes = func(value secret.Value) error {
				if when(b, value) {
					return nil
				}
				return b.count(value)
			}
			return b.suite()
		})
	}
	open("Empty", "checks nothing while there is no secret", func(b *inbox, _ secret.Value) bool { return len(b.accepts()) == 0 })
	open("Empty", "takes the empty secret while there is no other", func(b *inbox, v secret.Value) bool {
		return v.IsZero() && len(b.accepts()) == 0
	})
	open("Value", "takes the empty secret", func(_ *inbox, v secret.Value) bool { return v.IsZero() })
	add("Empty", "says so of no secret", func() rotationtest.ReceiverSuite {
		b := newInbox()
		b.verify = func(ctx context.Context, key rotation.Key) error {
			if key.Secret.IsZero() && len(b.accepts()) == 0 {
				return nil
			}
			return b.answer(b.accepts(), key)
		}
		return b.suite()
	})
	add("Empty", "fails without a secret", accepting(func(b *inbox) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			if len(req.Accept) == 0 {
				return errRefused
			}
			return b.obey(ctx, req)
		}
	}))
	add("Value", "success without a value", accepting(func(b *inbox) deployFunc {
		return func(ctx context.Context, req rotation.DeployRequest) error {
			req.Accept = slices.DeleteFunc(slices.Clone(req.Accept), func(k rotation.Key) bool { return k.Secret.IsZero() })
			return b.obey(ctx, req)
		}
	}))
}

func mutantsOfReceiverErrors(add addReceiver) {
	when := map[string]func(context.Context, rotation.Key) bool{
		"under an ended context": func(ctx context.Context, _ rotation.Key) bool { return ctx.Err() != nil },
		"for an odd value":       func(_ context.Context, k rotation.Key) bool { return strings.ContainsAny(k.Secret.Reveal(), "\n\x00") },
		"for an odd id":          func(_ context.Context, k rotation.Key) bool { return strings.Contains(k.ID, "%") },
	}
	for what, fits := range when {
		for how, show := range map[string]func(string) error{
			"plain":  func(s string) error { return errors.New("SECRETS=" + s) },
			"quoted": func(s string) error { return fmt.Errorf("SECRETS=%q", s) },
			"%#v":    func(s string) error { return leak{s} },
			"public": func(s string) error { return fmt.Errorf("deploy: %w", &publicLeak{s}) },
		} {
			add("Errors", "value in the error of Deploy "+what+", "+how, accepting(func(b *inbox) deployFunc {
				return func(ctx context.Context, req rotation.DeployRequest) error {
					for _, k := range req.Accept {
						if fits(ctx, k) {
							return show(k.Secret.Reveal())
						}
					}
					return b.obey(ctx, req)
				}
			}))
		}
	}
	with := func(what string, change func(*readyInbox)) {
		add("Errors", what, func() rotationtest.ReceiverSuite {
			b := &readyInbox{inbox: newInbox(), name: "inbox"}
			change(b)
			return rotationtest.ReceiverSuite{Consumer: b, Deliver: b.receive}
		})
	}
	value := func(b *readyInbox) string { return slices.Concat(b.told(), []rotation.Key{{}})[0].Secret.Reveal() }
	with("value in the error of Verify", func(b *readyInbox) {
		b.verify = func(ctx context.Context, key rotation.Key) error {
			if err := b.answer(b.accepts(), key); err != nil {
				return fmt.Errorf("no match for %s: %w", key.Secret.Reveal(), err)
			}
			return ctx.Err()
		}
	})
	with("value in the error of Usage", func(b *readyInbox) {
		b.usage = func(ctx context.Context, key rotation.Key) (rotation.Usage, error) {
			if ctx.Err() != nil {
				return rotation.Usage{}, errors.New(value(b))
			}
			return b.figures(key), nil
		}
	})
	with("value as the source of a usage", func(b *readyInbox) {
		b.usage = func(_ context.Context, key rotation.Key) (rotation.Usage, error) {
			u := b.figures(key)
			u.Source = value(b)
			return u, nil
		}
	})
	with("value in the error of Observe", func(b *readyInbox) {
		b.observe = func(ctx context.Context) ([]rotation.Instance, error) {
			if ctx.Err() != nil {
				return nil, errors.New(value(b))
			}
			return instancesOf(b.accepts()), nil
		}
	})
	with("value in the name of an instance", func(b *readyInbox) {
		b.observe = func(context.Context) ([]rotation.Instance, error) {
			instances := instancesOf(b.accepts())
			for i := range instances {
				instances[i].Name += value(b)
			}
			return instances, nil
		}
	})
	with("value in the error of Check", func(b *readyInbox) {
		b.check = func() error { return errors.New(value(b)) }
	})
	add("Errors", "value in the identity", func() rotationtest.ReceiverSuite {
		return rotationtest.ReceiverSuite{Consumer: indiscreet{newInbox()}}
	})
	add("Errors", "value in the instructions for a person", accepting(func(*inbox) deployFunc {
		return func(_ context.Context, req rotation.DeployRequest) error {
			return rotation.Manual("enter " + slices.Concat(req.Accept, []rotation.Key{{}})[0].Secret.Reveal())
		}
	}))
}

// indiscreet has an identity that shows what it accepts.
type indiscreet struct{ *inbox }

func (i indiscreet) Identity() string {
	for _, k := range i.told() {
		return "inbox of " + k.Secret.Reveal()
	}
	return "inbox"
}
