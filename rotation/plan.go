// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"
)

// Plan is what a rotation would do, as far as it can be seen beforehand. It marshals to JSON and holds no secret; durations are
// nanoseconds. Times are the earliest possible: what a consumer, a provider or a person takes beyond that nobody knows.
type Plan struct {
	Credential string     `json:"credential"`
	Strategy   Strategy   `json:"strategy"` // that was asked for
	AsOf       time.Time  `json:"as_of"`
	Open       *Summary   `json:"open,omitzero"`       // the rotation that is in progress: of it Steps tell what is left
	Generation int        `json:"generation,omitzero"` // of the key that everybody would move to
	Due        time.Time  `json:"due,omitzero"`        // of the current key, by the schedule; zero: now
	DueBy      string     `json:"due_by,omitzero"`     // the rule that says so
	Steps      []PlanStep `json:"steps,omitzero"`      // in their order; none where a blocker leaves none

	Overlap     time.Duration `json:"overlap,omitzero"`      // both keys live at least so long after the last consumer was told; zero: there is no overlap
	OverlapWhy  string        `json:"overlap_why,omitzero"`  // what makes it that long
	RollbackEnd time.Time     `json:"rollback_end,omitzero"` // a roll-back is possible until here at least, if nothing takes longer; zero: there is none
	Deadline    time.Time     `json:"deadline,omitzero"`     // of an emergency that is confirmed now: when the revocation has to be sent
	Outage      string        `json:"outage,omitzero"`       // what to expect of one; empty: none
	Scopes      []string      `json:"scopes,omitzero"`       // of the current key, where the issuer tells

	Blockers []*Error `json:"blockers,omitzero"` // as things are now it would not begin, or stop before a key is made
	Warnings []*Error `json:"warnings,omitzero"` // it would begin, and this is to be known
}

// PlanStep is one step of a Plan.
type PlanStep struct {
	Phase Phase     `json:"phase"`
	At    time.Time `json:"at"` // the earliest that it begins
	Text  string    `json:"text"`
	Waits []string  `json:"waits,omitzero"` // for what, before the next step
}

// Ready reports whether nothing is known that would stop it.
func (p Plan) Ready() bool { return len(p.Blockers) == 0 }

// Plan says what a rotation of name under a strategy would do now: Standard is what Rotate begins, Emergency what Emergency does
// for an incident that names the credential, RollBack what Abort makes of the open rotation. It asks the journal, the store, the
// issuer, verifiers and consumers what Check, Load, List, Verify and Observe tell, and changes nothing anywhere. While a rotation is
// open it tells what is left of it. The error is for a name that is not registered and a journal that does not answer; everything
// else is a blocker or a warning.
func (r *Rotator) Plan(ctx context.Context, name string, s Strategy) (Plan, error) {
	p := &planner{plan: Plan{Credential: name, Strategy: s, AsOf: time.Now().Round(0)}}
	switch s {
	case Standard, RollBack, Emergency:
	default:
		return p.plan, &Error{Credential: name, Evidence: fmt.Sprintf("no such strategy: %q", s), Action: "one of standard, roll-back and emergency"}
	}
	reg, err := r.registration(name)
	if err != nil {
		return p.plan, err
	}
	if p.d, err = r.scratch(ctx, reg); err != nil {
		return p.plan, err
	}
	p.look()
	if p.open(s) {
		p.predict()
	}
	return p.plan, nil
}

// String is the plan for people.
func (p Plan) String() string {
	var b strings.Builder
	line := func(label, format string, args ...any) { writeLine(&b, label, format, args...) }
	fmt.Fprintf(&b, "%s: plan, %s rotation", p.Credential, p.Strategy)
	if p.Generation > 0 {
		fmt.Fprintf(&b, " to generation %d", p.Generation)
	}
	fmt.Fprintf(&b, ", as of %s\n", when(p.AsOf))
	if o := p.Open; o != nil {
		line("open", "a %s rotation to generation %d, in phase %s since %s", o.Strategy, o.Generation, o.Phase, when(o.BeganAt))
	}
	if p.DueBy != "" {
		line("due", "%s, %s", cmp.Or(when(p.Due), "now"), p.DueBy)
	}
	for _, e := range p.Blockers {
		line("BLOCKED", "%s", e.planText())
	}
	for _, e := range p.Warnings {
		line("warning", "%s", e.planText())
	}
	line("overlap", "%s", p.overlapText())
	line("back until", "%s", when(p.RollbackEnd))
	line("deadline", "%s", when(p.Deadline))
	line("outage", "%s", p.Outage)
	if len(p.Scopes) > 0 {
		line("scopes", "the current key has %s; those of the new one are the issuer's to give, and are compared before anybody gets it", strings.Join(p.Scopes, ", "))
	}
	for i, s := range p.Steps {
		if i == 0 {
			b.WriteString("  steps, at the earliest\n")
		}
		fmt.Fprintf(&b, "    %s  +%-10v %-9s%s\n", when(s.At), s.At.Sub(p.AsOf).Round(time.Second), s.Phase, s.Text)
		for _, w := range s.Waits {
			fmt.Fprintf(&b, "%46swaits for %s\n", "", w)
		}
	}
	return b.String()
}

func (p Plan) overlapText() string {
	if p.OverlapWhy == "" {
		return ""
	}
	return fmt.Sprintf("%v: %s", p.Overlap, p.OverlapWhy)
}

// planText is a finding on one line of a plan, of which the credential is known.
func (e *Error) planText() string {
	own := *e
	own.Credential = ""
	text := own.text()
	if e.Action != "" {
		text += " (" + e.Action + ")"
	}
	return text
}

// writeLine is one labelled line of a report; nothing for no text.
func writeLine(b *strings.Builder, label, format string, args ...any) {
	if text := fmt.Sprintf(format, args...); text != "" {
		fmt.Fprintf(b, "  %-12s%s\n", label, text)
	}
}
