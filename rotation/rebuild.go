// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"cmp"
	"slices"
	"time"
)

// rebuild makes a record from what the store holds, for a journal that was lost or restored, or is another one: at the earliest
// safe phase, with every window starting again. A person asked for it, so the keys are named. What the record knew is kept where it
// is about the same key, and beside it where it is about another one: the numbers of two journals mean different keys.
func (d *drive) rebuild() {
	st := d.st
	was, behind := st.Run, st.Behind
	if was != nil {
		d.close(TakenOver)
	} else {
		was = &run{}
	}
	if s, ok := parseStamp(d.doc.Stamp); ok {
		st.Epoch = max(st.Epoch, s.Epoch+1)
	}
	before := st.Keys
	st.Keys, st.Run, st.Current, st.Claimed, st.Behind = nil, nil, 0, true, false
	byRole, before := d.takeStored(before)
	d.keepUnstored(before, was)

	var compromised []*keyState
	for _, k := range st.Keys {
		if k.compromised() {
			compromised = append(compromised, k)
		}
	}
	if current := byRole[RoleCurrent]; current != nil {
		st.Current = current.Key.Serial
	}
	open := slices.ContainsFunc(was.Attempts, func(a *attempt) bool { return a.Fate == fateOpen })
	accused := slices.IndexFunc(was.Attempts, (*attempt).accused)
	const reason = "its record was rebuilt from the store"
	switch pending, previous := byRole[RolePending], byRole[RolePrevious]; {
	case len(compromised) > 0 || accused >= 0:
		d.begin(Emergency, reason, "")
		run := st.Run
		run.Confirmed, run.IssueBy, run.Promoted, run.Victims = time.Now(), time.Now(), true, nil
		if accused >= 0 {
			run.Incidents = []string{was.Attempts[accused].Incident}
		}
		for _, k := range compromised {
			run.kill(k.Key.Serial)
			run.Incidents, run.Old = k.Incidents, k.Key.Serial
		}
		run.forgetAcks()
		run.Target = successorOf(run, st)
		run.Attempts = was.Attempts
		d.oweTheRest()
	case pending != nil:
		d.begin(Standard, reason, "")
		run := st.Run
		run.New, run.Target, run.Phase, run.IssuedAt = pending.Key.Serial, pending.Key.Serial, d.reg.arrival(Standard), time.Now()
		if previous != nil {
			run.kill(previous.Key.Serial)
		}
	case previous != nil && st.Current != 0:
		d.begin(Standard, reason, "")
		run := st.Run
		run.Old, run.New, run.Target, run.Victims = previous.Key.Serial, st.Current, st.Current, []int64{previous.Key.Serial}
		run.Promoted, run.Phase, run.IssuedAt = true, d.reg.moving(Standard), time.Now()
		run.forgetAcks()
	case open || was.Strategy == Standard && !behind: // a record that is behind may ask for what was done since
		st.Triggers = slices.DeleteFunc(st.Triggers, func(id string) bool { return id == was.Trigger })
		d.begin(Standard, cmp.Or(was.Reason, reason), was.Trigger)
	}
	if st.Run != nil {
		st.Run.Attempts = was.Attempts
	}
}

// takeStored takes the keys of the store into an empty record, and returns them by their roles, and those of the former record
// that are none of them.
func (d *drive) takeStored(before []*keyState) (map[Role]*keyState, []*keyState) {
	st, by := d.st, "adopted by "+d.r.actor(d.ctx)
	for _, stored := range d.doc.Keys {
		st.LastSerial = max(st.LastSerial, stored.Key.Serial)
		st.LastGeneration = max(st.LastGeneration, stored.Key.Generation)
	}
	byRole := map[Role]*keyState{}
	doc := slices.Clone(d.doc.Keys)
	for i := range doc {
		stored := &doc[i]
		if stored.Key.Serial == 0 || st.key(stored.Key.Serial) != nil {
			st.LastSerial++
			stored.Key.Serial = st.LastSerial
		}
		ks := &keyState{Named: by, Ends: stored.Key.ExpiresAt}
		if i := slices.IndexFunc(before, func(k *keyState) bool { return k.isStored(*stored) }); i >= 0 {
			ks, before = before[i], slices.Delete(slices.Clone(before), i, i+1)
			ks.Condemned, ks.DebtSince, ks.DeadAt, ks.Proof, ks.Answered = ks.compromised(), time.Time{}, time.Time{}, "", false
			ks.Named = cmp.Or(ks.Named, by)
		}
		ks.Key, ks.Issuer, ks.Stored, ks.Presented = stored.Key.identity(), d.reg.parts.Issuer, true, true
		st.Keys = append(st.Keys, ks)
		switch {
		case stored.Compromised && !ks.compromised():
			ks.Condemned, ks.Incidents = true, []string{cmp.Or(d.doc.Metadata["incident_reference"], "unknown")}
		case ks.compromised():
		case stored.Role == RoleRetiring:
			if d.reg.webhook { // the receivers were being told to forget it
				ks.Condemned, ks.RevokedAt = true, time.Now()
			}
			d.owe(ks, &Error{Evidence: "found in the store when its record was rebuilt"})
		default:
			byRole[stored.Role] = ks
		}
	}
	d.doc.Keys = doc
	return byRole, before
}

// isStored reports whether a record is about a stored key, by what its provider says of it.
func (k *keyState) isStored(stored StoredKey) bool {
	if k.Key.ID == "" && k.Key.Name != "" && k.Key.Name == stored.Key.Name {
		return true // a chosen value, as it was before its provider had answered
	}
	return k.Key.ID == stored.Key.ID && k.Key.Name == stored.Key.Name && k.Key.IssuedAt.Equal(stored.Key.IssuedAt) &&
		(k.Key.ID != "" || k.Key.Name != "")
}

// keepUnstored keeps what only the former record knew, under numbers that nothing else has: keys, and tries whose key is not the
// store's.
func (d *drive) keepUnstored(before []*keyState, was *run) {
	st := d.st
	renumbered := map[int64]int64{}
	for _, k := range before {
		if !k.DeadAt.IsZero() {
			continue
		}
		st.LastSerial++
		renumbered[k.Key.Serial] = st.LastSerial
		k.Key.Serial, k.Stored = st.LastSerial, false
		st.Keys = append(st.Keys, k)
		if k.compromised() {
			k.DebtSince = time.Time{}
		} else {
			d.owe(k, &Error{Evidence: "it was not in the store when its record was rebuilt"})
		}
	}
	for _, a := range was.Attempts {
		stored := slices.IndexFunc(st.Keys, func(k *keyState) bool { return k.Stored && k.Key.Name == a.Name })
		switch serial := renumbered[a.Serial]; {
		case stored >= 0:
			a.Serial = st.Keys[stored].Key.Serial
			if a.Fate == fateOpen {
				a.Fate = fateStored
			}
		case serial != 0:
			a.Serial = serial
		default:
			st.LastSerial++
			a.Serial, a.Chosen = st.LastSerial, false
		}
		a.From = 0
	}
}

// forgetAcks has every consumer told again.
func (r *run) forgetAcks() {
	for _, c := range r.Consumers {
		c.Acked = 0
	}
}
