// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// driving is a drive without parts: enough for what decides and records, and does nothing.
func driving(st *state) *drive {
	cfg := Config{CallTimeout: 10 * time.Second, IssueLimit: 30 * time.Second, Actor: "tester", Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	reg := consumersOf("web")
	reg.Type, reg.parts.Issuer = APIKey, "issuer"
	return &drive{r: &Rotator{cfg: cfg}, ctx: context.Background(), reg: reg, st: st, began: time.Now()}
}

// standing is the record of a credential whose rotation from 4 to 5 stands in a phase.
func standing(s Strategy, p Phase) *state {
	st := &state{Schema: schema, LastSerial: newSerial, LastGeneration: 2, Current: oldSerial}
	old := &keyState{Key: Key{Serial: oldSerial, ID: "k4", Generation: 1}, Named: "seeded", Stored: true, Presented: true}
	st.Keys = []*keyState{old}
	if p == "" {
		return st
	}
	st.Run = &run{ID: "ROTATION", Strategy: s, Phase: p, Generation: 2, Old: oldSerial, Victims: []int64{oldSerial}, BeganAt: noon}
	if p == PhasePrepare || p == PhaseIssue {
		return st
	}
	n := &keyState{Key: Key{Serial: newSerial, ID: "k5", Generation: 2}, Named: "a try", Stored: true}
	st.Keys = append(st.Keys, n)
	st.Run.New, st.Run.Target = newSerial, newSerial
	st.Run.Attempts = []*attempt{{N: 1, Serial: newSerial, Fate: fateStored}}
	place := func(p Phase) int {
		return slices.IndexFunc(provider.table(Standard), func(s step) bool { return s.phase == p })
	}
	switch {
	case s == RollBack:
		n.Presented, st.Run.Promoted, st.Current = true, true, oldSerial
		st.Run.Target, st.Run.Victims = oldSerial, []int64{newSerial}
		if p == PhaseRetire || p == PhaseConfirm || p == PhaseFinish {
			n.Condemned = true
		}
	case place(p) > place(PhasePromote):
		n.Presented, st.Run.Promoted, st.Current = true, true, newSerial
		if p == PhaseRetire || p == PhaseConfirm || p == PhaseFinish {
			old.Condemned = true
		}
	}
	return st
}

// What an emergency does to a rotation that stands somewhere, for each set of keys that may be compromised.
func TestArrival(t *testing.T) {
	type outcome struct {
		target  int64 // zero: another key is issued
		victims []int64
		debts   []int64
	}
	const o, n = oldSerial, newSerial
	victims := func(v ...int64) []int64 { return v }
	before := map[string]outcome{ // there is no new key yet
		"old": {0, victims(o), nil},
	}
	between := map[string]outcome{ // both keys live
		"old":  {n, victims(o), nil},
		"new":  {o, victims(n), nil},
		"both": {0, victims(o, n), nil},
	}
	oldCondemned := map[string]outcome{ // the revocation of the old key was intended
		"old":  {n, victims(o), nil},
		"new":  {0, victims(n), nil}, // the old one dies behind the gate, when this is over
		"both": {0, victims(o, n), nil},
	}
	newCondemned := map[string]outcome{ // a roll-back intended that of the new key
		"old":  {0, victims(o), nil},
		"new":  {o, victims(n), nil},
		"both": {0, victims(o, n), nil},
	}
	type place struct {
		s Strategy
		p Phase
	}
	rules := map[place]map[string]outcome{{Standard, ""}: before}
	for _, line := range provider.table(Standard) {
		switch line.phase {
		case PhasePrepare, PhaseIssue:
			rules[place{Standard, line.phase}] = before
		case PhaseRetire, PhaseConfirm, PhaseFinish:
			rules[place{Standard, line.phase}] = oldCondemned
		default:
			rules[place{Standard, line.phase}] = between
		}
	}
	for _, line := range provider.table(RollBack) {
		switch line.phase {
		case PhaseRetire, PhaseConfirm, PhaseFinish:
			rules[place{RollBack, line.phase}] = newCondemned
		default:
			rules[place{RollBack, line.phase}] = between
		}
	}
	for at, cases := range rules {
		for which, want := range cases {
			what := fmt.Sprintf("%s, in %s %q", which, at.s, at.p)
			st := standing(at.s, at.p)
			leaked := map[string][]int64{"old": {o}, "new": {n}, "both": {o, n}}[which]
			for _, serial := range leaked {
				st.key(serial).accuse("INC-1")
			}
			d := driving(st)
			d.arrive(Incident{Reference: "INC-1", ConfirmedAt: noon})

			run := st.Run
			require.Equal(t, Emergency, run.Strategy, what)
			require.Equal(t, PhaseIssue, run.Phase, what)
			require.Equal(t, want.target, run.Target, what)
			require.ElementsMatch(t, want.victims, run.Victims, what)
			var debts []int64
			for _, k := range st.debts() {
				debts = append(debts, k.Key.Serial)
			}
			require.ElementsMatch(t, want.debts, debts, what)
			require.Equal(t, want.target != 0, run.successor(st), "%s: whether another key is issued", what)
			if want.target == 0 {
				require.Greater(t, run.Generation, generationOf(st.key(st.Current)), what)
				require.GreaterOrEqual(t, st.LastGeneration, run.Generation, what)
			} else {
				require.Equal(t, st.key(want.target).Key.Generation, run.Generation, what)
			}
			require.Equal(t, noon, run.Confirmed, what)
			if at.p != "" {
				require.Equal(t, TakenOver, st.Ended[0].record().Outcome, what)
			}
		}
	}
}

// A second incident adds to the open emergency; what it already has to kill stays, and a successor that it names is none.
func TestSecondArrival(t *testing.T) {
	st := standing(Standard, PhaseSoak)
	d := driving(st)
	st.key(oldSerial).accuse("INC-1")
	d.arrive(Incident{Reference: "INC-1", ConfirmedAt: noon})
	id := st.Run.ID
	require.EqualValues(t, newSerial, st.Run.Target)

	st.key(newSerial).accuse("INC-2")
	d.arrive(Incident{Reference: "INC-2", ConfirmedAt: noon.Add(-time.Hour)})
	require.Equal(t, id, st.Run.ID, "it is the same rotation")
	require.Equal(t, []string{"INC-1", "INC-2"}, st.Run.Incidents)
	require.ElementsMatch(t, []int64{oldSerial, newSerial}, st.Run.Victims)
	require.Zero(t, st.Run.Target)
	require.Equal(t, noon.Add(-time.Hour), st.Run.Confirmed, "the earlier deadline holds")
}

// An open try is kept: what it made is settled, and is compromised if every key of that time is.
func TestArrivalKeepsTheOpenTry(t *testing.T) {
	for _, manual := range []bool{false, true} {
		st := standing(Standard, PhaseIssue)
		st.Run.Attempts = []*attempt{{N: 1, Serial: 6, Fate: fateOpen, Manual: manual}}
		st.LastSerial = 6
		st.key(oldSerial).accuse("INC-1")
		st.accuseAttempts("INC-1")
		driving(st).arrive(Incident{Reference: "INC-1", ConfirmedAt: noon})
		require.Len(t, st.Run.Attempts, 1)
		require.Equal(t, manual, st.Run.Attempts[0].Incident == "", "a key that a person is about to make is not out yet")
	}
}

// A chosen value whose setting is not certain is a known key, and is condemned at once.
func TestArrivalCondemnsAChosenValue(t *testing.T) {
	st := standing(Standard, PhaseProve)
	st.Run.Attempts[0].Fate, st.Run.Attempts[0].Chosen, st.Run.Attempts[0].Handed = fateOpen, true, true
	st.key(oldSerial).accuse("INC-1")
	st.key(newSerial).accuse("INC-1")
	st.Run.Attempts[0].SettleAt = noon
	driving(st).arrive(Incident{Reference: "INC-1", ConfirmedAt: noon})
	require.Equal(t, fateCondemned, st.Run.Attempts[0].Fate)
	require.True(t, st.key(newSerial).DeadAt.IsZero())
	require.Equal(t, noon, st.key(newSerial).Lands, "its death is not believed before")
}

// One that the provider was never given is no key: there is nothing to end, and no call to wait for.
func TestArrivalForgetsAValueThatWasNeverHandedOver(t *testing.T) {
	st := standing(Standard, PhaseProve)
	st.Run.Attempts[0].Fate, st.Run.Attempts[0].Chosen = fateOpen, true
	st.key(oldSerial).accuse("INC-1")
	st.key(newSerial).accuse("INC-1")
	driving(st).arrive(Incident{Reference: "INC-1", ConfirmedAt: noon})
	require.Equal(t, fateCondemned, st.Run.Attempts[0].Fate)
	require.False(t, st.key(newSerial).DeadAt.IsZero())
	require.True(t, st.key(newSerial).Lands.IsZero())
	require.NotContains(t, st.roles(), int64(newSerial), "its value leaves the store")
}

func TestSuccessorOf(t *testing.T) {
	// Of the new, the old and the current key, in this order: the first that is live, stored, owed by nobody and not dead.
	choices(5, func(yes []bool) {
		n := &keyState{Key: Key{Serial: newSerial}, Stored: yes[0], Condemned: yes[1]}
		if yes[2] {
			n.Incidents = []string{"INC-1"}
		}
		if yes[3] {
			n.DebtSince = noon
		}
		if yes[4] {
			n.DeadAt = noon
		}
		old := &keyState{Key: Key{Serial: oldSerial}, Stored: true}
		run := &run{Old: oldSerial, New: newSerial}
		st := &state{Keys: []*keyState{n, old}, Run: run, Current: oldSerial}
		want := int64(oldSerial)
		if yes[0] && !yes[1] && !yes[2] && !yes[3] && !yes[4] {
			want = newSerial
		}
		require.Equal(t, want, successorOf(run, st), "%v", yes)
		old.Condemned = true
		if want == oldSerial {
			require.Zero(t, successorOf(run, st))
		}
	})
	run := &run{}
	st := &state{Keys: []*keyState{{Key: Key{Serial: 3}, Stored: true}}, Run: run, Current: 3}
	require.EqualValues(t, 3, successorOf(run, st), "the current one, where an adopted key left no roles in the run")
	require.Zero(t, successorOf(run, &state{Run: run}))
}
