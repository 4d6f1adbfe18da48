// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"time"
)

// The process that calls Emergency may die when the incident is recorded, and one of its credentials does not know of it yet. Nothing
// in the record of that credential says that it is due. So an entry of its own says, before the incident is recorded, which
// credentials it is going to be about, and Sweep carries on what whoever wrote it did not take out in time.

// pendingName is the reserved entry of the incidents that were not seen to have reached every credential.
const pendingName = "handover/incidents"

type pendingEntry struct {
	Schema  int               `json:"schema"`
	Pending []pendingIncident `json:"pending,omitzero"`
}

type pendingIncident struct {
	Reference   string    `json:"reference"`
	Credentials []string  `json:"credentials"`
	At          time.Time `json:"at"`
}

// pendingTries is how often a write of the entry gives way to others: every incident writes the same one.
const pendingTries = 10

// pend changes the entry; change reports whether there is anything to write.
func (r *Rotator) pend(ctx context.Context, after time.Duration, change func(*pendingEntry) bool) error {
	for range pendingTries {
		e, err := r.entry(ctx, pendingName)
		if err != nil {
			return err
		}
		rec := pendingEntry{Schema: schema}
		if e.Revision != 0 {
			if err := read(e, &rec); err != nil {
				return err
			}
		}
		if !change(&rec) {
			return nil
		}
		data, err := json.Marshal(rec)
		if err != nil {
			return err
		}
		next := Entry{Credential: pendingName, Revision: e.Revision, Data: data}
		if len(rec.Pending) > 0 {
			next.Due = time.Now().Add(after)
		}
		err = guard(ctx, r.cfg.CallTimeout, func(ctx context.Context) error { return r.cfg.Journal.Save(ctx, next) })
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrConflict) {
			return &Error{Evidence: "the journal does not take the incident's credentials", Err: hide(err)}
		}
	}
	return &Error{Evidence: "the journal does not take the incident's credentials", Err: ErrConflict}
}

// expect notes which of the credentials that are registered here an incident is going to be about. An emergency does not wait for it
// to succeed.
func (r *Rotator) expect(ctx context.Context, in Incident) {
	p := pendingIncident{Reference: in.Reference, At: time.Now().Round(0)}
	for _, name := range in.names() {
		if _, err := r.registration(name); err == nil {
			p.Credentials = append(p.Credentials, name)
		}
	}
	if len(p.Credentials) == 0 {
		return
	}
	err := r.pend(ctx, r.cfg.CallTimeout, func(e *pendingEntry) bool {
		for i := range e.Pending {
			if q := &e.Pending[i]; q.Reference == p.Reference {
				q.Credentials = slices.Compact(slices.Sorted(slices.Values(slices.Concat(q.Credentials, p.Credentials))))
				return true
			}
		}
		e.Pending = append(e.Pending, p)
		return true
	})
	if err != nil {
		r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "if this process dies now, nobody carries the emergency on", slog.String("incident", in.Reference), slog.String("problem", publicText(err)))
	}
}

// reached takes out the credentials that an incident has reached, or that refused it: then a person decides.
func (r *Rotator) reached(ctx context.Context, after time.Duration, names map[string][]string) error {
	return r.pend(ctx, after, func(e *pendingEntry) bool {
		changed := false
		for i := range e.Pending {
			p := &e.Pending[i]
			before := len(p.Credentials)
			p.Credentials = slices.DeleteFunc(p.Credentials, func(n string) bool { return slices.Contains(names[p.Reference], n) })
			changed = changed || len(p.Credentials) < before
		}
		e.Pending = slices.DeleteFunc(e.Pending, func(p pendingIncident) bool { return len(p.Credentials) == 0 })
		return changed
	})
}

// settled takes out the credentials of a call of Emergency that need nobody to carry it on.
func (r *Rotator) settled(ctx context.Context, reference string, names []string, errs []error) {
	var over []string
	for i, name := range names {
		var no *refusal
		if errs[i] == nil || errors.As(errs[i], &no) {
			over = append(over, name)
		}
	}
	// What is left in it a Sweep takes out.
	if err := r.reached(ctx, r.cfg.CallTimeout, map[string][]string{reference: over}); err != nil {
		r.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "rotation: the next sweep looks after an emergency that is under way", slog.String("incident", reference), slog.String("problem", publicText(err)))
	}
}

// carryOn opens the emergencies that a process did not come to open. What this process knows nothing of is left to others.
func (r *Rotator) carryOn(ctx context.Context) error {
	defer r.rest(pendingName)
	e, err := r.entry(ctx, pendingName)
	var rec pendingEntry
	if err != nil || e.Revision == 0 {
		return err
	}
	if err := read(e, &rec); err != nil {
		return err
	}
	done := map[string][]string{}
	var errs []error
	for _, p := range rec.Pending {
		_, in, err := r.loadIncident(ctx, p.Reference)
		if errors.Is(err, ErrNotFound) && time.Since(p.At) > r.cfg.Lease { // its process died before it was recorded: nobody was told of it
			done[p.Reference] = p.Credentials
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, name := range p.Credentials {
			over, err := r.carryOnOne(WithActor(ctx, in.Actor), name, in.Incident.of(name), p.At)
			errs = append(errs, err)
			if over {
				done[p.Reference] = append(done[p.Reference], name)
			}
		}
	}
	if len(done) > 0 {
		errs = append(errs, r.reached(ctx, r.cfg.Lease, done))
	}
	return errors.Join(errs...)
}

// carryOnOne opens the emergency of one credential, as of the time at which it should have been. It reports whether nothing is left to
// do here. A key that was made since is no reason to make an outage: then a person decides, and the incident's report says so.
func (r *Rotator) carryOnOne(ctx context.Context, name string, in Incident, at time.Time) (over bool, err error) {
	reg, err := r.registration(name)
	if err != nil {
		return false, nil //nolint:nilerr // it is registered elsewhere
	}
	in.Keys = slices.DeleteFunc(in.Keys, func(l Leak) bool { return l.KeyID == "" }) // its value is in no journal
	_, st, err := r.load(ctx, reg.Name)
	if err != nil {
		return false, err
	}
	if st.covers(in) || len(in.Credentials) == 0 && len(in.Keys) == 0 {
		return true, nil
	}
	if k := st.key(st.Current); k != nil && len(in.Credentials) > 0 && latest(k.Key.IssuedAt, k.Since).After(at) {
		return true, nil
	}
	r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "an emergency is carried on: whoever began it has not come to this credential", slog.String("credential", name), slog.String("incident", in.Reference))
	err = r.emergency(ctx, name, in)
	var no *refusal
	_, st, loadErr := r.load(ctx, reg.Name)
	return errors.As(err, &no) || loadErr == nil && st.covers(in), err
}

// rest keeps a name out of the sweeps of this process for a while.
func (r *Rotator) rest(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resting[name] = time.Now().Add(r.cfg.Lease)
}
