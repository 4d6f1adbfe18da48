// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"errors"
	"time"
)

// A call to a receiver that was not answered can land later, after what it is told next, and change what it accepts. The record
// keeps until when, beyond the rotation that made the call: nothing that is seen before then is final.

// calling records the intent to tell a receiver something. It is to be saved before the call.
func (d *drive) calling(receiver string, from time.Time) {
	if d.called == nil {
		d.called = map[string]time.Time{}
	}
	if d.st.Lands == nil {
		d.st.Lands = map[string]time.Time{}
	}
	before := d.st.Lands[receiver]
	d.called[receiver] = before
	d.st.Lands[receiver] = latest(before, from.Add(d.r.settle(d.reg)).Round(0))
}

// answeredBy records how the call ended. What was answered has landed; calls before it may not have.
func (d *drive) answeredBy(receiver string, err error) {
	if err != nil && !errors.Is(err, ErrManual) && !unsupported(err) {
		return
	}
	before, known := d.called[receiver]
	switch {
	case !known:
	case before.After(time.Now()):
		d.st.Lands[receiver] = before
	default:
		delete(d.st.Lands, receiver)
	}
}

// landed is when everything has landed that any receiver was told.
func (d *drive) landed() time.Time {
	at := d.st.Settle
	for name, until := range d.st.Lands {
		if d.reg.binding(name) != nil {
			at = latest(at, until)
		}
	}
	return at
}

// landing is what there is to wait for, if anything.
func (d *drive) landing() []Need {
	at := d.landed()
	if !at.After(time.Now()) {
		return nil
	}
	return []Need{{ID: d.needID("landing"), Kind: NeedTime, Until: at, Text: "a call that tells a receiver what to accept can still land"}}
}

// relearn has receivers told again that are seen refusing the target, although they were told of it and nothing of that is under
// way any more. The error turns back to where they are told.
func (d *drive) relearn(seen map[string]sight) error {
	run := d.st.Run
	again := false
	for _, c := range run.Consumers {
		s, b := seen[c.Name], d.reg.binding(c.Name)
		refuses := s.Verifiable && (errors.Is(s.VerifyErr, ErrRejected) || errors.Is(s.VerifyErr, errMixed))
		if b == nil || !refuses || c.Holds == "" || time.Since(c.AckedAt) < b.Lag+d.r.settle(d.reg) || d.st.Lands[c.Name].After(time.Now()) {
			continue
		}
		c.unlearn()
		again = true
	}
	if !again {
		return nil
	}
	return to(d.telling(), "a receiver refuses what it was told to accept")
}

// telling is the phase in which the receivers are told, from here on.
func (d *drive) telling() Phase {
	run := d.st.Run
	if run.Strategy != Emergency && run.irreversible(d.st) {
		return PhaseDrop
	}
	return d.reg.moving(run.Strategy)
}

// unlearn forgets what a receiver was told: telling it again is a new move.
func (c *consumerState) unlearn() {
	c.Acked, c.Done, c.Holds, c.Offered, c.DoneSet, c.Sworn = 0, 0, "", "", "", ""
	c.Moves++
}

// unforget has receivers told again that are seen accepting a victim which they were told to forget.
func (d *drive) unforget(victim *keyState) (again bool) {
	run := d.st.Run
	key := d.whole(victim)
	for _, c := range run.Consumers {
		b := d.reg.binding(c.Name)
		if b == nil || c.Holds == "" || key.Secret.IsZero() || time.Since(c.AckedAt) < b.Lag+d.r.settle(d.reg) || d.st.Lands[c.Name].After(time.Now()) {
			continue
		}
		if err := d.r.accepts(d.ctx, b, key, c.AckedAt, d.shared(key)); err == nil || errors.Is(err, errMixed) {
			c.unlearn()
			again = true
		}
	}
	return again
}
