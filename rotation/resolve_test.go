// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

// Each test of this file is a verb: who may say it when, what it changes, and who is recorded as having said it.

// taciturn is an issuer that makes, ends and verifies keys, and tells nothing of them.
type taciturn struct {
	rotation.Issuer
	rotation.Verifier
}

func (m taciturn) Unwrap() rotation.Issuer { return nil }

// told is a consumer of which nothing can be seen.
func told(context.Context, rotation.DeployRequest) error { return nil }

// unseen makes a world whose only consumer and issuer tell nothing.
func unseen(w *world) {
	w.cred.Issuer = taciturn{w.provider, w.provider}
	w.cred.Consumers = []rotation.Binding{{Name: "web", Consumer: rotation.ConsumerFunc(told)}}
}

func (w *world) rotate(r *rotation.Rotator) rotation.Status {
	w.t.Helper()
	st, _ := r.Rotate(w.t.Context(), name, rotation.Trigger{Reason: "test"})
	require.NotNil(w.t, st.Open)
	return st
}

// newBrief is a world whose windows are an hour long.
func newBrief(t *testing.T, consumers int, change ...func(*world)) *world {
	w := newWorld(t, consumers, change...)
	w.cfg.Policy.Overlap, w.cfg.Policy.Quiet = time.Hour, time.Hour
	return w
}

// paces advances whenever the status says so, for d.
func (w *world) paces(r *rotation.Rotator, d time.Duration) rotation.Status {
	w.t.Helper()
	for end := time.Now().Add(d); ; {
		st, _ := r.Advance(w.t.Context(), name)
		if !time.Now().Before(end) {
			return st
		}
		time.Sleep(min(st.Delay(), time.Until(end)))
	}
}

// ends advances until the rotation has ended, for at most a day.
func (w *world) ends(r *rotation.Rotator) rotation.Status {
	w.t.Helper()
	for end := time.Now().Add(24 * time.Hour); ; {
		st, _ := r.Advance(w.t.Context(), name)
		if st.Open == nil {
			return st
		}
		require.True(w.t, time.Now().Before(end), "still open: %s%+v", st.Open, st.Needs)
		time.Sleep(st.Delay())
	}
}

// asked finds the need that takes a verb.
func asked(t *testing.T, st rotation.Status, verb rotation.Verb) rotation.Need {
	t.Helper()
	i := slices.IndexFunc(st.Needs, func(n rotation.Need) bool { return slices.Contains(n.Verbs, verb) })
	require.GreaterOrEqual(t, i, 0, "nothing takes %s: %+v", verb, st.Needs)
	return st.Needs[i]
}

// says answers as ann.
func (w *world) says(r *rotation.Rotator, a rotation.Answer) (rotation.Status, error) {
	return r.Resolve(rotation.WithActor(w.t.Context(), "ann"), name, a)
}

func (w *world) does(r *rotation.Rotator, a rotation.Answer) rotation.Status {
	w.t.Helper()
	st, err := w.says(r, a)
	require.NoError(w.t, err)
	return st
}

// saidBy finds a line of the timeline.
func saidBy(t *testing.T, rec *rotation.Record, actor, part string) {
	t.Helper()
	require.True(t, slices.ContainsFunc(rec.Timeline, func(m rotation.Moment) bool {
		return m.Actor == actor && strings.Contains(m.Text, part)
	}), "nobody reads that %s said %q:\n%s", actor, part, rec)
}

func TestAttest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 0, unseen)
		r := w.rotator()
		w.rotate(r)
		st := w.paces(r, 6*time.Hour)
		need := asked(t, st, rotation.VerbAttest)
		require.Equal(t, rotation.NeedPerson, need.Kind)
		require.Equal(t, "web", need.Name)
		require.Equal(t, rotation.Unproven, st.Open.Problem.Diagnosis)
		require.Len(t, w.provider.Live(), 2, "nobody saw it move: it is not taken for granted")

		w.does(r, rotation.Answer{Need: need.ID, Verb: rotation.VerbAttest, Reason: "saw its log"})
		st = w.ends(r)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
		require.Equal(t, "attested by ann", st.Last.Consumers[0].Proof)
		saidBy(t, st.Last, "ann", "saw its log")
		saidBy(t, st.Last, "ann", "generation 2")
		require.Equal(t, []string{w.current().ID}, w.provider.Live())

		// The word was about this rotation: the next one asks again, under another id.
		w.rotate(r)
		st = w.paces(r, 6*time.Hour)
		again := asked(t, st, rotation.VerbAttest)
		require.NotEqual(t, need.ID, again.ID)
		_, err := w.says(r, rotation.Answer{Need: need.ID, Verb: rotation.VerbAttest})
		require.ErrorIs(t, err, rotation.ErrNotFound)
		require.Len(t, w.provider.Live(), 2)
	})
}

func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 2)
		r := w.rotator()
		w.rotate(r)
		gone := w.cred
		gone.Consumers = gone.Consumers[:1]
		require.NoError(t, r.Register(gone))
		st, err := r.Advance(t.Context(), name)
		require.ErrorIs(t, err, rotation.ConsumerGone)
		st = w.paces(r, 6*time.Hour)
		require.ErrorIs(t, st.Open.Problem, rotation.ConsumerGone)
		require.Len(t, w.provider.Live(), 2, "who was given a key is not left behind in silence")

		need := asked(t, st, rotation.VerbForget)
		require.Equal(t, "c1", need.Name)
		w.does(r, rotation.Answer{Need: need.ID, Verb: rotation.VerbForget, Reason: "decommissioned"})
		st = w.ends(r)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
		require.Len(t, st.Last.Consumers, 1)
		saidBy(t, st.Last, "ann", "c1 is gone: decommissioned")
	})
}

func TestExtend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		r := w.rotator()
		w.rotate(r)
		st := w.paces(r, time.Minute)
		need := asked(t, st, rotation.VerbExtend)
		_, err := w.says(r, rotation.Answer{Need: need.ID, Verb: rotation.VerbExtend, Until: time.Now().Add(-time.Hour)})
		require.ErrorContains(t, err, "Answer.Until")
		st = w.paces(r, 0)

		until := time.Now().Add(10 * time.Hour)
		w.does(r, rotation.Answer{Need: asked(t, st, rotation.VerbExtend).ID, Verb: rotation.VerbExtend, Until: until})
		st = w.paces(r, 9*time.Hour)
		require.NotNil(t, st.Open)
		require.Len(t, w.provider.Live(), 2)
		// A shorter extension takes nothing back.
		w.does(r, rotation.Answer{Need: asked(t, st, rotation.VerbExtend).ID, Verb: rotation.VerbExtend, Until: time.Now().Add(time.Minute)})
		st = w.paces(r, 30*time.Minute)
		require.NotNil(t, st.Open)
		st = w.ends(r)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
		require.False(t, st.Last.RevokedAt.Before(until), "revoked at %v", st.Last.RevokedAt)
		saidBy(t, st.Last, "ann", "both keys live until")
	})
}

// A provider that refuses what it issues is asked three times, then a person.
func TestDoneTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		refuses := true
		w.cred.Verifier = rotation.VerifierFunc(func(ctx context.Context, key rotation.Key) error {
			if refuses && key.Generation > 1 {
				return rotation.ErrRejected
			}
			return w.provider.Verify(ctx, key)
		})
		r := w.rotator()
		w.rotate(r)
		st := w.paces(r, 3*time.Hour)
		require.Equal(t, 3, w.provider.Calls("Issue"))
		need := asked(t, st, rotation.VerbDone)
		require.ErrorIs(t, st.Open.Problem, rotation.NewKeyRejected)
		refuses = false
		w.does(r, rotation.Answer{Need: need.ID, Verb: rotation.VerbDone})
		st = w.ends(r)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
		require.Equal(t, 4, w.provider.Calls("Issue"))
		require.Equal(t, []string{w.current().ID}, w.provider.Live())
		saidBy(t, st.Last, "ann", "done")
	})
}

// A consumer that a person operates: the key is brought to it by hand.
func TestDoneByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		var keys []rotation.Key
		w.cred.Consumers = append(w.cred.Consumers, rotation.Binding{Name: "legacy", Consumer: rotation.ConsumerFunc(func(_ context.Context, req rotation.DeployRequest) error {
			keys = append(keys, req.Key)
			return rotation.Manual("put it into /etc/legacy.conf")
		})})
		r := w.rotator()
		w.rotate(r)
		st := w.paces(r, 6*time.Hour)
		need := asked(t, st, rotation.VerbDone)
		require.Equal(t, "legacy", need.Name)
		require.Contains(t, need.Text, "put it into /etc/legacy.conf")
		require.Equal(t, rotation.PhaseDeploy, st.Open.Phase, "patience does not run out on a person")
		w.does(r, rotation.Answer{Need: need.ID, Verb: rotation.VerbDone})
		st = w.ends(r)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
		require.Equal(t, w.current().ID, keys[len(keys)-1].ID)
		saidBy(t, st.Last, "ann", "done")
	})
}

func TestRollBackOnANeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1, unseen)
		r := w.rotator()
		w.rotate(r)
		st := w.paces(r, 6*time.Hour)
		w.does(r, rotation.Answer{Need: asked(t, st, rotation.VerbRollBack).ID, Verb: rotation.VerbRollBack, Reason: "it is slow"})
		st = w.paces(r, time.Minute)
		require.Equal(t, rotation.RollBack, st.Open.Strategy)
		require.Equal(t, w.seeded.ID, w.current().ID)
		require.Len(t, w.provider.Live(), 2, "the same gate guards the new key")
		w.does(r, rotation.Answer{Need: asked(t, st, rotation.VerbAttest).ID, Verb: rotation.VerbAttest})
		st = w.ends(r)
		require.Equal(t, rotation.RolledBack, st.Last.Outcome)
		require.Equal(t, []string{w.seeded.ID}, w.provider.Live())
		require.Contains(t, st.Last.String(), "asked by ann: it is slow")
	})
}

// What nobody waits for is not found, and a wrong word changes nothing: the right one is taken afterwards.
func TestAWrongAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 0, unseen)
		r := w.rotator()
		w.rotate(r)
		before := w.paces(r, 6*time.Hour)
		need := asked(t, before, rotation.VerbAttest)
		for _, a := range []rotation.Answer{
			{}, {Need: need.ID}, {Need: need.ID, Verb: rotation.VerbSettle}, {Need: "nonsense", Verb: rotation.VerbAttest}, {Need: "debt/9", Verb: rotation.VerbSettle},
		} {
			_, err := w.says(r, a)
			require.ErrorIs(t, err, rotation.ErrNotFound)
		}
		st, err := r.Status(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, before.Needs, st.Needs)
		require.Equal(t, before.Open.Problem, st.Open.Problem)
		w.does(r, rotation.Answer{Need: need.ID, Verb: rotation.VerbAttest})
	})
}

func TestUnknownNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		r := w.rotator()
		_, err := w.says(r, rotation.Answer{Need: "a", Verb: rotation.VerbDone})
		require.ErrorIs(t, err, rotation.ErrNotFound, "nothing is open")
		_, err = r.Resolve(t.Context(), "another", rotation.Answer{Need: "a", Verb: rotation.VerbDone})
		require.ErrorIs(t, err, rotation.ErrNotFound)
		require.ErrorContains(t, err, "another")
	})
}

// While somebody else drives, a verb that has to be heard fails; Rotate joins.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		w.consumers[0].Inject(rotationtest.Fault{Op: "Deploy", Call: 1, Delay: 8 * time.Second})
		a, b := w.rotator(), w.rotator()
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.rotate(a)
		}()
		time.Sleep(time.Second)
		ctx := rotation.WithActor(t.Context(), "bob")
		_, err := b.Abort(ctx, name, "no")
		require.ErrorIs(t, err, rotation.ErrConflict)
		require.ErrorContains(t, err, "tester")
		_, err = b.Resolve(ctx, name, rotation.Answer{Need: "x", Verb: rotation.VerbDone})
		require.ErrorIs(t, err, rotation.ErrConflict)
		require.ErrorIs(t, b.Hold(ctx, name, time.Now().Add(time.Hour), ""), rotation.ErrConflict)
		_, err = b.Supply(ctx, name, rotation.Key{Secret: secret.New("value")})
		require.ErrorIs(t, err, rotation.ErrConflict)
		st, err := b.Rotate(ctx, name, rotation.Trigger{})
		require.NoError(t, err)
		require.NotNil(t, st.Open)
		_, err = b.Advance(ctx, name)
		require.NoError(t, err)
		<-done
		require.Equal(t, 1, w.provider.Calls("Issue"))
	})
}

// Keys of no use are no question of scopes: nobody's attestation of anything lets a later key pass with fewer.
func TestKeysOfNoUseAreNoScopes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		w.cred.Verifier = rotation.VerifierFunc(func(ctx context.Context, key rotation.Key) error {
			if key.Generation > 1 {
				return rotation.ErrRejected
			}
			return w.provider.Verify(ctx, key)
		})
		r := w.rotator()
		w.rotate(r)
		for range 3 { // the first refusals are tried again without anybody
			st, err := r.Status(t.Context(), name)
			require.NoError(t, err)
			if w.provider.Calls("Issue") < 3 {
				require.Equal(t, rotation.NeedRetry, st.Needs[0].Kind, "%+v", st.Needs)
			}
			time.Sleep(st.Delay())
			_, _ = r.Advance(t.Context(), name)
		}
		st := w.paces(r, 3*time.Hour)
		need := asked(t, st, rotation.VerbDone)
		require.Equal(t, rotation.NeedPerson, need.Kind)
		require.Equal(t, []rotation.Verb{rotation.VerbDone, rotation.VerbRollBack}, need.Verbs)
		_, err := w.says(r, rotation.Answer{Need: need.ID, Verb: rotation.VerbAttest})
		require.ErrorIs(t, err, rotation.ErrNotFound)
		var problem *rotation.Error
		require.ErrorAs(t, err, &problem)
		require.Equal(t, `answer with one of ["done" "roll-back"]`, problem.Action)
	})
}
