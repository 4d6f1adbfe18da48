// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// warning is how long before a key is due people are told that it will be.
const warning = 14 * day

// Explanation says when the current key of a credential is due, and by which rule. It marshals to JSON and holds no secret.
type Explanation struct {
	Credential string        `json:"credential"`
	Generation int           `json:"generation,omitzero"` // of the current key; zero: there is none
	IssuedAt   time.Time     `json:"issued_at,omitzero"`  // of the current key; zero: nobody knows
	State      DueState      `json:"state"`               // as of At
	At         time.Time     `json:"at"`                  // when it was asked
	Due        time.Time     `json:"due,omitzero"`        // zero: at once
	Warn       time.Time     `json:"warn,omitzero"`       // after this it is DueSoon: 14 days before Due, but not in the first half of the time until then
	Begins     time.Time     `json:"begins,omitzero"`     // the next rotation by itself, by Due, Policy.Windows, Jitter and Notice; zero while one is open
	NotBefore  time.Time     `json:"not_before,omitzero"` // nothing begins by itself before: see Rotator.Hold, or a rotation rolled back
	Rule       Rule          `json:"rule"`                // the one that decides
	Rules      []Rule        `json:"rules"`               // all that were looked at, the soonest first
	Emergency  time.Duration `json:"emergency"`           // after a compromise is confirmed its revocation has to be sent within this; nanoseconds
	Open       string        `json:"open,omitzero"`       // why a rotation is open, whatever is due
	Advice     []string      `json:"advice,omitzero"`     // what would be better than rotating
}

// DueState is how near the next rotation is.
type DueState string

// States. A key without a date is as old as one that was never rotated, and overdue like it.
const (
	NotDue       DueState = "not-due"
	DueSoon      DueState = "due-soon"
	PastDue      DueState = "past-due"
	NeverRotated DueState = "never-rotated" // no key is known, or not how old it is
)

// Rule is one reason for a key to be due.
type Rule struct {
	Kind      RuleKind      `json:"kind"`
	Age       time.Duration `json:"age,omitzero"`       // at which a key is due; zero: it does not depend on its age; nanoseconds
	Due       time.Time     `json:"due,omitzero"`       // zero: at once
	Overruled bool          `json:"overruled,omitzero"` // Policy.MaxAge decides in its place
	Text      string        `json:"text"`
}

// RuleKind is the kind of a Rule.
type RuleKind string

// Kinds of rules. Of those that are not overruled the soonest decides. Policy.MaxAge overrules type, scope and year.
const (
	RuleUndated RuleKind = "undated" // no key is known, or it has no date
	RulePolicy  RuleKind = "policy"  // Policy.MaxAge
	RuleType    RuleKind = "type"    // of the credential, at its risk
	RuleScope   RuleKind = "scope"   // of the credential
	RuleYear    RuleKind = "year"    // whatever it is
	RuleExpiry  RuleKind = "expiry"  // the provider ends the key, and a rotation takes its time
)

// Explain says when the current key of name is due, and why. It reads the journal only, and so knows no key that was seeded before
// the first Advance or Sweep has looked at it. It fails with ErrNotFound for a name
// that is not registered.
func (r *Rotator) Explain(ctx context.Context, name string) (Explanation, error) {
	reg, err := r.registration(name)
	if err != nil {
		return Explanation{Credential: name}, err
	}
	_, st, err := r.load(ctx, name)
	if err != nil {
		return Explanation{Credential: name}, err
	}
	return explain(reg, st, time.Now().Round(0)), nil
}

// explain is a pure function of the record and the time.
func explain(reg *registration, st *state, now time.Time) Explanation {
	current := st.key(st.Current)
	out := Explanation{Credential: reg.Name, At: now, Due: dueAt(reg, current), Rules: rules(reg, current), Emergency: emergencyDelay(reg.Type), Advice: advice(reg, current)}
	if current != nil {
		out.Generation, out.IssuedAt = current.Key.Generation, current.Key.IssuedAt
	}
	i := slices.IndexFunc(out.Rules, func(rule Rule) bool { return !rule.Overruled })
	out.Rule = out.Rules[i]
	if out.Rule.Kind != RuleUndated {
		out.Warn = latest(out.Due.Add(-warning), out.IssuedAt.Add(out.Due.Sub(out.IssuedAt)/2))
	}
	switch {
	case out.Rule.Kind == RuleUndated:
		out.State = NeverRotated
	case now.After(out.Due):
		out.State = PastDue
	case now.After(out.Warn):
		out.State = DueSoon
	default:
		out.State = NotDue
	}
	wait := st.NotBefore
	if st.Hold != nil {
		wait = latest(wait, st.Hold.Until)
	}
	if wait.After(now) {
		out.NotBefore = wait
	}
	if st.Run == nil {
		out.Begins = latest(st.opening(reg, now), now)
	}
	if run := st.Run; run != nil {
		out.Open = fmt.Sprintf("%s, begun by %s at %s", run.Strategy, run.Actor, timeText(run.BeganAt))
		if run.Reason != "" {
			out.Open += ": " + run.Reason
		}
	}
	return out
}

// rules are all reasons for a key to be due, the soonest first, and those that hold before those that are overruled.
func rules(reg *registration, current *keyState) []Rule {
	var all []Rule
	dated := current != nil && !current.Key.IssuedAt.IsZero()
	byAge := func(kind RuleKind, age time.Duration, overruled bool, text string) {
		rule := Rule{Kind: kind, Age: age, Overruled: overruled, Text: fmt.Sprintf("%s: %s", text, days(age))}
		if dated {
			rule.Due = current.Key.IssuedAt.Add(age)
		}
		all = append(all, rule)
	}
	c := reg.given
	own := c.Policy.MaxAge > 0 || reg.MaxAge != c.MaxAge() // the credential's, or that of the whole configuration
	if own {
		byAge(RulePolicy, reg.MaxAge, false, "Policy.MaxAge")
	}
	byAge(RuleType, typeAge(c.Type, c.Risk), own, fmt.Sprintf("type %s at %s risk", c.Type, riskText(c.Risk)))
	byAge(RuleScope, scopeCadence[c.Scope], own, "scope "+scopeText(c.Scope))
	byAge(RuleYear, 365*day, own, "any key, once a year")
	if last, ends := expiryDue(reg, current); dated && ends {
		all = append(all, Rule{Kind: RuleExpiry, Due: last, Text: "the provider ends it at " + timeText(current.end())})
	}
	slices.SortStableFunc(all, func(a, b Rule) int {
		if a.Overruled != b.Overruled {
			return map[bool]int{true: 1, false: -1}[a.Overruled]
		}
		if dated {
			return a.Due.Compare(b.Due)
		}
		return int((a.Age - b.Age) / time.Second)
	})
	switch {
	case current == nil:
		all = slices.Insert(all, 0, Rule{Kind: RuleUndated, Text: "no key is known yet: the first look finds what the store holds"})
	case !dated:
		all = slices.Insert(all, 0, Rule{Kind: RuleUndated, Text: "nobody knows how old the key is"})
	}
	return all
}

// advice says what would be better than rotating.
func advice(reg *registration, current *keyState) []string {
	var out []string
	c := reg.given
	if c.Scope == ScopeFull {
		out = append(out, "it can do everything: replace it by narrower keys")
	}
	if table := min(typeAge(c.Type, c.Risk), scopeCadence[c.Scope]); reg.MaxAge > table {
		out = append(out, fmt.Sprintf("Policy.MaxAge is %s, and the built-in table asks for %s", days(reg.MaxAge), days(table)))
	}
	brief := current != nil && !current.Key.IssuedAt.IsZero() && !current.end().IsZero() && current.end().Sub(current.Key.IssuedAt) <= day
	switch {
	case brief: // it is what the rest asks for
	case c.Type == ServiceAccount:
		out = append(out, "if the platform can give this workload an identity, or short-lived tokens, no lasting key is needed")
	case c.Type == Database:
		out = append(out, "if something here can lease short-lived database users, no lasting password is needed")
	}
	return out
}

func riskText(r Risk) string {
	if r == StandardRisk {
		return "standard"
	}
	return string(r)
}

func scopeText(s Scope) string {
	if s == ScopeWrite {
		return "write"
	}
	return string(s)
}

// days is a duration as people count it, where it is whole days.
func days(d time.Duration) string {
	if d%day != 0 {
		return d.String()
	}
	return fmt.Sprintf("%d d", d/day)
}

// String is the explanation as text, a line for each rule.
func (e Explanation) String() string {
	var b strings.Builder
	due := func(t time.Time) string {
		if t.IsZero() {
			return "at once"
		}
		return timeText(t)
	}
	fmt.Fprintf(&b, "%s: %s, due %s by rule %q\n", e.Credential, e.State, due(e.Due), e.Rule.Kind)
	for _, rule := range e.Rules {
		fmt.Fprintf(&b, "  %-7s  %s", rule.Kind, rule.Text)
		if !rule.Due.IsZero() {
			fmt.Fprintf(&b, ", %s", timeText(rule.Due))
		}
		if rule.Overruled {
			b.WriteString(" (overruled)")
		}
		b.WriteByte('\n')
	}
	if e.Open != "" {
		fmt.Fprintf(&b, "  open: %s\n", e.Open)
	}
	if !e.Begins.IsZero() {
		fmt.Fprintf(&b, "  the next rotation begins by itself at %s\n", timeText(e.Begins))
	}
	if !e.NotBefore.IsZero() {
		fmt.Fprintf(&b, "  nothing begins by itself before %s\n", timeText(e.NotBefore))
	}
	fmt.Fprintf(&b, "  after a compromise is confirmed its revocation has to be sent within %v\n", e.Emergency)
	for _, a := range e.Advice {
		fmt.Fprintf(&b, "  advice: %s\n", a)
	}
	return b.String()
}
