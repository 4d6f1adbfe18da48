// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

func TestAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 2)
		r := w.rotator()
		_, err := r.Abort(t.Context(), name, "")
		require.ErrorContains(t, err, "no rotation is open")
		_, err = r.Abort(t.Context(), "another", "")
		require.ErrorIs(t, err, rotation.ErrNotFound)

		st := w.rotate(r)
		require.Equal(t, rotation.PhaseSoak, st.Open.Phase)
		require.False(t, st.Open.RollbackUntil.IsZero())
		st, err = r.Abort(rotation.WithActor(t.Context(), "ann"), name, "latency")
		require.NoError(t, err)
		require.Equal(t, rotation.RollBack, st.Open.Strategy)
		require.Equal(t, w.seeded.ID, w.current().ID)
		for _, c := range w.consumers {
			require.Equal(t, w.seeded.ID, c.Key().ID, "they are back at once")
		}
		_, err = r.Abort(t.Context(), name, "again")
		require.Error(t, err, "a roll-back is not rolled back by asking twice")
		st = w.ends(r)
		require.Equal(t, rotation.RolledBack, st.Last.Outcome)
		require.Equal(t, []string{w.seeded.ID}, w.provider.Live())
		require.Contains(t, st.Last.String(), "rolling back: latency")
		require.Len(t, w.versions().Keys, 1)
	})
}

// From the intent to revoke on there is only forward.
func TestAbortIsTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		w.provider.Inject(rotationtest.Fault{Op: "Revoke", Until: time.Now().Add(70 * time.Minute)})
		r := w.rotator()
		w.rotate(r)
		st := w.paces(r, 61*time.Minute)
		require.Equal(t, rotation.PhaseRetire, st.Open.Phase)
		require.True(t, st.Open.RollbackUntil.IsZero())
		_, err := r.Abort(t.Context(), name, "")
		require.ErrorContains(t, err, "condemned")
		st = w.ends(r)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
	})
}

func TestAbortOfAnEmergency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		w.consumers[0].Inject(rotationtest.Fault{Op: "Verify", Until: time.Now().Add(time.Hour)})
		r := w.rotator()
		_, err := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
		require.Error(t, err, "a consumer does not work yet")
		_, err = r.Abort(t.Context(), name, "")
		require.ErrorContains(t, err, "emergency")
		st := w.ends(r)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
	})
}

func TestHoldAndRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		heard := &gazette{}
		w.cfg.Sinks = []rotation.Sink{heard}
		r := w.rotator()
		require.NoError(t, r.Hold(t.Context(), name, time.Time{}, "nothing to release"))
		require.ErrorIs(t, r.Hold(t.Context(), "another", time.Now().Add(time.Hour), ""), rotation.ErrNotFound)

		w.paces(r, time.Minute) // the first look at the key
		until := time.Now().Add(10 * time.Hour).Round(0)
		require.NoError(t, r.Hold(rotation.WithActor(t.Context(), "ann"), name, until, "release freeze"))
		st, err := r.Rotate(t.Context(), name, rotation.Trigger{})
		require.ErrorContains(t, err, "held until")
		require.Nil(t, st.Open, "nothing begins")
		require.True(t, st.HeldUntil.Equal(until))
		require.False(t, st.Next.Before(until), "and nothing is looked at before")
		require.Len(t, st.Needs, 1)
		require.Equal(t, rotation.NeedRelease, st.Needs[0].Kind)
		require.Contains(t, st.Needs[0].Text, "ann")
		require.Contains(t, st.Needs[0].Text, "release freeze")
		require.Empty(t, st.Needs[0].Verbs)
		w.paces(r, 9*time.Hour)
		require.Zero(t, w.provider.Calls("Issue"))

		// A time that has passed ends it.
		require.NoError(t, r.Hold(t.Context(), name, time.Now(), "freeze is over"))
		all := heard.all()
		require.Equal(t, "released: freeze is over", all[len(all)-1].Text)
		st = w.rotate(r)
		require.True(t, st.HeldUntil.IsZero())

		// An open rotation stands still too, and goes on by itself afterwards.
		require.NoError(t, r.Hold(t.Context(), name, time.Now().Add(20*time.Hour), ""))
		st = w.paces(r, 19*time.Hour)
		require.Equal(t, rotation.PhaseSoak, st.Open.Phase)
		require.Len(t, w.provider.Live(), 2)
		st = w.ends(r)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
		saidBy(t, st.Last, "tester", "held until")
	})
}

func TestAnEmergencyIgnoresAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		r := w.rotator()
		require.NoError(t, r.Hold(t.Context(), name, time.Now().Add(1000*time.Hour), "freeze"))
		_, err := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
		require.NoError(t, err)
		st := w.ends(r)
		require.Equal(t, rotation.Emergency, st.Last.Strategy)
		require.NotContains(t, w.provider.Live(), w.seeded.ID)
		require.False(t, st.HeldUntil.IsZero(), "the hold is still there")
	})
}

// people is a provider that only people can operate.
func people(w *world) {
	w.cred.Issuer = issuer.Manual{Create: "make a key named {name}, beside {current}", End: "end {id}", Traits: rotation.Traits{Propagation: -1, ListLag: -1}}
	w.cred.Verifier = w.provider
}

func TestSupply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1, people)
		r := w.rotator()
		w.rotate(r)
		st := w.paces(r, 6*time.Hour)
		require.Equal(t, rotation.PhaseIssue, st.Open.Phase)
		i := slices.IndexFunc(st.Needs, func(n rotation.Need) bool { return n.Kind == rotation.NeedPerson })
		require.GreaterOrEqual(t, i, 0)
		require.Contains(t, st.Needs[i].Text, "make a key named "+name+"-v2-")
		require.Contains(t, st.Needs[i].Text, "beside "+w.seeded.ID)

		ann := rotation.WithActor(t.Context(), "ann")
		_, err := r.Supply(ann, name, rotation.Key{ID: "no secret"})
		require.ErrorContains(t, err, "no secret")
		key := w.provider.Mint()
		st, err = r.Supply(ann, name, key)
		require.NoError(t, err)
		require.Equal(t, rotation.PhaseSoak, st.Open.Phase)
		require.Equal(t, key.ID, w.current().ID)
		require.Equal(t, 2, w.current().Generation)

		st, err = r.Supply(ann, name, key)
		require.NoError(t, err, "the same key again is heard once")
		require.Equal(t, rotation.PhaseSoak, st.Open.Phase)
		_, err = r.Supply(ann, name, w.provider.Mint())
		require.ErrorContains(t, err, "has its new key already")

		st = w.paces(r, 2*time.Hour)
		need := asked(t, st, rotation.VerbDone)
		require.Contains(t, need.Text, "end "+w.seeded.ID)
		require.NoError(t, w.provider.Revoke(t.Context(), w.seeded))
		st = w.ends(r) // the verifier sees it: nobody has to say so
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
		require.Equal(t, key.ID, st.Last.NewID)
		require.Empty(t, st.Debts)
	})
}

// A supplied key begins a rotation where none is open.
func TestSupplyBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1, people)
		r := w.rotator()
		_, err := r.Supply(t.Context(), "another", w.provider.Mint())
		require.ErrorIs(t, err, rotation.ErrNotFound)
		key := w.provider.Mint()
		st, err := r.Supply(rotation.WithActor(t.Context(), "ann"), name, key)
		require.NoError(t, err)
		require.Equal(t, "ann", st.Open.Actor)
		require.Equal(t, key.ID, st.Open.NewID)
	})
}

// What a person hands over is taken, or refused with an error: it is never dropped in silence.
func TestSupplyUnderAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1, people)
		r := w.rotator()
		w.rotate(r)
		require.NoError(t, r.Hold(t.Context(), name, time.Now().Add(time.Hour), "freeze"))
		key := w.provider.Mint()
		_, err := r.Supply(t.Context(), name, key)
		held := slices.ContainsFunc(w.versions().Keys, func(k rotation.StoredKey) bool { return k.Key.Secret.Equal(key.Secret) })
		require.True(t, err != nil || held)
	})
}

// An answer of Issue was lost and a person supplies a key meanwhile: what the lost call made is found all the same.
func TestSupplyAfterALostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		w.provider.Inject(rotationtest.Fault{Op: "Issue", Call: 1, After: true})
		r := w.rotator()
		w.rotate(r)
		_, err := r.Supply(t.Context(), name, w.provider.Mint())
		require.NoError(t, err)
		st := w.ends(r)
		st = w.paces(r, time.Hour)
		known := []string{w.current().ID}
		for _, d := range st.Debts {
			known = append(known, d.Key.ID)
		}
		require.Subset(t, known, w.provider.Live())
	})
}

// Who asks is recorded with what is asked.
func TestWhoAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		heard := &gazette{}
		w.cfg.Sinks = []rotation.Sink{heard}
		r := w.rotator()
		st, err := r.Rotate(rotation.WithActor(t.Context(), "ann"), name, rotation.Trigger{ID: "ci-7", Reason: "she leaves"})
		require.NoError(t, err)
		require.Equal(t, "ann", st.Open.Actor)
		require.Equal(t, "ci-7", st.Open.Trigger)
		saidBy(t, st.Open, "ann", "she leaves")
		require.Equal(t, "ann", w.versions().Metadata["rotated_by"])
		require.NoError(t, r.Hold(rotation.WithActor(t.Context(), "bob"), name, time.Now().Add(time.Minute), "wait"))
		st = w.ends(r)
		require.Equal(t, "ann", st.Last.Actor, "whoever carries it on did not begin it")
		saidBy(t, st.Last, "bob", "wait")
		actors := map[rotation.EventKind]string{}
		for _, e := range heard.all() {
			actors[e.Kind] = e.Actor
		}
		require.Equal(t, "ann", actors[rotation.EventBegan])
		require.Equal(t, "bob", actors[rotation.EventAnswered])
		require.Equal(t, "tester", actors[rotation.EventEnded])

		// The same trigger again attaches to what has ended.
		st, err = r.Rotate(t.Context(), name, rotation.Trigger{ID: "ci-7"})
		require.NoError(t, err)
		require.Nil(t, st.Open)
		st, err = r.Rotate(t.Context(), name, rotation.Trigger{ID: "ci-8"})
		require.NoError(t, err)
		require.NotNil(t, st.Open)
	})
}

// A roll-back kills the key that the rotation made: whoever reads along is told which key is which.
func TestRollBackNamesItsKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		withoutUsage(w)
		w.cred.Consumers[0].Consumer = rotation.ConsumerFunc(told)
		heard := &gazette{}
		w.cfg.Sinks = []rotation.Sink{heard}
		w.provider.Inject(rotationtest.Fault{Op: "Disable", Err: rotation.ErrDenied})
		r := w.rotator()
		w.rotate(r)
		st, err := r.Abort(t.Context(), name, "latency")
		require.NoError(t, err)
		made := st.Open.NewID
		st = w.paces(r, 2*time.Hour)
		need := asked(t, st, rotation.VerbAttest)
		require.Contains(t, need.Text, "generation 1", "everybody is to be back on it")
		w.provider.Inject(rotationtest.Fault{Op: "Revoke", Until: time.Now().Add(5 * time.Minute)})
		_, err = w.says(r, rotation.Answer{Need: need.ID, Verb: rotation.VerbAttest})
		require.ErrorContains(t, err, "not revoked")
		st = w.ends(r)
		require.Equal(t, rotation.RolledBack, st.Last.Outcome)
		texts := st.Last.String()
		for _, e := range heard.all() {
			texts += e.Text + "\n"
		}
		require.Contains(t, texts, made+" (generation 2) was not revoked")
		require.NotContains(t, texts, "the old key was not")
		require.Contains(t, texts, "every consumer is back on "+w.seeded.ID)
	})
}
