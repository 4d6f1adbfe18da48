// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// What a webhook's rotation waits for, and what people are asked.

// quietly is a receiver that shows nothing of itself.
type quietly struct{ r *rotationtest.Receiver }

func (q quietly) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	return q.r.Deploy(ctx, req)
}

// mute leaves a receiver without a Verifier, an Observer and a UsageReporter.
func (p *post) mute(i int) { p.cred.Consumers[i].Consumer = quietly{p.receivers[i]} }

// A receiver that nothing can look into: a person says that it accepts the new secret before the sender is told, that a delivery
// has come, that nothing needs the old one, and that it has forgotten it.
func TestWebhookBlindReceiver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2, func(p *post) { p.mute(1) })
		r := p.rotator()
		st := p.rotate(r)
		for _, phase := range []rotation.Phase{rotation.PhaseAccept, rotation.PhaseProve, rotation.PhaseSoak, rotation.PhaseConfirm} {
			require.NotNil(t, st.Open, "%s", phase)
			require.Equal(t, phase, st.Open.Phase)
			if phase == rotation.PhaseAccept {
				require.Equal(t, 1, p.sender.Calls("Activate"), "the sender waits for it")
			}
			st = p.paces(r, 2*time.Hour)
			require.Equal(t, phase, st.Open.Phase, "%+v", st.Needs)
			n := asked(t, st, rotation.VerbAttest)
			require.Equal(t, "r1", n.Name)
			_, err := r.Resolve(t.Context(), name, rotation.Answer{Need: n.ID, Verb: rotation.VerbAttest})
			require.NoError(t, err)
			st = p.status()
		}
		p.fine(p.ends(r))
	})
}

// A person deploys to a receiver by hand: what was done for one set is not believed for the next one.
func TestWebhookReceiverByHand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		p.cred.Consumers[1].Consumer = rotation.ConsumerFunc(func(context.Context, rotation.DeployRequest) error {
			return rotation.Manual("edit the unit file")
		})
		var set []rotation.Key
		p.cred.Consumers[0].Consumer = watched{p.receivers[0], func(req rotation.DeployRequest) { set = req.Accept }}
		r := p.rotator()
		p.rotate(r)
		for _, phase := range []rotation.Phase{rotation.PhaseAccept, rotation.PhaseDrop} {
			st := p.status()
			for st.Open.Phase != phase {
				for _, n := range st.Needs {
					if n.Name == "r1" && n.Verbs[0] == rotation.VerbAttest {
						p.does(r, rotation.Answer{Need: n.ID, Verb: rotation.VerbAttest})
					}
				}
				st = p.paces(r, time.Hour)
			}
			st = p.paces(r, 3*time.Hour)
			require.Equal(t, phase, st.Open.Phase, "it waits for a person, however long")
			n := asked(t, st, rotation.VerbDone)
			require.Contains(t, n.Text, "edit the unit file")
			require.NoError(t, p.receivers[1].Deploy(t.Context(), rotation.DeployRequest{Accept: set}))
			p.does(r, rotation.Answer{Need: n.ID, Verb: rotation.VerbDone})
		}
		p.fine(p.ends(r))
	})
}

// watched sees what a receiver is told.
type watched struct {
	*rotationtest.Receiver
	see func(rotation.DeployRequest)
}

func (w watched) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	w.see(req)
	return w.Receiver.Deploy(ctx, req)
}

// The sender was told and goes on with the old secret: both stay accepted for as long as it takes, people learn of it, and it is
// told again.
func TestWebhookSenderOnOldSecret(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		lazy := &lazySender{Sender: p.sender}
		p.cred.Issuer = lazy
		r := p.rotator()
		p.rotate(r)
		st := p.paces(r, 50*time.Hour)
		require.Equal(t, rotation.PhaseProve, st.Open.Phase)
		require.ErrorIs(t, st.Open.Problem, rotation.SenderOnOldSecret)
		p.accept(2, 1)
		require.Greater(t, lazy.told, 3)
		lazy.willing = true
		p.fine(p.ends(r))
	})
}

// lazySender says yes and does nothing, at first.
type lazySender struct {
	*rotationtest.Sender
	willing bool
	told    int
}

func (l *lazySender) Activate(ctx context.Context, key rotation.Key) error {
	if l.told++; !l.willing {
		return nil
	}
	return l.Sender.Activate(ctx, key)
}

// A sender without an API: a person updates its console and says so.
func TestWebhookSenderByHand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		p.cred.Issuer = console{p.sender}
		r := p.rotator()
		st := p.rotate(r)
		require.Equal(t, rotation.PhaseActivate, st.Open.Phase)
		st = p.paces(r, 5*time.Hour)
		require.Equal(t, rotation.PhaseActivate, st.Open.Phase)
		n := asked(t, st, rotation.VerbDone)
		require.Contains(t, n.Text, "paste it")
		require.NoError(t, p.sender.Activate(t.Context(), p.versions().Key(rotation.RolePending)))
		p.does(r, rotation.Answer{Need: n.ID, Verb: rotation.VerbDone})
		p.fine(p.ends(r))
	})
}

type console struct{ *rotationtest.Sender }

func (console) Activate(context.Context, rotation.Key) error {
	return rotation.Manual("paste it into the console")
}

// A receiver that accepts anything proves nothing, and the sender is never told.
func TestWebhookGullibleReceiver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		p.cred.Consumers[1].Verifier = rotation.VerifierFunc(func(context.Context, rotation.Key) error { return nil })
		r := p.rotator()
		st := p.rotate(r)
		require.ErrorContains(t, st.Open.Problem, "nobody has")
		st = p.ends(r)
		require.Equal(t, rotation.RolledBack, st.Last.Outcome)
		require.Equal(t, 1, p.sender.Calls("Activate"))
	})
}

// A receiver is down when it is to forget the old secret: the rotation ends, with a debt that is paid when it is back.
func TestWebhookUnreachableReceiver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		r := p.rotator()
		p.rotate(r)
		require.Equal(t, rotation.PhaseSoak, p.paces(r, 10*time.Minute).Open.Phase)
		p.receivers[1].Inject(rotationtest.Fault{Op: "Deploy", Until: time.Now().Add(12 * time.Hour)})
		st := p.ends(r)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
		require.Len(t, st.Debts, 1)
		require.Len(t, p.receivers[1].Accepts(), 2)
		p.fine(p.paces(r, 20*time.Hour))
	})
}

// A receiver restarts now and then, and its counters with it: what it has not seen proves nothing.
func TestWebhookCountersBeginAnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 1)
		r := p.rotator()
		p.rotate(r)
		for range 10 {
			require.Equal(t, rotation.PhaseSoak, p.paces(r, 50*time.Minute).Open.Phase)
			p.receivers[0].Restart()
		}
		began := time.Now()
		st := p.ends(r)
		require.GreaterOrEqual(t, st.Last.RevokedAt.Sub(began), time.Hour)
		p.fine(st)
	})
}

// Nothing is delivered for days: silence is no proof, and the sender is made to deliver a test, or a person says what is.
func TestWebhookWithoutDeliveries(t *testing.T) {
	for _, ping := range []bool{true, false} {
		t.Run(fmt.Sprint("ping ", ping), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPost(t, 2)
				p.sender.Inject(rotationtest.Fault{Op: "Deliver"})
				if !ping {
					p.cred.Issuer = struct {
						rotation.Issuer
						rotation.Chooser
						rotation.Activator
						rotation.Describer
						rotation.Identifier
					}{p.sender, p.sender, p.sender, p.sender, p.sender}
				}
				r := p.rotator()
				p.rotate(r)
				if ping {
					p.fine(p.ends(r))
					return
				}
				st := p.paces(r, 48*time.Hour)
				require.Equal(t, rotation.PhaseProve, st.Open.Phase)
				for range 2 {
					n := asked(t, st, rotation.VerbAttest)
					p.does(r, rotation.Answer{Need: n.ID, Verb: rotation.VerbAttest})
					st = p.status()
				}
				p.fine(p.ends(r))
			})
		})
	}
}

// A sender that signs with a new secret as soon as it is made has to sign with both for a while, and cannot be told to go back.
func TestWebhookSenderSignsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		p.cred.Issuer = struct {
			rotation.Issuer
			rotation.Chooser
			rotation.Identifier
		}{p.sender, p.sender, p.sender}
		cfg := p.cfg
		cfg.Credentials = []rotation.Credential{p.cred}
		_, err := rotation.New(cfg)
		require.ErrorContains(t, err, "Traits.Grace")
		p.cred.Consumers = nil
		cfg.Credentials = []rotation.Credential{p.cred}
		_, err = rotation.New(cfg)
		require.ErrorContains(t, err, "Consumers is required")
	})
}

// A receiver is added in the middle: it is told too, and waited for.
func TestWebhookReceiverIsAdded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		third := rotationtest.NewReceiver()
		r := p.rotator()
		p.rotate(r)
		require.Equal(t, rotation.PhaseSoak, p.paces(r, 10*time.Minute).Open.Phase)
		p.cred.Consumers = append(p.cred.Consumers, rotation.Binding{Name: "r2", Consumer: third})
		require.NoError(t, r.Register(p.cred))
		p.paces(r, time.Minute)
		require.Len(t, third.Accepts(), 2)
		st := p.paces(r, 3*time.Hour)
		require.Equal(t, rotation.PhaseProve, st.Open.Phase, "no delivery has come to it yet")
		n := asked(t, st, rotation.VerbAttest)
		require.Equal(t, "r2", n.Name)
		p.does(r, rotation.Answer{Need: n.ID, Verb: rotation.VerbAttest})
		for range 3 {
			if st = p.paces(r, 3*time.Hour); st.Open == nil {
				break
			}
			p.does(r, rotation.Answer{Need: asked(t, st, rotation.VerbAttest).ID, Verb: rotation.VerbAttest})
		}
		p.fine(p.ends(r))
		require.Len(t, third.Accepts(), 1)
	})
}

// The journal is lost in the middle: the record is rebuilt from the store, and everybody is told again.
func TestWebhookJournalIsLost(t *testing.T) {
	for _, soak := range []bool{false, true} {
		t.Run(fmt.Sprint("promoted ", soak), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPost(t, 2)
				if !soak {
					p.stopsIn(rotation.PhaseActivate)
				}
				r := p.rotator()
				_, _ = r.Rotate(t.Context(), name, rotation.Trigger{})
				p.paces(r, time.Minute)
				p.journal = rotationtest.NewJournal()
				p.cfg.Journal = p.journal
				r = p.rotator()
				st, err := r.Advance(t.Context(), name)
				require.Error(t, err)
				_, _ = p.says(r, rotation.Answer{Need: asked(t, st, rotation.VerbAdopt).ID, Verb: rotation.VerbAdopt})
				p.fine(p.ends(r))
			})
		})
	}
}

// The store is down when a secret leaks: the receivers refuse it all the same.
func TestWebhookEmergencyWithoutAStore(t *testing.T) {
	for _, journal := range []bool{true, false} {
		t.Run(fmt.Sprint("journal ", journal), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPost(t, 2)
				r := p.rotator()
				p.rotate(r)
				p.ends(r)
				until := time.Now().Add(time.Hour)
				for _, op := range []string{"Load", "Save"} {
					p.store.Inject(rotationtest.Fault{Op: op, Until: until})
					if !journal {
						p.journal.Inject(rotationtest.Fault{Op: op, Until: until})
					}
				}
				_, err := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-2", Credentials: []string{name}})
				require.Error(t, err)
				for range 10 {
					_, _ = r.Advance(t.Context(), name)
					time.Sleep(10 * time.Second)
				}
				p.accept()
				st := p.ends(r)
				time.Sleep(2 * oddly)
				before := len(p.losses())
				st = p.paces(r, 80*time.Hour)
				require.Nil(t, st.Open)
				require.Len(t, p.losses(), before)
				p.accept(p.sender.Signing().Generation)
				require.Greater(t, p.sender.Signing().Generation, 2)
			})
		})
	}
}
