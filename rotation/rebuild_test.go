// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

// choosing is an issuer whose values are chosen here, as passwords are; in, unless it is nil, comes before each Issue.
type choosing struct {
	rotation.Issuer
	in func(rotation.IssueRequest) error
}

func (c choosing) Unwrap() rotation.Issuer { return c.Issuer }

func (c choosing) Choose(context.Context, rotation.IssueRequest) (rotation.Key, error) {
	return rotation.Key{Secret: secret.Random(20)}, nil
}

func (c choosing) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	if c.in != nil {
		if err := c.in(req); err != nil {
			return rotation.Key{}, err
		}
	}
	return c.Issuer.Issue(ctx, req)
}

// adopts answers adopt, and checks for five hours that what is current and what the consumer has is accepted.
func (w *world) adopts(r *rotation.Rotator) rotation.Status {
	w.t.Helper()
	st := w.paces(r, time.Hour)
	_, _ = w.says(r, rotation.Answer{Need: asked(w.t, st, rotation.VerbAdopt).ID, Verb: rotation.VerbAdopt})
	for range 30 {
		st = w.paces(r, 10*time.Minute)
		require.NoError(w.t, w.provider.Verify(w.t.Context(), w.current()), "%s\n%s", st.Open, st.Last)
		require.NoError(w.t, w.provider.Verify(w.t.Context(), w.consumers[0].Key()))
	}
	return st
}

// The journal comes back from a backup that was made while a chosen value was on its way, which is the current key by now.
// Naive: its try is open, and what it made is settled, and killed.
func TestRebuildKeepsAChosenValue(t *testing.T) {
	for what, change := range map[string]func(*world){
		"figures and disabling": func(*world) {},
		"neither":               func(w *world) { withoutUsage(w); w.cred.Issuer = final{w.cred.Issuer} },
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newBrief(t, 1, change)
				var backup *rotationtest.Journal
				w.cred.Issuer = choosing{w.cred.Issuer, func(rotation.IssueRequest) error {
					if w.provider.Calls("Issue") == 1 {
						backup = copied(t, w.journal, "handover/installation", name)
					}
					return nil
				}}
				r := w.rotator()
				for range 2 {
					w.rotate(r)
					require.Equal(t, rotation.Rotated, w.ends(r).Last.Outcome)
				}
				current := w.current().ID
				w.cfg.Journal, w.journal = backup, backup
				time.Sleep(time.Hour)
				st := w.adopts(w.rotator())
				require.Nil(t, st.Open, "%s", st.Open)
				require.Empty(t, st.Debts)
				require.Equal(t, current, w.current().ID)
				require.Equal(t, []string{current}, w.provider.Live())
			})
		})
	}
}

// A key was made from the current one before, and then the record is rebuilt. Naive: nobody knows that any more, and asking
// once more with it ends every key.
func TestRebuildKeepsThatAKeyIsUsedUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newBrief(t, 1)
		w.provider.Traits.NoReplay = true
		r := w.rotator()
		w.rotate(r)
		_, err := r.Abort(t.Context(), name, "no")
		require.NoError(t, err)
		require.Equal(t, rotation.RolledBack, w.ends(r).Last.Outcome)
		_, err = r.Rotate(t.Context(), name, rotation.Trigger{})
		require.ErrorIs(t, err, rotation.AmbiguousIssue)

		v := w.versions()
		v.Stamp = "handover1:SOMEBODYELSE:R:0:1"
		require.NoError(t, w.store.Save(t.Context(), name, v))
		st := w.adopts(r)
		require.Equal(t, rotation.AmbiguousIssue, diagnosis(st), "%s", st.Open)
		require.Equal(t, 1, w.provider.Calls("Issue"))
		require.Equal(t, []string{w.seeded.ID}, w.provider.Live())
	})
}

// Two journals rotate one credential in turn, and a number means another key in each: that of our lost try is their current
// key. Naive: what the try made is taken for theirs; theirs is overwritten, or dies without a gate; or ours lives on.
func TestRebuildWithNumbersOfAnotherJournal(t *testing.T) {
	for what, before := range map[string]int{"from the beginning": 0, "after a rotation": 1} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newBrief(t, 1)
				require.NoError(t, w.consumers[0].Deploy(t.Context(), rotation.DeployRequest{Key: w.seeded}))
				r, other := w.rotator(), *w
				other.journal = rotationtest.NewJournal()
				for range before {
					w.rotate(r)
					w.ends(r)
					other.journal = copied(t, w.journal, name)
				}
				other.cfg.Journal = other.journal
				w.provider.Inject(rotationtest.Fault{Op: "Issue", Call: before + 1, After: true})
				w.rotate(r)
				live := w.provider.Live()
				lost := live[slices.IndexFunc(live, func(id string) bool { return id != w.current().ID })]

				theirs := other.rotator()
				st, err := theirs.Rotate(t.Context(), name, rotation.Trigger{})
				require.ErrorIs(t, err, rotation.ForeignOwner)
				_, _ = other.says(theirs, rotation.Answer{Need: asked(t, st, rotation.VerbAdopt).ID, Verb: rotation.VerbAdopt})
				other.rotate(theirs)
				other.ends(theirs)
				their := w.current()
				require.Contains(t, w.provider.Live(), lost, "they know nothing of it")

				st = w.adopts(r)
				require.Nil(t, st.Open, "%s %+v", st.Open, st.Needs)
				require.Empty(t, st.Debts)
				require.NotEqual(t, lost, w.current().ID)
				require.NotEqual(t, their.ID, w.current().ID, "the rotation that was open has not begun again")
				require.Equal(t, []string{w.current().ID}, w.provider.Live())
				require.Len(t, w.versions().Keys, 1)
			})
		})
	}
}
