// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"errors"
	"hash/fnv"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Between two rotations nothing need happen for months, and a rotation or a hold can last for weeks. A regular look shows that there is
// still somebody who would notice: a credential that nobody has looked at in time is one that nobody drives.

// checkAt is when the current key is to be looked at again; zero: never. The looks at different credentials spread out, and do not
// meet again at the same hour.
func (st *state) checkAt(reg *registration) time.Time {
	current := st.key(st.Current)
	if current == nil || reg.Check == 0 || reg.blind() {
		return time.Time{}
	}
	at := current.Key.IssuedAt.Add(time.Nanosecond) // long ago, and never the zero time
	if !st.CheckedAt.IsZero() {
		at = st.CheckedAt.Add(reg.pace())
	}
	return latest(at, st.LookAgain)
}

// pace is the time from a look to the next one.
func (reg *registration) pace() time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(reg.Name)) // cannot fail
	return reg.Check - reg.Check/4*time.Duration(h.Sum32()%1024)/1024
}

// blind reports whether nothing can see what the receivers of a webhook accept. Their looks would show nothing.
func (reg *registration) blind() bool {
	return reg.webhook && !slices.ContainsFunc(reg.Bindings, func(b binding) bool { return b.Verifier != nil || b.Observer != nil })
}

// check looks whether the current key of a credential at rest is accepted. That the store holds it was seen when this Advance began.
func (d *drive) check() error {
	key := d.value(d.st.Current)
	if key.IsZero() {
		return nil // which is told elsewhere
	}
	d.keepUsage()
	return d.judged(key, d.seen(key))
}

// judged is what follows from a look at the current key.
func (d *drive) judged(key Key, err error) error {
	k := d.st.key(d.st.Current)
	k.Accepted = k.Accepted || err == nil || errors.Is(err, errMixed)
	switch {
	case err == nil:
		if p := d.trouble0; p != nil && p.Diagnosis == CurrentRejected {
			d.emit(Event{Kind: EventVerified, Key: key.named(), Text: "the current key, " + key.String() + ", is accepted again"})
		}
		d.st.CheckedAt, d.st.LookAgain = time.Now().Round(0), time.Time{}
		return nil
	case errors.Is(err, errBlind):
		d.st.LookAgain = time.Now().Add(d.reg.pace()).Round(0) // nothing was looked at
		return nil
	case errors.Is(err, ErrRejected), d.reg.webhook && errors.Is(err, errMixed):
		return k.refused(err)
	default:
		return &Error{Evidence: "it is not known whether the current key is accepted", Err: hide(err)}
	}
}

// refused is what people are told of the current key when it is refused.
func (k *keyState) refused(err error) *Error {
	e := &Error{Diagnosis: CurrentRejected, Evidence: "the current key, " + k.Key.String() + ", is refused", Action: "rotate it now: that is the repair", Err: hide(err)}
	if k.mayBeWrong() {
		e.Evidence += ", and was never seen accepted"
		e.Action = "was the right value seeded? Put it into the store in the place of this one, and it goes on by itself"
	}
	return e
}

// seen asks the accepting side whether it takes a key. Of a webhook it asks the receivers that something can look into, whatever a
// person has said of the others; errBlind: there are none.
func (d *drive) seen(key Key) error {
	if !d.reg.webhook {
		return d.proof(key, d.reg.Policy.Proofs)
	}
	return steadily(d.reg.Policy.Proofs, func() error {
		answers := make([]error, len(d.reg.Bindings))
		shared := d.shared(key)
		var g errgroup.Group
		g.SetLimit(readers)
		for i := range d.reg.Bindings {
			b, since := &d.reg.Bindings[i], time.Time{}
			if run := d.st.Run; run != nil && run.consumer(b.Name) != nil {
				since = run.consumer(b.Name).AckedAt
			}
			g.Go(func() error {
				answers[i] = d.r.accepts(d.ctx, b, key, since, shared)
				return nil
			})
		}
		_ = g.Wait() // each receiver has its own answer
		var sighted []binding
		var said []error
		for i, err := range answers {
			if err != errBlind {
				sighted, said = append(sighted, d.reg.Bindings[i]), append(said, err)
			}
		}
		if len(sighted) == 0 {
			return errBlind
		}
		return together(sighted, said)
	})
}

// lookDue reports whether the current key is to be looked at in this Advance.
func (d *drive) lookDue() bool {
	at := d.st.checkAt(d.reg)
	return !at.IsZero() && !at.After(d.began)
}

// lookLater says when the next look comes after one in vain, in a rotation or under a hold.
func (d *drive) lookLater() { d.st.LookAgain = time.Now().Add(d.reg.Check / 24).Round(0) }

// heartbeat looks at the current key of an open rotation now and then. It finds no fault: the steps do that.
func (d *drive) heartbeat() {
	run, f := d.st.Run, d.fresh
	if run == nil {
		return
	}
	if f != nil && f.Accepted == nil && run.Target == d.st.Current && !d.reg.webhook { // of a webhook it may be a person's word
		d.st.CheckedAt, d.st.LookAgain = f.At.Round(0), time.Time{}
	}
	if !d.lookDue() {
		return
	}
	d.lookLater()
	if key := d.value(d.st.Current); !key.IsZero() && d.mayProbe() && d.seen(key) == nil {
		d.st.CheckedAt, d.st.LookAgain = time.Now().Round(0), time.Time{}
	}
}

// mayProbe keeps a look from passing for a use: of a key that people or the sender of a webhook are moving away from.
func (d *drive) mayProbe() bool {
	run := d.st.Run
	target := d.st.key(run.Target)
	switch {
	case run.Target == d.st.Current:
		return true
	case run.Strategy != Standard:
		return false
	default:
		return !d.reg.webhook || target == nil || !target.Presented
	}
}

// lookHeld looks at the current key under a hold. It reads, and changes nothing; what it finds is told, and waits.
func (d *drive) lookHeld() {
	if d.st.checkAt(d.reg).IsZero() || !d.lookDue() && d.trouble0 == nil {
		return
	}
	d.lookLater()
	if d.st.Run != nil && !d.mayProbe() {
		return
	}
	err := d.read()
	key := d.value(d.st.Current)
	if found := judge(d.st, d.doc, d.home); err == nil && (key.IsZero() || found != driftNone && found != driftLabels) {
		err = &Error{Diagnosis: found.diagnosis(), Evidence: "the store does not hold what it should", Action: "look at it: nothing is done about it under the hold"}
	}
	if err == nil {
		err = d.judged(key, d.seen(key))
	}
	if p := (*Error)(nil); errors.As(err, &p) {
		d.st.Problem = p
	}
}
