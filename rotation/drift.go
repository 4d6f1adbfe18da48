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

// drift is how a store differs from what the journal expects.
type drift int

const (
	driftNone     drift = iota
	driftLabels         // our own late or interrupted write: written again
	driftPutBack        // somebody made the replaced key current again
	driftUnknown        // somebody made a key current that no record names
	driftRestored       // the store came back from a backup
	driftForeign        // another installation writes here
	driftBehind         // the journal came back from a backup, or lost this credential
)

// verdict is a person's word on one sort of drift.
type verdict struct {
	Answer
	about Diagnosis
}

// diagnosis is what people are told of a drift.
func (f drift) diagnosis() Diagnosis {
	switch f {
	case driftForeign:
		return ForeignOwner
	case driftBehind:
		return JournalBehind
	case driftUnknown, driftPutBack:
		return Drift
	default:
		return ""
	}
}

// judge compares a store's document with the journal. It decides nothing: see the rules in recognise.
func judge(st *state, doc Versions, home string) drift {
	s, ours := parseStamp(doc.Stamp)
	switch {
	case doc.Stamp != "" && (!ours || s.Installation != home):
		return driftForeign
	case st.Behind, ours && s.Epoch > st.Epoch:
		return driftBehind
	case ours && slices.ContainsFunc(doc.Keys, func(k StoredKey) bool { return k.Key.Serial > st.LastSerial }):
		return driftBehind
	}
	var current *StoredKey
	for i, k := range doc.Keys {
		if k.Role == RoleCurrent {
			current = &doc.Keys[i]
		}
	}
	switch {
	case !ours && !st.Claimed && (st.Current == 0 || current == nil || st.key(current.Key.Serial) != nil):
		return driftNone // nothing of ours was ever written, and it is as it was
	case current != nil && st.key(current.Key.Serial) == nil:
		return driftUnknown
	case ours && s.Epoch < st.StoreEpoch:
		return driftRestored
	}
	// Each write to the store is intended in the journal first: one that was not comes from a record that is lost.
	unintended := ours && s.Epoch > st.StoreEpoch && !st.Writing
	want := st.roles()
	there := slices.ContainsFunc(doc.Keys, func(k StoredKey) bool { return k.Key.Serial == st.Current })
	if current != nil && there && !st.Writing && !unintended && want[current.Key.Serial].Role == RolePrevious {
		return driftPutBack // else what should be current is lost, and what is served stays for now
	}
	for _, k := range doc.Keys {
		if w, known := want[k.Key.Serial]; known && (w.Role != k.Role || w.Compromised != k.Compromised) {
			if unintended {
				return driftBehind
			}
			return driftLabels
		}
	}
	if doc.Stamp == "" {
		return driftLabels // a mirror whose copies are behind, or somebody who rewrote the same keys
	}
	return driftNone
}

// recognise reads the store and applies the rules for what it finds. It never overwrites blindly and never revokes.
func (d *drive) recognise() error {
	if err := d.read(); err != nil {
		return err
	}
	d.adoptStored()
	d.reprieve()
	found := judge(d.st, d.doc, d.home)
	if found == driftForeign || found == driftBehind { // the journal itself may be another one than when this process began
		home, err := d.r.freshInstallation(d.ctx)
		if err != nil {
			return err
		}
		d.home = home
		found = judge(d.st, d.doc, d.home)
	}
	d.st.Behind = d.st.Behind || found == driftBehind
	if d.verdict != nil {
		verdict := d.verdict
		d.verdict = nil
		if found.diagnosis() == verdict.about {
			return d.settleDrift(found, verdict.Answer)
		}
	}
	if err := d.applyDrift(found); err != nil {
		return err
	}
	d.recognised = true
	d.recordStrangers()
	d.knowLeaks()
	if err := d.missingValues(); err != nil || !d.unwritten {
		return err
	}
	return d.project(nil)
}

// adoptStored takes the key of an open attempt that reached the store although its record did not.
func (d *drive) adoptStored() {
	run := d.st.Run
	if run == nil {
		return
	}
	for _, a := range run.Attempts {
		if a.Fate != fateOpen || d.st.key(a.Serial) != nil {
			continue
		}
		if k := d.value(a.Serial); !k.IsZero() && k.Name == a.Name && !a.Chosen {
			d.stored(a, k)
		}
	}
}

func (d *drive) applyDrift(found drift) error {
	switch found {
	case driftForeign:
		return &Error{Diagnosis: ForeignOwner, Evidence: "the stored keys bear the stamp of another installation", Action: "rotate this credential from one journal only; if this is the one, answer with adopt"}
	case driftBehind:
		return &Error{Diagnosis: JournalBehind, Evidence: "the store is newer than the journal: the journal was restored from a backup, or lost this credential", Action: "restore the newest journal, or answer with adopt to go on from what the store holds"}
	case driftUnknown:
		return d.unknownCurrent()
	case driftPutBack:
		if d.emergency() {
			return d.project(nil)
		}
		return &Error{Diagnosis: Drift, Evidence: "the replaced key was made current again, by somebody else", Action: "answer with roll-back, or with reassert"}
	case driftRestored:
		return d.restored()
	case driftLabels:
		if run := d.st.Run; d.reg.webhook && run != nil && run.Phase == PhaseDrop {
			return nil // whoever reads the store would forget: the step itself writes that, on facts of its own Advance
		}
		return d.project(nil)
	}
	if d.st.Current == 0 && !d.st.Claimed {
		d.meetCurrent()
	}
	if s, ours := parseStamp(d.doc.Stamp); ours && s.Installation == d.home {
		d.st.Claimed = true
	}
	return nil
}

// meetCurrent takes the key that is in use today under rotation. Its id, if it has one, was named by whoever put it there.
func (d *drive) meetCurrent() {
	for _, k := range d.doc.Keys {
		if k.Role != RoleCurrent || k.Key.Secret.IsZero() {
			continue
		}
		named := ""
		if k.Key.ID != "" {
			named = "seeded"
		}
		ks := d.knownByID(k.Key.ID) // an incident may have named it before the store could be read
		if ks == nil {
			ks = d.st.add(k.Key, max(k.Key.Generation, 1), d.reg.parts.Issuer, named)
		}
		if run := d.st.Run; run != nil && run.Old == 0 {
			run.Old = ks.Key.Serial
		}
		ks.Stored, ks.Presented = true, true
		d.st.Current = ks.Key.Serial
		d.doc = d.st.number(d.doc)
	}
}

func (d *drive) knownByID(id string) *keyState {
	for _, k := range d.st.Keys {
		if id != "" && k.Key.ID == id {
			return k
		}
	}
	return nil
}

// unknownCurrent handles a current key that no record names. If it is dead and ours is not, ours is put back; if it lives, a
// person rotated by hand, and a person decides.
func (d *drive) unknownCurrent() error {
	if err := d.disown(); err != nil {
		return err
	}
	if ours := d.value(d.st.Current); !ours.IsZero() && d.verify(ours) == nil {
		return d.project(nil)
	}
	return nil // missingValues goes on from here: ours is lost
}

// disown makes a debt of the store's current key, which no record names, if it is dead or an emergency cannot wait. Else it is
// for a person to say what it is.
func (d *drive) disown() error {
	stranger := d.doc.currentKey()
	err := d.verify(stranger)
	switch {
	case errors.Is(err, ErrRejected):
		d.note(slog.LevelWarn, "the store's current key is none of ours and not accepted")
	case d.emergency():
		d.note(slog.LevelWarn, "the store's current key is none of ours, and an emergency does not wait to hear whose it is")
	default:
		return &Error{Diagnosis: Drift, Evidence: fmt.Sprintf("the store's current key, %s, is none that this library issued", stranger), Action: "answer with adopt if the key was replaced by hand, with reassert if that was a mistake", Err: hide(err)}
	}
	d.strangers(true)
	return nil
}

// restored handles a store that came back from a backup.
func (d *drive) restored() error {
	d.note(slog.LevelWarn, "the store was restored from a backup")
	d.servedAgain()
	if ours := d.value(d.st.Current); !ours.IsZero() {
		err := d.verify(ours)
		if d.reg.webhook && (errors.Is(err, errMixed) || errors.Is(err, errBlind)) {
			err = nil // some receiver has use for it, or nothing can see it
		}
		if err != nil && !errors.Is(err, ErrRejected) {
			return &Error{Evidence: "the store was restored from a backup, and it is not known whether its keys are accepted", Err: hide(err)}
		} else if err == nil {
			d.strangers(false)
			return d.project(nil)
		}
	}
	s, _ := parseStamp(d.doc.Stamp)
	d.st.StoreEpoch = s.Epoch
	return nil
}

// servedAgain makes debts of webhook secrets that were proven dead and that the store serves again: whoever follows the store accepts
// them.
func (d *drive) servedAgain() {
	if !d.reg.webhook {
		return
	}
	for _, k := range d.doc.Accepted() {
		if ks := d.st.key(k.Serial); ks != nil && !ks.DeadAt.IsZero() {
			ks.DeadAt, ks.Proof, ks.Answered = time.Time{}, "", false
			d.owe(ks, &Error{Evidence: "the store has served it again"})
		}
	}
}

// recordStrangers makes debts of keys in the store that no record names: a person looks at them, nothing kills them.
func (d *drive) recordStrangers() { d.strangers(false) }

func (d *drive) strangers(current bool) {
	keys := slices.Clone(d.doc.Keys)
	for i := range keys {
		k := &keys[i]
		if d.st.key(k.Key.Serial) != nil || k.Role == RoleCurrent && !current {
			continue
		}
		ks := d.st.add(k.Key, k.Key.Generation, d.reg.parts.Issuer, "")
		ks.Stored = true
		d.owe(ks, &Error{Diagnosis: UnknownKey, Evidence: "found in the store as " + string(k.Role) + "; no record names it", Action: "look at the provider, end it there, and answer with settle"})
		k.Key.Serial, d.unwritten = ks.Key.Serial, true
		if k.Role != RoleCurrent || d.st.key(d.st.Current).live() && !d.value(d.st.Current).IsZero() { // else it is served until there is another one
			k.Role = RoleRetiring
		}
	}
	d.doc.Keys = keys
}

// missingValues handles keys whose value the store has lost.
func (d *drive) missingValues() error {
	for _, k := range slices.Clone(d.st.Keys) {
		if !k.Stored || !d.value(k.Key.Serial).IsZero() {
			continue
		}
		if a := d.st.Run.tryOf(k.Key.Serial); a != nil && a.unhanded() {
			d.chooseAgain(a)
			continue
		}
		k.Stored, k.Lost = false, true
		if !k.DeadAt.IsZero() {
			continue
		}
		d.note(slog.LevelWarn, fmt.Sprintf("the store has lost the value of %s", k.Key))
		if err := d.valueLost(k); err != nil {
			return err
		}
	}
	return nil
}

// valueLost goes on without a value that nobody can present any more once the presenters have let go of it.
func (d *drive) valueLost(k *keyState) error {
	run := d.st.Run
	switch serial := k.Key.Serial; {
	case run == nil && serial == d.st.Current:
		d.begin(Standard, "the value of the current key was lost", "")
	case run == nil || serial != run.Target:
		// A victim, or the old key before the promotion: forward is the only way, and the way we are going.
	case d.reg.webhook && run.Strategy == RollBack && d.st.key(run.New).live() && !d.value(run.New).IsZero():
		return d.forward("the value of the old secret was lost") // the receivers accept both
	case d.reg.webhook && k.Presented && run.Strategy != Emergency && run.irreversible(d.st):
		d.abandon(k, &Error{Evidence: "the store lost its value"})
		k.Condemned = false // the sender may be signing with it: a person is asked before anybody forgets it
	case run.irreversible(d.st) || run.Strategy == Emergency:
		d.abandon(k, &Error{Evidence: "the store lost its value"})
	case run.Old != 0 && run.Old != serial && !d.value(run.Old).IsZero() && k.Presented && d.rollBack("the value of the new key was lost") == nil:
		k.Condemned = !d.reg.webhook // whoever had it goes back to what still works, and it dies behind the gate
	default:
		d.abandon(k, &Error{Evidence: "the store lost its value"})
	}
	return nil
}

// abandon gives up the target and goes back to issuing another one. What somebody may be using dies behind the gate, anything
// else at once.
func (d *drive) abandon(k *keyState, problem *Error) {
	run := d.st.Run
	k.Condemned = true
	for _, a := range run.Attempts {
		if a.Serial == k.Key.Serial {
			a.Fate = fateCondemned
		}
	}
	switch {
	case !k.Presented:
		d.owe(k, problem)
	case run.Strategy != Emergency: // an emergency clears up when it is over
		run.kill(k.Key.Serial)
	}
	if k.Presented { // no two keys that somebody may have seen share a generation
		d.st.LastGeneration++
		run.Generation = d.st.LastGeneration
	}
	if run.Strategy == RollBack {
		run.Strategy = Standard
	}
	run.Target, run.New, run.Phase = 0, 0, PhaseIssue
}

// currentKey is the key that readers of the store see, whoever put it there.
func (v Versions) currentKey() Key {
	for _, k := range v.Keys {
		if k.Role == RoleCurrent {
			return k.Key
		}
	}
	return Key{}
}
