// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// verifierMutant is a mistake, and the clauses that find it: the one that is there for it, and those that cannot do without.
type verifierMutant struct {
	clause  string
	also    []string
	binding bool // it is about a Binding.Verifier
	change  func(*rotationtest.Provider, *rotationtest.VerifierSuite)
}

type (
	verifyFunc  = func(ctx context.Context, key rotation.Key) error
	addVerifier func(clause, what string, binding bool, change func(*rotationtest.Provider, *rotationtest.VerifierSuite))
)

func verifierMutants() map[string]verifierMutant {
	all := map[string]verifierMutant{}
	add := func(clause, what string, binding bool, change func(*rotationtest.Provider, *rotationtest.VerifierSuite)) {
		all[clause+" "+what] = verifierMutant{clause: clause, binding: binding, change: change}
	}
	mutantsOfVerdict(add)
	mutantsOfBindingVerdict(add)
	mutantsOfRepetition(add)
	mutantsOfSecrecy(add)
	mutantsOfVerifierObserve(add)
	mutantsOfVerifierAbility(add)
	return all
}

// verifies replaces the Verifier, which is inner, by f.
func verifies(f func(inner verifyFunc, s *rotationtest.VerifierSuite) verifyFunc) func(*rotationtest.Provider, *rotationtest.VerifierSuite) {
	return func(_ *rotationtest.Provider, s *rotationtest.VerifierSuite) {
		copied := *s
		s.Verifier = rotation.VerifierFunc(f(s.Verifier.Verify, &copied))
	}
}

// verdictsChanged changes single answers.
func verdictsChanged(change func(ctx context.Context, key rotation.Key, err error) error) func(*rotationtest.Provider, *rotationtest.VerifierSuite) {
	return verifies(func(inner verifyFunc, _ *rotationtest.VerifierSuite) verifyFunc {
		return func(ctx context.Context, key rotation.Key) error { return change(ctx, key, inner(ctx, key)) }
	})
}

var errDoubt = errors.New("503 Service Unavailable")

func mutantsOfVerdict(add addVerifier) {
	changed := func(what string, change func(ctx context.Context, key rotation.Key, err error) error) {
		add("V1", what, false, verdictsChanged(change))
	}
	changed("accepts everything", func(context.Context, rotation.Key, error) error { return nil })
	changed("refuses everything", func(context.Context, rotation.Key, error) error { return rotation.ErrRejected })
	changed("never knows", func(context.Context, rotation.Key, error) error { return errDoubt })
	changed("a refusal without ErrRejected", func(_ context.Context, _ rotation.Key, err error) error {
		if errors.Is(err, rotation.ErrRejected) {
			return errors.New("401 Unauthorized")
		}
		return err
	})
	changed("a refusal is ErrDenied", func(_ context.Context, _ rotation.Key, err error) error {
		if errors.Is(err, rotation.ErrRejected) {
			return rotation.ErrDenied
		}
		return err
	})
	changed("every error is a refusal", func(_ context.Context, _ rotation.Key, err error) error {
		if err != nil {
			return errors.Join(rotation.ErrRejected, err)
		}
		return nil
	})
	changed("only a refusal is an error", func(_ context.Context, _ rotation.Key, err error) error {
		if errors.Is(err, rotation.ErrRejected) {
			return err
		}
		return nil
	})
	changed("accepts under an ended context", func(ctx context.Context, _ rotation.Key, err error) error {
		if ctx.Err() != nil {
			return nil
		}
		return err
	})
	changed("refuses under an ended context", func(ctx context.Context, _ rotation.Key, err error) error {
		if ctx.Err() != nil {
			return rotation.ErrRejected
		}
		return err
	})
	changed("accepts what has no secret", func(ctx context.Context, key rotation.Key, err error) error {
		if ctx.Err() == nil && key.ID != "" && key.Secret.IsZero() {
			return nil
		}
		return err
	})
	changed("refuses what has no secret", func(ctx context.Context, key rotation.Key, err error) error {
		if key.ID != "" && key.Secret.IsZero() {
			return rotation.ErrRejected
		}
		return err
	})
	changed("accepts no key", func(_ context.Context, key rotation.Key, err error) error {
		if key.IsZero() {
			return nil
		}
		return err
	})
	changed("refuses no key", func(_ context.Context, key rotation.Key, err error) error {
		if key.IsZero() {
			return rotation.ErrRejected
		}
		return err
	})
	add("V1", "goes by the id alone", false, verifies(func(inner verifyFunc, s *rotationtest.VerifierSuite) verifyFunc {
		return func(ctx context.Context, key rotation.Key) error {
			if !key.Secret.IsZero() && key.ID == s.Live.ID {
				key = s.Live
			}
			return inner(ctx, key)
		}
	}))
	add("V1", "a session vouches for the next", false, verifies(func(inner verifyFunc, _ *rotationtest.VerifierSuite) verifyFunc {
		var session atomic.Bool
		return func(ctx context.Context, key rotation.Key) error {
			err := inner(ctx, key)
			switch {
			case err == nil:
				session.Store(true)
			case session.Load() && errors.Is(err, rotation.ErrRejected):
				return nil
			}
			return err
		}
	}))
	add("V1", "knows the dead and accepts the rest", false, verifies(func(inner verifyFunc, s *rotationtest.VerifierSuite) verifyFunc {
		return func(ctx context.Context, key rotation.Key) error {
			if err := inner(ctx, key); !errors.Is(err, rotation.ErrRejected) || key.Secret.Equal(s.Dead.Secret) {
				return err
			}
			return nil
		}
	}))
	down := func(what string, answer error) {
		add("V1", what, false, func(p *rotationtest.Provider, s *rotationtest.VerifierSuite) {
			blind := rotation.VerifierFunc(func(context.Context, rotation.Key) error { return answer })
			s.Down = append(s.Down, blind)
		})
	}
	down("an outage is a refusal", fmt.Errorf("403 from a firewall: %w", rotation.ErrRejected))
	down("an outage is an acceptance", nil)
	add("V1", "an outage is a refusal of the other key", false, func(_ *rotationtest.Provider, s *rotationtest.VerifierSuite) {
		dead := s.Dead
		s.Down = []rotation.Verifier{rotation.VerifierFunc(func(_ context.Context, key rotation.Key) error {
			if key.Equal(dead) {
				return rotation.ErrRejected // from a cache
			}
			return errDoubt
		})}
	})
}

func mutantsOfBindingVerdict(add addVerifier) {
	changed := func(what string, change func(ctx context.Context, key rotation.Key, err error) error) {
		add("V1", "of a consumer: "+what, true, verdictsChanged(change))
	}
	changed("well with any key", func(ctx context.Context, key rotation.Key, err error) error {
		if ctx.Err() == nil && !key.IsZero() {
			return nil
		}
		return err
	})
	changed("another key is refused", func(ctx context.Context, _ rotation.Key, err error) error {
		if ctx.Err() == nil && errors.Is(err, rotation.ErrNotYet) {
			return rotation.ErrRejected
		}
		return err
	})
	changed("well with no key", func(_ context.Context, key rotation.Key, err error) error {
		if key.IsZero() {
			return nil
		}
		return err
	})
	changed("refuses the key in use under an ended context", func(ctx context.Context, key rotation.Key, err error) error {
		if ctx.Err() != nil {
			return rotation.ErrRejected
		}
		return err
	})
	changed("well with any key under an ended context", func(ctx context.Context, _ rotation.Key, err error) error {
		if ctx.Err() != nil {
			return nil
		}
		return err
	})
	add("V1", "of a consumer: an outage is a refusal", true, func(_ *rotationtest.Provider, s *rotationtest.VerifierSuite) {
		s.Down = []rotation.Verifier{rotation.VerifierFunc(func(context.Context, rotation.Key) error { return rotation.ErrRejected })}
	})
}

func mutantsOfRepetition(add addVerifier) {
	// after changes answers when Verify was called n times since the mutant was made.
	after := func(what string, n int64, change func(key rotation.Key, err error) error) {
		add("V2", what, false, verifies(func(inner verifyFunc, _ *rotationtest.VerifierSuite) verifyFunc {
			var calls atomic.Int64
			return func(ctx context.Context, key rotation.Key) error {
				err := inner(ctx, key)
				if calls.Add(1) > n {
					return change(key, err)
				}
				return err
			}
		}))
	}
	after("gives up after some time", 12, func(rotation.Key, error) error { return errDoubt })
	after("accepts everybody after some time", 12, func(_ rotation.Key, err error) error {
		if errors.Is(err, rotation.ErrRejected) {
			return nil
		}
		return err
	})
	add("V2", "locks out after failed attempts", false, func(p *rotationtest.Provider, s *rotationtest.VerifierSuite) {
		var failed atomic.Int64
		inner := s.Verifier
		s.Verifier = rotation.VerifierFunc(func(ctx context.Context, key rotation.Key) error {
			err := inner.Verify(ctx, key)
			if errors.Is(err, rotation.ErrRejected) {
				failed.Add(1)
			}
			if failed.Load() > 5 {
				return rotation.ErrRejected
			}
			return err
		})
	})
	add("V2", "mixes up its callers", false, verifies(func(inner verifyFunc, _ *rotationtest.VerifierSuite) verifyFunc {
		var current atomic.Pointer[rotation.Key]
		return func(ctx context.Context, key rotation.Key) error {
			current.Store(&key)
			time.Sleep(time.Millisecond)
			return inner(ctx, *current.Load())
		}
	}))
	add("V2", "one at a time", false, verifies(func(inner verifyFunc, _ *rotationtest.VerifierSuite) verifyFunc {
		var busy atomic.Bool
		return func(ctx context.Context, key rotation.Key) error {
			if !busy.CompareAndSwap(false, true) {
				return errors.New("busy")
			}
			defer busy.Store(false)
			time.Sleep(time.Millisecond)
			return inner(ctx, key)
		}
	}))
	add("V2", "ends what was asked for often", false, func(p *rotationtest.Provider, s *rotationtest.VerifierSuite) {
		var asked atomic.Int64
		s.Verifier = rotation.VerifierFunc(func(ctx context.Context, key rotation.Key) error {
			err := p.Verify(ctx, key)
			if err == nil && asked.Add(1) > 15 {
				return errors.Join(err, p.Revoke(ctx, key))
			}
			return err
		})
	})
	add("V2", "of a consumer: moves it", true, func(p *rotationtest.Provider, s *rotationtest.VerifierSuite) {
		c := s.Verifier.(*rotationtest.Consumer)
		var asked atomic.Int64
		s.Verifier = rotation.VerifierFunc(func(ctx context.Context, key rotation.Key) error {
			err := c.Verify(ctx, key)
			if errors.Is(err, rotation.ErrNotYet) && !key.Secret.IsZero() && asked.Add(1) > 3 {
				_ = c.Deploy(ctx, rotation.DeployRequest{Key: key})
			}
			return err
		})
	})
}

func mutantsOfSecrecy(add addVerifier) {
	for what, show := range map[string]func(string) error{
		"plain":   func(s string) error { return errors.New("GET /whoami?key=" + s) },
		"in %#v":  func(s string) error { return leak{s} },
		"public":  func(s string) error { return &publicLeak{s} },
		"wrapped": func(s string) error { return fmt.Errorf("verify: %w", &publicLeak{s}) },
	} {
		add("Errors", "the value of what is refused, "+what, false, verdictsChanged(func(_ context.Context, key rotation.Key, err error) error {
			if errors.Is(err, rotation.ErrRejected) {
				return errors.Join(err, show(key.Secret.Reveal()))
			}
			return err
		}))
	}
	add("Errors", "the value of what is not known", false, verdictsChanged(func(ctx context.Context, key rotation.Key, err error) error {
		if ctx.Err() != nil {
			return errors.Join(err, errors.New(key.Secret.Reveal()))
		}
		return err
	}))
	add("Errors", "the value in an outage", false, func(_ *rotationtest.Provider, s *rotationtest.VerifierSuite) {
		s.Down = append(s.Down, rotation.VerifierFunc(func(_ context.Context, key rotation.Key) error {
			return errors.New("dial tcp: postgres://app:" + key.Secret.Reveal() + "@127.0.0.1:1/")
		}))
	})
	add("Errors", "of a consumer: the value in use", true, verifies(func(inner verifyFunc, s *rotationtest.VerifierSuite) verifyFunc {
		return func(ctx context.Context, key rotation.Key) error {
			if err := inner(ctx, key); err != nil {
				return fmt.Errorf("it uses %s: %w", s.Live.Secret.Reveal(), err)
			}
			return nil
		}
	}))
	add("Errors", "the error of Observe", true, func(_ *rotationtest.Provider, s *rotationtest.VerifierSuite) {
		down, value := observedGood(s.Down[0], s.Live), s.Live.Secret.Reveal()
		down.observe = func(context.Context) ([]rotation.Instance, error) { return nil, errors.New(value) }
		s.Down = []rotation.Verifier{down}
	})
}

func mutantsOfVerifierObserve(add addVerifier) {
	observes := func(what string, change func(live rotation.Key, seen []rotation.Instance) ([]rotation.Instance, error)) {
		add("Observe", what, true, func(_ *rotationtest.Provider, s *rotationtest.VerifierSuite) {
			s.Live.Serial, s.Live.Generation = 7, 3
			v := observedGood(s.Verifier, s.Live)
			live, inner := s.Live, s.Verifier.(*rotationtest.Consumer)
			v.observe = func(ctx context.Context) ([]rotation.Instance, error) {
				seen, err := inner.Observe(ctx)
				if err != nil {
					return nil, err
				}
				return change(live, seen)
			}
			s.Verifier = v
		})
	}
	first := func(what string, change func(live rotation.Key, i *rotation.Instance)) {
		observes(what, func(live rotation.Key, seen []rotation.Instance) ([]rotation.Instance, error) {
			more := append([]rotation.Instance{}, seen...)
			change(live, &more[0])
			return append(seen, more...), nil
		})
	}
	observes("an error", func(rotation.Key, []rotation.Instance) ([]rotation.Instance, error) { return nil, errDoubt })
	observes("nobody", func(rotation.Key, []rotation.Instance) ([]rotation.Instance, error) { return nil, nil })
	first("no name", func(_ rotation.Key, i *rotation.Instance) { i.Name = "" })
	first("the secret", func(live rotation.Key, i *rotation.Instance) { i.Key.Secret = live.Secret })
	first("no identity", func(_ rotation.Key, i *rotation.Instance) { i.Key = rotation.Key{Name: "payments"} })
	first("another id", func(_ rotation.Key, i *rotation.Instance) { i.Key.ID = "another" })
	first("another serial", func(live rotation.Key, i *rotation.Instance) { i.Key = rotation.Key{Serial: live.Serial + 1} })
	first("another generation", func(live rotation.Key, i *rotation.Instance) { i.Key = rotation.Key{Generation: live.Generation - 1} })
	first("tomorrow", func(_ rotation.Key, i *rotation.Instance) { i.AsOf = time.Now().AddDate(0, 0, 1) })
}

func mutantsOfVerifierAbility(add addVerifier) {
	ability := func(clause, what string, change func(v *observedVerifier, s *rotationtest.VerifierSuite)) {
		add(clause, what, false, func(_ *rotationtest.Provider, s *rotationtest.VerifierSuite) {
			v := observedGood(s.Verifier, s.Live)
			change(&v, s)
			s.Verifier = v
		})
	}
	ability("Identity", "empty", func(v *observedVerifier, _ *rotationtest.VerifierSuite) { v.identity = func() string { return "" } })
	ability("Identity", "another each time", func(v *observedVerifier, _ *rotationtest.VerifierSuite) {
		n := 0
		v.identity = func() string { n++; return fmt.Sprint("page ", n) }
	})
	ability("Identity", "a secret", func(v *observedVerifier, s *rotationtest.VerifierSuite) {
		value := s.Live.Secret.Reveal()
		v.identity = func() string { return "https://app:" + value + "@example.com/" }
	})
	ability("Check", "fails", func(v *observedVerifier, _ *rotationtest.VerifierSuite) { v.check = errors.New("down") })
	ability("Check", "is not valid", func(v *observedVerifier, _ *rotationtest.VerifierSuite) { v.validate = errors.New("URL is required") })
	ability("Check", "fails with a secret", func(v *observedVerifier, s *rotationtest.VerifierSuite) {
		v.check = errors.New("401 for " + s.Live.Secret.Reveal())
	})
}
