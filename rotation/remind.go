// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"slices"
	"time"
)

// remindEvery is how often people are told that a key is due.
const remindEvery = 7 * day

// ageing is the key that has to be replaced: the current one, or the one that the open rotation replaces.
func (st *state) ageing() *keyState {
	if st.Run != nil {
		if old := st.key(st.Run.Old); old != nil {
			return old
		}
	}
	return st.key(st.Current)
}

// remindAt is when people are to be told that a new key is due; zero: never. A rotation that is open has a week to replace what was due
// when it began.
func (st *state) remindAt(reg *registration) time.Time {
	run, key := st.Run, st.ageing()
	due := dueAt(reg, key)
	var at time.Time
	switch {
	case run == nil && key == nil:
		return time.Time{} // nobody has looked yet what there is
	case run != nil && run.Strategy == Emergency || key != nil && !key.DeadAt.IsZero():
		return time.Time{} // that is told louder, or done
	case run != nil:
		at = latest(due, run.BeganAt).Add(remindEvery)
	case due.IsZero():
		at = latest(st.NotBefore, time.Time{}.Add(time.Nanosecond)) // long ago, and never the zero time
	default:
		half := key.Key.IssuedAt.Add(due.Sub(key.Key.IssuedAt) / 2)
		at = latest(latest(due.Add(-warning), half), st.NotBefore)
	}
	if !st.Reminded.IsZero() {
		at = latest(at, st.Reminded.Add(remindEvery))
	}
	return at
}

// remind tells people that a new key is due, or soon will be, whatever else this Advance could do.
func (d *drive) remind() {
	at := d.st.remindAt(d.reg)
	if at.IsZero() || at.After(d.began) {
		return
	}
	d.st.Reminded = d.began.Round(0)
	if d.st.Run != nil && d.foreseen() {
		return
	}
	due := dueAt(d.reg, d.st.ageing())
	late := !due.After(d.began)
	h, hand := As[Handmade](d.reg.Issuer)
	hand = hand && h.Handmade()
	e := Event{Kind: EventDue, Level: levelOf(late || hand), Problem: d.st.Problem, Text: d.dueText(due)}
	if i := slices.IndexFunc(d.st.Needs, func(n Need) bool { return n.Kind == NeedPerson }); i >= 0 {
		n := d.st.Needs[i]
		e.Consumer, e.Need, e.Verbs = n.Name, n.ID, n.Verbs
		e.Text += "; it waits: " + n.Text
	} else if p := d.st.Problem; p != nil {
		e.Text += "; in the way: " + p.Error()
	}
	if hand && d.st.Run == nil {
		e.Text += "; a person has to make it"
	}
	d.emit(e)
}

// dueText says what is due, and what becomes of it.
func (d *drive) dueText(due time.Time) string {
	all := rules(d.reg, d.st.ageing())
	rule := all[slices.IndexFunc(all, func(rule Rule) bool { return !rule.Overruled })]
	text := "a new key is due at " + timeText(due)
	switch {
	case due.IsZero():
		text = "a new key is due at once"
	case !due.After(d.began):
		text = "a new key is overdue since " + timeText(due)
	}
	text += " (" + rule.Text + ")"
	if run := d.st.Run; run != nil {
		text += "; its rotation began at " + timeText(run.BeganAt)
	} else if begins := explain(d.reg, d.st, d.began).Begins; begins.After(d.began) {
		text += "; the rotation begins at " + timeText(begins)
	}
	if d.held() {
		text += withReason("; it is held until "+timeText(d.st.Hold.Until)+" by "+d.st.Hold.Actor, d.st.Hold.Reason)
	}
	return text
}

// foreseen reports that the open rotation waits for nothing but clocks.
func (d *drive) foreseen() bool {
	return d.st.Problem == nil && !slices.ContainsFunc(d.st.Needs, func(n Need) bool { return n.Kind != NeedTime && n.Kind != NeedWindow })
}
