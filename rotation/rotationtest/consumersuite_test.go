// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

func TestConsumerSuiteAcceptsWhatIsRight(t *testing.T) {
	live := rotationtest.NewProvider()
	mint := func(context.Context) (rotation.Key, error) { return live.Mint(), nil }
	for name, build := range map[string]func() rotationtest.ConsumerSuite{
		"app": func() rotationtest.ConsumerSuite { return new(app).suite() },
		"fake": func() rotationtest.ConsumerSuite {
			return rotationtest.ConsumerSuite{Consumer: rotationtest.NewConsumer(live), Mint: mint}
		},
		"fake with a truth beside it": func() rotationtest.ConsumerSuite {
			c := rotationtest.NewConsumer(live)
			return rotationtest.ConsumerSuite{Consumer: c, Mint: mint, Uses: func(ctx context.Context) (rotation.Key, error) {
				err := c.Verify(ctx, c.Key())
				return live.Presented(), err
			}}
		},
		"rollouts": func() rotationtest.ConsumerSuite {
			s := rolling(false).suite()
			s.Patience = 2 * time.Minute
			return s
		},
		"lag as it is bound": func() rotationtest.ConsumerSuite {
			s := (&app{lag: time.Hour}).suite()
			s.Lag = time.Hour
			return s
		},
		"lag by word": func() rotationtest.ConsumerSuite {
			a := &app{lag: time.Hour}
			return rotationtest.ConsumerSuite{Consumer: able{Consumer: a, lag: time.Hour}, Uses: a.uses}
		},
		"longer lag as it is bound": func() rotationtest.ConsumerSuite {
			a := &app{lag: time.Minute}
			return rotationtest.ConsumerSuite{Consumer: able{Consumer: a, observe: a.observe, lag: time.Hour}, Lag: time.Minute, Uses: a.uses}
		},
		"late observer": func() rotationtest.ConsumerSuite {
			a := &app{lag: time.Minute}
			return rotationtest.ConsumerSuite{
				Consumer: able{Consumer: a, observe: a.observe, lag: time.Second}, Patience: time.Minute,
			}
		},
		"observer that is held against the truth": func() rotationtest.ConsumerSuite {
			a := &app{lag: time.Minute}
			return rotationtest.ConsumerSuite{Consumer: able{Consumer: a, observe: a.observe, lag: time.Minute}, Uses: a.uses}
		},
		"decorated": func() rotationtest.ConsumerSuite {
			a := &app{}
			return rotationtest.ConsumerSuite{Consumer: wrapped{wrapped{able{Consumer: a, observe: a.observe}}}}
		},
		"reader":                    func() rotationtest.ConsumerSuite { return newReader().suite() },
		"reader that is no canary":  func() rotationtest.ConsumerSuite { r := newReader(); r.canary = false; return r.suite() },
		"reader with its own value": func() rotationtest.ConsumerSuite { s := new(app).suite(); s.Store = rotationtest.NewStore(); return s },
		"person": func() rotationtest.ConsumerSuite {
			a := &app{deploy: func(context.Context, rotation.DeployRequest) error { return rotation.Manual("put it there") }}
			return rotationtest.ConsumerSuite{Consumer: able{Consumer: a, check: func(context.Context) error { return nil }}}
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
	assert.Positive(t, live.Calls("RoundTrip"))
}

func TestConsumerSuiteSendsWhatTheEngineSends(t *testing.T) {
	a, s := &app{}, rotationtest.NewStore()
	var all []rotation.DeployRequest
	a.deploy = func(ctx context.Context, req rotation.DeployRequest) error {
		all = append(all, req)
		return a.obey(ctx, req)
	}
	require.NoError(t, rotationtest.ConsumerSuite{Consumer: a, Uses: a.uses, Store: s, Credential: "payments"}.Check(t.Context()))
	keys, roles, emergencies := map[string]int64{}, map[rotation.Role]bool{}, 0
	for _, req := range all {
		assert.Equal(t, "payments", req.Credential)
		assert.NotEmpty(t, req.Consumer)
		assert.NotEmpty(t, req.Key.Name)
		assert.False(t, req.Key.IssuedAt.IsZero())
		assert.Positive(t, req.Key.Generation)
		if serial, ok := keys[req.ID]; ok {
			assert.Equal(t, serial, req.Key.Serial, "one ID is one key")
		}
		keys[req.ID], roles[req.Role] = req.Key.Serial, true
		if req.Emergency {
			emergencies++
		}
	}
	assert.Equal(t, map[rotation.Role]bool{rotation.RoleCurrent: true, rotation.RolePending: true}, roles)
	assert.Equal(t, 2, emergencies)
	v, err := s.Load(t.Context(), "payments")
	require.NoError(t, err)
	assert.NotEmpty(t, v.Keys)
}

func TestConsumerSuiteValidates(t *testing.T) {
	err := rotationtest.ConsumerSuite{Patience: -1}.Check(t.Context())
	require.ErrorContains(t, err, "ConsumerSuite.Consumer is required")
	require.ErrorContains(t, err, "ConsumerSuite.Uses is required")
	require.ErrorContains(t, err, "ConsumerSuite.Patience")
	require.ErrorContains(t, rotationtest.ConsumerSuite{Lag: -1}.Validate(), "ConsumerSuite.Lag")
	require.NoError(t, rotationtest.ConsumerSuite{Consumer: rotationtest.NewConsumer(rotationtest.NewProvider())}.Validate())
}

func TestConsumerSuiteNamesWhatItsFieldsDidWrong(t *testing.T) {
	bad := errors.New("bad")
	for field, change := range map[string]func(*rotationtest.ConsumerSuite){
		"ConsumerSuite.Uses": func(s *rotationtest.ConsumerSuite) {
			s.Uses = func(context.Context) (rotation.Key, error) { return rotation.Key{}, bad }
		},
		"ConsumerSuite.Restarts": func(s *rotationtest.ConsumerSuite) {
			s.Restarts = func(context.Context) (int, error) { return 0, bad }
		},
		"ConsumerSuite.Store": func(s *rotationtest.ConsumerSuite) {
			store := rotationtest.NewStore()
			store.Inject(rotationtest.Fault{Op: "Save", Err: bad})
			s.Store = store
		},
		"ConsumerSuite.Mint": func(s *rotationtest.ConsumerSuite) {
			s.Mint = func(context.Context) (rotation.Key, error) { return rotation.Key{}, bad }
		},
		"ConsumerSuite.Mint returned a key without a value": func(s *rotationtest.ConsumerSuite) {
			s.Mint = func(context.Context) (rotation.Key, error) { return rotation.Key{ID: "a"}, nil }
		},
	} {
		s := new(app).suite()
		change(&s)
		require.ErrorContains(t, s.Check(t.Context()), field)
	}
}

func TestConsumerSuiteStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, start := (&app{lag: 48 * time.Hour}).suite(), time.Now()
		s.Lag = 40 * time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, s.Check(ctx), context.DeadlineExceeded)
		assert.Equal(t, time.Minute, time.Since(start))
	})
}

// Whatever a consumer says, the suite's own error has no value in it.
func TestConsumerSuiteRepeatsNoSecret(t *testing.T) {
	var values []secret.Value
	a := &app{}
	a.deploy = func(_ context.Context, req rotation.DeployRequest) error {
		values = append(values, req.Key.Secret)
		return fmt.Errorf("cannot write %q", req.Key.Secret.Reveal())
	}
	err := a.suite().Check(t.Context())
	requireClause(t, err, "C1")
	require.ErrorContains(t, err, "withheld")
	require.NotEmpty(t, values)
	for _, v := range values {
		assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), v.Reveal())
	}

	a.deploy = nil
	loud := able{Consumer: a, observe: func(context.Context) ([]rotation.Instance, error) {
		return []rotation.Instance{{Name: "of " + a.key.Secret.Reveal(), Key: rotation.Key{ID: a.key.Secret.Reveal()}}}, nil
	}}
	err = rotationtest.ConsumerSuite{Consumer: loud}.Check(t.Context())
	requireClause(t, err, "C1")
	require.ErrorContains(t, err, "withheld")
	require.NotContains(t, err.Error(), "hs/", "what the values begin with")
}

func TestConsumerSuiteRejectsMutants(t *testing.T) {
	tested := map[string]bool{}
	for name, m := range consumerMutants() {
		tested[m.clause] = true
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { requireClause(t, m.build().Check(t.Context()), m.clause) })
		})
	}
	for _, clause := range (rotationtest.ConsumerSuite{}).Clauses() {
		assert.True(t, tested[clause], "no mutant for %s", clause)
	}
}
