// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"
)

// settleAttempt finds out what became of a try whose answer was lost. It returns nil when the attempt is open no more, or
// when the same chosen value may be handed over again.
func (d *drive) settleAttempt(a *attempt) error {
	if a.Manual {
		return nil // ask again: the issuer repeats its instructions
	}
	if a.Chosen {
		return d.settleChosen(a)
	}
	if err := d.listTells(a); err != nil {
		return err
	}
	keys, listed, err := d.list()
	switch {
	case err != nil:
		return err
	case !listed:
		return d.ambiguous(a, "the issuer does not list its keys")
	case d.reg.Traits.NoReplay:
		return d.ambiguous(a, "asking again could end every key")
	}
	found, verdict := whatBecame(a, keys, d.st, d.reg.Traits.Exclusive)
	switch verdict {
	case mintedNothing:
		d.st.Run.absent(a)
		d.note(slog.LevelInfo, fmt.Sprintf("attempt %d made no key", a.N))
		return nil
	case mintedFound:
		d.condemnAttempt(a, found)
		return nil
	default:
		return d.ambiguous(a, fmt.Sprintf("the issuer lists new keys without names (%s)", found.ID))
	}
}

// listTells waits until the issuer's list tells what became of an attempt.
func (d *drive) listTells(a *attempt) error {
	if wait := latest(a.SettleAt, d.st.Settle); wait.After(time.Now()) {
		return d.lost(Need{ID: d.needID("settle"), Kind: NeedTime, Until: wait, Text: "an answer of the issuer was lost; from then on its list tells what became of it"})
	}
	return nil
}

// settleAccused finds out, as soon as that can be known, what became of the calls of Issue that were under way when an incident
// came: what they made is compromised too. What no list can tell is asked of a person at once; finish waits for the rest.
func (d *drive) settleAccused() error {
	if !d.emergency() || d.st.Run.Parts != d.reg.parts {
		return nil
	}
	found := false
	for _, a := range slices.Clone(d.st.Run.Attempts) {
		if !a.accused() || latest(a.SettleAt, d.st.Settle).After(time.Now()) {
			continue
		}
		var unclear *asking
		if err := d.settleAttempt(a); errors.As(err, &unclear) {
			d.unclear = append(d.unclear, unclear)
		}
		found = found || a.Fate == fateCondemned
	}
	if !found {
		return nil
	}
	return d.save() // before it is revoked
}

// accused reports whether an incident came while the call was under way, and nobody knows yet what it made.
func (a *attempt) accused() bool { return a.Fate == fateOpen && a.Incident != "" }

// settleChosen asks the provider whether it has the value that was chosen here.
func (d *drive) settleChosen(a *attempt) error {
	v := d.value(a.Serial)
	if v.IsZero() && a.unhanded() {
		d.chooseAgain(a)
		return nil
	}
	if v.IsZero() {
		d.condemnAttempt(a, d.st.key(a.Serial).Key)
		return nil
	}
	if d.reg.webhook { // the receivers cannot tell what the sender knows, and the sender may be told the same twice
		return nil
	}
	err := d.proof(v, d.reg.Policy.Proofs)
	landed := latest(a.SettleAt, d.st.Settle)
	switch {
	case err == nil:
		if err := d.identify(a, &v); err != nil {
			return err
		}
		d.stored(a, v)
		return nil
	case !errors.Is(err, ErrRejected) && d.st.useless(a, time.Since(landed), d.reg.Policy.Patience):
		if err := d.identify(a, &v); err != nil {
			return err
		}
		d.note(slog.LevelWarn, "nobody can say whether the provider has "+v.String()+": it is ended, whether it is there or not")
		d.condemnAttempt(a, v)
		return nil
	case !errors.Is(err, ErrRejected):
		return &Error{Evidence: "it is not known whether the provider has the chosen value", Action: "look at the provider: a value that only a part of it accepts has to be set everywhere, or nowhere. Rolling back gives it up", Err: hide(err)}
	case landed.After(time.Now()):
		return &waiting{needs: []Need{{ID: d.needID("settle"), Kind: NeedTime, Until: landed, Text: "an answer of the issuer was lost; its call can still land"}}}
	}
	a.SettleAt = time.Now().Add(d.r.settle(d.reg))
	return nil // certainly not there: the same value again
}

// identify finds the id of a chosen key that the provider names, and of which the answer was lost.
func (d *drive) identify(a *attempt, key *Key) error {
	if key.ID != "" {
		return nil
	}
	keys, listed, err := d.list()
	if err != nil || !listed {
		return err
	}
	if i := slices.IndexFunc(keys, func(k KeyInfo) bool { return k.Key.Name == a.Name }); i >= 0 {
		key.ID = keys[i].Key.ID
		return nil
	}
	return d.listTells(a) // then it has none
}

// unhanded reports whether the attempt has a value that was chosen here and that the provider cannot know: it is no key, whoever
// has seen it.
func (a *attempt) unhanded() bool { return a.Fate == fateOpen && a.Chosen && !a.Handed }

// chooseAgain forgets a value that the store has not, and that nobody else ever had.
func (d *drive) chooseAgain(a *attempt) {
	a.Chosen, a.Fate = false, fateRefused
	d.st.drop(a.Serial)
	if d.st.Run.Target == a.Serial {
		d.st.Run.Target = 0
	}
}

// useless decides that what an attempt made takes over no more, and that nobody can be using it: it may die, whatever became of it. An
// emergency gives a verifier that was away the time to come back, and then has another value made: this one may never be there. since is for
// how long the attempt's call has not been able to land.
func (st *state) useless(a *attempt, since, patience time.Duration) bool {
	k := st.key(a.Serial)
	switch {
	case since < 0:
		return false
	case a.Incident != "":
		return true
	case a.Serial == st.Current || k != nil && k.Presented:
		return false
	case st.Run.Strategy == Emergency && since >= patience:
		return true
	default:
		return st.Run.Phase == PhaseFinish && a.Serial != st.Run.Target
	}
}

func (d *drive) ambiguous(a *attempt, why string) error {
	problem := &Error{Diagnosis: AmbiguousIssue, Evidence: fmt.Sprintf("an answer of the issuer was lost and %s; the key would be named %s", why, a.Name), Action: "look at the provider and answer with settle: the id of the key that was made, or none"}
	return &asking{problem, needLost + strconv.Itoa(a.N), []Verb{VerbSettle, VerbRollBack}}
}

// lostOne finds the attempt that a need asks about.
func (r *run) lostOne(needID string) *attempt {
	i := slices.IndexFunc(r.Attempts, func(a *attempt) bool {
		return a.Fate == fateOpen && Need{ID: needID}.what() == needLost+strconv.Itoa(a.N)
	})
	if i < 0 {
		return nil
	}
	return r.Attempts[i]
}

type mintVerdict int

const (
	mintedNothing mintVerdict = iota
	mintedFound
	mintedUnclear
)

// whatBecame reads from a list that is recent enough what an attempt made. A key is claimed by its name; without names only
// if it is the only new one, made in the attempt's time, never used, where nobody else makes keys.
func whatBecame(a *attempt, listed []KeyInfo, st *state, exclusive bool) (Key, mintVerdict) {
	var strangers []KeyInfo
	for _, k := range listed {
		if k.Key.Name == a.Name {
			return k.Key, mintedFound
		}
		isKnown := slices.ContainsFunc(st.Keys, func(s *keyState) bool { return s.Key.ID == k.Key.ID })
		if k.Key.Name == "" && !isKnown && !slices.Contains(a.Before, k.Key.ID) {
			strangers = append(strangers, k)
		}
	}
	switch {
	case len(strangers) == 0:
		return Key{}, mintedNothing
	case len(strangers) == 1 && exclusive && a.Listed:
		k := strangers[0]
		inTime := !k.Key.IssuedAt.Before(a.OpenedAt.Truncate(time.Second)) && !k.Key.IssuedAt.After(a.SettleAt)
		if inTime && k.Usage.LastUsed.IsZero() {
			return k.Key, mintedFound
		}
	}
	return strangers[0].Key, mintedUnclear
}

// condemnAttempt gives up what an attempt made. Nobody ever had it, so it may be killed at once.
func (d *drive) condemnAttempt(a *attempt, key Key) {
	a.Fate = fateCondemned
	key = d.numbered(a, key.identity())
	ks := d.st.key(a.Serial)
	stored := ks != nil && ks.Stored && !d.value(a.Serial).IsZero()
	ks = d.enter(a, key)
	ks.Condemned, ks.Stored = true, stored
	if d.st.Run.Target == a.Serial {
		d.st.Run.Target = 0
	}
	if a.Incident != "" { // it has to die before the emergency ends
		ks.accuse(a.Incident)
		d.st.Run.kill(a.Serial)
	} else {
		d.owe(ks, &Error{Evidence: "it comes from a try that came to nothing"})
	}
	d.note(slog.LevelInfo, fmt.Sprintf("%s, of attempt %d, is of no use", key, a.N))
}
