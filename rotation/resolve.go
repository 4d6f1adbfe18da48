// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Abort rolls the open rotation back. It fails if there is none, if it is an emergency, or if its old key is condemned
// already.
func (r *Rotator) Abort(ctx context.Context, name, reason string) (Status, error) {
	return r.advance(ctx, name, &command{early: true, do: func(d *drive) error {
		if d.st.Run == nil {
			return d.refuse("no rotation is open")
		}
		return d.rollBack(reason)
	}})
}

// Hold keeps the credential as it is until the given time: nothing is begun and no step is taken. A time that has passed, the
// zero time too, ends a hold. An emergency ignores it. The current key is looked at all the same, and what is due is told.
func (r *Rotator) Hold(ctx context.Context, name string, until time.Time, reason string) error {
	_, err := r.advance(ctx, name, &command{early: true, do: func(d *drive) error {
		if !until.After(time.Now()) {
			d.st.Hold = nil
			d.emit(Event{Kind: EventAnswered, Text: withReason("released", reason)})
			return nil
		}
		d.st.Hold = &hold{Until: until.Round(0), Reason: reason, Actor: d.r.actor(d.ctx)}
		d.emit(Event{Kind: EventAnswered, Text: withReason("held until "+timeText(until), reason)})
		return nil
	}})
	return err
}

// withReason adds the reason that somebody gave, if he did.
func withReason(what, reason string) string {
	if reason == "" {
		return what
	}
	return what + ": " + reason
}

// Supply hands over a key that a person made: it is taken as the answer of Issue, and begins a rotation if none is open.
// The same key again does nothing.
func (r *Rotator) Supply(ctx context.Context, name string, key Key) (Status, error) {
	if key.Secret.IsZero() {
		return Status{Credential: name, Next: time.Now()}, &Error{Credential: name, Evidence: "the supplied key has no secret"}
	}
	return r.advance(ctx, name, &command{strict: true, do: func(d *drive) error {
		if slices.ContainsFunc(d.doc.Keys, func(k StoredKey) bool { return k.Key.Secret.Equal(key.Secret) }) {
			return nil // supplied before
		}
		if d.st.Run == nil {
			d.begin(Standard, "a key was supplied", "")
		}
		run := d.st.Run
		if run.Strategy == RollBack || run.successor(d.st) {
			return d.refuse("the open rotation has its new key already; if that is of no use, roll back first")
		}
		d.supplied, d.st.Retry = &key, retry{}
		return nil
	}})
}

// refuse is an answer to whoever asks for something that cannot be done.
func (d *drive) refuse(format string, args ...any) error {
	return &Error{Credential: d.reg.Name, Evidence: fmt.Sprintf(format, args...)}
}

// Resolve answers a need or a debt of the credential: what no clock and no probe can settle, a person does, by name. An
// unknown need, or a verb that it does not take, is an error that matches ErrNotFound.
func (r *Rotator) Resolve(ctx context.Context, name string, a Answer) (Status, error) {
	return r.advance(ctx, name, &command{early: true, do: func(d *drive) error {
		for _, k := range d.st.debts() {
			if k.debtID() == a.Need {
				return d.resolveDebt(k, a)
			}
		}
		for _, n := range d.asked {
			if n.ID == a.Need && slices.Contains(n.Verbs, a.Verb) {
				return d.resolve(n, a)
			}
			if n.ID == a.Need && len(n.Verbs) > 0 {
				return &Error{Credential: d.reg.Name, Evidence: fmt.Sprintf("%q does not take %q as an answer", a.Need, a.Verb), Action: fmt.Sprintf("answer with one of %q", n.Verbs), Err: ErrNotFound}
			}
		}
		return &Error{Credential: d.reg.Name, Evidence: fmt.Sprintf("nothing waits for %q as an answer to %q", a.Verb, a.Need), Action: "look at Status.Needs and Status.Debts", Err: ErrNotFound}
	}})
}

// resolveDebt takes a person's word that a key is dead.
func (d *drive) resolveDebt(k *keyState, a Answer) error {
	if a.Verb != VerbSettle {
		return d.refuse("a debt takes the verb settle")
	}
	k.DeadAt, k.Proof = time.Now(), "settled by "+d.r.actor(d.ctx)
	d.answered(a, k.Key.String()+" is gone")
	return nil
}

// turnAround goes back to the key that the rotation is leaving.
func (d *drive) turnAround(why string) error {
	run := d.st.Run
	if run.Strategy != RollBack {
		return d.rollBack(why)
	}
	if n := d.st.key(run.New); n == nil {
		return d.refuse("no new key was made")
	} else if !n.live() {
		return d.refuse("%s cannot be used any more", n.Key)
	}
	return d.forward(why)
}

func (d *drive) answered(a Answer, what string) {
	if a.Reason != "" {
		what += ": " + a.Reason
	}
	d.emit(Event{Kind: EventAnswered, Text: fmt.Sprintf("%s answered %s: %s", d.r.actor(d.ctx), a.Verb, what)})
}

// resolve applies an answer to the record; the steps then see it as a fact.
func (d *drive) resolve(n Need, a Answer) error {
	run := d.st.Run
	d.st.Retry = retry{}
	switch a.Verb {
	case VerbAdopt, VerbReassert:
		d.verdict = &verdict{a, Diagnosis(n.ID[strings.LastIndex(n.ID, "/")+1:])}
		return nil
	case VerbRollBack:
		if run == nil {
			return d.refuse("no rotation is open")
		}
		if strings.HasSuffix(n.ID, string(Drift)) {
			d.verdict = &verdict{Answer{Verb: VerbReassert}, Drift} // the labels follow the new direction
		}
		return d.turnAround("asked by " + d.r.actor(d.ctx) + because(a))
	}
	if run == nil {
		return d.refuse("no rotation is open")
	}
	switch a.Verb {
	case VerbExtend:
		if !a.Until.After(time.Now()) {
			return d.refuse("Answer.Until has to be in the future")
		}
		run.Extend = latest(run.Extend, a.Until.Round(0))
		d.answered(a, "both keys live until "+timeText(a.Until))
	case VerbForget:
		run.forget(n.Name)
		d.answered(a, n.Name+" is gone")
	case VerbAttest:
		if n.what() == "quiet" {
			for _, k := range d.st.victims() {
				k.UsageSeen = false
				d.answered(a, k.Key.String()+" is not used any more")
			}
			return nil
		}
		if n.what() == needScopes {
			run.ScopesFine = d.r.actor(d.ctx)
			d.answered(a, "the scopes of the new key are meant")
			return nil
		}
		c := run.consumer(n.Name)
		c.AttestedBy = d.r.actor(d.ctx)
		if d.reg.webhook {
			d.attest(n, a, c)
			return nil
		}
		c.Attested = run.Target
		d.answered(a, fmt.Sprintf("%s works with generation %d", n.Name, generationOf(d.st.key(run.Target))))
	case VerbSettle:
		return d.settledBy(n, a)
	case VerbDone:
		d.done(n)
		d.answered(a, n.ID)
	}
	return nil
}

func because(a Answer) string {
	if a.Reason == "" {
		return ""
	}
	return ": " + a.Reason
}

// done marks a person's task: it is looked at again, and believed where nothing can be seen.
func (d *drive) done(n Need) {
	run := d.st.Run
	switch {
	case n.Name != "":
		if c := run.consumer(n.Name); c != nil {
			c.Done, c.DoneSet = run.Target, c.Offered
		}
	case strings.HasPrefix(n.what(), "revoke/"):
		if k := d.st.about(n); k != nil {
			k.Manual, k.RevokedAt, k.Answered = "", time.Now(), true
			run.RevokedAt = earliest(run.RevokedAt, k.RevokedAt)
		}
	case n.what() == needSacrifice:
		run.Sacrificed = true
	case n.what() == needWindow:
		run.AnyTime = run.Phase
	case n.what() == "activate":
		run.SenderTold = run.Target
	case n.what() == needRefused:
		run.GivenUp = cmp.Or(run.Target, run.Old)
	case n.what() == needAttempts:
		run.Forgiven = run.wasted() + run.Forgiven
	}
}

// settledBy takes a person's word on what became of a lost answer, or that a compromised key is dead.
func (d *drive) settledBy(n Need, a Answer) error {
	run := d.st.Run
	if k := d.st.about(n); strings.HasPrefix(n.what(), "dead/") && k != nil {
		d.buried(k, "settled by "+d.r.actor(d.ctx))
		d.answered(a, k.Key.String()+" is dead")
		return nil
	}
	at := run.lostOne(n.ID)
	if at == nil {
		return d.refuse("no answer is lost")
	}
	if a.KeyID == "" {
		run.absent(at)
		d.st.unspend(at)
		d.answered(a, "no key was made")
		return nil
	}
	d.condemnAttempt(at, Key{ID: a.KeyID})
	d.answered(a, a.KeyID+" was made; it is ended")
	return nil
}

// settleDrift does what a person decided about a store that is not as the journal expects.
func (d *drive) settleDrift(found drift, a Answer) error {
	switch {
	case a.Verb == VerbAdopt && (found == driftForeign || found == driftBehind):
		d.rebuild()
		d.answered(a, "going on from what the store holds")
	case a.Verb == VerbAdopt && found == driftUnknown:
		d.adopt(d.doc.currentKey())
		d.answered(a, "the key in the store is current")
	case a.Verb == VerbAdopt && found == driftPutBack:
		if err := d.turnAround("the replaced key was made current again by hand"); err != nil {
			return err
		}
	default:
		d.strangers(true)
		if found == driftPutBack && d.st.Run != nil {
			d.st.Run.PromotedAt = time.Now() // until now the other key was served: the overlap begins again
		}
		d.answered(a, "back to what the journal says")
	}
	d.recordStrangers()
	return d.put(d.target())
}

// adopt makes a key that somebody else put into the store the current one. Whatever was current or on its way is replaced
// by it, under the same gate as ever.
func (d *drive) adopt(key Key) {
	st := d.st
	actor := d.r.actor(d.ctx)
	old := st.Current
	attempts := []*attempt(nil)
	var victims []int64
	for _, k := range st.Keys {
		if k.DebtSince.IsZero() && k.DeadAt.IsZero() && !st.trying(k.Key.Serial) { // what is on its way is settled at the end
			victims = append(victims, k.Key.Serial)
		}
	}
	if st.Run != nil {
		attempts = st.Run.Attempts
		d.close(TakenOver)
	}
	d.begin(Standard, "a key that was made by hand was adopted", "")
	run := st.Run
	ks := st.add(key, run.Generation, d.reg.parts.Issuer, "adopted by "+actor)
	ks.Stored, ks.Presented = true, true
	keys := slices.Clone(d.doc.Keys)
	for i := range keys {
		if keys[i].Role == RoleCurrent {
			keys[i].Key.Serial, keys[i].Key.Generation = ks.Key.Serial, ks.Key.Generation
		}
	}
	d.doc.Keys = keys
	run.Old, run.New, run.Target, run.Victims, run.Attempts = old, ks.Key.Serial, ks.Key.Serial, victims, attempts
	run.Promoted, run.Phase = true, d.reg.moving(Standard)
	st.Current = ks.Key.Serial
}
