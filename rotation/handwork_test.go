// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

// byHand makes key current in the store, as a person with the store's console would; ours stays beside it, or does not.
func (w *world) byHand(key rotation.Key, stamped, ours bool) {
	v := w.versions()
	if !stamped {
		v.Stamp = ""
	}
	keys := []rotation.StoredKey{{Key: key, Role: rotation.RoleCurrent}}
	for _, k := range v.Keys {
		if k.Role == rotation.RoleCurrent {
			k.Role = rotation.RolePrevious
		}
		if ours {
			keys = append(keys, k)
		}
	}
	v.Keys = keys
	require.NoError(w.t, w.store.Save(w.t.Context(), name, v))
}

// A person replaced the key in the store: another person says what that was.
func TestAdoptAndReassert(t *testing.T) {
	for _, c := range []struct {
		what           string
		stamped, ours  bool
		adopt, restore bool
	}{
		{"a bare value, adopt", false, false, true, false},
		{"a bare value, reassert", false, false, false, false},
		{"ours beside it, adopt", true, true, true, false},
		{"ours beside it, reassert", true, true, false, true},
		{"under our stamp, adopt", true, false, true, false},
		{"under our stamp, reassert", true, false, false, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			if c.stamped {
			}
			synctest.Test(t, func(t *testing.T) {
				w := newBrief(t, 1)
				r := w.rotator()
				w.rotate(r)
				w.ends(r)
				ours := w.current()
				theirs := w.provider.Mint()
				w.byHand(theirs, c.stamped, c.ours)
				_, err := r.Rotate(t.Context(), name, rotation.Trigger{})
				require.ErrorIs(t, err, rotation.Drift)
				st := w.paces(r, 6*time.Hour)
				require.ElementsMatch(t, []string{ours.ID, theirs.ID}, w.provider.Live(), "nothing is ended before a person has spoken")
				require.Equal(t, theirs.ID, w.current().ID, "and nothing overwritten")

				verb := rotation.VerbReassert
				if c.adopt {
					verb = rotation.VerbAdopt
				}
				w.does(r, rotation.Answer{Need: asked(t, st, verb).ID, Verb: verb, Reason: "asked around"})
				w.paces(r, time.Minute)
				st = w.ends(r)
				if c.adopt {
					require.Equal(t, theirs.ID, w.current().ID)
					require.Equal(t, 3, st.Generation)
					require.Equal(t, []string{theirs.ID}, w.provider.Live(), "what it replaced was ours")
					require.Equal(t, theirs.ID, w.consumers[0].Key().ID)
					return
				}
				require.Equal(t, c.restore, ours.ID == w.current().ID, "where its value is lost, another one was made")
				require.NotEqual(t, theirs.ID, w.current().ID)
				require.ElementsMatch(t, []string{theirs.ID, w.current().ID}, w.provider.Live(), "theirs is not ours to end")
				require.Len(t, st.Debts, 1)
				require.ErrorIs(t, st.Debts[0].Problem, rotation.UnknownKey)
				require.Equal(t, theirs.ID, st.Debts[0].Key.ID)

				st = w.does(r, rotation.Answer{Need: st.Debts[0].ID, Verb: rotation.VerbSettle})
				require.Empty(t, st.Debts, "a person may say that it is gone")
				require.Len(t, w.versions().Keys, 1)
			})
		})
	}
}

// A key that somebody added to the store is one debt, however often it is looked at.
func TestAStrangerIsOneDebt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		r := w.rotator()
		w.rotate(r)
		v := w.versions()
		v.Keys = append(v.Keys, rotation.StoredKey{Key: w.provider.Mint(), Role: rotation.RolePending})
		require.NoError(t, w.store.Save(t.Context(), name, v))
		st := w.paces(r, 30*time.Minute)
		require.Len(t, st.Debts, 1)
		require.ErrorIs(t, st.Debts[0].Problem, rotation.UnknownKey)
		require.Len(t, w.provider.Live(), 3, "nothing ends it but a person")
	})
}

// A person made the replaced key current again: that can mean two things.
func TestPutBackByHand(t *testing.T) {
	for verb, outcome := range map[rotation.Verb]rotation.Outcome{
		rotation.VerbRollBack: rotation.RolledBack,
		rotation.VerbAdopt:    rotation.RolledBack, // what the store holds is right
		rotation.VerbReassert: rotation.Rotated,
	} {
		t.Run(string(verb), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBrief(t, 1)
				r := w.rotator()
				w.rotate(r)
				v := w.versions()
				require.Equal(t, rotation.RoleCurrent, v.Keys[0].Role)
				v.Keys[0].Role, v.Keys[1].Role = rotation.RolePending, rotation.RoleCurrent
				slices.Reverse(v.Keys) // the order matters: see TestJudgePutBackInAnyOrder
				require.NoError(t, w.store.Save(t.Context(), name, v))
				st, err := r.Advance(t.Context(), name)
				require.ErrorIs(t, err, rotation.Drift)
				require.Equal(t, rotation.PhaseSoak, st.Open.Phase)
				w.does(r, rotation.Answer{Need: asked(t, st, verb).ID, Verb: verb})
				st = w.ends(r)
				require.Equal(t, outcome, st.Last.Outcome)
				require.Equal(t, outcome == rotation.RolledBack, w.current().ID == w.seeded.ID)
				require.Equal(t, []string{w.current().ID}, w.provider.Live())
				require.Equal(t, w.current().ID, w.consumers[0].Key().ID)
			})
		})
	}
}

// An issuer that makes no key leaves no mark of a write of ours: what somebody puts into the store then is theirs.
func TestNotMintedIsNoWrite(t *testing.T) {
	for what, fault := range map[string]error{"refused": rotation.ErrNotIssued, "lost": nil, "by hand": rotation.Manual("make one")} {
		synctest.Test(t, func(t *testing.T) {
			w := newBrief(t, 1)
			w.provider.Inject(rotationtest.Fault{Op: "Issue", Err: fault})
			w.rotate(w.rotator())
			e, err := w.journal.Load(t.Context(), name)
			require.NoError(t, err)
			require.NotContains(t, string(e.Data), `"writing":true`, what)
		})
	}
}

// A person replaces the key while a chosen value is on its way, and that is adopted. Naive: the chosen value is killed at once,
// while its call can still land; and then it is owed although it is dead.
func TestAdoptWhileAChosenValueIsOnItsWay(t *testing.T) {
	for what, after := range map[string]bool{"set, answer lost": true, "never arrived": false} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := newHazard(t, 1)
				db := &retaining{primary: h.seeded, lost: 1, after: after}
				h.elsewhere(db, db.accepts)
				told := &recorder{}
				h.cfg.Sinks = []rotation.Sink{told}
				r := h.rotator()
				h.begin(r)
				require.Len(t, h.versions().Keys, 2, "the chosen value is not stored")
				theirs, err := db.Issue(t.Context(), rotation.IssueRequest{Chosen: rotation.Key{Secret: secret.Random(20)}})
				require.NoError(t, err)
				theirs.IssuedAt = time.Now()
				h.byHand(theirs, true, true)
				require.Equal(t, rotation.Drift, diagnosis(h.drive(r, time.Minute)))
				h.answer(r, rotation.VerbAdopt)
				st := h.drive(r, 24*time.Hour)
				require.Nil(t, st.Open, "%s %+v", st.Open, st.Needs)
				require.Equal(t, theirs.Secret.Reveal(), h.current().Secret.Reveal())
				require.True(t, db.accepts(h.current()))
				for _, d := range h.paid(r) { // it was set, and what the provider calls it was in the answer
					require.True(t, after)
					require.Equal(t, 2, d.Key.Generation)
					_, err := r.Resolve(t.Context(), name, rotation.Answer{Need: d.ID, Verb: rotation.VerbSettle})
					require.NoError(t, err)
				}
				require.Len(t, h.versions().Keys, 1)
				for _, e := range told.all() {
					require.False(t, !after && e.Kind == rotation.EventDebt, e.Text)
				}
			})
		})
	}
}

// The store comes back from a backup that is older than the new key, and the roll-back cannot go on at once. Naive: at the next look
// the store's stamp is newer than what the record has forgotten of it, and the journal is said to be behind.
func TestRestoredStoreIsNotAheadOfTheJournal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newBrief(t, 1)
		r := w.rotator()
		w.rotate(r)
		w.ends(r)
		backup := w.versions()
		w.rotate(r)
		require.Equal(t, rotation.PhaseSoak, w.paces(r, 10*time.Minute).Open.Phase)
		backup.Revision = w.versions().Revision
		require.NoError(t, w.store.Save(t.Context(), name, backup))
		w.provider.Inject(rotationtest.Fault{Op: "Verify", Until: time.Now().Add(5 * time.Minute)})
		for range 60 {
			st, err := r.Advance(t.Context(), name)
			require.NotErrorIs(t, err, rotation.JournalBehind)
			require.NotContains(t, verbs(st), rotation.VerbAdopt)
			time.Sleep(time.Minute)
		}
		st := w.ends(r)
		require.Equal(t, rotation.RolledBack, st.Last.Outcome, "%s", st.Last)
		require.Equal(t, backup.Key(rotation.RoleCurrent).ID, w.current().ID)
		require.Equal(t, []string{w.current().ID}, w.provider.Live())
		require.True(t, w.consumers[0].Key().Equal(w.current()))
		require.Empty(t, st.Debts)
	})
}

// A person set another password for a user, and put it into the store, which does not say which user it is of. If it is the user of the
// current key, that one died with it, and to end it at the provider would end the password that everybody uses.
func TestAnAdoptedPassword(t *testing.T) {
	for _, user := range []string{"x_clone", "another"} {
		for _, disabler := range []bool{false, true} {
			t.Run(fmt.Sprintf("of %s, it can be disabled: %v", user, disabler), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h, db := newSlots(t)
					if disabler {
						h.cred.Issuer = switched{db}
					}
					r := h.rotator()
					h.begin(r)
					require.Nil(t, h.drive(r, 24*time.Hour).Open)
					before := h.current()
					require.Equal(t, "x_clone", before.ID)

					own := rotation.Key{Secret: secret.New("set by hand"), Attributes: map[string]string{"user": user}}
					db.set(user, own.Secret)
					h.byHand(own, true, true)
					h.give(h.consumers[0], own)
					_, err := r.Rotate(t.Context(), name, rotation.Trigger{})
					require.ErrorIs(t, err, rotation.Drift)
					h.answer(r, rotation.VerbAdopt)
					st := h.drive(r, 24*time.Hour)
					require.Nil(t, st.Open, "%s", st.Open)
					require.True(t, db.accepts(own), "the password that everybody uses was ended")
					require.False(t, db.accepts(before))
					require.Empty(t, st.Debts)
					require.Len(t, h.versions().Keys, 1)
				})
			})
		}
	}
}

// newSlots is a hazard whose keys are the passwords of two users.
func newSlots(t *testing.T) (*hazard, *alternating) {
	h := newHazard(t, 1)
	h.seeded.ID = "x"
	v := h.versions()
	v.Keys[0].Key.ID = "x"
	require.NoError(t, h.store.Save(t.Context(), name, v))
	db := &alternating{users: map[string]secret.Value{"x": h.seeded.Secret}}
	h.elsewhere(db, db.accepts)
	h.give(h.consumers[0], h.seeded)
	return h, db
}

// switched is a database that can lock a user and let it in again. It keeps no password of a locked user.
type switched struct{ *alternating }

func (s switched) Disable(ctx context.Context, key rotation.Key) error { return s.Revoke(ctx, key) }

func (s switched) Enable(_ context.Context, key rotation.Key) error {
	s.set(key.ID, key.Secret)
	return nil
}
