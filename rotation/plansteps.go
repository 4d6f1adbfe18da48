// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// predict walks through the steps that are left. Each is taken to succeed at once, and what then has to be waited for is asked of
// the functions that decide it.
func (p *planner) predict() {
	d := p.d
	run := d.st.Run
	p.at = p.plan.AsOf
	p.plan.Generation = run.Generation
	if k := d.st.key(run.Target); k != nil {
		p.plan.Generation = k.Key.Generation
	}
	if run.Strategy == Emergency {
		p.plan.Deadline = run.Confirmed.Add(emergencyDelay(d.reg.Type)).Round(0)
		p.plan.Outage = p.emergencyOutage()
	} else {
		p.overlap()
	}
	atOnce := run.Strategy == Emergency && run.mayRevoke(d.st, d.reg.Traits, time.Now())
	if atOnce {
		p.kill()
	}
	table := d.reg.table(run.Strategy)
	from := slices.IndexFunc(table, func(s step) bool { return s.phase == run.Phase })
	for _, s := range table[max(from, 0):] {
		run.Phase = s.phase
		p.step(s.phase)
		if s.phase == PhaseIssue && run.Strategy == Emergency && !atOnce {
			p.kill()
		}
	}
}

// kill is the act of an emergency that waits for no step.
func (p *planner) kill() {
	var ids []string
	for _, k := range p.d.st.victims() {
		if k.DeadAt.IsZero() {
			ids = append(ids, k.Key.String())
		}
	}
	p.kills(ids)
}

func (p *planner) kills(ids []string) {
	d := p.d
	s := PlanStep{Phase: PhaseRetire, At: p.at, Text: "revoke " + strings.Join(ids, ", ") + ", beside everything else and again until it is proven dead"}
	if d.reg.webhook {
		s.Phase, s.Text = PhaseDrop, "tell every receiver to refuse "+strings.Join(ids, ", ")+", beside everything else and again until each does"
	}
	if !d.st.Run.RevokeFirst && !d.reg.Traits.Independent {
		s.Text += fmt.Sprintf(", as soon as there is a successor and after %v at the latest", d.r.cfg.IssueLimit)
	}
	p.plan.Steps = append(p.plan.Steps, s)
}

// step adds one step, and imagines that it was taken.
func (p *planner) step(phase Phase) {
	s := PlanStep{Phase: phase, At: p.at}
	if open := p.d.windowAt(phase, p.at); open.After(p.at) {
		p.at, s.At = open, open
		s.Waits = append(s.Waits, "a window, until "+when(open))
	}
	switch phase {
	case PhasePrepare:
		s.Text = "look whether every part can do its work and the old key is accepted, and stamp the store, which shows that it can be written"
	case PhaseIssue:
		p.issue(&s)
	case PhaseProve:
		p.prove(&s)
	case PhaseRestore:
		p.restore(&s)
	case PhaseCanary, PhaseAccept, PhaseDeploy:
		p.deploy(&s)
	case PhaseActivate:
		p.activate(&s)
	case PhasePromote:
		s.Text = "make it current in the store: for whoever reads the store this is the deployment"
		p.promote()
	case PhaseVerify:
		s.Text = "look at every consumer until it is seen on the key and works"
		s.Waits = append(s.Waits, p.adoption(p.d.st.Run.Consumers)...)
	case PhaseSoak:
		p.soak(&s)
	case PhaseDisable:
		p.disable(&s)
	case PhaseRetire, PhaseDrop:
		p.retire(&s)
	case PhaseConfirm:
		p.confirm(&s)
	case PhaseFinish:
		s.Text = "take the dead values out of the store and close the record"
	}
	p.plan.Steps = append(p.plan.Steps, s)
}

func (p *planner) issue(s *PlanStep) {
	d := p.d
	run, st := d.st.Run, d.st
	if run.successor(st) {
		s.Text = "nothing: " + st.key(run.Target).Key.String() + " is there already"
		return
	}
	s.Text = fmt.Sprintf("make generation %d at %s and store it as pending", run.Generation, d.reg.parts.Issuer)
	if a := run.attempt(); a != nil && a.Fate == fateOpen && a.SettleAt.After(p.at) {
		s.Waits = append(s.Waits, "what became of a lost answer, until "+when(a.SettleAt))
		p.at = a.SettleAt
	}
	key := st.add(Key{Name: "the new key", IssuedAt: p.at}, run.Generation, d.reg.parts.Issuer, "plan")
	key.Stored = true
	run.New, run.Target, run.IssuedAt = key.Key.Serial, key.Key.Serial, p.at
	old := st.key(run.Old)
	if g := d.reg.Traits.Grace; g > 0 && old != nil {
		old.Ends = earliest(old.Ends, p.at.Add(g))
		s.Text += fmt.Sprintf("; the provider ends %s at %s", old.Key, when(old.Ends))
	}
	if d.reg.Traits.KillsOld && old != nil {
		run.NoOverlap = true
		s.Text += "; from then on " + old.Key.String() + " is dead"
	}
}

// hasty reports that nothing is left to protect, or no time to do it.
func (p *planner) hasty() bool { return p.d.emergency() || p.d.st.Run.NoOverlap }

func (p *planner) prove(s *PlanStep) {
	d := p.d
	run := d.st.Run
	if d.reg.webhook {
		s.Text = "see every receiver verify a delivery that is signed with it"
		s.Waits = []string{"a genuine delivery to each: " + p.names(run.Consumers)}
		if d.reg.Ping != nil {
			s.Waits = []string{"a test delivery, which the sender is asked for"}
		}
		for _, c := range run.Consumers {
			if b := d.reg.binding(c.Name); b != nil && b.Usage == nil {
				s.Waits = append(s.Waits, "a person: nothing tells what a delivery to "+c.Name+" matched")
			}
			c.Matched, c.MatchedAt, c.LastMatched = run.Target, p.at, p.at
		}
		return
	}
	s.Text = "present it to the accepting side"
	if n := d.reg.Policy.Proofs; n > 1 && !d.emergency() {
		s.Text += fmt.Sprintf(", %d times in a row", n)
	}
	if len(p.plan.Scopes) > 0 && !d.emergency() {
		s.Text += ", and compare its scopes with those of the old key"
	}
	if end := run.everywhere(d.reg); end.After(p.at) && !p.hasty() {
		s.Waits = append(s.Waits, fmt.Sprintf("the provider to know it everywhere, until %s", when(end)))
		p.at = end
	}
}

func (p *planner) restore(s *PlanStep) {
	run := p.d.st.Run
	if p.d.reg.webhook {
		p.deploy(s)
		return
	}
	old := p.d.st.key(run.Old)
	s.Text = fmt.Sprintf("see %s accepted", old.Key)
	if old.disabled() {
		s.Text = fmt.Sprintf("enable %s again and see it accepted", old.Key)
		s.Waits = []string{"calls that disable it and can still land, and the provider to know it everywhere"}
	}
}

func (p *planner) promote() {
	run := p.d.st.Run
	key := p.d.st.key(run.Target)
	key.Presented = key.Presented || !p.d.reg.webhook
	run.Promoted = run.Promoted || run.Target == run.New
	if p.d.st.Current != run.Target {
		p.d.st.Current, run.PromotedAt = run.Target, p.at
	}
}

// deploy tells consumers: the canaries, all of them, or receivers.
func (p *planner) deploy(s *PlanStep) {
	d := p.d
	run := d.st.Run
	role, told := RoleCurrent, run.Consumers
	switch {
	case s.Phase == PhaseCanary && run.NoOverlap:
		s.Text = "skipped: nothing is left to protect"
		return
	case s.Phase == PhaseCanary:
		if role, told = RolePending, d.canaries(); len(told) == 0 {
			s.Text = "skipped: the policy asks for none"
			return
		}
		s.Text = "give it to " + p.names(told) + " alone, before anybody else can see it"
	case d.reg.webhook:
		role = RolePending
		s.Text = "tell receivers to accept it, beside what they accept: " + p.names(told)
	}
	todo := d.pendingDeploy(told, role)
	switch {
	case len(told) == 0:
		s.Text = "nothing: no consumer is bound"
	case len(todo) == 0 && !d.reg.webhook:
		s.Text = "nothing: everybody was told"
	case s.Text == "":
		s.Text = "give it to " + p.names(todo)
	}
	if n := d.reg.Policy.Parallel; len(todo) > 1 && s.Phase != PhaseCanary {
		switch {
		case p.hasty() || d.deadlineNear() || n >= len(todo):
			s.Text += ", all at the same time"
		case n == 1:
			s.Text += ", one after the other"
		default:
			s.Text += fmt.Sprintf(", %d at a time", n)
		}
	}
	for _, c := range todo {
		if b := d.reg.binding(c.Name); b != nil && reloadOf(b.Consumer) == ReloadManual {
			s.Waits = append(s.Waits, "a person, who brings it to "+c.Name)
		}
		if until, by := p.restingGroup(c); until.After(p.at) {
			p.at = until
			s.Waits = append(s.Waits, fmt.Sprintf("Policy.MinInterval of %s, which was told for %s, until %s", c.Name, by, when(until)))
		}
		c.Sent, c.Acked, c.AckedAt, c.Role = run.Target, run.Target, p.at, role
	}
	if s.Phase == PhaseCanary {
		s.Waits = append(s.Waits, p.adoption(told)...)
	}
	d.st.key(run.Target).Presented = d.st.key(run.Target).Presented || !d.reg.webhook
}

// restingGroup is until when a consumer that several credentials share is not to be told again, and of which one it was told.
func (p *planner) restingGroup(c *consumerState) (until time.Time, by string) {
	b := p.d.reg.binding(c.Name)
	if b == nil || b.Group == "" || p.hasty() || p.d.st.Run.Strategy != Standard {
		return time.Time{}, ""
	}
	_, rec, err := p.d.r.loadGroup(p.d.ctx, b.Group)
	if err != nil || rec.At.IsZero() {
		return time.Time{}, "" // the rotation itself will say so
	}
	return rec.At.Add(p.d.reg.Policy.MinInterval), rec.By
}

func (p *planner) activate(s *PlanStep) {
	d := p.d
	run := d.st.Run
	switch {
	case d.neverLeft() || run.Activated == run.Target:
		s.Text = "nothing: the sender signs with it already"
	case d.signsAtOnce():
		s.Text = "nothing: the sender signs with it since it was made"
	default:
		s.Text = "tell the sender to sign with it"
	}
	d.st.key(run.Target).Presented = true
	if run.Activated != run.Target {
		run.Activated, run.ActivatedAt = run.Target, p.at
	}
}

func (p *planner) disable(s *PlanStep) {
	d := p.d
	if _, ok := As[Disabler](d.reg.Issuer); !ok || d.st.Run.NoOverlap {
		s.Text = "skipped: there is nothing to disable that could be enabled again"
		return
	}
	s.Text = "disable the other key, which can be undone, and see whether anything breaks"
	if wait := d.reg.Traits.Propagation; wait > 0 {
		p.at = p.at.Add(wait)
		s.Waits = []string{"the provider to know it everywhere, until " + when(p.at)}
	}
}

func (p *planner) retire(s *PlanStep) {
	d := p.d
	run := d.st.Run
	var ids []string
	for _, k := range d.st.victims() {
		ids = append(ids, k.Key.String())
	}
	switch {
	case len(ids) == 0:
		s.Text = "nothing: there is no other key"
		return
	case d.reg.webhook:
		s.Text = "tell every receiver to forget " + strings.Join(ids, ", ")
	default:
		s.Text = "revoke " + strings.Join(ids, ", ")
	}
	s.Text += "; from here on there is only forward"
	if old := d.st.key(run.Old); run.Strategy == Standard && old.live() && !run.NoOverlap {
		p.plan.RollbackEnd = earliest(p.at, old.Ends)
	}
}

func (p *planner) confirm(s *PlanStep) {
	d := p.d
	s.Text = "prove that it is dead, and that every consumer still works"
	if len(d.st.victims()) == 0 {
		s.Text = "look whether every consumer still works"
		return
	}
	if wait := d.reg.Traits.Propagation; wait > 0 {
		s.Waits = []string{fmt.Sprintf("the proof; %v is what the provider may take", wait)}
	}
}

// names lists consumers in their order.
func (p *planner) names(consumers []*consumerState) string {
	const most = 20
	var names []string
	for _, c := range consumers {
		names = append(names, c.Name)
	}
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
