// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// prove makes sure that the provider accepts the new key.
func (d *drive) prove() error {
	run := d.st.Run
	if k := d.st.key(run.Target); k.disabled() { // an emergency goes back to a key that was about to die
		if err := d.enable(k); err != nil {
			return err
		}
	}
	key := d.value(run.Target)
	times := d.reg.Policy.Proofs
	if d.emergency() {
		times = 1
	}
	err := d.proof(key, times)
	everywhere := run.everywhere(d.reg)
	switch {
	case err == nil && everywhere.After(time.Now()) && !d.emergency() && !run.NoOverlap:
		return &waiting{needs: []Need{{ID: d.needID("prove"), Kind: NeedTime, Until: everywhere, Text: "the new key is accepted where it was asked, and maybe not everywhere yet"}}}
	case err == nil:
		if err := d.compareScopes(); err != nil {
			return err
		}
		d.emit(Event{Kind: EventProven, Key: key.named(), Text: key.String() + " is accepted"})
		return nil
	case !errors.Is(err, ErrRejected) && (err != errMixed || !everywhere.After(time.Now())):
		return &Error{Evidence: "it is not known whether the new key is accepted", Err: hide(err)}
	}
	if everywhere.After(time.Now()) {
		return d.again(Need{ID: d.needID("prove"), Kind: NeedTime, Until: everywhere, Text: "the new key is not accepted everywhere yet"})
	}
	if err := d.refusedAlone(d.st.key(run.Target)); err != nil {
		return err
	}
	d.abandon(d.st.key(run.Target), &Error{Diagnosis: NewKeyRejected, Evidence: "the provider refused it"})
	return &Error{Diagnosis: NewKeyRejected, Evidence: key.String() + ", the new key, is refused", Action: "nothing yet: another one is made. If that goes on, look at the provider whether keys need an approval, or a scope"}
}

// everywhere is when the key that this run issued is known at the whole provider.
func (r *run) everywhere(reg *registration) time.Time { return r.IssuedAt.Add(reg.Traits.Propagation) }

// refusedAlone tells a key that died from an accepting side that refuses everything: nil says that another key is accepted at the
// same time, that the list has lost it, or that nothing but patience could tell, and it is over. Else it is waited, and where
// the list still has the key a person says which of the two is wrong.
func (d *drive) refusedAlone(k *keyState) error {
	run := d.st.Run
	keys, listed, err := d.list()
	listed = listed && err == nil && k.Key.ID != "" && time.Since(k.Key.IssuedAt) > d.reg.Traits.ListLag
	there := slices.ContainsFunc(keys, func(i KeyInfo) bool { return i.Key.ID == k.Key.ID && !i.Disabled })
	if listed && !there || run.GivenUp == k.Key.Serial {
		return nil
	}
	for _, other := range d.st.Keys {
		if v := d.value(other.Key.Serial); other != k && !v.IsZero() && other.DeadAt.IsZero() && d.verify(v) == nil {
			return nil
		}
	}
	if run.Refused.IsZero() {
		run.Refused = time.Now()
	}
	problem := &Error{Evidence: k.Key.String() + " is refused, and so is every other key", Action: "look whether the accepting side answers at all", Err: ErrRejected}
	switch over := time.Since(run.Refused) >= d.reg.Policy.Patience; {
	case !over:
		return problem
	case listed:
		problem.Action += "; if it does, answer with done to give the key up"
		return &asking{problem, needRefused, []Verb{VerbDone, VerbRollBack}}
	default:
		return nil
	}
}

// targetDied turns around when the key that everybody moves to has died on the way: an already broken state is left, not
// guarded. It goes back to the other key where there is one; else another key is issued.
func (d *drive) targetDied() error {
	run := d.st.Run
	k, key := d.st.key(run.Target), d.value(run.Target)
	if d.reg.webhook { // what the receivers have lost they can be told again
		return nil
	}
	if k == nil || key.IsZero() || run.Target == run.New && run.everywhere(d.reg).After(time.Now()) {
		return nil
	}
	if !errors.Is(d.verify(key), ErrRejected) || !errors.Is(d.proof(key, d.reg.Policy.Proofs), ErrRejected) || d.revived(k) {
		return nil
	}
	if err := d.refusedAlone(k); err != nil {
		return err
	}
	cause := &Error{Diagnosis: NewKeyRejected, Evidence: key.String() + " was accepted before, and is refused now"}
	switch {
	case run.Strategy == RollBack:
		return &turn{why: "the old key is dead", take: func(d *drive) error {
			d.st.Run.NoOverlap = true
			return d.forward(key.String() + " is not accepted any more")
		}}
	case run.Strategy == Emergency || run.NoOverlap || run.Old == 0 || run.irreversible(d.st):
		return &turn{why: "there is nothing to go back to", take: func(d *drive) error {
			d.st.Run.NoOverlap = true
			d.report(cause)
			d.abandon(k, cause)
			return nil
		}}
	default:
		return turnBack(key.String()+" is not accepted any more", cause)
	}
}

// compareScopes holds where the new key may do less than the old one: consumers would break on it.
func (d *drive) compareScopes() error {
	run := d.st.Run
	if d.emergency() || run.ScopesFine != "" {
		return nil
	}
	keys, listed, err := d.list()
	if err != nil || !listed {
		return err
	}
	var before, after []string
	for _, k := range keys {
		switch {
		case d.st.key(run.Old) != nil && k.Key.ID == d.st.key(run.Old).Key.ID:
			before = k.Scopes
		case k.Key.ID == d.st.key(run.Target).Key.ID:
			after = k.Scopes
		}
	}
	if before == nil || after == nil {
		return nil
	}
	missing := slices.DeleteFunc(slices.Clone(before), func(s string) bool { return slices.Contains(after, s) })
	if len(missing) == 0 {
		return nil
	}
	return &asking{&Error{Diagnosis: NewKeyRejected, Evidence: "the new key lacks the scopes " + strings.Join(missing, ", "), Action: "give them to it and answer with done, answer with attest if they are not needed, or with roll-back"}, needScopes, []Verb{VerbDone, VerbAttest, VerbRollBack}}
}
