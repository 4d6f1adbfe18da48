// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"log/slog"
	"slices"
	"strings"
	"time"
)

// obliged takes the incident into the record: which keys have to die, and what that means for the open rotation.
func (d *drive) obliged(in Incident) error {
	home, err := d.r.installationID(d.ctx)
	if err != nil {
		return err
	}
	d.home = home
	if d.reg.webhook { // what was told without a record can land later
		for _, b := range d.reg.Bindings {
			d.calling(b.Name, time.Now().Add(d.r.cfg.CallTimeout/10))
		}
		clear(d.called)
	}
	if d.st.attached(in.Reference) {
		if len(in.Credentials) > 0 && !d.st.covers(Incident{Reference: in.Reference, Credentials: in.Credentials}) {
			return &refusal{&Error{Credential: d.reg.Name, Evidence: "under " + in.Reference + " single keys were named so far, and what is alive now may be their successor", Action: "name the further keys by their ids"}}
		}
		if d.addLeaks(in) {
			d.arrive(in)
		}
		return nil
	}
	if len(in.Credentials) > 0 && len(in.Keys) == 0 && d.emergency() {
		return &refusal{&Error{Credential: d.reg.Name, Evidence: "an emergency is open already, under " + strings.Join(d.st.Run.Incidents, ", ") + ": it may be the same leak", Action: "use that reference, or name the keys"}}
	}
	d.meetStored(in)
	d.addLeaks(in)
	if len(in.Credentials) > 0 {
		for _, k := range d.st.Keys {
			if k.DeadAt.IsZero() {
				k.accuse(in.Reference)
			}
		}
		d.st.accuseAttempts(in.Reference)
	}
	if !slices.ContainsFunc(d.st.Keys, func(k *keyState) bool { return slices.Contains(k.Incidents, in.Reference) }) {
		return &refusal{&Error{Credential: d.reg.Name, Evidence: "no key of it is known", Action: "name the key's id"}}
	}
	d.arrive(in)
	return nil
}

// meetStored takes in the keys of the store that the record does not know. Where the record is behind, or never was the store's,
// a caller who names the credential names them all: that is enough to end them, and only to end them.
func (d *drive) meetStored(in Incident) {
	if d.st.Current != 0 && !d.st.Behind || d.read() != nil {
		return
	}
	switch judge(d.st, d.doc, d.home) {
	case driftNone:
		d.meetCurrent()
	case driftForeign, driftBehind:
		for _, stored := range d.doc.Keys {
			young := stored.Key.IssuedAt.After(in.ConfirmedAt)
			nameless := stored.Key.ID == "" && d.st.Current != 0 // it may be one that is known
			if len(in.Credentials) == 0 || young || nameless || slices.ContainsFunc(d.st.Keys, func(k *keyState) bool { return k.isStored(stored) }) {
				continue
			}
			ks := d.st.add(stored.Key, stored.Key.Generation, d.reg.parts.Issuer, "named in "+in.Reference)
			ks.Presented = true
			d.leak(ks.Key.Serial, stored.Key)
		}
	}
}

// accuseAttempts marks the tries whose outcome is not known yet: a key that they made was alive when the incident came.
func (st *state) accuseAttempts(reference string) {
	if st.Run == nil {
		return
	}
	for _, a := range st.Run.Attempts {
		if a.Fate == fateOpen && st.key(a.Serial) == nil && !a.Manual {
			a.Incident = reference
		}
	}
}

// attached reports whether the incident was seen before.
func (st *state) attached(reference string) bool {
	if st.Run != nil && slices.Contains(st.Run.Incidents, reference) {
		return true
	}
	return slices.ContainsFunc(st.Ended, func(e ended) bool { return slices.Contains(e.Incidents, reference) })
}

// addLeaks takes exactly the named keys, and reports whether one is new. One that no record names is ours to kill, because
// the caller names it.
func (d *drive) addLeaks(in Incident) (grown bool) {
	attached := d.st.attached(in.Reference)
	for _, leak := range in.Keys {
		ks := d.named(leak)
		if ks == nil && attached && d.st.covers(Incident{Reference: in.Reference, Keys: []Leak{leak}}) {
			continue // it is dead already
		}
		if ks == nil {
			ks = d.st.add(Key{ID: leak.KeyID}, 0, d.reg.parts.Issuer, "named in "+in.Reference)
			ks.DebtSince = time.Now()
			if ks.Unseen = leak.KeyID != ""; !ks.Unseen {
				ks.Leaked = leak.mark()
			}
		}
		if !slices.Contains(ks.Incidents, in.Reference) {
			ks.accuse(in.Reference)
			grown = true
		}
		if !leak.Value.IsZero() {
			d.leak(ks.Key.Serial, Key{Secret: leak.Value})
			ks.Retry = retry{}
		}
	}
	return grown
}

// named finds the key that a leak means: by its id, newest first where the id is a slot, or by its value.
func (d *drive) named(leak Leak) *keyState {
	for _, k := range slices.Backward(d.st.Keys) {
		if leak.KeyID != "" && k.Key.ID == leak.KeyID && k.DeadAt.IsZero() {
			return k
		}
	}
	if leak.KeyID != "" || leak.Value.IsZero() {
		return nil
	}
	if k := d.st.leakedValue(leak); k != nil || d.read() != nil {
		return k
	}
	for _, k := range d.doc.Keys {
		if k.Key.Secret.Equal(leak.Value) {
			return d.st.key(k.Key.Serial)
		}
	}
	return nil
}

// knowLeaks looks in a store that can be read now for the values of leaks that came while it could not.
func (d *drive) knowLeaks() {
	for _, stored := range d.doc.Keys {
		k := d.st.leakedValue(Leak{Credential: d.reg.Name, Value: stored.Key.Secret})
		ks := d.st.key(stored.Key.Serial)
		if k == nil || ks == nil || k == ks {
			continue
		}
		for _, reference := range k.Incidents {
			ks.accuse(reference)
		}
		d.st.drop(k.Key.Serial)
		d.note(slog.LevelWarn, ks.Key.String()+" is the key whose value leaked")
		d.arrive(Incident{Reference: k.Incidents[0], ConfirmedAt: d.began})
	}
}

// accuse marks a key as compromised, for good.
func (k *keyState) accuse(reference string) {
	if !slices.Contains(k.Incidents, reference) {
		k.Incidents = append(k.Incidents, reference)
	}
	k.Condemned = true
	k.Retry = retry{}
	k.Answered = false
	if k.Named == "" {
		k.Named = "named in " + reference
	}
}

// arrive opens the emergency. What was under way is kept: a live key that nobody named is the successor, a try of Issue
// that is open is settled, consumers keep what they have.
func (d *drive) arrive(in Incident) {
	st, before := d.st, d.st.Run
	if d.emergency() {
		if !slices.Contains(before.Incidents, in.Reference) {
			before.Incidents = append(before.Incidents, in.Reference)
			d.emit(Event{Kind: EventAnswered, Level: slog.LevelError, Text: in.Reference + " joins the emergency that is open"})
		}
		before.Confirmed = earliest(before.Confirmed, in.ConfirmedAt)
	} else {
		if before != nil {
			d.close(TakenOver)
		}
		d.begin(Emergency, in.Reason, "", in.Reference)
		st.Run.Confirmed, st.Run.RevokeFirst = in.ConfirmedAt, in.RevokeFirst
		st.Run.IssueBy = time.Now().Add(d.r.cfg.IssueLimit)
		if before != nil {
			st.Run.inherit(before)
		}
	}
	run := st.Run
	run.Delay = emergencyDelay(d.reg.Type)
	if len(in.Credentials) > 0 {
		run.Leaks = append(run.Leaks, everyKey)
	}
	for _, leak := range in.Keys {
		if mark := leak.mark(); !slices.Contains(run.Leaks, mark) {
			run.Leaks = append(run.Leaks, mark)
		}
	}
	for _, k := range st.Keys {
		if k.compromised() && k.DeadAt.IsZero() {
			k.DebtSince = time.Time{}
			run.kill(k.Key.Serial)
		}
	}
	run.Victims = slices.DeleteFunc(run.Victims, func(serial int64) bool {
		k := st.key(serial)
		return k == nil || !k.compromised()
	})
	for _, a := range run.Attempts {
		k := st.key(a.Serial)
		switch {
		case a.Fate != fateOpen || k == nil || !k.compromised():
		case a.unhanded():
			a.Fate, k.DeadAt, k.Proof = fateCondemned, time.Now(), "never handed to the provider"
		default: // a chosen value, on its way
			a.Fate, k.Lands = fateCondemned, latest(a.SettleAt, st.Settle)
		}
	}
	run.Target = successorOf(run, st)
	run.Phase = PhaseIssue
	if run.Target == 0 { // the successor was named too: another one is tried first again
		run.IssueTried, run.IssueBy = false, time.Now().Add(d.r.cfg.IssueLimit)
	}
	d.oweTheRest()
	st.Retry = retry{}
	if n := st.key(run.Target); n != nil {
		run.Generation = n.Key.Generation
	} else if before != nil {
		st.LastGeneration = max(st.LastGeneration, before.Generation+1)
		run.Generation = st.LastGeneration
	}
}

// oweTheRest makes debts of keys that are neither the successor nor compromised and that nobody ever had. What somebody may
// be using is left: when the emergency is over, a standard rotation moves everybody off it and kills it behind its gate.
func (d *drive) oweTheRest() {
	run := d.st.Run
	for _, k := range d.st.Keys {
		serial := k.Key.Serial
		if serial != run.Target && !slices.Contains(run.Victims, serial) && k.DebtSince.IsZero() && k.DeadAt.IsZero() && !k.Presented && !d.st.trying(serial) {
			d.owe(k, &Error{Evidence: "it was replaced in an emergency"})
		}
	}
}

// leftovers are keys that somebody may be using although nothing says so any more.
func (st *state) leftovers() []int64 {
	var left []int64
	for _, k := range st.Keys {
		if k.Presented && k.DebtSince.IsZero() && k.DeadAt.IsZero() && k.Key.Serial != st.Current {
			left = append(left, k.Key.Serial)
		}
	}
	return left
}

// clearUp begins a standard rotation where an emergency has left keys that are in use, at the deployment of the key that is
// current now.
func (d *drive) clearUp(consumers []*consumerState) {
	left := d.st.leftovers()
	if len(left) == 0 || d.st.Run != nil {
		return
	}
	current := d.st.Current
	d.open(Standard, generationOf(d.st.key(current)), "keys that an emergency replaced have to go", "")
	run := d.st.Run
	run.Old, run.New, run.Target, run.Victims = left[0], current, current, left
	run.Consumers, run.Promoted, run.Phase = consumers, true, d.reg.moving(Standard)
}

// inherit takes over what a rotation did before the emergency.
func (r *run) inherit(before *run) {
	r.Old, r.New, r.Target = before.Old, before.New, before.Target
	r.Generation, r.Attempts, r.Consumers = before.Generation, before.Attempts, before.Consumers
	r.Promoted, r.IssuedAt = before.Promoted, before.IssuedAt
	r.Victims = nil
	for _, v := range before.Victims {
		r.kill(v)
	}
}

// successorOf chooses the key that takes over, among those that are live and that nobody named: the new one, wherever its
// rotation was heading; then the old one, as long as no revocation of it was intended; then none, and another is issued.
func successorOf(run *run, st *state) int64 {
	for _, serial := range []int64{run.New, run.Old, st.Current} {
		if k := st.key(serial); k.live() && k.Stored && k.DebtSince.IsZero() && k.DeadAt.IsZero() {
			return serial
		}
	}
	return 0
}
