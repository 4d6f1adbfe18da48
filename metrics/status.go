// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"cmp"
	"slices"
	"time"

	"github.com/handover-go/handover/rotation"
)

// State of a credential: one word for what an operator asks first. It is the first of these that holds.
type State string

// States.
const (
	Unreadable State = "unreadable" // the journal does not tell
	Person     State = "person"     // a rotation waits for a person
	Held       State = "held"       // by Rotator.Hold, and no emergency is open
	Open       State = "open"       // a rotation is open
	Failing    State = "failing"    // none is open, and the current key is refused, or cannot be looked at
	NoKey      State = "no-key"     // there has not been one yet
	Overdue    State = "overdue"    // it was due, or nobody knows how old its key is
	DueSoon    State = "due-soon"   // it will be, within Config.DueSoon
	OK         State = "ok"
)

// States are all States, in the order above.
func States() []State {
	return []State{Unreadable, Person, Held, Open, Failing, NoKey, Overdue, DueSoon, OK}
}

// Credential is where one credential stands, in numbers, times and words of closed sets. Zero times are not known, or do not
// apply. Of an Unreadable one only Name and State are set.
type Credential struct {
	Name       string
	State      State
	Generation int
	IssuedAt   time.Time
	Due        time.Time
	CheckedAt  time.Time // see rotation.Status: one that grows old is a credential that nobody drives
	HeldUntil  time.Time
	Needs      map[rotation.NeedKind]int
	Debts      int       // keys that should be dead and are not proven so
	OldestDebt time.Time // since when
	Open       *Rotation // nil: none is open
	Last       *Rotation // nil: none has ended
}

// Rotation is one rotation, open or ended. Its words are those of package rotation, or Other.
type Rotation struct {
	Strategy  rotation.Strategy
	Phase     rotation.Phase
	Outcome   rotation.Outcome   // Unfinished: it is open
	Diagnosis rotation.Diagnosis // of what stands in the way: None of nothing, Other of what has no name
	BeganAt   time.Time
	EndedAt   time.Time
	MovedAt   time.Time     // of the youngest line in its timeline: since then nothing has happened
	Deadline  time.Time     // of an emergency: when the revocation had to be sent
	Met       bool          // it was, by then
	Outage    time.Duration // of an emergency: the longest of a consumer
}

// Duration is how long an ended rotation took; zero if that is not known.
func (r Rotation) Duration() time.Duration {
	if r.BeganAt.IsZero() || r.EndedAt.IsZero() {
		return 0
	}
	return max(0, r.EndedAt.Sub(r.BeganAt))
}

// Totals are sums over credentials.
type Totals struct {
	States map[State]int
	Needs  map[rotation.NeedKind]int
	Debts  int
}

// Totals of the reading. It is false if nothing at all could be read: no count is better than a wrong one.
func (r Reading) Totals() (t Totals, ok bool) {
	t = Totals{States: map[State]int{}, Needs: map[rotation.NeedKind]int{}}
	for _, c := range r.Credentials {
		t.States[c.State]++
		t.Debts += c.Debts
		for kind, n := range c.Needs {
			t.Needs[kind] += n
		}
	}
	return t, r.Err == nil || len(r.Credentials) > 0
}

// Select returns at most n credentials, by name, and how many it leaves out: those first whose State comes first in States, so
// that a limit hides nothing that asks for attention.
func (r Reading) Select(n int) (chosen []Credential, out int) {
	if n = max(n, 0); len(r.Credentials) <= n {
		return r.Credentials, 0
	}
	states := States()
	chosen = slices.Clone(r.Credentials)
	slices.SortStableFunc(chosen, func(a, b Credential) int {
		return cmp.Compare(slices.Index(states, a.State), slices.Index(states, b.State))
	})
	out = len(chosen) - n
	chosen = chosen[:n]
	slices.SortFunc(chosen, func(a, b Credential) int { return cmp.Compare(a.Name, b.Name) })
	return chosen, out
}

func (m *Meter) credential(s rotation.Status, now time.Time, lost bool) Credential {
	if lost {
		return Credential{Name: s.Credential, State: Unreadable}
	}
	c := Credential{
		Name: s.Credential, State: m.state(s, now), Generation: s.Generation, IssuedAt: s.IssuedAt, Due: s.Due, CheckedAt: s.CheckedAt,
		HeldUntil: s.HeldUntil, Needs: map[rotation.NeedKind]int{}, Debts: len(s.Debts), Open: rotationOf(s.Open), Last: rotationOf(s.Last),
	}
	for _, n := range s.Needs {
		c.Needs[known(n.Kind, needs)]++
	}
	for _, d := range s.Debts {
		if c.OldestDebt.IsZero() || d.Since.Before(c.OldestDebt) {
			c.OldestDebt = d.Since
		}
	}
	return c
}

func (m *Meter) state(s rotation.Status, now time.Time) State {
	person := func(n rotation.Need) bool { return n.Kind == rotation.NeedPerson }
	emergency := s.Open != nil && s.Open.Strategy == rotation.Emergency // it ignores a hold
	switch {
	case slices.ContainsFunc(s.Needs, person):
		return Person
	case s.HeldUntil.After(now) && !emergency:
		return Held
	case s.Open != nil:
		return Open
	case s.Problem != nil:
		return Failing
	case s.Generation == 0:
		return NoKey
	case !s.Due.After(now):
		return Overdue
	case s.Due.Sub(now) < m.cfg.DueSoon:
		return DueSoon
	}
	return OK
}

func rotationOf(rec *rotation.Record) *Rotation {
	if rec == nil {
		return nil
	}
	r := &Rotation{
		Strategy: known(rec.Strategy, strategies), Phase: known(rec.Phase, phases), Outcome: known(rec.Outcome, outcomes),
		Diagnosis: diagnosisOf(rec.Problem), BeganAt: rec.BeganAt, EndedAt: rec.EndedAt, MovedAt: rec.BeganAt,
		Deadline: rec.Deadline, Met: rec.DeadlineMet, Outage: rec.Outage,
	}
	for _, line := range rec.Timeline {
		if line.At.After(r.MovedAt) {
			r.MovedAt = line.At
		}
	}
	return r
}
