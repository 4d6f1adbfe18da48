// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// post is a world with a webhook: a sender at work, and receivers.
type post struct {
	*world
	sender    *rotationtest.Sender
	receivers []*rotationtest.Receiver

	mu      sync.Mutex
	refused []string // guarded by mu: genuine deliveries
}

// newPost is a webhook with n receivers, short windows, and deliveries at odd intervals.
func newPost(t *testing.T, n int, change ...func(*post)) *post {
	p := &post{world: newWorld(t, 0)}
	for i := range n {
		r := rotationtest.NewReceiver(p.seeded)
		p.receivers = append(p.receivers, r)
		p.cred.Consumers = append(p.cred.Consumers, rotation.Binding{Name: fmt.Sprint("r", i), Consumer: r})
	}
	p.sender = rotationtest.NewSender(p.receivers...)
	require.NoError(t, p.sender.Activate(t.Context(), p.seeded))
	p.cred.Type, p.cred.Issuer = rotation.WebhookSecret, p.sender
	p.cred.Policy.Overlap, p.cred.Policy.Quiet = time.Hour, time.Hour
	for _, f := range change {
		f(p)
	}
	go p.deliveries()
	return p
}

func (p *post) deliveries() {
	tick := time.NewTicker(oddly)
	defer tick.Stop()
	for {
		select {
		case <-p.t.Context().Done():
			return
		case <-tick.C:
		}
		for _, err := range []error{p.sender.Deliver(context.Background()), p.sender.Repeat(context.Background())} {
			if errors.Is(err, rotation.ErrRejected) {
				p.mu.Lock()
				p.refused = append(p.refused, fmt.Sprintf("%s: %s: %v", time.Now().UTC().Format(time.TimeOnly), p.sender.Signing(), err))
				p.mu.Unlock()
			}
		}
	}
}

// losses are the genuine deliveries that were refused so far.
func (p *post) losses() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.refused...)
}

// accept checks which generations each receiver accepts.
func (p *post) accept(generations ...int) {
	p.t.Helper()
	for i, r := range p.receivers {
		var held []int
		for _, k := range r.Accepts() {
			held = append(held, k.Generation)
		}
		require.Equal(p.t, generations, held, "r%d", i)
	}
}

// A webhook's secret is replaced, and nobody notices: every receiver accepts the new one before the sender uses it, and forgets
// the old one when no delivery has needed it for the whole window.
func TestWebhookStandard(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 3)
		r := p.rotator()
		p.rotate(r)
		st := p.ends(r)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
		require.Empty(t, p.losses(), "%s", st.Last)
		p.accept(2)
		require.Equal(t, 2, p.sender.Signing().Generation)
		require.True(t, p.current().Secret.Equal(p.sender.Signing().Secret))
		require.Len(t, p.versions().Keys, 1)
		require.Equal(t, 2, p.sender.Calls("Activate"), "by the owner, and by the rotation")
		require.GreaterOrEqual(t, st.Last.EndedAt.Sub(st.Last.BeganAt), time.Hour)
		for _, c := range st.Last.Consumers {
			require.NotZero(t, c.VerifiedAt, "%+v", c)
		}
		t.Log(st.Last)
	})
}

// ends drives until the rotation has ended, for at most three days.
func (p *post) ends(r *rotation.Rotator) rotation.Status {
	p.t.Helper()
	return p.within(r, 3*24*time.Hour)
}

// fine checks what holds after every rotation that has ended: no genuine delivery was lost, the sender signs with the current
// secret, and the receivers accept that and nothing else.
func (p *post) fine(st rotation.Status) {
	p.t.Helper()
	time.Sleep(2 * oddly)
	require.Empty(p.t, p.losses(), "%s", st.Last)
	require.True(p.t, p.current().Secret.Equal(p.sender.Signing().Secret), "%s: the sender signs with %s", st.Last, p.sender.Signing())
	require.Empty(p.t, st.Debts)
	require.Len(p.t, p.versions().Keys, 1, "%s", st.Last)
	for i, r := range p.receivers {
		require.Len(p.t, r.Accepts(), 1, "r%d: %s", i, st.Last)
		require.True(p.t, r.Accepts()[0].Secret.Equal(p.current().Secret), "r%d: %s", i, st.Last)
	}
}

// Every call of every part fails once, before its effect or after it.
func TestWebhookSurvivesEveryFault(t *testing.T) {
	type faulty interface {
		Inject(rotationtest.Fault)
		Unmet() []rotationtest.Fault
	}
	parts := map[string]func(*post) faulty{
		"Choose Issue Activate Revoke Verify": func(p *post) faulty { return p.sender },
		"Deploy Verify Observe Usage":         func(p *post) faulty { return p.receivers[1] },
		"Load Save":                           func(p *post) faulty { return p.store },
		"Save Load":                           func(p *post) faulty { return p.journal },
	}
	for ops, part := range parts {
		for _, op := range strings.Fields(ops) {
			for _, after := range []bool{false, true} {
				for call, met := 1, true; met && call < 40; call += stride {
					t.Run(fmt.Sprintf("%s/%v/%d", op, after, call), func(t *testing.T) {
						bubble(t, func(t *testing.T) {
							p := newPost(t, 2)
							f := part(p)
							if op == "Load" || op == "Save" {
								call += 2
								defer func() { call -= 2 }()
							}
							r := p.rotator()
							f.Inject(rotationtest.Fault{Op: op, Call: call, After: after})
							for range 3 { // whoever got an error asks again
								_, _ = r.Rotate(t.Context(), name, rotation.Trigger{ID: "once"})
								time.Sleep(time.Minute)
							}
							st := p.ends(r)
							if met = len(f.Unmet()) == 0; !met {
								return
							}
							require.Equal(t, rotation.Rotated, st.Last.Outcome, "%s", st.Last)
							p.fine(st)
						})
					})
				}
			}
		}
	}
}

// A rotation is aborted at every step before the receivers are told to forget the old secret.
func TestWebhookRollBack(t *testing.T) {
	for _, phase := range []rotation.Phase{rotation.PhaseAccept, rotation.PhaseActivate, rotation.PhaseProve, rotation.PhaseSoak} {
		t.Run(string(phase), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPost(t, 2)
				p.stopsIn(phase)
				r := p.rotator()
				_, _ = r.Rotate(t.Context(), name, rotation.Trigger{})
				require.Equal(t, phase, p.status().Open.Phase)
				_, _ = r.Abort(t.Context(), name, "changed my mind")
				st := p.ends(r)
				require.Equal(t, rotation.RolledBack, st.Last.Outcome)
				p.fine(p.paces(r, 2*time.Hour)) // a debt is paid when it can be
				require.True(t, p.current().Secret.Equal(p.seeded.Secret))
			})
		})
	}
}

// A secret leaks, at every step: every receiver refuses it at once, whoever is under way, and the emergency ends when it is proven
// and genuine deliveries are verified again.
func TestWebhookEmergency(t *testing.T) {
	generation := map[string]func(*post) rotation.Incident{
		"the old one": func(p *post) rotation.Incident {
			return rotation.Incident{Keys: []rotation.Leak{{Credential: name, KeyID: p.seeded.ID}}}
		},
		"the new one": func(p *post) rotation.Incident {
			return rotation.Incident{Keys: []rotation.Leak{{Credential: name, Value: p.versions().Keys[0].Key.Secret}}}
		},
		"every one": func(*post) rotation.Incident { return rotation.Incident{Credentials: []string{name}} },
	}
	for what, incident := range generation {
		for _, phase := range []rotation.Phase{"", rotation.PhaseAccept, rotation.PhaseActivate, rotation.PhaseProve, rotation.PhaseSoak} {
			t.Run(what+"/"+string(phase), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					p := newPost(t, 2)
					r := p.rotator()
					if phase != "" {
						p.stopsIn(phase)
						_, _ = r.Rotate(t.Context(), name, rotation.Trigger{})
						require.Equal(t, phase, p.status().Open.Phase)
					}
					time.Sleep(time.Minute)
					in := incident(p)
					in.Reference, in.RevokeFirst = "INC-1", false
					bad := map[string]bool{}
					for _, k := range p.versions().Keys {
						named := len(in.Keys) == 0 || in.Keys[0].KeyID != "" && in.Keys[0].KeyID == k.Key.ID || in.Keys[0].Value.Equal(k.Key.Secret)
						bad[k.Key.Secret.Reveal()] = named
					}
					at := time.Now()
					_, _ = r.Emergency(t.Context(), in) // what goes on failing is an error
					for i, rec := range p.receivers {
						for _, k := range rec.Accepts() {
							require.False(t, bad[k.Secret.Reveal()], "r%d accepts %s", i, k)
						}
					}
					require.Less(t, time.Since(at), time.Minute)
					st := p.ends(r)
					require.NotEqual(t, rotation.TakenOver, st.Last.Outcome, "%s", st.Last)
					require.Equal(t, "INC-1", st.Last.Incident)
					require.True(t, st.Last.DeadlineMet)
					require.Less(t, st.Last.DeadAt.Sub(at), 21*time.Minute)
					time.Sleep(2 * oddly)
					before := len(p.losses())
					time.Sleep(time.Hour)
					require.Len(t, p.losses(), before, "deliveries are verified again")
					require.False(t, bad[p.sender.Signing().Secret.Reveal()])
					st = p.paces(r, 3*24*time.Hour)
					require.Nil(t, st.Open, "%s", st.Open)
					require.Empty(t, st.Debts)
					for i, rec := range p.receivers {
						require.Len(t, rec.Accepts(), 1, "r%d", i)
						require.True(t, rec.Accepts()[0].Secret.Equal(p.sender.Signing().Secret), "r%d", i)
					}
				})
			})
		}
	}
}

// stopsIn keeps the next rotation in a phase for a while.
func (p *post) stopsIn(phase rotation.Phase) {
	until := time.Now().Add(20 * time.Minute)
	p.cred.Policy.Patience = time.Hour
	switch phase {
	case rotation.PhaseAccept:
		p.receivers[1].Inject(rotationtest.Fault{Op: "Verify", Until: until})
	case rotation.PhaseActivate:
		p.sender.Inject(rotationtest.Fault{Op: "Activate", Until: until, After: true})
	case rotation.PhaseProve:
		p.receivers[1].Inject(rotationtest.Fault{Op: "Usage", Until: until})
	}
}
