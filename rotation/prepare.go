// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// prepare makes sure, before anything is minted, that every part will be able to do its work, that the old key is accepted,
// and that the store can be written.
func (d *drive) prepare() error {
	if err := d.proveOld(); err != nil {
		return err
	}
	if err := d.checkParts(); err != nil {
		return err
	}
	if err := d.checkSlots(); err != nil {
		return err
	}
	return d.claim()
}

// checkParts asks everything that can say beforehand whether it will do its part.
func (d *drive) checkParts() error {
	for _, p := range d.parts() {
		if err := d.checkPart(p); err != nil {
			return err
		}
	}
	return nil
}

// part is something that has to do its part in a rotation.
type part struct {
	what, consumer string
	v              any
}

func (d *drive) parts() []part {
	all := []part{{"issuer", "", d.reg.Issuer}, {"verifier", "", d.reg.asker()}, {"store", "", d.reg.Store}}
	for _, b := range d.reg.Bindings {
		if !d.st.Run.NoOverlap { // a dead key may be why it is not well, and this the repair
			all = append(all, part{"consumer", b.Name, b.Consumer})
		}
	}
	return all
}

func (d *drive) checkPart(p part) error {
	c, ok := As[Checker](p.v)
	if !ok {
		return nil
	}
	err := guard(d.ctx, d.r.cfg.CallTimeout, c.Check)
	if err == nil || unsupported(err) {
		return nil
	}
	e := &Error{Consumer: p.consumer, Evidence: "the " + p.what + " will not be able to do its part", Action: "nothing was minted; repair it, and the rotation goes on by itself", Err: hide(err)}
	if p.what == "store" && errors.Is(err, ErrDenied) {
		e.Diagnosis = StoreDenied
	}
	return e
}

// asker is what the credential's field Verifier means for its type.
func (reg *registration) asker() Verifier {
	if reg.webhook {
		return reg.Ping
	}
	return reg.Verifier
}

// proveOld looks whether the old key is accepted. A dead one is no reason to refuse: then nothing is left to protect, and
// the rotation is the repair. Where the stored value may be another one than the key's, a person says which it is: the key may be
// in use.
func (d *drive) proveOld() error {
	run := d.st.Run
	old := d.value(run.Old)
	if old.IsZero() {
		return nil
	}
	k, given := d.st.key(run.Old), run.GivenUp == run.Old
	err := d.proof(old, d.reg.Policy.Proofs)
	if d.reg.webhook && (errors.Is(err, errMixed) || errors.Is(err, errBlind)) {
		err = nil // some receiver has use for it, or nothing can see it: there is something to protect
	}
	switch {
	case err == nil:
		run.NoOverlap = false
		return nil
	case errors.Is(err, ErrRejected) && k.mayBeWrong() && !given:
		p := k.refused(err)
		p.Action += "; if it is dead, answer with done to give the key up"
		return &asking{p, needRefused, []Verb{VerbDone, VerbRollBack}}
	case errors.Is(err, ErrRejected):
		if !run.NoOverlap {
			run.NoOverlap = true
			d.note(slog.LevelWarn, "the current key is rejected: going at full speed, without an overlap")
		}
		return nil
	default:
		return &Error{Evidence: "it is not known whether the current key is accepted", Err: hide(err)}
	}
}

// checkSlots refuses to mint where the provider has no room.
func (d *drive) checkSlots() error {
	limit := d.reg.Traits.MaxKeys
	if limit == 0 {
		return nil
	}
	keys, listed, err := d.list()
	if err != nil || !listed || len(keys) < limit {
		return err
	}
	var ids []string
	for _, k := range keys {
		ids = append(ids, k.Key.ID)
	}
	return &Error{Diagnosis: NoSlot, Evidence: fmt.Sprintf("the provider takes %d keys and has %s", limit, strings.Join(ids, ", ")), Action: "end one of them at the provider; this library ends only what it made", Err: ErrNoSlot}
}

// claim stamps the store. It is the proof that the store can be written, before a key is minted that would be lost.
func (d *drive) claim() error {
	if err := d.read(); err != nil {
		return err
	}
	if s, ok := parseStamp(d.doc.Stamp); ok && d.st.Claimed && s.Rotation == d.st.Run.ID && s.Epoch == d.st.Epoch {
		return nil
	}
	return d.put(d.target())
}

// proof asks n times in a row. nil: accepted every time. ErrRejected: refused every time. Anything else is no proof.
func (d *drive) proof(key Key, n int) error {
	return steadily(n, func() error { return d.verify(key) })
}

// steadily is one answer of n times asking.
func steadily(n int, ask func() error) error {
	accepted, rejected := 0, 0
	for range max(n, 1) {
		err := ask()
		switch {
		case err == nil:
			accepted++
		case errors.Is(err, ErrRejected):
			rejected++
		default:
			return err
		}
	}
	switch {
	case rejected == 0:
		return nil
	case accepted == 0:
		return ErrRejected
	default:
		return errMixed
	}
}

// errMixed is no proof of anything: a change that is not seen everywhere yet looks like this.
var errMixed = recorded("accepted and refused by turns")

// verify asks the accepting side once.
func (d *drive) verify(key Key) error {
	if d.reg.webhook {
		err := d.received(key)
		if k := d.st.key(key.Serial); k != nil && (err == nil || errors.Is(err, errMixed)) {
			k.Accepted = true
		}
		return err
	}
	err := guard(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) error { return d.reg.Verifier.Verify(ctx, key) })
	if k := d.st.key(key.Serial); k != nil && !errors.Is(err, ErrRejected) {
		k.probing(time.Now())
		k.Accepted = k.Accepted || err == nil
	}
	if err == nil && d.st.Run != nil {
		d.st.Run.Refused = time.Time{} // whichever key it was
	}
	return err
}

// list is the provider's list of keys; listed is false where there is none.
func (d *drive) list() (keys []KeyInfo, listed bool, err error) {
	l, ok := As[Lister](d.reg.Issuer)
	if !ok {
		return nil, false, nil
	}
	keys, err = guarded(d.ctx, d.r.cfg.CallTimeout, l.List)
	if unsupported(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, true, &Error{Evidence: "the issuer does not list its keys", Err: hide(err)}
	}
	return keys, true, nil
}

// checkClock compares this machine's clock with the journal's: a clock that is wrong would pass every waiting time.
func (d *drive) checkClock() error {
	e, err := d.r.entry(d.ctx, d.reg.Name)
	if err != nil {
		return err
	}
	if e.Revision != d.revision {
		return errLost
	}
	early, late := d.savedFrom.Add(-d.r.cfg.ClockSkew), d.savedTo.Add(d.r.cfg.ClockSkew)
	if e.SavedAt.IsZero() || !e.SavedAt.Before(early) && !e.SavedAt.After(late) {
		return nil
	}
	skew := d.savedTo.Sub(e.SavedAt).Round(time.Millisecond)
	return &Error{Diagnosis: ClockSkew, Evidence: fmt.Sprintf("this machine's clock is %v ahead of the journal's", skew), Action: "set the clock; nothing is done until then"}
}

// checkRegistration compares the registration with the open rotation: nothing is looked for in the wrong place, and no
// consumer is forgotten.
func (d *drive) checkRegistration() error {
	run := d.st.Run
	if run == nil {
		return nil
	}
	if run.Parts != d.reg.parts {
		return &Error{Diagnosis: PartsChanged, Evidence: "the issuer, the store or the verifier is not the one this rotation began with: " + run.Parts.diff(d.reg.parts), Action: "register the former one until the rotation has ended"}
	}
	for _, b := range d.reg.Bindings {
		if run.consumer(b.Name) == nil {
			run.Consumers = append(run.Consumers, &consumerState{Name: b.Name})
			d.note(slog.LevelInfo, "consumer "+b.Name+" was added to the open rotation")
		}
	}
	for _, c := range slices.Clone(run.Consumers) {
		if d.reg.binding(c.Name) != nil {
			continue
		}
		if c.Sent != 0 {
			return d.consumerGone(c)
		}
		run.forget(c.Name)
		d.note(slog.LevelInfo, "consumer "+c.Name+" is no longer registered and was not touched yet")
	}
	return nil
}

func (d *drive) consumerGone(c *consumerState) error {
	return &Error{Diagnosis: ConsumerGone, Consumer: c.Name, Evidence: "it was given a key in this rotation and is no longer registered", Action: "register it again, or answer with forget"}
}

func (r *run) forget(name string) {
	r.Consumers = slices.DeleteFunc(r.Consumers, func(c *consumerState) bool { return c.Name == name })
}

func (p parts) diff(now parts) string {
	var changes []string
	for _, c := range [][3]string{{"issuer", p.Issuer, now.Issuer}, {"store", p.Store, now.Store}, {"verifier", p.Verifier, now.Verifier}} {
		if c[1] != c[2] {
			changes = append(changes, fmt.Sprintf("%s was %s, is %s", c[0], c[1], c[2]))
		}
	}
	return strings.Join(changes, "; ")
}
