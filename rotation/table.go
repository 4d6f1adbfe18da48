// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// step is one line of a strategy. do runs again after every interruption: it looks at what is there before it acts. nil
// means that the phase is over.
type step struct {
	phase Phase
	do    func(*drive) error
}

// table is a strategy: the order of its steps. Each moves every presenter to the run's target and then kills its victims;
// they differ in what they prove first. Webhook secrets have tables of their own, because their presenter is the provider and
// the consumers accept: see webhookTable.
func (reg *registration) table(s Strategy) []step {
	switch {
	case reg.webhook:
		return webhookTable(s)
	case s == RollBack:
		return []step{
			{PhaseRestore, (*drive).restore},
			{PhasePromote, (*drive).promote},
			{PhaseDeploy, (*drive).deployAll},
			{PhaseVerify, (*drive).verifyAll},
			{PhaseSoak, (*drive).soak},
			{PhaseRetire, (*drive).retire},
			{PhaseConfirm, (*drive).confirm},
			{PhaseFinish, (*drive).finish},
		}
	case s == Emergency:
		return []step{
			{PhaseIssue, (*drive).issue},
			{PhaseProve, (*drive).prove},
			{PhasePromote, (*drive).promote},
			{PhaseDeploy, (*drive).deployAll},
			{PhaseVerify, (*drive).verifyAll},
			{PhaseConfirm, (*drive).confirm},
			{PhaseFinish, (*drive).finish},
		}
	default:
		return []step{
			{PhasePrepare, (*drive).prepare},
			{PhaseIssue, (*drive).issue},
			{PhaseProve, (*drive).prove},
			{PhaseCanary, (*drive).canary},
			{PhasePromote, (*drive).promote},
			{PhaseDeploy, (*drive).deployAll},
			{PhaseVerify, (*drive).verifyAll},
			{PhaseSoak, (*drive).soak},
			{PhaseDisable, (*drive).disable},
			{PhaseRetire, (*drive).retire},
			{PhaseConfirm, (*drive).confirm},
			{PhaseFinish, (*drive).finish},
		}
	}
}

// webhookTable is the mirror: the receivers accept the target before the sender signs with it, and forget a victim when no
// delivery needs it any more. In an emergency they forget it at once (see obligations), and the sender does not wait for them.
func webhookTable(s Strategy) []step {
	switch s {
	case RollBack:
		return []step{
			{PhaseRestore, (*drive).accept},
			{PhaseActivate, (*drive).activate},
			{PhaseProve, (*drive).matched},
			{PhasePromote, (*drive).promote},
			{PhaseSoak, (*drive).soak},
			{PhaseDrop, (*drive).drop},
			{PhaseConfirm, (*drive).confirm},
			{PhaseFinish, (*drive).finish},
		}
	case Emergency:
		return []step{
			{PhaseIssue, (*drive).issue},
			{PhasePromote, (*drive).promote},
			{PhaseActivate, (*drive).activate},
			{PhaseAccept, (*drive).accept},
			{PhaseProve, (*drive).matched},
			{PhaseConfirm, (*drive).confirm},
			{PhaseFinish, (*drive).finish},
		}
	default:
		return []step{
			{PhasePrepare, (*drive).prepare},
			{PhaseIssue, (*drive).issue},
			{PhaseAccept, (*drive).accept},
			{PhaseActivate, (*drive).activate},
			{PhaseProve, (*drive).matched},
			{PhasePromote, (*drive).promote},
			{PhaseSoak, (*drive).soak},
			{PhaseDrop, (*drive).drop},
			{PhaseConfirm, (*drive).confirm},
			{PhaseFinish, (*drive).finish},
		}
	}
}

// arrival is the phase in which a run begins that has its target already, not yet known to anybody.
func (reg *registration) arrival(s Strategy) Phase {
	switch {
	case !reg.webhook:
		return PhaseProve
	case s == RollBack:
		return PhaseRestore
	default:
		return PhaseAccept
	}
}

// moving is the phase in which the presenters, or the receivers, are told of the target.
func (reg *registration) moving(s Strategy) Phase {
	if reg.webhook {
		return reg.arrival(s)
	}
	return PhaseDeploy
}

// stepOf finds the step that a run stands in.
func (reg *registration) stepOf(s Strategy, p Phase) step {
	for _, st := range reg.table(s) {
		if st.phase == p {
			return st
		}
	}
	return step{p, func(*drive) error {
		return &Error{Evidence: fmt.Sprintf("the record stands in phase %q, which strategy %q does not have", p, s)}
	}}
}

// next moves on to the next step.
func (r *run) next(reg *registration) {
	steps := reg.table(r.Strategy)
	for i, s := range steps[:len(steps)-1] {
		if s.phase == r.Phase {
			r.Phase = steps[i+1].phase
			return
		}
	}
}

// begin opens a rotation to the next generation.
func (d *drive) begin(s Strategy, reason, trigger string, incidents ...string) {
	d.st.LastGeneration = max(d.st.LastGeneration, generationOf(d.st.key(d.st.Current))) + 1
	d.open(s, d.st.LastGeneration, reason, trigger, incidents...)
}

// open opens a rotation. Every known consumer is assumed to use the current key.
func (d *drive) open(s Strategy, generation int, reason, trigger string, incidents ...string) {
	st := d.st
	run := &run{
		ID: newID(), Strategy: s, Phase: d.reg.table(s)[0].phase, Reason: reason, Trigger: trigger,
		Actor: d.r.actor(d.ctx), Generation: generation, Old: st.Current, Parts: d.reg.parts, BeganAt: time.Now(), Incidents: incidents,
	}
	if st.Current != 0 {
		run.Victims = []int64{st.Current}
	}
	for _, b := range d.reg.Bindings {
		run.Consumers = append(run.Consumers, &consumerState{Name: b.Name, Acked: st.Current})
	}
	st.Run, st.Retry, st.Cause, st.Promised, st.Reminded = run, retry{}, "", time.Time{}, time.Time{}
	text := fmt.Sprintf("%s rotation to generation %d began", s, run.Generation)
	if reason != "" {
		text += ": " + reason
	}
	unknown := st.Current == 0 && len(d.reg.Bindings) > 0
	if unknown { // nobody need have forgotten anything: a new service has no key before its first
		text += "; the store held no key: one that the consumers use already is not known here, and nothing will end it (store.Seed would have named it)"
	}
	alone := st.Current != 0 && len(d.reg.Bindings) == 0
	if alone {
		text += "; no consumer is bound: nobody is waited for, and the old key dies when the overlap is over"
	}
	level := levelOf(unknown || alone)
	if s == Emergency {
		level = slog.LevelError
	}
	d.emit(Event{Kind: EventBegan, Level: level, Text: text})
}

// dueReason is why a rotation begins by itself.
func (d *drive) dueReason() string {
	current := d.st.key(d.st.Current)
	due := dueAt(d.reg, current)
	switch {
	case current == nil:
		return "there is no key yet"
	case current.Key.IssuedAt.IsZero():
		return "nobody knows how old the key is"
	case due.After(d.began):
		return "due at " + timeText(due)
	default:
		return "due since " + timeText(due)
	}
}

func generationOf(k *keyState) int {
	if k == nil {
		return 0
	}
	return k.Key.Generation
}

// rollBack turns an open rotation around: the same steps with the roles swapped.
func (d *drive) rollBack(why string) error {
	run := d.st.Run
	old := d.st.key(run.Old)
	switch {
	case run.Strategy != Standard:
		return &Error{Evidence: "a roll-back starts from a standard rotation only; this is a " + string(run.Strategy)}
	case old == nil:
		return &Error{Evidence: "there is no older key to go back to"}
	case !old.live() || run.irreversible(d.st):
		return &Error{Evidence: "the old key, " + old.Key.String() + ", is condemned already", Action: "begin a new rotation when this one has ended"}
	case d.signsAtOnce() && (d.st.key(run.New) != nil || run.trying()):
		return &Error{Evidence: "the sender signs with the new secret already, and cannot be told to use the old one"}
	case old.Lost || old.Stored && d.loaded && d.value(run.Old).IsZero():
		return &Error{Evidence: "the store has lost the value of " + old.Key.String()}
	}
	run.Strategy, run.Phase, run.RollBackAt = RollBack, PhaseRestore, time.Now()
	run.Target = run.Old
	run.spare(run.Old)
	run.kill(run.New)
	run.Failing, run.Extend = time.Time{}, time.Time{}
	d.st.Retry, d.fresh = retry{}, nil
	d.emit(Event{Kind: EventRollBack, Level: slog.LevelWarn, Text: "rolling back: " + why})
	return nil
}

// forward turns a roll-back around again. The old key has died, or a person asks for it; where the new key cannot be used
// any more another one is issued.
func (d *drive) forward(why string) error {
	run := d.st.Run
	if run.Strategy != RollBack {
		return &Error{Evidence: "it is not rolling back"}
	}
	run.Strategy, run.RollBackAt, run.BackTakes, run.Failing = Standard, time.Time{}, 0, time.Time{}
	run.kill(run.Old)
	if n := d.st.key(run.New); n.live() {
		run.spare(run.New)
		run.Target, run.Phase = run.New, d.reg.arrival(Standard)
	} else {
		run.Target, run.New, run.Phase = 0, 0, PhaseIssue
	}
	d.st.Retry, d.fresh = retry{}, nil
	d.emit(Event{Kind: EventRollBack, Level: slog.LevelWarn, Text: "going forward again: " + why})
	return nil
}

// turnBack is a step's decision to roll back; where that is impossible the cause is reported, and tried again.
func turnBack(why string, cause error) error {
	return &turn{why: why, take: func(d *drive) error {
		var e *Error
		if errors.As(cause, &e) {
			d.place(e)
			d.report(e)
		}
		if err := d.rollBack(why); err != nil {
			return cause
		}
		return nil
	}}
}

// spare takes a key off the victims.
func (r *run) spare(serial int64) {
	r.Victims = slices.DeleteFunc(r.Victims, func(v int64) bool { return v == serial })
}

// kill makes a victim of a key of the open run.
func (r *run) kill(serial int64) {
	if serial != 0 && !slices.Contains(r.Victims, serial) {
		r.Victims = append(r.Victims, serial)
	}
}
