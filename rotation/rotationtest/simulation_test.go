// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// The fakes themselves are simulated by package rotation's own tests.

func simulatedIssuer(build func(*rotationtest.Provider) (rotation.Issuer, rotation.Verifier)) rotationtest.Simulation {
	return rotationtest.Simulation{Issuer: func(context.Context, *rotationtest.World) (rotation.Issuer, rotation.Verifier, error) {
		i, v := build(rotationtest.NewProvider())
		return i, v, nil
	}}
}

func simulatedStore(change func(ctx context.Context, s *rotationtest.Store, name string, v *rotation.Versions) (skip bool)) rotationtest.Simulation {
	return rotationtest.Simulation{Store: func(context.Context, *rotationtest.World) (rotation.SecretStore, error) {
		return &changedStore{Store: rotationtest.NewStore(), change: change}, nil
	}}
}

func simulatedJournal(save func(ctx context.Context, j *rotationtest.Journal, e rotation.Entry) error) rotationtest.Simulation {
	return rotationtest.Simulation{Journal: func(context.Context, *rotationtest.World) (rotation.Journal, error) {
		return changedJournal{rotationtest.NewJournal(), save}, nil
	}}
}

type changedStore struct {
	*rotationtest.Store
	saves  int
	change func(ctx context.Context, s *rotationtest.Store, name string, v *rotation.Versions) (skip bool)
}

func (s *changedStore) Save(ctx context.Context, name string, v rotation.Versions) error {
	if s.saves++; s.saves > 1 && s.change(ctx, s.Store, name, &v) { // not the first key
		return nil
	}
	return s.Store.Save(ctx, name, v)
}

type changedJournal struct {
	*rotationtest.Journal
	save func(ctx context.Context, j *rotationtest.Journal, e rotation.Entry) error
}

func (j changedJournal) Save(ctx context.Context, e rotation.Entry) error {
	return j.save(ctx, j.Journal, e)
}

// without hides everything that a provider can do beside issuing and revoking.
type without struct{ rotation.Issuer }

func (without) Describe() rotation.Traits { return rotation.Traits{Propagation: -1, ListLag: -1} }

// own is a service that keeps its key in a field.
type own struct {
	provider *rotationtest.Provider
	mu       sync.Mutex
	key      rotation.Key
}

func (s *own) Deploy(_ context.Context, req rotation.DeployRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = req.Key
	return nil
}

func (s *own) uses(ctx context.Context) (rotation.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key, s.provider.Verify(ctx, s.key)
}

func (s *own) simulated(c rotation.Consumer) rotationtest.Presenter {
	return rotationtest.Presenter{Consumer: c, Uses: s.uses}
}

func simulatedConsumer(build func(s *own) rotationtest.Presenter) rotationtest.Simulation {
	return rotationtest.Simulation{Consumer: func(_ context.Context, w *rotationtest.World) (rotationtest.Presenter, error) {
		return build(&own{provider: w.Provider, key: w.Key}), nil
	}}
}

func behaving(traits rotation.Traits) rotationtest.Simulation {
	return simulatedIssuer(func(p *rotationtest.Provider) (rotation.Issuer, rotation.Verifier) {
		traits.Propagation, traits.ListLag = -1, -1
		p.Traits = traits
		return p, p
	})
}

// blindly is simulatedConsumer where the provider tells nothing of its keys.
func blindly(build func(s *own) rotationtest.Presenter) rotationtest.Simulation {
	var p *rotationtest.Provider
	return rotationtest.Simulation{
		Issuer: func(context.Context, *rotationtest.World) (rotation.Issuer, rotation.Verifier, error) {
			p = rotationtest.NewProvider()
			return without{p}, p, nil
		},
		Consumer: func(_ context.Context, w *rotationtest.World) (rotationtest.Presenter, error) {
			return build(&own{provider: p, key: w.Key}), nil
		},
	}
}

func TestSimulateAcceptsWhatIsRight(t *testing.T) {
	for name, s := range map[string]rotationtest.Simulation{
		"issuer that cannot list": simulatedIssuer(func(p *rotationtest.Provider) (rotation.Issuer, rotation.Verifier) {
			return without{p}, p
		}),
		"slow provider": simulatedIssuer(func(p *rotationtest.Provider) (rotation.Issuer, rotation.Verifier) {
			p.Traits.Propagation, p.Traits.ListLag, p.Propagate = 40*time.Second, 10*time.Second, 30*time.Second
			return p, p
		}),
		"provider with two slots":        behaving(rotation.Traits{MaxKeys: 2}),
		"provider that ends the old key": behaving(rotation.Traits{KillsOld: true}),
		"provider that ends the old key, with chosen values": simulatedIssuer(func(p *rotationtest.Provider) (rotation.Issuer, rotation.Verifier) {
			p.Traits = rotation.Traits{KillsOld: true, Propagation: -1, ListLag: -1}
			return chooser{issuer: issuer{Provider: p}}, p
		}),
		"provider that ends the old key later": behaving(rotation.Traits{Grace: time.Hour}),
		"provider that needs no key":           behaving(rotation.Traits{Independent: true}),
		"issuer that can only succeed a key": func() rotationtest.Simulation {
			var p *rotationtest.Provider
			s := simulatedIssuer(func(made *rotationtest.Provider) (rotation.Issuer, rotation.Verifier) {
				p = made
				return successor(p), p
			})
			s.Current = func(context.Context, *rotationtest.World) (rotation.Key, error) { return p.Mint(), nil }
			return s
		}(),
		"consumer that nobody can see": simulatedConsumer(func(s *own) rotationtest.Presenter { return s.simulated(s) }),
	} {
		t.Run(name, func(t *testing.T) {
			s.Sample = 12
			rotationtest.Simulate(t, s)
		})
	}
}

// A value that is chosen here may be under way anywhere when a process dies: before it was stored, before the provider had it.
func TestSimulateAcceptsAChooser(t *testing.T) {
	for name, s := range map[string]rotationtest.Simulation{
		"of new keys": simulatedIssuer(func(p *rotationtest.Provider) (rotation.Issuer, rotation.Verifier) {
			return chooser{issuer: issuer{Provider: p}}, p
		}),
		"of two users": simulatedIssuer(func(*rotationtest.Provider) (rotation.Issuer, rotation.Verifier) {
			u := &users{passwords: map[string]password{}}
			return u, u
		}),
		"of two users, with no list": simulatedIssuer(func(*rotationtest.Provider) (rotation.Issuer, rotation.Verifier) {
			u := &users{passwords: map[string]password{}}
			return struct {
				rotation.Issuer
				rotation.Chooser
				rotation.Describer
			}{u, u, u}, u
		}),
	} {
		t.Run(name, func(t *testing.T) { rotationtest.Simulate(t, s) })
	}
}

// A call that was given up can have its effect later: the engine waits for it, and so does what looks on.
func TestSimulateAcceptsALateAnswer(t *testing.T) {
	late := func(p *rotationtest.Provider) issuer {
		var n atomic.Int64
		return issuer{Provider: p, issue: func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
			if n.Add(1) == 2 { // the first one makes the key to begin with
				time.Sleep(14 * time.Second)
				ctx = context.WithoutCancel(ctx)
			}
			return p.Issue(ctx, req)
		}}
	}
	quick := rotation.Traits{Propagation: -1, ListLag: -1}
	for name, s := range map[string]rotationtest.Simulation{
		"of Issue": simulatedIssuer(func(p *rotationtest.Provider) (rotation.Issuer, rotation.Verifier) {
			p.Traits = quick
			return late(p), p
		}),
		"of Issue with a chosen value": simulatedIssuer(func(p *rotationtest.Provider) (rotation.Issuer, rotation.Verifier) {
			p.Traits = quick
			return chooser{issuer: late(p)}, p
		}),
		"of Issue that ends the old key": simulatedIssuer(func(p *rotationtest.Provider) (rotation.Issuer, rotation.Verifier) {
			p.Traits = quick
			p.Traits.KillsOld = true
			return late(p), p
		}),
		"of Save": {Store: func(context.Context, *rotationtest.World) (rotation.SecretStore, error) {
			return &lateStore{Store: rotationtest.NewStore()}, nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s.Sample = 40
			rotationtest.Simulate(t, s)
		})
	}
}

// lateStore makes one write in eight after its caller has gone, and answers another one then.
type lateStore struct {
	*rotationtest.Store
	saves atomic.Int64
}

func (s *lateStore) Save(ctx context.Context, name string, v rotation.Versions) error {
	switch s.saves.Add(1) % 8 {
	case 3:
		time.Sleep(12 * time.Second)
		return s.Store.Save(context.WithoutCancel(ctx), name, v)
	case 7:
		defer time.Sleep(12 * time.Second)
	}
	return s.Store.Save(ctx, name, v)
}

func TestSimulateRealClock(t *testing.T) {
	s := simulatedIssuer(func(p *rotationtest.Provider) (rotation.Issuer, rotation.Verifier) { return p, p })
	s.RealClock, s.Sample = true, 4
	rotationtest.Simulate(t, s)
}

// What goes wrong only after a lost answer is found by the smallest sample.
func TestSimulateSampleHasTheLostAnswer(t *testing.T) {
	s := simulatedIssuer(func(p *rotationtest.Provider) (rotation.Issuer, rotation.Verifier) {
		return issuer{Provider: p, issue: func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
			req.Name = "key of " + req.Credential
			return p.Issue(ctx, req)
		}}, p
	})
	s.Sample = 1
	found := s.Violations(t)
	require.NotEmpty(t, found)
	require.ErrorContains(t, found[0], "Issue")
	require.NotContains(t, found[0].Error(), "no fault")
}

// After a lost answer such a provider is left to people.
func TestSimulateLeavesOut(t *testing.T) {
	require.Empty(t, behaving(rotation.Traits{NoReplay: true}).Violations(t))
}

func TestSimulateValidates(t *testing.T) {
	require.NoError(t, rotationtest.Simulation{}.Validate())
	for want, s := range map[string]rotationtest.Simulation{
		"Current belongs to an Issuer":           {Current: func(context.Context, *rotationtest.World) (rotation.Key, error) { return rotation.Key{}, nil }},
		"Patience and Sample cannot be negative": {RealClock: true, Patience: -1},
		"need RealClock":                         {CallTimeout: time.Second},
	} {
		require.ErrorContains(t, s.Validate(), "rotationtest: Simulation.")
		require.ErrorContains(t, s.Validate(), want)
	}
}

func TestSimulateSaysWhatCannotBe(t *testing.T) {
	for want, s := range map[string]rotationtest.Simulation{
		"Simulation.Issuer returned nil": simulatedIssuer(func(*rotationtest.Provider) (rotation.Issuer, rotation.Verifier) { return nil, nil }),
		"returned no Verifier":           simulatedIssuer(func(p *rotationtest.Provider) (rotation.Issuer, rotation.Verifier) { return without{p}, nil }),
		"Simulation.Store: no disk": {Store: func(context.Context, *rotationtest.World) (rotation.SecretStore, error) {
			return nil, errors.New("no disk")
		}},
		"Simulation.Journal returned nil": {Journal: func(context.Context, *rotationtest.World) (rotation.Journal, error) { return nil, nil }},
		"without Uses":                    simulatedConsumer(func(s *own) rotationtest.Presenter { return rotationtest.Presenter{Consumer: s} }),
		"without a Consumer":              simulatedConsumer(func(*own) rotationtest.Presenter { return rotationtest.Presenter{} }),
		"Simulation.Issuer returned an Activator": simulatedIssuer(func(*rotationtest.Provider) (rotation.Issuer, rotation.Verifier) {
			return rotationtest.NewSender(rotationtest.NewReceiver()), nil
		}),
		"Simulation.Consumer returned a UsageReporter": simulatedConsumer(func(*own) rotationtest.Presenter {
			return rotationtest.Presenter{Consumer: rotationtest.NewReceiver()}
		}),
		"panic with a string": simulatedConsumer(func(*own) rotationtest.Presenter { panic("no") }),
	} {
		t.Run(want, func(t *testing.T) {
			found := s.Violations(t)
			require.Len(t, found, 1)
			require.ErrorContains(t, found[0], "This cannot be simulated: ")
			require.ErrorContains(t, found[0], want)
		})
	}
}

func TestSimulateRejectsMutants(t *testing.T) {
	if testing.Short() {
		t.Skip("a sample does not catch all of them")
	}
	type mutant struct {
		sim  rotationtest.Simulation
		want []string // laws, one of which is named first
	}
	const (
		refused = "No presenter ever holds a key that the accepting side refuses"
		ends    = "Every rotation ends as it should, without a person"
		alone   = "At the end exactly the current key is alive"
		stored  = "A store returns what it said it saved"
		journal = "A journal returns what it said it saved"
		stale   = "A change of what has changed since is refused"
		uses    = "At the end every consumer uses the current key"
		silent  = "No secret is in a status"
	)
	issuerMutant := func(i func(*rotationtest.Provider) issuer) rotationtest.Simulation {
		return simulatedIssuer(func(p *rotationtest.Provider) (rotation.Issuer, rotation.Verifier) { return i(p), p })
	}
	for name, m := range map[string]mutant{
		"issuer: revokes all keys": {issuerMutant(func(p *rotationtest.Provider) issuer {
			return issuer{Provider: p, revoke: func(ctx context.Context, _ rotation.Key) error {
				for _, id := range p.Live() {
					_ = p.Revoke(ctx, rotation.Key{ID: id})
				}
				return nil
			}}
		}), []string{refused}},
		"issuer: revokes the wrong key": {issuerMutant(func(p *rotationtest.Provider) issuer {
			return issuer{Provider: p, revoke: func(ctx context.Context, key rotation.Key) error {
				for _, id := range p.Live() {
					if id != key.ID {
						return p.Revoke(ctx, rotation.Key{ID: id})
					}
				}
				return p.Revoke(ctx, key)
			}}
		}), []string{refused}},
		"issuer: revokes nothing": {issuerMutant(func(p *rotationtest.Provider) issuer {
			return issuer{Provider: p, revoke: func(context.Context, rotation.Key) error { return nil }}
		}), []string{ends}},
		"issuer: ErrNotIssued after minting": {issuerMutant(func(p *rotationtest.Provider) issuer {
			n := 0
			return issuer{Provider: p, issue: func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
				key, err := p.Issue(ctx, req)
				if n++; n == 2 && err == nil {
					return rotation.Key{}, rotation.ErrNotIssued
				}
				return key, err
			}}
		}), []string{alone}},
		"issuer: ends the old key": {issuerMutant(func(p *rotationtest.Provider) issuer {
			return issuer{Provider: p, issue: func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
				_ = p.Revoke(ctx, req.Current)
				return p.Issue(ctx, req)
			}}
		}), []string{refused}},
		"issuer: names nothing": {issuerMutant(func(p *rotationtest.Provider) issuer {
			return issuer{Provider: p, list: func([]rotation.KeyInfo) []rotation.KeyInfo { return nil }}
		}), []string{ends, alone}},
		"store: loses the old value": {simulatedStore(func(_ context.Context, _ *rotationtest.Store, _ string, v *rotation.Versions) bool {
			v.Keys = v.Keys[len(v.Keys)-1:]
			return false
		}), []string{stored}},
		"store: writes nothing": {simulatedStore(func(context.Context, *rotationtest.Store, string, *rotation.Versions) bool { return true }), []string{stored}},
		"store: ignores revisions": {simulatedStore(func(ctx context.Context, s *rotationtest.Store, name string, v *rotation.Versions) bool {
			now, _ := s.Load(ctx, name)
			v.Revision = now.Revision
			return false
		}), []string{stale}},
		"journal: ignores revisions": {simulatedJournal(func(ctx context.Context, j *rotationtest.Journal, e rotation.Entry) error {
			now, _ := j.Load(ctx, e.Credential)
			e.Revision = now.Revision
			return j.Save(ctx, e)
		}), []string{stale}},
		"journal: forgets": {func() rotationtest.Simulation {
			return rotationtest.Simulation{Journal: func(context.Context, *rotationtest.World) (rotation.Journal, error) {
				return &forgetfulJournal{Journal: rotationtest.NewJournal()}, nil
			}}
		}(), []string{journal}},
		"journal: writes nothing": {simulatedJournal(func(_ context.Context, j *rotationtest.Journal, e rotation.Entry) error {
			if strings.HasPrefix(e.Credential, "handover/") {
				return j.Save(context.Background(), e)
			}
			return nil
		}), []string{journal}},
		"consumer: does nothing": {simulatedConsumer(func(s *own) rotationtest.Presenter {
			return s.simulated(rotation.ConsumerFunc(func(context.Context, rotation.DeployRequest) error { return nil }))
		}), []string{refused, ends}},
		"consumer: observes what is not": {simulatedConsumer(func(s *own) rotationtest.Presenter {
			return s.simulated(&boaster{})
		}), []string{ends}}, // the provider sees the old key used
		"consumer: observes what is not, and nobody else sees it": {blindly(func(s *own) rotationtest.Presenter {
			return s.simulated(&boaster{})
		}), []string{refused}},
		"consumer: obeys no older key": {simulatedConsumer(func(s *own) rotationtest.Presenter {
			return s.simulated(&progressive{own: s})
		}), []string{refused, ends}},
		"consumer: tells its key": {simulatedConsumer(func(s *own) rotationtest.Presenter {
			return s.simulated(rotation.ConsumerFunc(func(ctx context.Context, req rotation.DeployRequest) error {
				if req.Key.Generation > 1 && s.key.Generation == 1 {
					_ = s.Deploy(ctx, req)
					return rotation.Manual("restart with " + req.Key.Secret.Reveal())
				}
				return s.Deploy(ctx, req)
			}))
		}), []string{silent}},
	} {
		t.Run(name, func(t *testing.T) {
			found := m.sim.Violations(t)
			require.NotEmpty(t, found)
			text := found[0].Error()
			t.Log(text)
			_, first, _ := strings.Cut(text, "\n  ")
			first, _, _ = strings.Cut(first, "\n")
			named := false
			for _, want := range m.want {
				named = named || strings.HasPrefix(first, want)
			}
			assert.True(t, named, first)
			assert.NotContains(t, text, "rt_", "a value")
		})
	}
}

// forgetfulJournal loses an entry now and then.
type forgetfulJournal struct {
	*rotationtest.Journal
	loads int
}

func (j *forgetfulJournal) Load(ctx context.Context, name string) (rotation.Entry, error) {
	if j.loads++; j.loads%7 == 0 && !strings.HasPrefix(name, "handover/") {
		return rotation.Entry{}, ctx.Err()
	}
	return j.Journal.Load(ctx, name)
}

// boaster says that it uses whatever it was given.
type boaster struct{ key rotation.Key }

func (b *boaster) Deploy(_ context.Context, req rotation.DeployRequest) error {
	b.key = req.Key
	return nil
}

func (b *boaster) Observe(context.Context) ([]rotation.Instance, error) {
	return []rotation.Instance{{Name: "boaster", Key: rotation.Key{Serial: b.key.Serial, ID: b.key.ID}}}, nil
}

// progressive takes no key that is older than its own.
type progressive struct{ own *own }

func (p *progressive) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	if p.own.key.Generation > req.Key.Generation {
		return nil
	}
	return p.own.Deploy(ctx, req)
}

// The service of the examples, with calls from one goroutine at a time.
func TestSimulateService(t *testing.T) {
	rotationtest.Simulate(t, rotationtest.Simulation{
		Sample: 12,
		Consumer: func(_ context.Context, w *rotationtest.World) (rotationtest.Presenter, error) {
			var mu sync.Mutex
			s := &service{client: http.Client{Transport: w.Provider}}
			deploy := rotation.ConsumerFunc(func(ctx context.Context, req rotation.DeployRequest) error {
				mu.Lock()
				defer mu.Unlock()
				return s.Deploy(ctx, req)
			})
			return rotationtest.Presenter{Consumer: deploy, Uses: func(ctx context.Context) (rotation.Key, error) {
				mu.Lock()
				defer mu.Unlock()
				err := s.Pay(ctx)
				return w.Provider.Presented(), err
			}}, nil
		},
	})
}
