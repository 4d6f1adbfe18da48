// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// What the steps of a plan wait for, and how long.

// overlap says how long both keys live, and why.
func (p *planner) overlap() {
	d := p.d
	run := d.st.Run
	switch {
	case run.NoOverlap:
		p.plan.OverlapWhy = "the current key is dead already: nothing is left to wait for"
		return
	case run.Old == 0:
		p.plan.OverlapWhy = "there is no old key"
		return
	case d.reg.Traits.KillsOld:
		p.plan.OverlapWhy = "issuing ends the old key"
		_, lag := d.reg.slowest()
		p.plan.Outage = fmt.Sprintf("from the issue until each consumer has the new key: the time of the calls, and then a lag of %v at most", lag)
		return
	}
	skew := d.r.cfg.ClockSkew
	need := overlapNeed(d.reg, skew)
	p.plan.Overlap = overlapOf(run.Strategy, d.reg, skew)
	name, lag := d.reg.slowest()
	parts := []string{fmt.Sprintf("propagation %v", d.reg.Traits.Propagation), fmt.Sprintf("clocks %v", skew)}
	if lag > 0 {
		parts = append([]string{fmt.Sprintf("lag of %s %v", name, lag)}, parts...)
	}
	p.plan.OverlapWhy = fmt.Sprintf("what is needed (%s)", strings.Join(parts, ", "))
	if p.plan.Overlap > need {
		p.plan.OverlapWhy = fmt.Sprintf("Policy.Overlap; what is needed is %v (%s)", need, strings.Join(parts, ", "))
	}
}

func (p *planner) emergencyOutage() string {
	d := p.d
	if len(d.st.Run.Consumers) == 0 {
		return "whoever uses the key is out from the revocation on: no consumer is bound"
	}
	if d.reg.webhook {
		return "of deliveries: from the moment a receiver is told to refuse the old secret until the sender signs with the new one, the time of the calls"
	}
	name, lag := d.reg.slowest()
	text := "from the revocation until each consumer has the new key: the time of the calls"
	if lag > 0 {
		text += fmt.Sprintf(", and then a lag of %v at most (%s)", lag, name)
	}
	if d.st.Run.mayRevoke(d.st, d.reg.Traits, time.Now()) && d.st.Run.Target == 0 {
		text += "; the successor is made meanwhile"
	}
	return text
}

// adoption is what is waited for after consumers were told.
func (p *planner) adoption(consumers []*consumerState) []string {
	var waits []string
	for _, c := range consumers {
		b := p.d.reg.binding(c.Name)
		if b == nil {
			continue
		}
		var what []string
		if b.Observer != nil && !p.blind[c.Name] {
			what = append(what, "seen on the key")
		}
		if b.Verifier != nil && !p.silent[c.Name] {
			what = append(what, "seen working")
		}
		if len(what) > 0 {
			text := c.Name + " to be " + strings.Join(what, " and ")
			if b.Lag > 0 {
				text += fmt.Sprintf(", which may take %v", b.Lag)
			}
			waits = append(waits, text)
		}
	}
	return waits
}

// soak asks the gate what is missing, again at each time that it names, until nothing is left that a clock brings.
func (p *planner) soak(s *PlanStep) {
	d := p.d
	s.Text = "keep both keys alive until nobody uses the other one"
	if d.reg.webhook {
		s.Text = "have both secrets accepted until no delivery needs the other one"
	}
	begun := p.at
	for range len(d.st.Run.Consumers) + 8 {
		lacks := p.lacks()
		next := p.at
		for _, m := range lacks {
			next = latest(next, m.Until)
		}
		if next.Equal(p.at) {
			break
		}
		p.waits(s, lacks)
		p.at = next
	}
	for _, m := range p.lacks() {
		if m.Kind != NeedPerson {
			continue
		}
		s.Waits = append(s.Waits, "a person: "+m.Text)
		p.warn(&Error{Diagnosis: Unproven, Consumer: m.Consumer, Evidence: "a person will be asked: " + m.Text})
	}
	if p.at.Equal(begun) {
		s.Text = "look once more whether nobody uses the other key"
	}
	s.Waits = slices.Compact(s.Waits)
}

// waits names what a clock will bring, each once.
func (p *planner) waits(s *PlanStep, lacks []missing) {
	for _, m := range lacks {
		if !m.Until.After(p.at) {
			continue
		}
		text := m.Text
		switch {
		case m.ID == "overlap":
			text = "the overlap"
		case m.Kind == NeedQuiet:
			text = fmt.Sprintf("%v without use of the other key", p.d.reg.Policy.Quiet)
		}
		text += ", until " + when(m.Until)
		if !slices.Contains(s.Waits, text) {
			s.Waits = append(s.Waits, text)
		}
	}
}

// lacks are the facts that the gate would lack if everybody had moved when told, and nobody had used the victims since.
func (p *planner) lacks() []missing {
	d := p.d
	f := p.facts()
	var lacks []missing
	for _, victim := range d.st.victims() {
		if victim.DeadAt.IsZero() {
			lacks = append(lacks, gate(d.reg, d.st, victim, f, d.r.cfg.ClockSkew)...)
		}
	}
	return lacks
}

func (p *planner) facts() *facts {
	d := p.d
	f := &facts{At: p.at, Consumers: map[string]sight{}, Usage: map[int64]*Usage{}, Refused: map[int64]bool{}, Gone: map[int64]bool{}}
	victims := d.st.victims()
	for _, v := range victims {
		f.Refused[v.Key.Serial] = d.st.Run.NoOverlap
		if u, ok := p.usage[v.Key.ID]; ok && !d.reg.webhook {
			f.Usage[v.Key.Serial] = &Usage{LastUsed: u.LastUsed, Since: u.Since, AsOf: p.at}
		}
	}
	for _, c := range d.st.Run.Consumers {
		b := d.reg.binding(c.Name)
		if b == nil {
			continue
		}
		s := sight{Observable: b.Observer != nil && !p.blind[c.Name], OnTarget: true, AsOf: p.at, Verifiable: b.Verifier != nil && !p.silent[c.Name]}
		if b.Usage != nil {
			s.Receipts = map[int64]*Usage{}
			for _, v := range victims {
				s.Receipts[v.Key.Serial] = &Usage{AsOf: p.at}
			}
		}
		f.Consumers[c.Name] = s
	}
	return f
}
