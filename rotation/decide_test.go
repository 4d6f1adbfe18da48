// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The decisions are pure: these tests give them every combination of what they read, and compare with the rule said in
// another way.

var noon = time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)

const (
	oldSerial = 4
	newSerial = 5
)

// choices runs f with every combination of n yes-or-no questions.
func choices(n int, f func(yes []bool)) {
	for bits := range 1 << n {
		yes := make([]bool, n)
		for i := range yes {
			yes[i] = bits>>i&1 == 1
		}
		f(yes)
	}
}

func consumersOf(names ...string) *registration {
	reg := &registration{Name: "api", MaxAge: 90 * day, Policy: policy{Calendar: &calendar{}}}
	for _, n := range names {
		reg.Bindings = append(reg.Bindings, binding{Name: n, Lag: 10 * time.Minute})
	}
	return reg
}

func ids(lacks []missing) []string {
	var out []string
	for _, m := range lacks {
		out = append(out, m.ID)
	}
	return out
}

func TestConsumerGate(t *testing.T) {
	admitted := 0
	choices(10, func(yes []bool) {
		registered, acked, lagPassed, observable, onTarget := yes[0], yes[1], yes[2], yes[3], yes[4]
		attested, quiet, verifiable, verified, rollBack := yes[5], yes[6], yes[7], yes[8], yes[9]

		reg := consumersOf("web")
		if !registered {
			reg.Bindings = nil
		}
		run := &run{Strategy: Standard, Old: oldSerial, New: newSerial, Target: newSerial, BeganAt: noon, Promoted: true}
		c := &consumerState{Name: "web", Acked: oldSerial}
		if rollBack {
			run.Strategy, run.Target, run.Promoted, c.Acked = RollBack, oldSerial, false, newSerial
		}
		if acked {
			c.Acked, c.Sent, c.AckedAt = run.Target, run.Target, noon
		}
		if attested {
			c.Attested = run.Target
		}
		at := noon.Add(10*time.Minute - 1)
		if lagPassed {
			at = noon.Add(10 * time.Minute)
		}
		s := sight{Observable: observable, OnTarget: onTarget, Verifiable: verifiable}
		if !verified {
			s.VerifyErr = errors.New("down")
		}
		lacks := consumerGate(reg, run, 2, c, &facts{At: at, Consumers: map[string]sight{"web": s}}, quiet)

		var want []string
		switch {
		case !registered:
			want = []string{"gone/web"}
		case !acked:
			want = []string{"deploy/web"}
		default:
			if !lagPassed {
				want = append(want, "lag/web")
			}
			if observable && !onTarget {
				want = append(want, "observe/web") // neither quiet nor a person outweighs what is seen
			}
			if !observable && !attested && !quiet {
				want = append(want, "attest/web")
			}
			if verifiable && !verified {
				want = append(want, "verify/web")
			}
		}
		require.Equal(t, want, ids(lacks), "%v", yes)
		if len(want) == 0 {
			admitted++
		}
		for _, m := range lacks {
			require.Equal(t, "web", m.Consumer)
			require.NotEmpty(t, m.Text)
			if m.Kind == NeedPerson {
				require.NotEmpty(t, m.Verbs, "a person is asked and cannot answer: %s", m.ID)
			}
			require.Equal(t, m.ID == "lag/web", !m.Until.IsZero(), "only the lag is over by itself")
		}
	})
	require.Positive(t, admitted)
}

// A refusal says that a key has died, unless its value came from elsewhere and nobody has seen it accepted.
func TestMayBeWrong(t *testing.T) {
	for _, c := range []struct {
		key  keyState
		want bool
	}{
		{keyState{Key: Key{ID: "a"}, Named: "seeded"}, true},
		{keyState{Key: Key{}}, true},
		{keyState{Key: Key{ID: "a"}, Named: "adopted by somebody"}, true},
		{keyState{Key: Key{ID: "a"}, Named: "seeded", UsageSeen: true, Use: &use{Told: &KeyUsage{LastUsed: noon}}}, true}, // of the id
		{keyState{Key: Key{ID: "a"}, Named: "seeded", Use: &use{Probes: []time.Time{noon}}}, true},                        // asked, and not answered
		{keyState{Key: Key{ID: "a"}, Named: "seeded", Accepted: true}, false},
		{keyState{Key: Key{ID: "a", Name: "api-v2-abcdef"}, Named: "api-v2-abcdef"}, false},
		{keyState{Key: Key{ID: "a", Name: "api-v2-abcdef"}, Named: "adopted by somebody"}, false}, // its record was rebuilt
	} {
		require.Equal(t, c.want, c.key.mayBeWrong(), "%+v", c.key)
	}
}

// A consumer that nobody ever gave the other key, neither directly nor through the store, needs no proof.
func TestUntouched(t *testing.T) {
	choices(4, func(yes []bool) {
		back, sent, promoted, other := yes[0], yes[1], yes[2], yes[3]
		run := &run{Strategy: Standard, Old: oldSerial, New: newSerial, Target: newSerial, Promoted: promoted}
		c := &consumerState{Name: "web", Acked: oldSerial}
		if back {
			run.Strategy, run.Target = RollBack, oldSerial
		}
		if sent {
			c.Sent = newSerial
		}
		if other {
			c.Acked = newSerial
		}
		require.Equal(t, back && !sent && !promoted && !other, run.untouched(c), "%v", yes)
	})
}

func TestAnUntouchedConsumerNeedsNoProof(t *testing.T) {
	run := &run{Strategy: RollBack, Old: oldSerial, New: newSerial, Target: oldSerial}
	c := &consumerState{Name: "web", Acked: oldSerial}
	blind := &facts{At: noon, Consumers: map[string]sight{}}
	require.Empty(t, consumerGate(consumersOf("web"), run, 2, c, blind, false))
	run.Promoted = true
	require.Equal(t, []string{"attest/web"}, ids(consumerGate(consumersOf("web"), run, 2, c, blind, false)))
}

func TestGate(t *testing.T) {
	admitted := 0
	choices(9, func(yes []bool) {
		presented, accepted, reported, quiet, overlapPassed := yes[0], yes[1], yes[2], yes[3], yes[4]
		noOverlap, settled, seen, extended := yes[5], yes[6], yes[7], yes[8]

		reg := consumersOf("web")
		reg.Bindings[0].Lag = 0
		reg.Policy.Overlap, reg.Policy.Quiet = 2*time.Hour, time.Hour
		victim := &keyState{Key: Key{Serial: oldSerial}, Presented: presented}
		st := &state{Keys: []*keyState{victim}, Run: &run{
			Strategy: Standard, Old: oldSerial, New: newSerial, Target: newSerial, NoOverlap: noOverlap, BeganAt: noon.Add(-time.Hour),
			Consumers: []*consumerState{{Name: "web", Acked: newSerial, AckedAt: noon}},
		}}
		at := noon.Add(2*time.Hour - 1)
		if overlapPassed {
			at = noon.Add(2 * time.Hour)
		}
		if extended {
			st.Run.Extend = at.Add(time.Minute)
		}
		f := &facts{At: at, Consumers: map[string]sight{"web": {Observable: seen, OnTarget: true}}, Usage: map[int64]*Usage{}}
		if !accepted {
			f.Accepted = errNoAnswer
		}
		if reported {
			f.Usage[oldSerial] = &Usage{AsOf: at}
			if !quiet {
				f.Usage[oldSerial].LastUsed = at.Add(-time.Minute)
			}
		}
		f.Refused = map[int64]bool{oldSerial: noOverlap}
		dead := noOverlap && accepted
		if !settled {
			st.Settle = at.Add(time.Second)
		}
		got := ids(gate(reg, st, victim, f, 0))

		var want []string
		if presented {
			if !accepted {
				want = append(want, "accepted")
			}
			if reported && !quiet && !dead {
				want = append(want, "quiet")
			}
			if (!overlapPassed || extended) && !dead {
				want = append(want, "overlap")
			}
			if !seen && !(reported && (quiet || !dead)) { // one that may still prove it is waited for
				want = append(want, "attest/web")
			}
			if !settled {
				want = append(want, "settle")
			}
		}
		require.Equal(t, want, got, "%v", yes)
		if presented && len(got) == 0 {
			admitted++
		}
	})
	require.Positive(t, admitted)
}

// errNoAnswer is an answer that proves nothing.
var errNoAnswer = errors.New("no answer")

// Every consumer counts: one that lacks a fact is enough.
func TestGateAsksEveryConsumer(t *testing.T) {
	names := []string{"a", "b", "c"}
	for _, blind := range names {
		reg := consumersOf(names...)
		st := &state{Run: &run{Strategy: Standard, Old: oldSerial, New: newSerial, Target: newSerial, BeganAt: noon}}
		f := &facts{At: noon.Add(48 * time.Hour), Consumers: map[string]sight{}}
		for _, n := range names {
			st.Run.Consumers = append(st.Run.Consumers, &consumerState{Name: n, Acked: newSerial, AckedAt: noon})
			f.Consumers[n] = sight{Observable: true, OnTarget: n != blind}
		}
		lacks := gate(reg, st, &keyState{Key: Key{Serial: oldSerial}, Presented: true}, f, 0)
		require.Equal(t, []string{"observe/" + blind}, ids(lacks))
	}
}

func TestQuietGate(t *testing.T) {
	reg := consumersOf("web") // lag of ten minutes
	reg.Policy.Quiet = time.Hour
	run := &run{Target: newSerial, BeganAt: noon.Add(-time.Hour), Consumers: []*consumerState{{Name: "web", Acked: newSerial, AckedAt: noon}}}
	moved := noon.Add(10 * time.Minute)
	for what, c := range map[string]struct {
		u     *Usage
		until time.Time
		open  bool
		diag  Diagnosis
	}{
		"nothing reports use":          {nil, time.Time{}, true, ""},
		"covered to the second":        {&Usage{AsOf: moved.Add(time.Hour)}, time.Time{}, true, ""},
		"one moment short":             {&Usage{AsOf: moved.Add(time.Hour - 1)}, moved.Add(time.Hour), false, ""},
		"no evidence":                  {&Usage{}, moved.Add(time.Hour), false, ""},
		"last used before the move":    {&Usage{LastUsed: moved, AsOf: moved.Add(time.Hour)}, time.Time{}, true, ""},
		"used within the lag":          {&Usage{LastUsed: noon.Add(9 * time.Minute), AsOf: moved.Add(time.Hour)}, time.Time{}, true, ""},
		"used after the move":          {&Usage{LastUsed: moved.Add(time.Hour), AsOf: moved.Add(90 * time.Minute)}, moved.Add(2 * time.Hour), false, OldKeyInUse},
		"used once, and quiet since":   {&Usage{LastUsed: moved.Add(time.Hour), AsOf: moved.Add(2 * time.Hour)}, time.Time{}, true, ""},
		"old data":                     {&Usage{AsOf: moved.Add(-time.Hour)}, moved.Add(time.Hour), false, ""},
		"a counter that was restarted": {&Usage{Since: moved.Add(30 * time.Minute), AsOf: moved.Add(time.Hour)}, moved.Add(90 * time.Minute), false, ""},
		"restarted, and long enough":   {&Usage{Since: moved.Add(30 * time.Minute), AsOf: moved.Add(90 * time.Minute)}, time.Time{}, true, ""},
	} {
		m := quietGate(reg, run, Key{ID: "k4", Generation: 1}, c.u, noon)
		require.Equal(t, c.open, m == nil, what)
		if c.open {
			continue
		}
		require.Equal(t, NeedQuiet, m.Kind, what)
		require.Equal(t, c.until, m.Until, what)
		require.Equal(t, c.diag != "", m.Problem != nil, what)
		if c.diag != "" {
			require.ErrorIs(t, m.Problem, c.diag, what)
		}
	}
	late := moved.Add(72 * time.Hour)
	require.Equal(t, late, quietGate(reg, run, Key{ID: "k4", Generation: 1}, &Usage{}, late).Until, "it is never to be looked at in the past")
	who := quietGate(reg, run, Key{ID: "k4", Generation: 1}, &Usage{LastUsed: late, AsOf: late, Source: "10.0.0.7"}, late)
	require.Contains(t, who.Text, "10.0.0.7")
	require.Contains(t, who.Problem.Evidence, "10.0.0.7")
}

func TestOverlapOf(t *testing.T) {
	reg := consumersOf("fast", "slow")
	reg.Bindings[1].Lag = time.Hour
	reg.Traits.Propagation = 15 * time.Minute
	skew := 5 * time.Second
	need := time.Hour + 15*time.Minute + skew
	require.Equal(t, need, overlapNeed(reg, skew))
	for overlap, want := range map[time.Duration]time.Duration{0: need, time.Minute: need, 24 * time.Hour: 24 * time.Hour} {
		reg.Policy.Overlap = overlap
		require.Equal(t, want, overlapOf(Standard, reg, skew))
		require.Equal(t, want, overlapOf(Emergency, reg, skew))
		require.Equal(t, need, overlapOf(RollBack, reg, skew), "what is known to be bad is not kept for the policy's sake")
	}
	require.Equal(t, time.Duration(0), overlapNeed(&registration{}, 0))
}

func TestLastMove(t *testing.T) {
	reg := consumersOf("a", "b", "gone")
	reg.Bindings[0].Lag, reg.Bindings[1].Lag = time.Hour, time.Minute
	reg.Bindings = reg.Bindings[:2]
	at := func(c string, after time.Duration, acked int64) *consumerState {
		return &consumerState{Name: c, Acked: acked, AckedAt: noon.Add(after)}
	}
	for i, c := range []struct {
		consumers   []*consumerState
		told, moved time.Duration
	}{
		{nil, 0, 0},
		{[]*consumerState{at("a", time.Minute, newSerial)}, time.Minute, time.Hour + time.Minute},
		{[]*consumerState{at("a", time.Minute, newSerial), at("b", 30*time.Minute, newSerial)}, 30 * time.Minute, time.Hour + time.Minute},
		{[]*consumerState{at("a", 0, newSerial), at("b", 2*time.Hour, newSerial)}, 2 * time.Hour, 2*time.Hour + time.Minute},
		{[]*consumerState{at("a", time.Minute, newSerial), at("gone", 3*time.Hour, newSerial)}, 3 * time.Hour, 3 * time.Hour},
		{[]*consumerState{at("a", 5*time.Hour, oldSerial)}, 0, 0}, // the old key's deployment does not count
		{[]*consumerState{{Name: "a", Acked: newSerial}}, 0, 0},   // never told, as at the beginning of a rotation
	} {
		run := &run{Target: newSerial, BeganAt: noon, Consumers: c.consumers}
		told, moved := run.lastMove(reg)
		require.Equal(t, noon.Add(c.told), told, i)
		require.Equal(t, noon.Add(c.moved), moved, i)
	}
}

func TestMayRevoke(t *testing.T) {
	choices(6, func(yes []bool) {
		first, independent, tried, successor, limitPassed, dead := yes[0], yes[1], yes[2], yes[3], yes[4], yes[5]
		run := &run{RevokeFirst: first, IssueTried: tried, IssueBy: noon.Add(time.Second)}
		st := &state{Keys: []*keyState{{Key: Key{Serial: newSerial}, Condemned: dead}}, Run: run}
		if successor {
			run.Target = newSerial
		}
		now := noon
		if limitPassed {
			now = run.IssueBy
		}
		want := first || independent || tried || successor && !dead || limitPassed
		require.Equal(t, want, run.mayRevoke(st, Traits{Independent: independent}, now), "%v", yes)
	})
}

func TestSuccessorIsStored(t *testing.T) {
	for fate, want := range map[attemptFate]bool{fateOpen: false, fateStored: true, fateCondemned: false, fateAbsent: false, fateRefused: false} {
		run := &run{Target: newSerial, Attempts: []*attempt{{N: 1, Serial: newSerial, Fate: fate}}}
		st := &state{Keys: []*keyState{{Key: Key{Serial: newSerial}}}}
		require.Equal(t, want, run.successor(st), "%s", fate)
		run.Target = 0
		require.False(t, run.successor(st))
	}
}

func TestWasted(t *testing.T) {
	run := &run{}
	for _, f := range []attemptFate{fateStored, fateCondemned, fateRefused, fateAbsent, fateOpen} {
		run.Attempts = append(run.Attempts, &attempt{Fate: f})
	}
	require.Equal(t, 1, run.wasted(), "one minted something useless, one nothing")
	run.Forgiven = 1
	require.Zero(t, run.wasted())
}

func TestIrreversible(t *testing.T) {
	for what, c := range map[string]struct {
		keys []*keyState
		want bool
	}{
		"alive":       {[]*keyState{{Key: Key{Serial: oldSerial}}}, false},
		"disabled":    {[]*keyState{{Key: Key{Serial: oldSerial}, DisabledAt: noon}}, false},
		"condemned":   {[]*keyState{{Key: Key{Serial: oldSerial}, Condemned: true}}, true},
		"not known":   {nil, true},
		"another one": {[]*keyState{{Key: Key{Serial: oldSerial}}, {Key: Key{Serial: 3}, Condemned: true}}, false},
	} {
		run := &run{Strategy: Standard, Old: oldSerial, Victims: []int64{oldSerial, 3}}
		require.Equal(t, c.want, run.irreversible(&state{Keys: c.keys, Run: run}), what)
	}
}

// What a try made may die unseen if an incident has named it; else if nobody can be using it, in an emergency, and at the end if it takes
// over no more.
func TestUseless(t *testing.T) {
	choices(8, func(yes []bool) {
		accused, atTheEnd, target, current, presented, emergency := yes[0], yes[1], yes[2], yes[3], yes[4], yes[5]
		canLand, long := yes[6], yes[7]
		a := &attempt{N: 1, Serial: newSerial, Fate: fateOpen, Chosen: true}
		st := &state{Current: oldSerial, Run: &run{Phase: PhaseIssue, Target: oldSerial}, Keys: []*keyState{{Key: Key{Serial: newSerial}, Presented: presented}}}
		if accused {
			a.Incident = "INC-1"
		}
		if atTheEnd {
			st.Run.Phase = PhaseFinish
		}
		if target {
			st.Run.Target = newSerial
		}
		if current {
			st.Current = newSerial
		}
		if emergency {
			st.Run.Strategy = Emergency
		}
		since := time.Minute
		if long {
			since = time.Hour
		}
		if canLand {
			since = -since
		}
		used := current || presented
		want := accused || !used && (emergency && long || atTheEnd && !target)
		require.Equal(t, want && !canLand, st.useless(a, since, 15*time.Minute), "%v", yes)
	})
}
