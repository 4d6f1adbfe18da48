// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
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

// An answer of Issue was lost, and nothing lists what became of it.
func TestSettleALostAnswer(t *testing.T) {
	for _, minted := range []bool{true, false} {
		t.Run(map[bool]string{true: "minted", false: "not minted"}[minted], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBrief(t, 1, unseen)
				w.provider.Inject(rotationtest.Fault{Op: "Issue", Call: 1, After: minted})
				r := w.rotator()
				w.rotate(r)
				st := w.paces(r, 6*time.Hour)
				require.ErrorIs(t, st.Open.Problem, rotation.AmbiguousIssue)
				require.Equal(t, 1, w.provider.Calls("Issue"), "another one is not made before that is known")
				need := asked(t, st, rotation.VerbSettle)

				a := rotation.Answer{Need: need.ID, Verb: rotation.VerbSettle}
				var lost string
				if live := w.provider.Live(); minted {
					lost = live[slices.IndexFunc(live, func(id string) bool { return id != w.seeded.ID })]
					a.KeyID = lost
				}
				w.does(r, a)
				st = w.paces(r, 30*time.Minute)
				require.Equal(t, 2, w.provider.Calls("Issue"))
				w.does(r, rotation.Answer{Need: asked(t, st, rotation.VerbAttest).ID, Verb: rotation.VerbAttest})
				st = w.ends(r)
				saidBy(t, st.Last, "ann", map[bool]string{true: "was made; it is ended", false: "no key was made"}[minted])
				require.Equal(t, []string{w.current().ID}, w.provider.Live())
				if minted { // ended, as far as anybody can know: only a person can say so
					require.Len(t, st.Debts, 1)
					require.Equal(t, lost, st.Debts[0].Key.ID)
					w.does(r, rotation.Answer{Need: st.Debts[0].ID, Verb: rotation.VerbSettle})
				}
				st, err := r.Status(t.Context(), name)
				require.NoError(t, err)
				require.Empty(t, st.Debts)
			})
		})
	}
}

// A second key made from the same one would end every key. Naive: when it is known what became of a lost answer, or in an
// emergency at once, the issuer is asked again.
func TestNoReplayIsNeverAskedTwice(t *testing.T) {
	lost := func(t *testing.T, w *world) *rotation.Rotator {
		w.provider.Traits.NoReplay = true
		w.provider.Inject(rotationtest.Fault{Op: "Issue", Call: 1, After: true})
		r := w.rotator()
		w.rotate(r)
		return r
	}
	supplied := func(t *testing.T, w *world, r *rotation.Rotator) rotation.Status {
		t.Helper()
		require.Equal(t, 1, w.provider.Calls("Issue"))
		_, err := r.Supply(t.Context(), name, w.provider.Mint())
		require.NoError(t, err)
		st := w.ends(r)
		require.Equal(t, 1, w.provider.Calls("Issue"))
		require.Equal(t, []string{w.current().ID}, w.provider.Live())
		require.True(t, w.consumers[0].Key().Equal(w.current()))
		return st
	}
	t.Run("settled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newBrief(t, 1)
			r := lost(t, w)
			st := w.paces(r, time.Hour)
			live := w.provider.Live()
			made := live[slices.IndexFunc(live, func(id string) bool { return id != w.seeded.ID })]
			_, err := r.Resolve(t.Context(), name, rotation.Answer{Need: asked(t, st, rotation.VerbSettle).ID, Verb: rotation.VerbSettle, KeyID: made})
			require.ErrorContains(t, err, "asking again")
			st = w.paces(r, time.Hour)
			require.ErrorIs(t, st.Open.Problem, rotation.AmbiguousIssue)
			require.ErrorContains(t, st.Open.Problem, "asking again")
			supplied(t, w, r)
		})
	})
	t.Run("settled: none was made", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newBrief(t, 1)
			w.provider.Traits.NoReplay = true
			w.provider.Inject(rotationtest.Fault{Op: "Issue", Call: 1})
			r := w.rotator()
			w.rotate(r)
			st := w.paces(r, time.Hour)
			w.does(r, rotation.Answer{Need: asked(t, st, rotation.VerbSettle).ID, Verb: rotation.VerbSettle})
			w.ends(r)
			require.Equal(t, 2, w.provider.Calls("Issue"))
		})
	})
	t.Run("in an emergency", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newBrief(t, 1)
			r := lost(t, w)
			_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
			st := w.paces(r, time.Hour)
			require.NotContains(t, w.provider.Live(), w.seeded.ID)
			made := w.provider.Live()
			require.Len(t, made, 1)
			_, _ = r.Resolve(t.Context(), name, rotation.Answer{Need: asked(t, st, rotation.VerbSettle).ID, Verb: rotation.VerbSettle, KeyID: made[0]})
			w.paces(r, 10*time.Minute)
			require.Empty(t, w.provider.Live(), "it was under way when the incident came")
			st = supplied(t, w, r)
			require.Equal(t, rotation.Emergency, st.Last.Strategy)
		})
	})
}

// A person who mistypes names the key in use: that costs nothing but a debt.
func TestSettleNamesTheWrongKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1, unseen)
		w.provider.Inject(rotationtest.Fault{Op: "Issue", Call: 1})
		r := w.rotator()
		w.rotate(r)
		st := w.paces(r, 10*time.Minute)
		w.does(r, rotation.Answer{Need: asked(t, st, rotation.VerbSettle).ID, Verb: rotation.VerbSettle, KeyID: w.seeded.ID})
		w.paces(r, 3*time.Hour)
		require.Contains(t, w.provider.Live(), w.seeded.ID)
	})
}

func TestSettleADebt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		v := w.versions()
		v.Keys[0].Key.ID = "" // who put it there did not know its id
		require.NoError(t, w.store.Save(t.Context(), name, v))
		r := w.rotator()
		w.rotate(r)
		st := w.ends(r)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
		require.Len(t, st.Debts, 1)
		require.Contains(t, w.provider.Live(), w.seeded.ID)
		require.Len(t, w.versions().Keys, 2, "its value stays until it is dead")

		_, err := w.says(r, rotation.Answer{Need: st.Debts[0].ID, Verb: rotation.VerbForget})
		require.ErrorContains(t, err, "settle")
		st, err = r.Status(t.Context(), name)
		require.NoError(t, err)
		require.Len(t, st.Debts, 1)
		st = w.does(r, rotation.Answer{Need: st.Debts[0].ID, Verb: rotation.VerbSettle, Reason: "ended in the console"})
		require.Empty(t, st.Debts)
		require.Len(t, w.versions().Keys, 1)
		_, err = w.says(r, rotation.Answer{Need: "debt/1", Verb: rotation.VerbSettle})
		require.ErrorIs(t, err, rotation.ErrNotFound)
	})
}

// Nothing can prove that a key is dead of which only the id is known: an emergency waits for a person's word.
func TestSettleADeathInAnEmergency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		w.cred.Issuer = taciturn{w.provider, w.provider}
		other := w.provider.Mint()
		require.NoError(t, w.consumers[0].Deploy(t.Context(), rotation.DeployRequest{Key: w.seeded}))
		r := w.rotator()
		_, err := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Keys: []rotation.Leak{{Credential: name, KeyID: other.ID}}})
		require.NoError(t, err)
		st := w.paces(r, 30*time.Minute)
		require.NotNil(t, st.Open)
		require.NotContains(t, w.provider.Live(), other.ID)
		w.does(r, rotation.Answer{Need: asked(t, st, rotation.VerbSettle).ID, Verb: rotation.VerbSettle})
		st = w.ends(r)
		require.Equal(t, rotation.Emergency, st.Last.Strategy)
		saidBy(t, st.Last, "ann", "is dead")
	})
}

// A provider takes a day to make a key, and each answer is lost. Naive: after three a person has to say that it may go on,
// although a list has told that nothing was made.
func TestLostAnswersThatMadeNothingNeedNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		w.provider.Inject(rotationtest.Fault{Op: "Issue", Until: time.Now().Add(24 * time.Hour)})
		r := w.rotator()
		w.rotate(r)
		w.paces(r, 23*time.Hour)
		calls := w.provider.Calls("Issue")
		require.Greater(t, calls, 40)
		require.Less(t, calls, 400, "it is hammered")
		e, err := w.journal.Load(t.Context(), name)
		require.NoError(t, err)
		require.Less(t, len(e.Data), 64<<10, "the record grows")
		st := w.ends(r)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
		require.Equal(t, []string{w.current().ID}, w.provider.Live())
	})
}

// The answer of Issue was lost at a provider that makes one key from another, and a person who hands one over mistypes it. Naive:
// that is a key of no use, another one is made, and the one that everybody uses ends with its family.
func TestMistypedSupplyFreesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newBrief(t, 1)
		w.provider.Traits.NoReplay = true
		w.provider.Inject(rotationtest.Fault{Op: "Issue", Call: 1, After: true})
		r := w.rotator()
		w.rotate(r)
		w.paces(r, time.Hour)
		live := w.provider.Live()
		require.Len(t, live, 2)
		_, err := r.Supply(t.Context(), name, rotation.Key{ID: "typo", Secret: secret.Random(20)})
		require.ErrorIs(t, err, rotation.NewKeyRejected)
		st := w.paces(r, 2*time.Hour)
		require.Equal(t, 1, w.provider.Calls("Issue"), "%s", st.Open)
		require.Equal(t, live, w.provider.Live())
		require.ErrorIs(t, st.Open.Problem, rotation.AmbiguousIssue)
		require.ErrorContains(t, st.Open.Problem, "asking again")

		_, err = r.Supply(t.Context(), name, w.provider.Mint())
		require.NoError(t, err)
		st = w.paces(r, 3*time.Hour)
		w.does(r, rotation.Answer{Need: asked(t, st, rotation.VerbSettle).ID, Verb: rotation.VerbSettle, KeyID: live[1]}) // it was made
		require.Equal(t, rotation.Rotated, w.ends(r).Last.Outcome)
		require.Equal(t, 1, w.provider.Calls("Issue"))
		require.Equal(t, []string{w.current().ID}, w.provider.Live())
		require.True(t, w.consumers[0].Key().Equal(w.current()))
	})
}

// Two answers of Issue were lost, the first before an incident and the second after it. Naive: one question stands for both, so
// that "none" about the second is taken of the first, and the key that leaked lives on.
func TestEachLostAnswerIsItsOwnQuestion(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newBrief(t, 1, unseen)
		w.provider.Inject(rotationtest.Fault{Op: "Issue", Call: 1, After: true})
		w.provider.Inject(rotationtest.Fault{Op: "Issue", Call: 2})
		r := w.rotator()
		w.rotate(r)
		lost := slices.DeleteFunc(w.provider.Live(), func(id string) bool { return id == w.seeded.ID })
		require.Len(t, lost, 1)
		_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
		question := func(n string) string {
			for range 60 { // the one that blocks is not always seen in the same Advance
				for _, need := range w.paces(r, time.Second).Needs {
					if strings.HasSuffix(need.ID, "/lost/"+n) {
						require.Contains(t, need.Verbs, rotation.VerbSettle)
						return need.ID
					}
				}
			}
			return ""
		}
		time.Sleep(5 * time.Minute)
		require.NotEmpty(t, question("1"))
		_, _ = w.says(r, rotation.Answer{Need: question("2"), Verb: rotation.VerbSettle}) // none
		w.paces(r, 5*time.Minute)
		require.Empty(t, question("2"), "it was answered")
		require.Contains(t, w.provider.Live(), lost[0], "nobody has said what it is")
		_, _ = w.says(r, rotation.Answer{Need: question("1"), Verb: rotation.VerbSettle, KeyID: lost[0]})
		w.paces(r, 5*time.Minute)
		require.NotContains(t, w.provider.Live(), lost[0])
		require.Empty(t, question("1"))
	})
}
