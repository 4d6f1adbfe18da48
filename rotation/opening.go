// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"log/slog"
	"strings"
	"time"
)

// Windows, blackouts and notices say when a rotation may begin by itself, and when it may do what consumers can notice. They delay
// neither an emergency nor a roll-back, nor what a deadline of the provider does not let wait.

const needWindow = "window"

// opening is when the next rotation may begin by itself, of a credential without an open one.
func (st *state) opening(reg *registration, now time.Time) time.Time {
	current, first := st.key(st.Current), st.restUntil(now)
	if current == nil {
		return first // there is nothing that a consumer could notice
	}
	at := st.slot(reg, now, first)
	if reg.Policy.Notice > 0 {
		if told, holds := st.promise(reg, now); holds {
			at = told
		} else {
			at = st.slot(reg, now, latest(first, now.Add(reg.Policy.Notice)))
		}
	}
	return latest(earliest(at, lastBegin(reg, current)), first)
}

// restUntil is until when nothing begins by itself: after a rotation that went back, or held by a person.
func (st *state) restUntil(now time.Time) time.Time {
	if st.Hold != nil && st.Hold.Until.After(now) {
		return latest(st.NotBefore, st.Hold.Until)
	}
	return st.NotBefore
}

// slot is the first time, not before another one, that windows, blackouts and the jitter have for the next rotation.
func (st *state) slot(reg *registration, now, first time.Time) time.Time {
	current := st.key(st.Current)
	due, issued := dueAt(reg, current), current.Key.IssuedAt
	if early := reg.Policy.MinInterval; !due.IsZero() && reg.grouped() {
		due = latest(due.Add(-early), issued.Add(due.Sub(issued)/2)) // it may have to wait for others that share a consumer
	}
	if len(reg.Policy.Calendar.windows) == 0 && !due.After(st.Seen) { // else all that is late when a service starts would begin with it
		first = latest(first, st.Seen.Add(share(reg.place(), min(reg.Policy.Jitter, day))))
	}
	for _, at := range []time.Time{now, first} {
		from, _, err := nextSlot(reg.Policy.Calendar, reg.Policy.Jitter, issued, due, reg.place(), latest(at, now))
		if err != nil {
			return now.Add(slotLimit) // the credential's registration was refused, or it is looked at again then
		}
		if !from.Before(first) {
			return from
		}
	}
	return first // in the middle of a slot
}

// lastBegin is when a rotation has to begin of a key that the provider ends, whatever windows, blackouts and notices say; zero: nothing
// ends it.
func lastBegin(reg *registration, current *keyState) time.Time {
	due, ends := expiryDue(reg, current)
	if !ends {
		return time.Time{}
	}
	return latest(due, current.pressing(reg))
}

// pressing is from when on moving away from a key that the provider ends waits for no window: some time is needed for the move itself.
func (k *keyState) pressing(reg *registration) time.Time {
	spare := margin
	if life := k.end().Sub(k.Key.IssuedAt); !k.Key.IssuedAt.IsZero() {
		spare = min(spare, life/8)
	}
	return k.end().Add(-overlapNeed(reg, 0) - spare)
}

// place is what spreads credentials over their slots: those that share a consumer have the same one.
func (reg *registration) place() string {
	for _, b := range reg.Bindings {
		if b.Group != "" {
			return "group " + b.Group
		}
	}
	return reg.Name
}

func (reg *registration) grouped() bool { return reg.place() != reg.Name }

// promise is when people were told that the next rotation begins. It holds until that time is over, or has become another one.
func (st *state) promise(reg *registration, now time.Time) (at time.Time, holds bool) {
	at = st.Promised
	current := st.key(st.Current)
	if at.IsZero() || current == nil {
		return time.Time{}, false
	}
	if last := lastBegin(reg, current); !last.IsZero() && !at.Before(last) {
		return at, true // it was no choice
	}
	s, allowed := reg.Policy.Calendar.next(at, 0)
	end := s.to
	if end.IsZero() {
		end = at.Add(max(reg.Policy.Notice, day))
	}
	first := st.restUntil(now)
	return latest(at, first), allowed && now.Before(end) && first.Before(end) && st.slot(reg, now, first).Before(end)
}

// noticeAt is when people are to be told of the next rotation; zero: not, or they know.
func (st *state) noticeAt(reg *registration, now time.Time) time.Time {
	if st.Run != nil || reg.Policy.Notice == 0 || st.key(st.Current) == nil {
		return time.Time{} // nobody uses a key that is not there
	}
	if _, holds := st.promise(reg, now); holds {
		return time.Time{}
	}
	return st.opening(reg, now).Add(-reg.Policy.Notice)
}

// announce tells people of the rotation that is going to begin.
func (d *drive) announce() {
	if d.st.Seen.IsZero() {
		d.st.Seen = d.began.Round(0)
	}
	at := d.st.noticeAt(d.reg, d.began)
	if at.IsZero() || at.After(d.began) {
		return
	}
	before := d.st.Promised
	d.st.Promised = d.st.opening(d.reg, d.began).Round(0)
	text := "the next rotation begins at " + timeText(d.st.Promised)
	if !before.IsZero() {
		text += ", and not at " + timeText(before)
	}
	if names := d.reg.bindingNames(); names != "" {
		text += "; it moves " + names
	}
	if last := lastBegin(d.reg, d.st.key(d.st.Current)); !last.IsZero() && !d.st.Promised.Before(last) {
		text += "; it can wait no longer, because the key ends at " + timeText(d.st.key(d.st.Current).end())
	}
	d.emit(Event{Kind: EventNotice, Level: slog.LevelWarn, Text: text})
}

func (reg *registration) bindingNames() string {
	var names []string
	for _, b := range reg.Bindings {
		names = append(names, b.Name)
	}
	return strings.Join(names, ", ")
}

// noticed reports whether what a step does can be noticed by consumers. To issue a key is, where that ends the old one, at once or after
// a while.
func (reg *registration) noticed(p Phase) bool {
	switch p {
	case PhaseIssue:
		return reg.Traits.KillsOld || reg.Traits.Grace > 0
	case PhaseCanary, PhaseAccept, PhaseActivate, PhasePromote, PhaseDeploy, PhaseDisable, PhaseRetire, PhaseDrop:
		return true
	default:
		return false
	}
}

// ending reports whether a step ends the old key, rather than moves consumers away from it.
func ending(p Phase) bool { return p == PhaseDisable || p == PhaseRetire || p == PhaseDrop }

// windowAt is when a step may be taken that is ready at a time: at once, where no window keeps it. It decides nothing of a step that no
// consumer can notice.
func (d *drive) windowAt(p Phase, ready time.Time) time.Time {
	run := d.st.Run
	free := run.Strategy != Standard || run.NoOverlap || run.Old == 0 || run.irreversible(d.st)
	asked := run.AnyTime != "" && ending(run.AnyTime) == ending(p)
	if free || asked || !d.reg.noticed(p) {
		return ready
	}
	at := ready.Add(slotLimit)
	if s, ok := d.reg.Policy.Calendar.next(ready, slotLimit); ok {
		at = latest(s.from, ready)
	}
	if old := d.st.key(run.Old); old != nil && !old.end().IsZero() && !ending(p) {
		at = earliest(at, latest(old.pressing(d.reg), ready))
	}
	return at
}

// inWindow waits for a window before the next thing that consumers can notice.
func (d *drive) inWindow() error {
	now := time.Now()
	until := d.windowAt(d.st.Run.Phase, now)
	if !until.After(now) {
		return nil
	}
	text := "what moves consumers waits for a window; done does it now"
	if ending(d.st.Run.Phase) {
		text = "what ends the old key waits for a window; done does it now"
	}
	return &waiting{needs: []Need{{ID: d.needID(needWindow), Kind: NeedWindow, Until: until, Verbs: []Verb{VerbDone, VerbRollBack}, Text: text}}}
}
