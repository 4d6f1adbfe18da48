// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

// skewed is a receiver whose clock is wrong.
type skewed struct {
	*rotationtest.Receiver
	by time.Duration
}

func (s skewed) Observe(ctx context.Context) ([]rotation.Instance, error) {
	seen, err := s.Receiver.Observe(ctx)
	for i := range seen {
		seen[i].AsOf = seen[i].AsOf.Add(s.by)
	}
	return seen, err
}

func (s skewed) Usage(ctx context.Context, key rotation.Key) (rotation.Usage, error) {
	u, err := s.Receiver.Usage(ctx, key)
	u.Since, u.AsOf = u.Since.Add(s.by), u.AsOf.Add(s.by)
	if !u.LastUsed.IsZero() {
		u.LastUsed = u.LastUsed.Add(s.by)
	}
	return u, err
}

func TestWebhookReviewClocksApart(t *testing.T) {
	for _, by := range []time.Duration{-5 * time.Second, 5 * time.Second} {
		for _, none := range []bool{false, true} {
			for _, back := range []bool{false, true} {
				t.Run(fmt.Sprint(by, none, back), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						p := newPost(t, 2)
						if none {
							p.cred.Policy.Overlap, p.cred.Policy.Quiet = -1, -1
						}
						p.cred.Consumers[1].Consumer = skewed{p.receivers[1], by}
						if back {
							p.stopsIn(rotation.PhaseProve)
						}
						r := p.rotator()
						_, _ = r.Rotate(t.Context(), name, rotation.Trigger{})
						if back {
							_, _ = r.Abort(t.Context(), name, "no")
						}
						st := p.ends(r)
						if !back {
							require.Equal(t, rotation.Rotated, st.Last.Outcome)
						}
						p.fine(p.paces(r, 3*time.Hour))
					})
				})
			}
		}
	}
}

// only is a receiver with some of its abilities.
func only(r *rotationtest.Receiver, verifier, observer, usage bool) rotation.Consumer {
	type (
		c = rotation.Consumer
		v = rotation.Verifier
		o = rotation.Observer
		u = rotation.UsageReporter
	)
	switch {
	case verifier && observer:
		return struct {
			c
			v
			o
		}{r, r, r}
	case verifier && usage:
		return struct {
			c
			v
			u
		}{r, r, r}
	case observer && usage:
		return struct {
			c
			o
			u
		}{r, r, r}
	case usage:
		return struct {
			c
			u
		}{r, r}
	case observer:
		return struct {
			c
			o
		}{r, r}
	default:
		return struct {
			c
			v
		}{r, r}
	}
}

// attests answers every attest that is asked for until the rotation is over.
func (p *post) attests(r *rotation.Rotator) rotation.Status {
	p.t.Helper()
	var st rotation.Status
	for range 30 {
		st = p.paces(r, 2*time.Hour)
		if st.Open == nil {
			return st
		}
		for _, n := range st.Needs {
			if n.Kind == rotation.NeedPerson && slices.Contains(n.Verbs, rotation.VerbAttest) {
				_, _ = p.says(r, rotation.Answer{Need: n.ID, Verb: rotation.VerbAttest})
			}
		}
	}
	require.Nil(p.t, st.Open, "%s %+v", st.Open, st.Needs)
	return st
}

func TestWebhookReviewAbilities(t *testing.T) {
	for i := range 6 {
		for _, strategy := range []string{"standard", "back", "emergency"} {
			t.Run(fmt.Sprint(i, strategy), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					p := newPost(t, 3)
					set := [][3]bool{{true, true, false}, {true, false, true}, {false, true, true}, {false, false, true}, {false, true, false}, {true, false, false}}[i]
					p.cred.Consumers[1].Consumer = only(p.receivers[1], set[0], set[1], set[2])
					r := p.rotator()
					_, _ = r.Rotate(t.Context(), name, rotation.Trigger{})
					switch strategy {
					case "back":
						_, _ = r.Abort(t.Context(), name, "no")
					case "emergency":
						_, _ = r.Emergency(t.Context(), everything("INC-1"))
					}
					st := p.attests(r)
					if strategy == "emergency" {
						time.Sleep(2 * oddly)
						n := len(p.losses())
						time.Sleep(time.Hour)
						require.Len(t, p.losses(), n)
						require.Empty(t, p.status().Debts)
						return
					}
					_ = st
					p.fine(p.paces(r, 3*time.Hour))
				})
			})
		}
	}
}

// A rotation is aborted before a receiver that nothing can look into was told of the new secret.
func TestWebhookReviewAbortBeforeABlindReceiver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2, func(p *post) { p.mute(1) })
		p.receivers[0].Inject(rotationtest.Fault{Op: "Deploy", Until: time.Now().Add(time.Second)})
		r := p.rotator()
		_, _ = r.Rotate(t.Context(), name, rotation.Trigger{})
		time.Sleep(time.Minute)
		_, _ = r.Abort(t.Context(), name, "no")
		p.fine(p.attests(r))
	})
}

// The sender's console was changed back by hand, and a person decides to go forward all the same.
func TestWebhookReviewForwardAgainByHand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		p.cred.Issuer = console{p.sender}
		r := p.rotator()
		st := p.rotate(r)
		fresh := p.versions().Key(rotation.RolePending)
		require.NoError(t, p.sender.Activate(t.Context(), fresh))
		p.does(r, rotation.Answer{Need: asked(t, st, rotation.VerbDone).ID, Verb: rotation.VerbDone})
		require.Equal(t, rotation.PhaseSoak, p.paces(r, 10*time.Minute).Open.Phase)
		_, err := r.Abort(t.Context(), name, "no")
		require.NoError(t, err)
		st = p.paces(r, time.Minute)
		require.Equal(t, rotation.RollBack, st.Open.Strategy)
		require.NoError(t, p.sender.Activate(t.Context(), p.seeded))
		n := asked(t, st, rotation.VerbRollBack)
		p.does(r, rotation.Answer{Need: n.ID, Verb: rotation.VerbRollBack})
		st = p.paces(r, 3*time.Hour)
		n = asked(t, st, rotation.VerbDone)
		require.NoError(t, p.sender.Activate(t.Context(), fresh))
		p.does(r, rotation.Answer{Need: n.ID, Verb: rotation.VerbDone})
		p.fine(p.ends(r))
	})
}

// dual is a sender that signs with both for a while and cannot be told anything.
type dual struct {
	r     *rotationtest.Receiver
	cur   secret.Value
	old   secret.Value
	until time.Time
}

func (d *dual) Issue(_ context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	v := secret.Random(32)
	d.old, d.cur, d.until = d.cur, v, time.Now().Add(6*time.Hour)
	return rotation.Key{ID: "wh", Secret: v, Name: req.Name}, nil
}
func (d *dual) Revoke(context.Context, rotation.Key) error { return nil }
func (d *dual) Describe() rotation.Traits {
	return rotation.Traits{Grace: 6 * time.Hour, Propagation: -1, ListLag: -1, RetryHorizon: time.Hour}
}
func (d *dual) Verify(ctx context.Context, _ rotation.Key) error { return d.deliver(ctx) }
func (d *dual) deliver(ctx context.Context) error {
	if time.Now().Before(d.until) {
		return d.r.Receive(ctx, d.cur, d.old)
	}
	return d.r.Receive(ctx, d.cur)
}

func TestWebhookReviewDualSigner(t *testing.T) {
	for _, down := range []time.Duration{0, 3 * time.Hour} {
		t.Run(fmt.Sprint(down), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPost(t, 1)
				p.sender.Inject(rotationtest.Fault{Op: "Deliver"})
				s := &dual{r: p.receivers[0], cur: p.seeded.Secret}
				p.cred.Issuer = s
				p.cred.Policy.AllowProviderDeadline = true
				if down > 0 {
					p.receivers[0].Inject(rotationtest.Fault{Op: "Deploy", Until: time.Now().Add(down)})
				}
				r := p.rotator()
				p.rotate(r)
				for range 200 {
					st := p.paces(r, 10*time.Minute)
					err := s.deliver(t.Context())
					require.False(t, errors.Is(err, rotation.ErrRejected), "%s", st.Open)
					if st.Open == nil {
						break
					}
				}
				st := p.status()
				require.Nil(t, st.Open, "%s %+v", st.Open, st.Needs)
				require.Equal(t, rotation.Rotated, st.Last.Outcome)
				require.Len(t, p.receivers[0].Accepts(), 1)
			})
		})
	}
}

// A person makes the secret and hands it over; a person pastes it.
func TestWebhookReviewSupply(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		p.cred.Issuer = byPerson{p.sender}
		r := p.rotator()
		p.rotate(r)
		require.Equal(t, rotation.PhaseIssue, p.paces(r, time.Hour).Open.Phase)
		_, _ = r.Supply(t.Context(), name, rotation.Key{Secret: secret.Random(32)})
		p.fine(p.ends(r))
	})
}

type byPerson struct{ s *rotationtest.Sender }

func (b byPerson) Issue(context.Context, rotation.IssueRequest) (rotation.Key, error) {
	return rotation.Key{}, rotation.Manual("make one")
}

func (b byPerson) Revoke(context.Context, rotation.Key) error { return rotation.Manual("remove it") }

func (b byPerson) Activate(ctx context.Context, k rotation.Key) error {
	return b.s.Activate(ctx, k)
}
func (b byPerson) Describe() rotation.Traits { return b.s.Describe() }

// Supply comes while the answer of Issue is lost.
func TestWebhookReviewSupplyOverALostAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		p.sender.Inject(rotationtest.Fault{Op: "Issue", Call: 1, After: true})
		r := p.rotator()
		p.rotate(r)
		_, err := r.Supply(t.Context(), name, rotation.Key{Secret: secret.Random(32)})
		require.NoError(t, err)
		p.fine(p.ends(r))
	})
}

// Incidents with what nobody knows, in soak: the rotation ends all the same, and genuine deliveries are verified.
func TestWebhookReviewUnknownLeak(t *testing.T) {
	for _, leak := range []rotation.Leak{{Credential: name, KeyID: "nobody's"}, {Credential: name, Value: secret.New("nobody's value, long enough")}} {
		t.Run(leak.KeyID, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPost(t, 2)
				r := p.rotator()
				p.rotate(r)
				require.Equal(t, rotation.PhaseSoak, p.paces(r, 10*time.Minute).Open.Phase)
				_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Keys: []rotation.Leak{leak}})
				st := p.paces(r, time.Minute)
				if st.Open != nil && st.Open.Strategy == rotation.Emergency {
					n := asked(t, st, rotation.VerbSettle)
					p.does(r, rotation.Answer{Need: n.ID, Verb: rotation.VerbSettle})
				}
				p.fine(p.paces(r, 30*time.Hour))
			})
		})
	}
}

// A receiver is removed in each phase, and forgotten.
func TestWebhookReviewReceiverIsRemoved(t *testing.T) {
	for _, phase := range []rotation.Phase{rotation.PhaseAccept, rotation.PhaseActivate, rotation.PhaseProve} { // in soak the end is near, and nobody tells it after that
		t.Run(string(phase), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPost(t, 2)
				p.stopsIn(phase)
				r := p.rotator()
				_, _ = r.Rotate(t.Context(), name, rotation.Trigger{})
				require.Equal(t, phase, p.status().Open.Phase)
				all := p.cred.Consumers
				p.cred.Consumers = all[:1]
				require.NoError(t, r.Register(p.cred))
				st := p.paces(r, time.Hour)
				if st.Open != nil && slices.ContainsFunc(st.Needs, func(n rotation.Need) bool { return slices.Contains(n.Verbs, rotation.VerbForget) }) {
					p.does(r, rotation.Answer{Need: asked(t, st, rotation.VerbForget).ID, Verb: rotation.VerbForget})
				}
				p.cred.Consumers = all
				require.NoError(t, r.Register(p.cred))
				p.fine(p.attests(r))
			})
		})
	}
}

// A receiver is down for an hour when a secret leaks.
func TestWebhookReviewEmergencyReceiverIsDown(t *testing.T) {
	for _, op := range []string{"Deploy", "Verify", "Observe", "Usage"} {
		t.Run(op, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPost(t, 2)
				r := p.rotator()
				p.receivers[1].Inject(rotationtest.Fault{Op: op, Until: time.Now().Add(time.Hour)})
				_, _ = r.Emergency(t.Context(), everything("INC-1"))
				_, _ = r.Emergency(t.Context(), everything("INC-1"))
				st := p.paces(r, 3*time.Hour)
				require.Nil(t, st.Open, "%s %+v", st.Open, st.Needs)
				p.accept(2)
			})
		})
	}
}

// The store fails for a moment when everybody was told already.
func TestWebhookReviewEmergencyStoreFailsLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		r := p.rotator()
		p.receivers[1].Inject(rotationtest.Fault{Op: "Deploy", Until: time.Now().Add(10 * time.Minute)})
		_, _ = r.Emergency(t.Context(), everything("INC-1"))
		p.paces(r, time.Minute)
		require.True(t, holds(p.receivers[0], p.sender.Signing()))
		p.store.Inject(rotationtest.Fault{Op: "Load", Until: time.Now().Add(5 * time.Minute)})
		p.paces(r, 4*time.Minute)
		require.True(t, holds(p.receivers[0], p.sender.Signing()), "it had the good one, and nothing else")
	})
}

// settled checks that an emergency has left everybody on one secret that nobody named.
func (p *post) settled(r *rotation.Rotator, bad ...secret.Value) {
	p.t.Helper()
	st := p.paces(r, 30*time.Hour)
	require.Nil(p.t, st.Open, "%s %+v", st.Open, st.Needs)
	require.Empty(p.t, st.Debts)
	signing := p.sender.Signing()
	for i, rec := range p.receivers {
		require.Len(p.t, rec.Accepts(), 1, "r%d %s", i, st.Last)
		require.True(p.t, holds(rec, signing), "r%d %s", i, st.Last)
	}
	for _, v := range bad {
		require.False(p.t, v.Equal(signing.Secret), "%s", st.Last)
	}
}

// The successor leaks too, while the sender cannot be told.
func TestWebhookReviewSuccessorLeaks(t *testing.T) {
	for _, op := range []string{"Activate", "Verify", "Issue", "Choose", "Revoke"} {
		t.Run(op, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPost(t, 2)
				r := p.rotator()
				p.sender.Inject(rotationtest.Fault{Op: op, Until: time.Now().Add(10 * time.Minute), After: true})
				_, _ = r.Emergency(t.Context(), everything("INC-1"))
				p.paces(r, time.Minute)
				second := p.versions().Keys[0].Key
				_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-2", Keys: []rotation.Leak{{Credential: name, Value: second.Secret}}})
				p.settled(r, p.seeded.Secret, second.Secret)
			})
		})
	}
}

// A secret leaks in each phase of a roll-back.
func TestWebhookReviewEmergencyInARollBack(t *testing.T) {
	for _, op := range []string{"Deploy", "Activate", "Usage", ""} {
		for _, what := range []string{"old", "new", "both"} {
			t.Run(op+" "+what, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					p := newPost(t, 2)
					r := p.rotator()
					p.rotate(r)
					require.Equal(t, rotation.PhaseSoak, p.paces(r, 10*time.Minute).Open.Phase)
					fresh := p.current()
					until := time.Now().Add(30 * time.Minute)
					switch op {
					case "Deploy", "Usage":
						p.receivers[1].Inject(rotationtest.Fault{Op: op, Until: until, After: true})
					case "Activate":
						p.sender.Inject(rotationtest.Fault{Op: op, Until: until, After: true})
					}
					_, _ = r.Abort(t.Context(), name, "no")
					p.paces(r, time.Minute)
					in := rotation.Incident{Reference: "INC-1"}
					var bad []secret.Value
					if what != "new" {
						bad = append(bad, p.seeded.Secret)
						in.Keys = append(in.Keys, rotation.Leak{Credential: name, KeyID: p.seeded.ID})
					}
					if what != "old" {
						bad = append(bad, fresh.Secret)
						in.Keys = append(in.Keys, rotation.Leak{Credential: name, Value: fresh.Secret})
					}
					_, _ = r.Emergency(t.Context(), in)
					if op != "Deploy" {
						for i, rec := range p.receivers {
							for _, k := range rec.Accepts() {
								require.False(t, slices.ContainsFunc(bad, k.Secret.Equal), "r%d", i)
							}
						}
					}
					p.settled(r, bad...)
				})
			})
		}
	}
}

// The journal, or the store too, is down for a while, and only a value is named.
func TestWebhookReviewValueWithoutARecord(t *testing.T) {
	for _, store := range []bool{false, true} {
		for _, first := range []bool{false, true} {
			t.Run(fmt.Sprint(store, first), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					p := newPost(t, 2)
					r := p.rotator()
					p.rotate(r)
					require.Equal(t, rotation.PhaseSoak, p.paces(r, 10*time.Minute).Open.Phase)
					until := time.Now().Add(20 * time.Minute)
					for _, op := range []string{"Load", "Save"} {
						p.journal.Inject(rotationtest.Fault{Op: op, Until: until})
						if store {
							p.store.Inject(rotationtest.Fault{Op: op, Until: until})
						}
					}
					_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", RevokeFirst: first, Keys: []rotation.Leak{{Credential: name, Value: p.seeded.Secret}}})
					require.False(t, holds(p.receivers[0], p.seeded))
					p.settled(r, p.seeded.Secret)
				})
			})
		}
	}
}

// A debt leaks.
func TestWebhookReviewDebtLeaks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		r := p.rotator()
		p.rotate(r)
		require.Equal(t, rotation.PhaseSoak, p.paces(r, 10*time.Minute).Open.Phase)
		p.receivers[1].Inject(rotationtest.Fault{Op: "Deploy", Until: time.Now().Add(4 * time.Hour)})
		p.ends(r)
		_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Keys: []rotation.Leak{{Credential: name, KeyID: p.seeded.ID}}})
		p.settled(r, p.seeded.Secret)
		require.Empty(t, p.losses(), "the good one was accepted all the time")
	})
}

// A receiver answers that its deployment is under way, and one is slow, when a secret leaks with an issuer that needs nothing.
func TestWebhookReviewIndependentAndSlow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		p.sender.Traits.Independent = true
		p.cred.Consumers[1].Consumer = slowly{p.receivers[1], func(req rotation.DeployRequest) time.Duration {
			if len(req.Accept) == 0 {
				return 8 * time.Second
			}
			return 0
		}}
		r := p.rotator()
		_, _ = r.Emergency(t.Context(), everything("INC-1"))
		p.settled(r, p.seeded.Secret)
	})
}

// A process dies at each of its effects, before it, after it, or while the call is on its way, and another one carries on.
func TestWebhookReviewProcessDies(t *testing.T) {
	for _, strategy := range []string{"standard", "roll-back", "emergency"} {
		for _, op := range []string{"Save", "Journal", "Deploy", "Issue", "Revoke"} {
			for mode, c := range map[string]cut{"before": {}, "after": {after: true}, "late": {late: late}} {
				for call := 0; call < 4; call += stride { // the simulation goes on from there
					c.op, c.call = op, call+1
					t.Run(fmt.Sprint(strategy, " ", op, " ", mode, " ", c.call), func(t *testing.T) {
						bubble(t, func(t *testing.T) {
							p := newPost(t, 2)
							h := &hazard{world: p.world}
							switch strategy {
							case "standard":
								r := h.doomed(c)
								_, _ = r.Rotate(t.Context(), name, rotation.Trigger{ID: "once"})
								p.paces(r, 75*time.Minute)
								r = p.rotator()
								_, _ = r.Rotate(t.Context(), name, rotation.Trigger{ID: "once"})
								p.ends(r)
								p.fine(p.paces(r, 3*time.Hour))
							case "roll-back":
								_, _ = p.rotator().Rotate(t.Context(), name, rotation.Trigger{ID: "once"})
								r := h.doomed(c)
								_, _ = r.Abort(t.Context(), name, "no")
								p.paces(r, 75*time.Minute)
								r = p.rotator()
								_, _ = r.Abort(t.Context(), name, "no")
								p.ends(r)
								p.fine(p.paces(r, 3*time.Hour))
							case "emergency":
								r := h.doomed(c)
								_, _ = r.Emergency(t.Context(), everything("INC-1"))
								time.Sleep(time.Second)
								r = p.rotator()
								_, _ = r.Emergency(t.Context(), everything("INC-1"))
								p.settled(r, p.seeded.Secret)
							}
						})
					})
				}
			}
		}
	}
}

// The store comes back from a backup while one receiver refuses the current secret: it is told, and nothing waits for a person.
func TestWebhookReviewRestoredAndMixed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		p.sender.Inject(rotationtest.Fault{Op: "Activate", Until: time.Now().Add(5 * time.Minute), After: true})
		r := p.rotator()
		p.rotate(r)
		backup := p.versions()
		require.Len(t, backup.Keys, 2)
		require.Equal(t, rotation.PhaseSoak, p.paces(r, 20*time.Minute).Open.Phase)
		backup.Revision = p.versions().Revision
		require.NoError(t, p.store.Save(t.Context(), name, backup))
		require.NoError(t, p.receivers[1].Deploy(t.Context(), rotation.DeployRequest{Accept: []rotation.Key{p.seeded}}))
		st := p.paces(r, 2*time.Hour)
		require.True(t, holds(p.receivers[1], p.sender.Signing()), "%s %+v", st.Open, st.Needs)
	})
}

// mortalSender loses its process at a call of Activate.
type mortalSender struct {
	*rotationtest.Sender
	n *node
}

func (s mortalSender) Activate(ctx context.Context, key rotation.Key) error {
	return s.n.do(ctx, "Activate", key, func(ctx context.Context) error { return s.Sender.Activate(ctx, key) })
}

// The process dies while it tells the sender, and another one goes on, or turns back, or a secret leaks.
func TestWebhookReviewProcessDiesWhileActivating(t *testing.T) {
	for mode, c := range map[string]cut{"before": {}, "after": {after: true}, "late": {late: late}} {
		for _, then := range []string{"on", "back", "old leaks", "new leaks"} {
			t.Run(mode+" "+then, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					p := newPost(t, 2)
					c.op = "Activate"
					n := &node{h: &hazard{world: p.world}, cut: c}
					p.cred.Issuer = mortalSender{p.sender, n}
					p.cfg.Journal = nodeJournal{p.journal, n}
					_, _ = p.rotator().Rotate(t.Context(), name, rotation.Trigger{ID: "once"})
					p.cred.Issuer, p.cfg.Journal = p.sender, p.journal
					fresh := p.versions().Key(rotation.RolePending)
					r := p.rotator()
					switch then {
					case "on":
						p.ends(r)
						p.fine(p.paces(r, 3*time.Hour))
					case "back":
						for range 40 {
							time.Sleep(time.Second)
							if _, err := r.Abort(t.Context(), name, "no"); err == nil {
								break
							}
						}
						require.Equal(t, rotation.RollBack, p.status().Open.Strategy)
						p.ends(r)
						p.fine(p.paces(r, 3*time.Hour))
					case "old leaks":
						_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Keys: []rotation.Leak{{Credential: name, KeyID: p.seeded.ID}}})
						p.settled(r, p.seeded.Secret)
					case "new leaks":
						_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Keys: []rotation.Leak{{Credential: name, Value: fresh.Secret}}})
						p.settled(r, fresh.Secret)
					}
				})
			})
		}
	}
}

// No part's error brings a secret into the record, an error or a status.
func TestWebhookReviewSecrecy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		until := time.Now().Add(3 * time.Hour)
		leak := errors.New("the answer was " + p.seeded.Secret.Reveal())
		var said []string
		says := func(err error) {
			if err != nil {
				said = append(said, fmt.Sprintf("%v %+v %#v", err, err, err))
			}
		}
		r := p.rotator()
		for _, op := range []string{"Deploy", "Verify", "Observe", "Usage"} {
			p.receivers[1].Inject(rotationtest.Fault{Op: op, From: time.Now().Add(time.Minute), Until: until, Err: leak})
		}
		for _, op := range []string{"Choose", "Issue", "Activate", "Verify"} {
			p.sender.Inject(rotationtest.Fault{Op: op, From: time.Now().Add(time.Minute), Until: until, Err: leak})
		}
		_, err := r.Rotate(t.Context(), name, rotation.Trigger{})
		says(err)
		for range 30 {
			time.Sleep(10 * time.Second)
			_, err := r.Advance(t.Context(), name)
			says(err)
		}
		_, err = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Keys: []rotation.Leak{{Credential: name, Value: p.seeded.Secret}}})
		says(err)
		for range 30 {
			time.Sleep(10 * time.Second)
			st, err := r.Advance(t.Context(), name)
			says(err)
			said = append(said, fmt.Sprintf("%+v %s", st, st))
		}
		e, err := p.journal.Load(t.Context(), name)
		require.NoError(t, err)
		said = append(said, string(e.Data))
		for _, k := range append(p.versions().Keys, rotation.StoredKey{Key: p.seeded}) {
			for _, text := range said {
				require.NotContains(t, text, k.Key.Secret.Reveal())
			}
		}
	})
}
