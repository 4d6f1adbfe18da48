// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// late is an emergency that no journal took yet.
type late struct {
	incident Incident
	tried    time.Time
}

// keepUnrecorded remembers an emergency that no journal took: an Advance in this process tries again, a while later.
func (r *Rotator) keepUnrecorded(name string, in Incident) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, l := range r.unrecorded[name] {
		if l.incident.Reference == in.Reference { // whoever is told that it is not recorded calls again
			r.unrecorded[name][i] = late{l.incident.with(in), time.Now()}
			return
		}
	}
	r.unrecorded[name] = append(r.unrecorded[name], late{in, time.Now()})
}

// with adds what another call under the same reference names.
func (in Incident) with(more Incident) Incident {
	in.Credentials = slices.Compact(slices.Sorted(slices.Values(slices.Concat(in.Credentials, more.Credentials))))
	in.Keys = slices.Clone(in.Keys)
	for _, k := range more.Keys {
		if !slices.ContainsFunc(in.Keys, func(l Leak) bool { return l.mark() == k.mark() }) {
			in.Keys = append(in.Keys, k)
		}
	}
	in.learn(more)
	in.ConfirmedAt = earliest(in.ConfirmedAt, more.ConfirmedAt)
	in.RevokeFirst = in.RevokeFirst || more.RevokeFirst
	return in
}

// revokeUnrecorded kills what the caller names or, where it names a credential, what the store and the provider show of it.
// Killing comes before the record, which is made as soon as a journal answers.
func (r *Rotator) revokeUnrecorded(ctx context.Context, reg *registration, in Incident) error {
	keys := map[string]Key{}
	for _, k := range in.Keys {
		keys[k.mark()] = Key{ID: k.KeyID, Secret: k.Value}
	}
	var errs []error
	young := func(k Key) bool { // made after the incident: a successor, or a key that the record, when it is made, names
		return k.IssuedAt.After(in.ConfirmedAt)
	}
	if len(in.Credentials) > 0 {
		doc, err := guarded(ctx, r.cfg.CallTimeout, func(ctx context.Context) (Versions, error) { return reg.Store.Load(ctx, reg.Name) })
		// Once the store knows of an emergency, what is not marked in it is the successor.
		known := doc.Metadata["incident_reference"] == in.Reference ||
			slices.ContainsFunc(doc.Keys, func(k StoredKey) bool { return k.Compromised })
		for _, k := range doc.Keys {
			if !known && !young(k.Key) || k.Compromised {
				keys[cmp.Or(k.Key.ID, fmt.Sprint("serial ", k.Key.Serial))] = k.Key
			}
		}
		if l, ok := As[Lister](reg.Issuer); ok && (err != nil || len(doc.Keys) == 0) {
			infos, err := guarded(ctx, r.cfg.CallTimeout, l.List)
			if err != nil {
				errs = append(errs, &Error{Credential: reg.Name, Evidence: "neither the journal, nor the store, nor the issuer says which keys there are", Err: hide(err)})
			}
			for _, i := range infos {
				if isSuccessorName(reg.Name, i.Key.Name) && !young(i.Key) {
					keys[i.Key.ID] = i.Key
				}
			}
		}
	}
	errs = append(errs, r.revokeAll(ctx, reg, slices.Collect(maps.Values(keys))))
	r.deliverUnrecorded(ctx, reg, in, len(keys))
	return errors.Join(errs...)
}

// sooner is a status that comes back in time for an emergency that no journal took yet.
func (r *Rotator) sooner(st Status) Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.unrecorded[st.Credential] {
		st.Next = earliest(st.Next, l.tried.Add(r.cfg.CallTimeout))
	}
	if from, owing := r.untold[st.Credential]; owing {
		st.Next = earliest(st.Next, latest(from, time.Now().Add(r.cfg.CallTimeout/floor)))
	}
	return st
}

// recordLate records the emergencies of this process that no journal took when they came, and kills what is still alive.
func (r *Rotator) recordLate(ctx context.Context, reg *registration) error {
	var again []late
	r.mu.Lock()
	r.unrecorded[reg.Name] = slices.DeleteFunc(r.unrecorded[reg.Name], func(l late) bool {
		ready := time.Since(l.tried) >= r.cfg.CallTimeout
		if ready {
			again = append(again, l)
		}
		return ready
	})
	if len(r.unrecorded[reg.Name]) == 0 {
		delete(r.unrecorded, reg.Name)
	}
	r.mu.Unlock()
	var errs []error
	for _, l := range again {
		errs = append(errs, r.emergency(ctx, reg.Name, l.incident), r.saveIncident(ctx, l.incident))
	}
	return errors.Join(errs...)
}
