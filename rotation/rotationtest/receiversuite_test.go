// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

func TestReceiverSuiteAcceptsWhatIsRight(t *testing.T) {
	for name, build := range map[string]func() rotationtest.ReceiverSuite{
		"fake": func() rotationtest.ReceiverSuite {
			return rotationtest.ReceiverSuite{Consumer: rotationtest.NewReceiver()}
		},
		"fake with deliveries": func() rotationtest.ReceiverSuite {
			r := rotationtest.NewReceiver()
			return rotationtest.ReceiverSuite{Consumer: r, Deliver: func(ctx context.Context, key rotation.Key) error {
				return r.Receive(ctx, key.Secret)
			}}
		},
		"inbox": func() rotationtest.ReceiverSuite { return newInbox().suite() },
		"lag as it is bound": func() rotationtest.ReceiverSuite {
			b := newInbox()
			b.lag = time.Minute
			return b.suite()
		},
		"lag by word": func() rotationtest.ReceiverSuite {
			b := newInbox()
			b.lag = time.Minute
			return rotationtest.ReceiverSuite{Consumer: readyInbox{inbox: b, name: "inbox", promises: time.Minute}, Deliver: b.receive}
		},
		"lag, and what tells is later": func() rotationtest.ReceiverSuite {
			b, late := newInbox(), newInbox()
			b.lag, late.lag = time.Minute, 2*time.Minute
			late.usage = b.Usage
			b.deploy = func(ctx context.Context, req rotation.DeployRequest) error {
				return errors.Join(late.obey(ctx, req), b.obey(ctx, req))
			}
			return rotationtest.ReceiverSuite{Consumer: b.mute(), Verifier: late, Deliver: b.receive, Lag: time.Minute, Patience: 2 * time.Minute}
		},
		"rollouts": func() rotationtest.ReceiverSuite {
			s := slow(false).suite()
			s.Patience = 2 * time.Minute
			return s
		},
		"Verifier beside it": func() rotationtest.ReceiverSuite {
			b := newInbox()
			return rotationtest.ReceiverSuite{Consumer: b.mute(), Verifier: b}
		},
		"nothing but deliveries": func() rotationtest.ReceiverSuite {
			b := newInbox()
			return rotationtest.ReceiverSuite{Consumer: b.mute(), Deliver: b.receive}
		},
		"nothing but a Verifier": func() rotationtest.ReceiverSuite {
			b := newInbox()
			return rotationtest.ReceiverSuite{Consumer: b.mute(), Verifier: rotation.VerifierFunc(b.Verify)}
		},
		"abilities that are not there": func() rotationtest.ReceiverSuite {
			b := newInbox()
			return rotationtest.ReceiverSuite{Consumer: cannot{b}, Deliver: b.receive}
		},
		"nothing tells": func() rotationtest.ReceiverSuite { return rotationtest.ReceiverSuite{Consumer: newInbox().mute()} },
		"decorated": func() rotationtest.ReceiverSuite {
			b := newInbox()
			return rotationtest.ReceiverSuite{Consumer: wrapped{wrapped{b}}, Deliver: b.receive}
		},
		"ready": func() rotationtest.ReceiverSuite {
			b := newInbox()
			return rotationtest.ReceiverSuite{Consumer: readyInbox{inbox: b, name: "inbox"}, Deliver: b.receive}
		},
		"follows the store": func() rotationtest.ReceiverSuite { return newFollower().suite() },
		"gets a store and does not need it": func() rotationtest.ReceiverSuite {
			s := newInbox().suite()
			s.Store = rotationtest.NewStore()
			return s
		},
		"an id for each, and nothing else is seen": func() rotationtest.ReceiverSuite {
			b, p := newInbox(), rotationtest.NewProvider()
			b.observe = func(context.Context) ([]rotation.Instance, error) {
				instances := instancesOf(b.accepts())
				for i := range instances {
					instances[i].Key.Serial = 0
				}
				return instances, nil
			}
			s := b.suite()
			s.Mint = func(context.Context) (rotation.Key, error) { return p.Mint(), nil }
			return s
		},
		"a counter that begins anew and says so": func() rotationtest.ReceiverSuite {
			b := newInbox()
			b.deploy = func(ctx context.Context, req rotation.DeployRequest) error {
				clear(b.matched)
				b.since = time.Now()
				return b.obey(ctx, req)
			}
			return b.suite()
		},
		"person": func() rotationtest.ReceiverSuite {
			b := newInbox()
			b.deploy = func(context.Context, rotation.DeployRequest) error { return rotation.Manual("put it there") }
			return rotationtest.ReceiverSuite{Consumer: readyInbox{inbox: b, name: "inbox"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := build()
				for range 2 {
					require.NoError(t, s.Check(t.Context()), "it can be repeated")
				}
			})
		})
	}
}

func TestReceiverSuiteSendsWhatTheEngineSends(t *testing.T) {
	b, s := newInbox(), rotationtest.NewStore()
	var all []rotation.DeployRequest
	b.deploy = func(ctx context.Context, req rotation.DeployRequest) error {
		all = append(all, req)
		return b.obey(ctx, req)
	}
	require.NoError(t, rotationtest.ReceiverSuite{Consumer: b, Store: s, Credential: "hooks"}.Check(t.Context()))
	sets, roles, none, emergencies := map[string]string{}, map[rotation.Role]bool{}, 0, 0
	for _, req := range all {
		assert.Equal(t, "hooks", req.Credential)
		assert.NotEmpty(t, req.Consumer)
		label := ""
		for i, k := range req.Accept {
			label += fmt.Sprint(k.Serial, " ")
			assert.NotEmpty(t, k.Name)
			assert.False(t, k.IssuedAt.IsZero())
			assert.Positive(t, k.Generation)
			if i > 0 {
				assert.Less(t, k.Serial, req.Accept[i-1].Serial, "newest first")
			}
		}
		if len(req.Accept) == 0 {
			none++
			assert.True(t, req.Key.IsZero(), "there is no key to use")
		}
		if set, ok := sets[req.ID]; ok && !strings.HasSuffix(req.ID, "/none") {
			assert.Equal(t, set, label, "one ID is one set")
		}
		sets[req.ID], roles[req.Role] = label, true
		if req.Emergency {
			emergencies++
		}
	}
	assert.Equal(t, map[rotation.Role]bool{rotation.RoleCurrent: true, rotation.RolePending: true}, roles)
	assert.Positive(t, none)
	assert.Equal(t, 3, emergencies)
}

func TestReceiverSuiteValidates(t *testing.T) {
	err := rotationtest.ReceiverSuite{Patience: -1}.Check(t.Context())
	require.ErrorContains(t, err, "ReceiverSuite.Consumer is required")
	require.ErrorContains(t, err, "ReceiverSuite.Patience")
	require.ErrorContains(t, rotationtest.ReceiverSuite{Lag: -1}.Validate(), "ReceiverSuite.Lag")
	require.NoError(t, rotationtest.ReceiverSuite{Consumer: rotationtest.NewReceiver()}.Validate())
}

func TestReceiverSuiteNamesWhatItsFieldsDidWrong(t *testing.T) {
	bad := errors.New("bad")
	for want, change := range map[string]func(*rotationtest.ReceiverSuite){
		"is not known to be refused (ErrRejected): bad": func(s *rotationtest.ReceiverSuite) {
			deliver := s.Deliver
			s.Deliver = func(ctx context.Context, key rotation.Key) error {
				if deliver(ctx, key) != nil {
					return bad
				}
				return nil
			}
		},
		"ReceiverSuite.Store": func(s *rotationtest.ReceiverSuite) {
			store := rotationtest.NewStore()
			store.Inject(rotationtest.Fault{Op: "Save", Err: bad})
			s.Store = store
		},
		"ReceiverSuite.Mint": func(s *rotationtest.ReceiverSuite) {
			s.Mint = func(context.Context) (rotation.Key, error) { return rotation.Key{}, bad }
		},
		"ReceiverSuite.Mint returned a key without a value": func(s *rotationtest.ReceiverSuite) {
			s.Mint = func(context.Context) (rotation.Key, error) { return rotation.Key{ID: "a"}, nil }
		},
		"ReceiverSuite.Mint returned the same value twice": func(s *rotationtest.ReceiverSuite) {
			value := secret.Random(16)
			s.Mint = func(context.Context) (rotation.Key, error) { return rotation.Key{ID: "a", Secret: value}, nil }
		},
	} {
		s := newInbox().suite()
		change(&s)
		require.ErrorContains(t, s.Check(t.Context()), want)
	}
}

func TestReceiverSuiteStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, start := newInbox(), time.Now()
		b.lag = 48 * time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, b.suite().Check(ctx), context.DeadlineExceeded)
		assert.Equal(t, time.Minute, time.Since(start))
	})
}

// Whatever a receiver says, the suite's own error has no value in it.
func TestReceiverSuiteRepeatsNoSecret(t *testing.T) {
	var values []secret.Value
	for what, change := range map[string]func(*inbox, *rotationtest.ReceiverSuite){
		"Deploy": func(b *inbox, _ *rotationtest.ReceiverSuite) {
			b.deploy = func(_ context.Context, req rotation.DeployRequest) error {
				for _, k := range req.Accept {
					values = append(values, k.Secret)
					return fmt.Errorf("cannot write %q", k.Secret.Reveal())
				}
				return errRefused
			}
		},
		"Verify": func(b *inbox, _ *rotationtest.ReceiverSuite) {
			b.verify = func(_ context.Context, key rotation.Key) error {
				values = append(values, key.Secret)
				return errors.New("no signature by " + key.Secret.Reveal())
			}
		},
		"Observe": func(b *inbox, _ *rotationtest.ReceiverSuite) {
			b.observe = func(context.Context) ([]rotation.Instance, error) {
				value := b.accepts()[0].Secret
				values = append(values, value)
				return []rotation.Instance{{Name: "of " + value.Reveal(), Key: rotation.Key{ID: value.Reveal()}}}, nil
			}
		},
		"Deliver": func(_ *inbox, s *rotationtest.ReceiverSuite) {
			s.Deliver = func(_ context.Context, key rotation.Key) error {
				values = append(values, key.Secret)
				return errors.New("401 for " + key.Secret.Reveal())
			}
		},
	} {
		b := newInbox()
		s := b.suite()
		change(b, &s)
		err := s.Check(t.Context())
		requireClause(t, err, "C1")
		require.ErrorContains(t, err, "withheld", what)
		require.NotEmpty(t, values)
		for _, v := range values {
			if !v.IsZero() {
				assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), v.Reveal(), what)
			}
		}
	}
}

func TestReceiverSuiteRejectsMutants(t *testing.T) {
	tested := map[string]bool{}
	for name, m := range receiverMutants() {
		tested[m.clause] = true
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { requireClause(t, m.build().Check(t.Context()), m.clause) })
		})
	}
	for _, clause := range (rotationtest.ReceiverSuite{}).Clauses() {
		assert.True(t, tested[clause], "no mutant for %s", clause)
	}
}

// Each mistake is found with as little as can be seen, too: by a Verifier alone, or an Observer alone, or deliveries alone.
func TestReceiverSuiteNeedsOneWitness(t *testing.T) {
	for name, witness := range map[string]func(*inbox) rotationtest.ReceiverSuite{
		"deliveries": func(b *inbox) rotationtest.ReceiverSuite {
			return rotationtest.ReceiverSuite{Consumer: b.mute(), Deliver: b.receive}
		},
		"Verifier": func(b *inbox) rotationtest.ReceiverSuite {
			return rotationtest.ReceiverSuite{Consumer: b.mute(), Verifier: rotation.VerifierFunc(b.Verify)}
		},
		"Observer": func(b *inbox) rotationtest.ReceiverSuite {
			b.verify = func(context.Context, rotation.Key) error { return errors.ErrUnsupported }
			return rotationtest.ReceiverSuite{Consumer: b.mute(), Verifier: b}
		},
	} {
		for what, m := range mutantsOfSets() {
			if what == "cuts the values" && name == "Observer" {
				continue // it shows identities
			}
			t.Run(what+", "+name, func(t *testing.T) {
				b := newInbox()
				b.deploy = m.deploy(b)
				requireClause(t, witness(b).Check(t.Context()), m.clause)
			})
		}
	}
}
