// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// What can go wrong between a sender and its receivers, one case each.

// tardy is a receiver to which some calls land late, after their caller has given up.
type tardy struct {
	*rotationtest.Receiver
	lands func(rotation.DeployRequest) time.Duration // zero: at once
}

func (r tardy) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	d := r.lands(req)
	if d == 0 {
		return r.Receiver.Deploy(ctx, req)
	}
	go func() {
		time.Sleep(d)
		_ = r.Receiver.Deploy(context.Background(), req)
	}()
	<-ctx.Done()
	return ctx.Err()
}

// late is longer than a call may take, and shorter than it may land afterwards.
const late = 13 * time.Second

// holds reports whether a receiver accepts a key.
func holds(r *rotationtest.Receiver, key rotation.Key) bool {
	return slices.ContainsFunc(r.Accepts(), func(k rotation.Key) bool { return k.Secret.Equal(key.Secret) })
}

// everything leaks.
func everything(reference string) rotation.Incident {
	return rotation.Incident{Reference: reference, Credentials: []string{name}}
}

// The alarm of an emergency goes off after the successor was made and told: it must not tell the receivers to refuse it.
func TestWebhookReviewAlarmAfterTheSuccessor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		p.cfg.IssueLimit = 5 * time.Second
		r := p.rotator()
		p.sender.Inject(rotationtest.Fault{Op: "Issue", Delay: 4 * time.Second})
		p.sender.Inject(rotationtest.Fault{Op: "Revoke", Delay: 3 * time.Second})
		_, err := r.Emergency(t.Context(), everything("INC-1"))
		require.NoError(t, err)
		p.paces(r, time.Hour)
		p.accept(2)
	})
}

// The store comes back from a backup that does not have the secret that the sender signs with: the receivers keep it until the
// sender has gone back.
func TestWebhookReviewStoreIsRestored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		r := p.rotator()
		backup := p.versions()
		p.rotate(r)
		require.Equal(t, rotation.PhaseSoak, p.paces(r, 10*time.Minute).Open.Phase)
		backup.Revision = p.versions().Revision
		p.sender.Inject(rotationtest.Fault{Op: "Activate", Until: time.Now().Add(10 * time.Minute)})
		require.NoError(t, p.store.Save(t.Context(), name, backup))
		p.paces(r, 5*time.Minute)
		require.Empty(t, p.losses())
	})
}

// Somebody takes the old secret out of the store: that is no reason to forget it before nobody needs it.
func TestWebhookReviewOldValueIsLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		r := p.rotator()
		p.rotate(r)
		require.Equal(t, rotation.PhaseSoak, p.paces(r, 10*time.Minute).Open.Phase)
		v := p.versions()
		v.Keys = slices.DeleteFunc(v.Keys, func(k rotation.StoredKey) bool { return k.Role == rotation.RolePrevious })
		require.NoError(t, p.store.Save(t.Context(), name, v))
		p.paces(r, 10*time.Minute)
		p.accept(2, 1)
	})
}

// The store loses the only secret while nothing is going on: the receivers accept what the sender signs with until it has changed.
func TestWebhookReviewCurrentValueIsLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		r := p.rotator()
		p.rotate(r)
		p.ends(r)
		v := p.versions()
		v.Keys = nil
		require.NoError(t, p.store.Save(t.Context(), name, v))
		p.sender.Inject(rotationtest.Fault{Op: "Activate", Until: time.Now().Add(time.Hour)})
		_, _ = r.Rotate(t.Context(), name, rotation.Trigger{})
		p.paces(r, 30*time.Minute)
		require.Empty(t, p.losses())
	})
}

// A receiver is added while the sender is about to be told, or was told: it is told first, or at once.
func TestWebhookReviewReceiverIsAdded(t *testing.T) {
	for _, phase := range []rotation.Phase{rotation.PhaseActivate, rotation.PhaseProve} {
		t.Run(string(phase), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPost(t, 3)
				all := p.cred.Consumers
				p.cred.Consumers = all[:2]
				p.cred.Policy.Patience = 2 * time.Hour
				until := time.Now().Add(20 * time.Minute)
				if phase == rotation.PhaseActivate {
					p.sender.Inject(rotationtest.Fault{Op: "Activate", Until: until})
				} else {
					p.receivers[1].Inject(rotationtest.Fault{Op: "Usage", Until: until})
				}
				r := p.rotator()
				_, _ = r.Rotate(t.Context(), name, rotation.Trigger{})
				require.Equal(t, phase, p.status().Open.Phase)
				p.cred.Consumers = all
				require.NoError(t, r.Register(p.cred))
				p.paces(r, 10*time.Minute)
				if phase == rotation.PhaseActivate {
					require.Len(t, p.receivers[2].Accepts(), 2, "it is told before the sender is")
					p.paces(r, time.Hour)
					require.Empty(t, p.losses())
				}
				require.Len(t, p.receivers[2].Accepts(), 2)
			})
		})
	}
}

// A receiver loses the new secret after the sender was told: it is told again.
func TestWebhookReviewReceiverLosesTheSecret(t *testing.T) {
	for _, phase := range []rotation.Phase{rotation.PhaseProve, rotation.PhaseSoak} {
		t.Run(string(phase), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPost(t, 2)
				p.stopsIn(phase)
				r := p.rotator()
				_, _ = r.Rotate(t.Context(), name, rotation.Trigger{})
				require.Equal(t, phase, p.status().Open.Phase)
				time.Sleep(time.Minute)
				require.NoError(t, p.receivers[1].Deploy(t.Context(), rotation.DeployRequest{Accept: []rotation.Key{p.seeded}}))
				p.paces(r, 2*time.Hour)
				require.True(t, holds(p.receivers[1], p.sender.Signing()), "it refuses every delivery, and nobody tells it")
			})
		})
	}
}

// A receiver says yes and goes on accepting what leaked: it is told again until it refuses it.
func TestWebhookReviewCompromisedStaysAccepted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		calls := 0
		p.cred.Consumers[1].Consumer = forgetful{p.receivers[1], func(req rotation.DeployRequest) bool {
			if req.Emergency {
				calls++
			}
			return calls == 1
		}}
		r := p.rotator()
		p.rotate(r)
		require.Equal(t, rotation.PhaseSoak, p.paces(r, 10*time.Minute).Open.Phase)
		_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Keys: []rotation.Leak{{Credential: name, KeyID: p.seeded.ID}}})
		p.paces(r, 3*time.Hour)
		require.False(t, holds(p.receivers[1], p.seeded), "told %d times", calls)
	})
}

// forgetful says yes and does nothing, now and then.
type forgetful struct {
	*rotationtest.Receiver
	forgets func(rotation.DeployRequest) bool
}

func (f forgetful) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	if f.forgets(req) {
		return nil
	}
	return f.Receiver.Deploy(ctx, req)
}

// A receiver is told of a new secret beside the old one, and that call lands after the old one has leaked, was refused, and counted
// as dead.
func TestWebhookReviewLateAcceptAfterEmergency(t *testing.T) {
	for _, force := range []bool{false, true} {
		t.Run(map[bool]string{false: "one process", true: "two processes"}[force], func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPost(t, 2)
				p.cred.Consumers[1].Consumer = tardy{p.receivers[1], func(req rotation.DeployRequest) time.Duration {
					if len(req.Accept) == 2 {
						return late
					}
					return 0
				}}
				r := p.rotator()
				if force {
					first := r
					go func() { _, _ = first.Rotate(t.Context(), name, rotation.Trigger{}) }()
					time.Sleep(2 * time.Second)
					r = p.rotator()
				} else {
					_, _ = r.Rotate(t.Context(), name, rotation.Trigger{})
				}
				_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Keys: []rotation.Leak{{Credential: name, KeyID: p.seeded.ID}}})
				p.paces(r, 3*time.Hour)
				require.False(t, holds(p.receivers[1], p.seeded), "it counts as dead: %s", p.status().Last)
			})
		})
	}
}

// A roll-back ends before the call has landed that tells a receiver of the new secret: what counts as dead is accepted there.
func TestWebhookReviewLateAcceptAfterRollBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		p.cred.Consumers[1].Consumer = tardy{p.receivers[1], func(req rotation.DeployRequest) time.Duration {
			if len(req.Accept) == 2 {
				return late
			}
			return 0
		}}
		r := p.rotator()
		_, _ = r.Rotate(t.Context(), name, rotation.Trigger{})
		_, _ = r.Abort(t.Context(), name, "no good")
		p.paces(r, 3*time.Hour)
		p.accept(1)
	})
}

// The call that tells a receiver to refuse everything lands after the one that tells it of the successor.
func TestWebhookReviewLateRefusalAfterTheSuccessor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		p.cred.Consumers[1].Consumer = tardy{p.receivers[1], func(req rotation.DeployRequest) time.Duration {
			if len(req.Accept) == 0 {
				return late
			}
			return 0
		}}
		r := p.rotator()
		in := everything("INC-1")
		in.RevokeFirst = true
		_, _ = r.Emergency(t.Context(), in)
		p.paces(r, 3*time.Hour)
		p.accept(2)
	})
}

// The refusal that an emergency sends before its record is made lands after what the record asked for.
func TestWebhookReviewUnrecordedRefusalIsSlow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		p.cred.Consumers[1].Consumer = slowly{p.receivers[1], func(req rotation.DeployRequest) time.Duration {
			if strings.HasPrefix(req.ID, "unrecorded/") {
				return 5 * time.Second
			}
			return 0
		}}
		r := p.rotator()
		p.journal.Inject(rotationtest.Fault{Op: "Save", Until: time.Now().Add(time.Second), Delay: 2 * time.Second})
		_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", RevokeFirst: true, Keys: []rotation.Leak{{Credential: name, KeyID: p.seeded.ID}}})
		p.paces(r, 3*time.Hour)
		p.accept(2)
	})
}

// A repeated report of an ended incident meets a slow journal, so that receivers are told without a record, and then again by the
// record. That call lands in the next rotation, after another one.
func TestWebhookReviewToldAgainInTheNextRotation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		var again time.Time
		p.cred.Consumers[1].Consumer = tardy{p.receivers[1], func(req rotation.DeployRequest) time.Duration {
			if strings.Contains(req.ID, "/again-") && again.IsZero() {
				again = time.Now()
				return late
			}
			return 0
		}}
		in := rotation.Incident{Reference: "INC-1", RevokeFirst: true, Keys: []rotation.Leak{{Credential: name, KeyID: p.seeded.ID}}}
		r := p.rotator()
		_, err := r.Emergency(t.Context(), in)
		require.NoError(t, err)
		p.ends(r)
		p.paces(r, time.Hour)
		before := len(p.losses()) // the compromised secret signed for a moment
		p.journal.Inject(rotationtest.Fault{Op: "Load", Until: time.Now().Add(time.Second), Delay: 2 * time.Second})
		_, _ = r.Emergency(t.Context(), in)
		for range 100 {
			st, _ := r.Advance(t.Context(), name)
			if !again.IsZero() {
				break
			}
			time.Sleep(st.Delay())
		}
		require.Less(t, time.Since(again), late, "nothing is under way")
		p.rotate(r)
		p.paces(r, 10*time.Minute)
		require.Len(t, p.losses(), before)
	})
}

// slowly takes its time, and does it then.
type slowly struct {
	*rotationtest.Receiver
	takes func(rotation.DeployRequest) time.Duration
}

func (s slowly) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	time.Sleep(s.takes(req))
	return s.Receiver.Deploy(ctx, req)
}

// The call that tells a receiver to forget a debt lands in the next rotation, after it was told of the new secret.
func TestWebhookReviewLateDebtInTheNextRotation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		p.cred.Consumers[1].Consumer = tardy{p.receivers[1], func(req rotation.DeployRequest) time.Duration {
			if len(req.Accept) == 1 && req.Accept[0].Generation == 2 {
				return late
			}
			return 0
		}}
		r := p.rotator()
		p.rotate(r)
		require.Len(t, p.ends(r).Debts, 1)
		time.Sleep(10 * time.Minute)
		p.rotate(r)
		p.paces(r, 10*time.Minute)
		require.Empty(t, p.losses())
	})
}

// tardySender is told of some secrets late, after its caller has given up.
type tardySender struct {
	*rotationtest.Sender
	lands func(rotation.Key) time.Duration
}

func (s tardySender) Activate(ctx context.Context, key rotation.Key) error {
	d := s.lands(key)
	if d == 0 {
		return s.Sender.Activate(ctx, key)
	}
	go func() {
		time.Sleep(d)
		_ = s.Sender.Activate(context.Background(), key)
	}()
	<-ctx.Done()
	return ctx.Err()
}

// The new secret leaks while the sender is being told of it, and that call lands after the one that tells it to go back: it is told
// again, because nobody accepts what it signs.
func TestWebhookReviewLateActivationOfTheCompromised(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		p.cred.Issuer = tardySender{p.sender, func(key rotation.Key) time.Duration {
			if key.Generation == 2 {
				return late
			}
			return 0
		}}
		r := p.rotator()
		_, _ = r.Rotate(t.Context(), name, rotation.Trigger{})
		require.Equal(t, rotation.PhaseActivate, p.status().Open.Phase)
		leaked := p.versions().Key(rotation.RolePending)
		require.False(t, leaked.IsZero())
		_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Keys: []rotation.Leak{{Credential: name, Value: leaked.Secret}}})
		p.paces(r, 5*time.Hour)
		require.False(t, p.sender.Signing().Secret.Equal(leaked.Secret), "it signs with what leaked, and every delivery is refused")
	})
}

// atOnce is a sender that signs with a new secret as soon as it is made.
type atOnce struct {
	rotation.Chooser
	rotation.Identifier
	sender *rotationtest.Sender
	traits rotation.Traits
	lose   *int // so many answers
}

func (a atOnce) Describe() rotation.Traits { return a.traits }

func (a atOnce) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	if err := a.sender.Activate(ctx, req.Chosen); err != nil {
		return rotation.Key{}, err
	}
	if *a.lose > 0 {
		*a.lose--
		return rotation.Key{}, context.DeadlineExceeded
	}
	return req.Chosen, nil
}

func (a atOnce) Revoke(context.Context, rotation.Key) error { return nil }

// An answer of a sender that signs at once is lost, and the rotation is aborted: the secret that it may be signing with is not thrown
// away as one that it never took.
func TestWebhookReviewAbortWithALostAnswer(t *testing.T) {
	for _, abort := range []bool{false, true} {
		t.Run(map[bool]string{false: "goes on", true: "aborted"}[abort], func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPost(t, 2)
				lose := 1
				p.cred.Issuer = atOnce{p.sender, p.sender, p.sender, rotation.Traits{Propagation: -1, ListLag: -1, RetryHorizon: -1, KillsOld: true}, &lose}
				p.cred.Policy.AllowOutage = true
				r := p.rotator()
				_, _ = r.Rotate(t.Context(), name, rotation.Trigger{})
				if abort {
					_, _ = r.Abort(t.Context(), name, "no good")
				}
				p.paces(r, 5*time.Hour)
				for i, rec := range p.receivers {
					require.True(t, holds(rec, p.sender.Signing()), "r%d refuses what the sender signs with", i)
				}
				require.Nil(t, p.status().Open, "%s %+v", p.status().Open, p.status().Needs)
				require.Empty(t, p.status().Debts)
			})
		})
	}
}

// A sender may sign with the old secret until what it was told is known everywhere, and repeat that delivery for its whole horizon.
func TestWebhookReviewRepeatOfALateDelivery(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		p.sender.Traits.Propagation, p.sender.Traits.RetryHorizon = 15*time.Minute, 2*time.Hour
		r := p.rotator()
		p.rotate(r)
		p.paces(r, 14*time.Minute) // a node of the sender that does not know yet makes a delivery, which fails
		p.paces(r, 2*time.Hour-4*time.Minute)
		require.NoError(t, p.receivers[0].Receive(t.Context(), p.seeded.Secret), "it is repeated within the horizon")
	})
}

// What a person says of a receiver that has stopped telling is heard.
func TestWebhookReviewAttestWhileUsageFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		r := p.rotator()
		p.rotate(r)
		require.Equal(t, rotation.PhaseSoak, p.paces(r, 10*time.Minute).Open.Phase)
		p.receivers[1].Inject(rotationtest.Fault{Op: "Usage"})
		st := p.paces(r, 3*time.Hour)
		n := asked(t, st, rotation.VerbAttest)
		require.Equal(t, "r1", n.Name)
		p.does(r, rotation.Answer{Need: n.ID, Verb: rotation.VerbAttest})
		p.fine(p.ends(r))
	})
}

// A person says that nothing needs the old secret, and deliveries say otherwise later: what is seen counts.
func TestWebhookReviewUseAfterAttest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 1)
		p.cred.Issuer = console{p.sender}
		r := p.rotator()
		st := p.rotate(r)
		require.NoError(t, p.sender.Activate(t.Context(), p.versions().Key(rotation.RolePending)))
		p.does(r, rotation.Answer{Need: asked(t, st, rotation.VerbDone).ID, Verb: rotation.VerbDone})
		st = p.paces(r, 10*time.Minute)
		i := slices.IndexFunc(st.Needs, func(n rotation.Need) bool { return n.Kind == rotation.NeedQuiet })
		require.GreaterOrEqual(t, i, 0)
		if !slices.Contains(st.Needs[i].Verbs, rotation.VerbAttest) {
			return // nobody is asked what can be seen
		}
		p.does(r, rotation.Answer{Need: st.Needs[i].ID, Verb: rotation.VerbAttest})
		for range 20 {
			p.paces(r, 5*time.Minute)
			require.NoError(t, p.receivers[0].Receive(t.Context(), p.seeded.Secret), "a part of the sender goes on with it, and everybody can see that")
		}
	})
}

// oneID is a sender whose secrets all bear the id of the webhook.
type oneID struct {
	*rotationtest.Sender
	id string
}

func (o oneID) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	key, err := o.Sender.Issue(ctx, req)
	key.ID = o.id
	return key, err
}

// showing is a receiver that shows nothing but ids, and takes an hour.
type showing struct {
	r     *rotationtest.Receiver
	until time.Time
}

func (s showing) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	if time.Now().Before(s.until) {
		return nil
	}
	return s.r.Deploy(ctx, req)
}

func (s showing) Observe(ctx context.Context) ([]rotation.Instance, error) {
	seen, err := s.r.Observe(ctx)
	for i := range seen {
		seen[i].Key = rotation.Key{ID: seen[i].Key.ID}
	}
	return seen, err
}

func (s showing) Usage(ctx context.Context, key rotation.Key) (rotation.Usage, error) {
	return s.r.Usage(ctx, key)
}

// All secrets of a webhook bear one id: to see that id is not to see the new one.
func TestWebhookReviewOneIDForAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		p.cred.Issuer = oneID{p.sender, p.seeded.ID}
		p.cred.Consumers[1].Consumer = showing{p.receivers[1], time.Now().Add(time.Hour)}
		r := p.rotator()
		p.rotate(r)
		p.paces(r, 10*time.Minute)
		require.Empty(t, p.losses())
	})
}

// One receiver is down for half a day: the others are not restarted over and over for its debt.
func TestWebhookReviewDebtOfOneReceiver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		r := p.rotator()
		p.rotate(r)
		require.Equal(t, rotation.PhaseSoak, p.paces(r, 10*time.Minute).Open.Phase)
		p.receivers[1].Inject(rotationtest.Fault{Op: "Deploy", Until: time.Now().Add(13 * time.Hour)})
		p.ends(r)
		before := p.receivers[0].Calls("Deploy")
		p.paces(r, 10*time.Hour)
		require.LessOrEqual(t, p.receivers[0].Calls("Deploy")-before, 3, "it has forgotten it long ago")
	})
}

// A secret leaks, the sender's API is down, and one receiver is a person's: that person is asked at once.
func TestWebhookReviewEmergencyAsksForTheReceiverByHand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		p.cred.Consumers[1].Consumer = rotation.ConsumerFunc(func(context.Context, rotation.DeployRequest) error {
			return rotation.Manual("edit the unit file")
		})
		p.cred.Consumers[1].Verifier = p.receivers[1]
		r := p.rotator()
		p.sender.Inject(rotationtest.Fault{Op: "Activate", Until: time.Now().Add(2 * time.Hour)})
		_, _ = r.Emergency(t.Context(), everything("INC-1"))
		st := p.paces(r, 10*time.Minute)
		require.True(t, slices.ContainsFunc(st.Needs, func(n rotation.Need) bool { return n.Name == "r1" && n.Kind == rotation.NeedPerson }), "%+v", st.Needs)
	})
}

// The receivers have a secret that nobody put into the store: it is not forgotten before the sender has left it.
func TestWebhookReviewSecretThatNobodySeeded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		p.store = rotationtest.NewStore()
		p.cfg.Store = p.store
		p.cred.Issuer = console{p.sender}
		r := p.rotator()
		_, _ = r.Rotate(t.Context(), name, rotation.Trigger{})
		p.paces(r, time.Hour)
		require.Empty(t, p.losses())
	})
}

// A receiver takes ten minutes, and says so: that is no debt.
func TestWebhookReviewReceiverWithALag(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		p.cred.Consumers[1].Consumer = lagging{p.receivers[1], t.Context()}
		p.cred.Consumers[1].Lag = 10 * time.Minute
		r := p.rotator()
		p.rotate(r)
		p.fine(p.ends(r))
	})
}

type lagging struct {
	*rotationtest.Receiver
	test context.Context //nolint:containedctx // ends what is under way when the test does
}

func (l lagging) Deploy(_ context.Context, req rotation.DeployRequest) error {
	go func() {
		select {
		case <-l.test.Done():
		case <-time.After(9 * time.Minute):
			_ = l.Receiver.Deploy(context.Background(), req)
		}
	}()
	return nil
}

// The journal is lost while a receiver has yet to forget a secret that the store calls retiring.
func TestWebhookReviewJournalIsLostWithADebt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		r := p.rotator()
		p.rotate(r)
		require.Equal(t, rotation.PhaseSoak, p.paces(r, 10*time.Minute).Open.Phase)
		p.receivers[1].Inject(rotationtest.Fault{Op: "Deploy", Until: time.Now().Add(3 * time.Hour)})
		require.Len(t, p.ends(r).Debts, 1)
		p.journal = rotationtest.NewJournal()
		p.cfg.Journal = p.journal
		r = p.rotator()
		st, err := r.Advance(t.Context(), name)
		require.Error(t, err)
		_, _ = p.says(r, rotation.Answer{Need: asked(t, st, rotation.VerbAdopt).ID, Verb: rotation.VerbAdopt})
		p.paces(r, 12*time.Hour)
		require.Len(t, p.receivers[1].Accepts(), 1, "%+v", p.status().Debts)
	})
}

// The names of receivers are anybody's: none is taken for a question.
func TestWebhookReviewReceiverNames(t *testing.T) {
	for _, called := range []string{"quiet", "scopes", "eu/match/1", "eu/quiet/1"} {
		t.Run(called, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPost(t, 1, func(p *post) { p.mute(0) })
				p.cred.Consumers[0].Name = called
				r := p.rotator()
				st := p.rotate(r)
				for range 4 {
					p.does(r, rotation.Answer{Need: asked(t, st, rotation.VerbAttest).ID, Verb: rotation.VerbAttest})
					if st = p.paces(r, 2*time.Hour); st.Open == nil {
						break
					}
				}
				p.fine(p.ends(r))
			})
		})
	}
}

// renamed is the same sender under another identity.
type renamed struct{ *rotationtest.Sender }

func (renamed) Identity() string { return "the same sender, by its new address" }

// The sender is registered under another address, and then a secret leaks: the receivers are the same, and refuse it at once.
func TestWebhookReviewEmergencyAfterTheSenderMoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		r := p.rotator()
		p.rotate(r)
		p.ends(r)
		leaked := p.current()
		p.cred.Issuer = renamed{p.sender}
		r = p.rotator()
		p.sender.Inject(rotationtest.Fault{Op: "Choose", Until: time.Now().Add(2 * time.Hour), Err: errors.New("down")})
		_, _ = r.Emergency(t.Context(), everything("INC-1"))
		p.paces(r, 10*time.Minute)
		for i, rec := range p.receivers {
			require.False(t, holds(rec, leaked), "r%d", i)
		}
	})
}
