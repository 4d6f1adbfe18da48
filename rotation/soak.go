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

// soak waits until nobody presents the victims any more: it collects the facts that the kill will ask for again.
func (d *drive) soak() error {
	run := d.st.Run
	if err := d.nobodyBehind(); err != nil {
		return err
	}
	for _, victim := range d.st.victims() {
		if victim.disabled() { // whoever broke without it has it back while the facts are gathered
			if err := d.enable(victim); err != nil {
				return err
			}
			run.Extend = latest(run.Extend, time.Now().Add(max(d.reg.Policy.Quiet, d.reg.Policy.Patience)))
		}
	}
	return d.passGate()
}

// passGate observes everything and returns nil if every victim may be killed now.
func (d *drive) passGate() error {
	run := d.st.Run
	var needs []Need
	add := func(lacks []missing) {
		for _, m := range lacks {
			if slices.ContainsFunc(needs, func(n Need) bool { return n.ID == d.needID(m.ID) }) {
				continue
			}
			if m.Problem != nil && d.st.Problem == nil {
				d.st.Problem = m.Problem
			}
			needs = append(needs, Need{ID: d.needID(m.ID), Kind: m.Kind, Name: m.Consumer, Until: m.Until, Text: m.Text, Verbs: m.Verbs})
		}
	}
	victims := slices.DeleteFunc(d.st.victims(), func(k *keyState) bool { return !k.DeadAt.IsZero() })
	if !slices.ContainsFunc(victims, func(k *keyState) bool { return k.Presented }) {
		return nil
	}
	f, err := d.observe()
	if err != nil {
		return err
	}
	if d.reg.webhook {
		if err := d.relearn(f.Consumers); err != nil {
			return err
		}
		if f, err = d.freshMatch(f); err != nil {
			return err
		}
	}
	if errors.Is(f.Accepted, ErrRejected) {
		if err := d.targetDied(); err != nil {
			return err
		}
	}
	for _, victim := range victims {
		add(gate(d.reg, d.st, victim, f, d.r.cfg.ClockSkew))
	}
	if len(needs) == 0 {
		return nil
	}
	if slices.ContainsFunc(run.Consumers, func(c *consumerState) bool { return d.strayed(c, f) }) {
		return to(d.reg.moving(run.Strategy), "a consumer went back to another key")
	}
	if d.senderStrayed() {
		return to(PhaseActivate, "the sender went back to another secret")
	}
	announced := func(n Need) bool { return n.Kind == NeedPerson || n.Until.After(time.Now()) }
	if !slices.ContainsFunc(needs, func(n Need) bool { return !announced(n) }) {
		return &waiting{needs: needs} // nothing can come of asking earlier
	}
	return d.again(needs...)
}

// strayed reports whether a consumer that was seen on the target is seen using another key: it has to be told again.
func (d *drive) strayed(c *consumerState, f *facts) bool {
	run := d.st.Run
	if s := f.Consumers[c.Name]; c.Observed != run.Target || len(s.Elsewhere) == 0 || time.Since(c.AckedAt) < d.reg.Policy.Patience {
		return false
	}
	c.Acked, c.Observed, c.Done = 0, 0, 0
	c.Moves++
	d.note(slog.LevelWarn, c.Name+" went back to another key: it is told again")
	return true
}

// deadlineNear reports that the provider is about to end the old key: then consumers are told without waves.
func (d *drive) deadlineNear() bool {
	at := d.hurryAt()
	return !at.IsZero() && !at.After(time.Now())
}

// hurryAt is from when on it is near; zero: the provider ends nothing by itself.
func (d *drive) hurryAt() time.Time {
	old := d.st.key(d.st.Run.Old)
	if old == nil || old.Ends.IsZero() {
		return time.Time{}
	}
	return old.Ends.Add(-overlapNeed(d.reg, d.r.cfg.ClockSkew))
}

// watchRevocations tells people when the deadline of an emergency has passed before every revocation was sent. It needs neither the
// store nor the issuer: what keeps them away may be why it has passed.
func (d *drive) watchRevocations() {
	run := d.st.Run
	if !d.emergency() || run.Alarmed {
		return
	}
	deadline := run.Confirmed.Add(emergencyDelay(d.reg.Type))
	if time.Now().After(deadline) && !run.met(d.st, deadline) {
		run.Alarmed = true
		d.emit(Event{Kind: EventWaiting, Level: slog.LevelError, Text: "the deadline of " + timeText(deadline) + " has passed, and not every revocation was sent in time"})
	}
}

// watchDeadline tells people when the provider ends the old key before everybody has moved.
func (d *drive) watchDeadline() {
	run := d.st.Run
	if run == nil || run.Alarmed || run.Strategy != Standard || run.NoOverlap || !d.deadlineNear() || run.irreversible(d.st) {
		return
	}
	run.Alarmed = true
	old := d.st.key(run.Old)
	d.emit(Event{Kind: EventWaiting, Level: slog.LevelError, Text: fmt.Sprintf("the provider ends %s at %s", old.Key, timeText(old.Ends))})
}
