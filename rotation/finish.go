// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// finish takes the dead values out of the store and closes the record.
func (d *drive) finish() error {
	run := d.st.Run
	for _, a := range slices.Clone(run.Attempts) {
		if a.Fate != fateOpen {
			continue
		}
		if a.Manual && d.st.key(a.Serial) == nil {
			run.absent(a) // nobody supplied it
			continue
		}
		target, made := run.Target, run.New
		err := d.settleAttempt(a)
		if run.Target, run.New = target, made; err != nil { // what it made comes too late to take over
			return err
		}
		switch k := d.st.key(a.Serial); {
		case a.Fate == fateOpen && k != nil && d.signsAtOnce(): // or it signs with it since
			d.condemnAttempt(a, k.Key)
		case a.Fate == fateOpen && k != nil && !d.reg.webhook && d.verify(d.living()) != nil: // whatever refuses it may refuse everything
			d.condemnAttempt(a, k.Key)
		case a.Fate == fateOpen && k != nil: // a chosen value that certainly is not there
			run.absent(a)
			d.buried(k, "the provider never took it")
		case a.Fate == fateStored && run.Target != a.Serial: // of no use any more
			d.condemnAttempt(a, k.Key)
		}
	}
	if err := d.census(); err != nil {
		return err
	}
	if d.emergency() && slices.ContainsFunc(d.st.victims(), func(k *keyState) bool { return k.compromised() && k.DeadAt.IsZero() }) {
		if err := d.save(); err != nil { // before it is revoked
			return err
		}
		return to(PhaseConfirm, "a call that was under way when the incident came has made a key")
	}
	d.payDebts()
	if d.st.Settle.After(time.Now()) && len(run.Victims) > 0 {
		return &waiting{needs: []Need{{ID: d.needID("settle"), Kind: NeedTime, Until: d.st.Settle, Text: "calls of a process that died can still land"}}}
	}
	if err := d.keepTarget(); err != nil {
		return err
	}
	if d.reg.webhook && d.emergency() {
		if err := d.cleanSender(); err != nil {
			return err
		}
	}
	for _, victim := range d.st.victims() {
		if victim.DeadAt.IsZero() {
			d.owe(victim, &Error{Evidence: "it is not proven dead"})
		}
	}
	if err := d.project(map[string]string{"rotation_verified_at": timeText(run.deadAtOr(time.Now()))}); err != nil {
		return err
	}
	d.close(run.outcome())
	if run.Strategy == Emergency {
		d.clearUp(run.Consumers)
	}
	return nil
}

// census looks once more for keys of tries that were thought to have made none: a list can be late.
func (d *drive) census() error {
	run := d.st.Run
	if !slices.ContainsFunc(run.Attempts, func(a *attempt) bool { return a.Fate == fateAbsent }) {
		return nil
	}
	keys, listed, err := d.list()
	if err != nil || !listed {
		return err
	}
	for _, a := range run.Attempts {
		for _, k := range keys {
			if a.Fate == fateAbsent && k.Key.Name == a.Name {
				d.condemnAttempt(a, k.Key)
			}
		}
	}
	return nil
}

// deadAtOr is the time of the proof, or now where nothing had to die.
func (r *run) deadAtOr(now time.Time) time.Time {
	if r.DeadAt.IsZero() {
		return now
	}
	return r.DeadAt
}

func (r *run) outcome() Outcome {
	if r.Strategy == RollBack || r.Target == r.Old && r.Old != 0 && r.New != 0 {
		return RolledBack
	}
	return Rotated
}

const (
	keptRecords   = 1  // the last rotation that ended is told by Status
	keptEvidence  = 2  // those that brought the current key, and the one before: see RotatedWithin
	keptEmergency = 32 // ended emergencies are kept for their incidents
	keptTriggers  = 16 // a trigger that comes again attaches
)

// close ends the open rotation with its record.
func (d *drive) close(outcome Outcome) {
	st, run := d.st, d.st.Run
	d.emit(Event{Kind: EventEnded, Text: fmt.Sprintf("%s rotation to generation %d ended: %s", run.Strategy, run.Generation, outcome)})
	rec := st.record(d.reg, time.Now())
	rec.Outcome, rec.EndedAt = outcome, time.Now()
	rec.RollbackUntil, rec.AsOf = time.Time{}, time.Time{}
	st.Outbox.account(rec)
	st.Ended = append(st.Ended, ended{Incidents: run.Incidents, Leaks: run.Leaks, Record: encodeRecord(*rec)})
	st.prune()
	if run.Trigger != "" {
		st.Triggers = append(st.Triggers, run.Trigger)
		st.Triggers = st.Triggers[max(0, len(st.Triggers)-keptTriggers):]
	}
	for _, k := range slices.Clone(st.Keys) {
		if !k.DeadAt.IsZero() && outcome != TakenOver { // an emergency inherits its value in the store
			st.drop(k.Key.Serial)
		}
	}
	st.Run, st.Cause, st.Retry = nil, "", retry{}
	if outcome != TakenOver && !d.reg.blind() {
		st.CheckedAt = time.Now().Round(0)
	}
	if k := st.key(st.Current); outcome == RolledBack && (k == nil || k.Ends.IsZero()) { // somebody looks into it before the schedule makes another one
		st.NotBefore = time.Now().Add(min(day, d.reg.MaxAge/4)).Round(0)
	}
}

// prune keeps the newest records of each sort.
func (st *state) prune() {
	standard, emergencies, rotated := 0, 0, 0
	kept := slices.Clone(st.Ended)
	slices.Reverse(kept)
	kept = slices.DeleteFunc(kept, func(e ended) bool {
		evidence := rotated < keptEvidence && e.record().Outcome == Rotated
		if evidence {
			rotated++
		}
		if len(e.Incidents) > 0 {
			emergencies++
			return emergencies > keptEmergency && !evidence
		}
		standard++
		return standard > keptRecords && !evidence
	})
	slices.Reverse(kept)
	st.Ended = kept
}

// owe makes a debt of a key.
func (d *drive) owe(k *keyState, problem *Error) {
	if k.DebtSince.IsZero() {
		k.DebtSince = time.Now()
	}
	if d.st.Run != nil {
		problem.Rotation = d.st.Run.ID
	}
	problem.Credential = d.reg.Name
	if k.Problem == nil || k.Problem.cause() != problem.cause() {
		d.emit(Event{Kind: EventDebt, Level: slog.LevelWarn, Key: k.Key.named(), Problem: problem, Text: k.Key.String() + " should be dead and is not proven so: " + problem.Evidence})
	}
	k.Problem = problem
}

// payDebts kills what should be dead, and looks for the proof. It never fails: a debt that cannot be paid now stays one.
func (d *drive) payDebts() {
	for _, k := range d.st.debts() {
		if k.DeadAt.IsZero() {
			d.pay(k)
		}
	}
	d.forgetDead()
}

func (d *drive) pay(k *keyState) {
	if k.Retry.At.After(time.Now()) || d.st.Settle.After(time.Now()) && k.Presented {
		return
	}
	fail := func(e *Error) {
		k.Retry = d.backoff(k.Retry, e)
		d.owe(k, e)
	}
	why := d.untouchable(k)
	free := why == nil && d.nobodyUses(k)
	if free {
		k.Condemned = true
		if err := d.save(); err != nil {
			return
		}
		if err := d.revoke(k); err != nil {
			fail(&Error{Evidence: "it was not revoked", Err: hide(err)})
			return
		}
	}
	verdict, how := d.dead(k)
	switch {
	case verdict == isDead:
		d.buried(k, how)
	case why != nil:
		fail(why)
	case !free && k.Problem != nil: // what made it a debt is still the reason
		k.Retry = d.backoff(k.Retry, nil)
	case !free:
		fail(&Error{Diagnosis: OldKeyInUse, Evidence: "it is not certain that nobody uses it"})
	case time.Since(k.RevokedAt) < d.reg.Traits.Propagation:
		fail(&Error{Diagnosis: RevocationPropagating, Evidence: k.afterwards(how), Action: "wait: the provider may take so long; it is asked again by itself"})
	default:
		fail(&Error{Diagnosis: RevocationNotEffective, Evidence: k.afterwards(how), Action: "look at the provider, and end it there if it is alive; it is revoked again now and then. If you know it dead, answer the debt with settle"})
	}
}

// nobodyUses observes whether a debt may be killed: nobody ever had it, or every consumer is seen on the key in use.
func (d *drive) nobodyUses(k *keyState) bool {
	if !k.Presented || d.reg.webhook && !k.RevokedAt.IsZero() {
		return true
	}
	if d.st.Run != nil || d.reg.webhook {
		return false // after the open rotation
	}
	current := d.value(d.st.Current)
	if current.IsZero() || d.verify(current) != nil {
		return false
	}
	for _, b := range d.reg.Bindings {
		if b.Observer == nil {
			continue // it was proven, or attested, when the key was condemned
		}
		if s := d.see(&b, &consumerState{Name: b.Name}, current); s.Observable && !s.OnTarget {
			return false
		}
	}
	return true
}

// forgetDead takes the values of dead debts out of the store, and then their record.
func (d *drive) forgetDead() {
	var gone []int64
	for _, k := range d.st.debts() {
		if !k.DeadAt.IsZero() {
			gone = append(gone, k.Key.Serial)
		}
	}
	if len(gone) == 0 {
		return
	}
	if err := d.project(nil); err != nil {
		return // the value stays; the next Advance tries again
	}
	for _, serial := range gone {
		d.st.drop(serial)
	}
}
