// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Emergency ends every compromised key of the incident, all at the same time, waiting for nothing: no lease, journal, store,
// window or other rotation; and begins to replace them. It returns after the first pass: call Wait, or leave the rest to Run.
// The same reference again attaches. A name that is not registered is an error in the result and does not stop the others. If the
// process dies when the incident is recorded, and before a credential knows of it, a Sweep of any process carries that on.
func (r *Rotator) Emergency(ctx context.Context, in Incident) (IncidentReport, error) {
	if err := in.check(); err != nil {
		return IncidentReport{Incident: in}, err
	}
	now := time.Now()
	if in.ConfirmedAt.IsZero() || in.ConfirmedAt.After(now) { // a time zone that was forgotten must not move a deadline, nor hold up this call
		in.ConfirmedAt = now
	}
	in.ConfirmedAt = in.ConfirmedAt.Round(0)
	if in.ExposedAt.After(in.ConfirmedAt) {
		in.ExposedAt = in.ConfirmedAt
	}
	names := in.names()
	errs := make([]error, len(names)+1)
	var g errgroup.Group // without a limit: no credential waits for another one
	for i, name := range names {
		g.Go(func() error {
			errs[i] = r.emergency(ctx, name, in)
			return nil
		})
	}
	g.Go(func() error {
		errs[len(names)] = r.saveIncident(ctx, in)
		return nil
	})
	_ = g.Wait()
	if errs[len(names)] == nil {
		r.settled(ctx, in.Reference, names, errs)
	}
	report, err := r.Incident(ctx, in.Reference)
	if err != nil && report.Incident.Reference == "" {
		report = IncidentReport{Incident: in.public(), Actor: r.actor(ctx)}
	}
	return report, errors.Join(append(errs, err)...)
}

func (in Incident) check() error {
	var errs []error
	if in.Reference == "" {
		errs = append(errs, errors.New("rotation: Incident.Reference is required: it is what makes a repeated call attach"))
	}
	if len(in.Credentials) == 0 && len(in.Keys) == 0 {
		errs = append(errs, errors.New("rotation: Incident.Credentials or Incident.Keys is required"))
	}
	for i, k := range in.Keys {
		if k.Credential == "" || k.KeyID == "" && k.Value.IsZero() {
			errs = append(errs, fmt.Errorf("rotation: Incident.Keys[%d]: Credential, and KeyID or Value, are required", i))
		}
	}
	return errors.Join(errs...)
}

// names are the credentials of an incident, each once.
func (in Incident) names() []string {
	names := slices.Clone(in.Credentials)
	for _, k := range in.Keys {
		names = append(names, k.Credential)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// of is the part of an incident that concerns one credential.
func (in Incident) of(name string) Incident {
	part := in
	part.Credentials, part.Keys = nil, nil
	if slices.Contains(in.Credentials, name) {
		part.Credentials = []string{name}
	}
	for _, k := range in.Keys {
		if k.Credential == name {
			part.Keys = append(part.Keys, k)
		}
	}
	return part
}

// public is an incident without the leaked values.
func (in Incident) public() Incident {
	in.Keys = slices.Clone(in.Keys)
	for i := range in.Keys {
		in.Keys[i] = Leak{Credential: in.Keys[i].Credential, KeyID: in.Keys[i].KeyID}
	}
	return in
}

// emergency is the first pass over one credential.
func (r *Rotator) emergency(ctx context.Context, name string, in Incident) error {
	reg, err := r.registration(name)
	if err != nil {
		return err
	}
	in = in.of(name)
	recorded := make(chan struct{})
	early := r.revokeSoon(ctx, reg, in, recorded)
	d, err := r.openIncident(ctx, reg, in)
	var no *refusal
	if d != nil || err == nil || errors.As(err, &no) {
		close(recorded)
	}
	switch {
	case no != nil:
		return no // nothing is wrong with the journal: the caller has to decide
	case err != nil:
		r.keepUnrecorded(reg.Name, in)
		r.cfg.Logger.LogAttrs(ctx, slog.LevelError, "EMERGENCY without a record", slog.String("credential", name), slog.String("incident", in.Reference), slog.String("problem", publicText(err)))
		return errors.Join(err, <-early, r.revokeUnrecorded(ctx, reg, in))
	case d == nil:
		return nil
	}
	err = d.do(nil)
	<-early // what it found out, the recorded revocations find out too
	return err
}

// revokeSoon kills the keys that the caller names if the journal does not take the record at once, where nothing is to be
// issued before.
func (r *Rotator) revokeSoon(ctx context.Context, reg *registration, in Incident, recorded <-chan struct{}) <-chan error {
	done := make(chan error, 1)
	if len(in.Keys) == 0 || !in.RevokeFirst && !reg.Traits.Independent {
		done <- nil
		return done
	}
	go func() {
		timer := time.NewTimer(r.cfg.CallTimeout / 10)
		defer timer.Stop()
		select {
		case <-recorded:
			done <- nil
			return
		case <-timer.C:
		}
		var keys []Key
		for _, k := range in.Keys {
			keys = append(keys, Key{ID: k.KeyID, Secret: k.Value})
		}
		done <- r.revokeAll(ctx, reg, keys)
	}()
	return done
}

// revokeAll kills keys without a record, all at the same time.
func (r *Rotator) revokeAll(ctx context.Context, reg *registration, keys []Key) error {
	if reg.webhook {
		return r.refuseNamed(ctx, reg, keys)
	}
	errs := make([]error, len(keys))
	var g errgroup.Group
	for i, key := range keys {
		g.Go(func() error {
			errs[i] = r.revokeNamed(ctx, reg, key)
			return nil
		})
	}
	_ = g.Wait() // each has its own error
	return errors.Join(errs...)
}

func (r *Rotator) revokeNamed(ctx context.Context, reg *registration, key Key) error {
	err := guard(ctx, r.cfg.CallTimeout, func(ctx context.Context) error { return reg.Issuer.Revoke(ctx, key) })
	if err == nil || errors.Is(err, ErrNotFound) {
		return nil
	}
	return &Error{Credential: reg.Name, Evidence: key.String() + " was not revoked", Action: "call Emergency again", Err: hide(err)}
}

// ejections is how often an emergency tries to take the lease from a busy process before it revokes without a record.
const ejections = 10

// openIncident records the obligation, and takes the lease from whoever has it. It returns nil and no error where nothing is
// left to do, or somebody else is doing it.
func (r *Rotator) openIncident(ctx context.Context, reg *registration, in Incident) (*drive, error) {
	for range ejections {
		e, st, err := r.load(ctx, reg.Name)
		if err != nil {
			return nil, err
		}
		by := byForce
		if st.covers(in) {
			if st.Run == nil || !slices.Contains(st.Run.Incidents, in.Reference) {
				return nil, nil
			}
			by = politely
		}
		d, st, err := r.acquire(ctx, reg, e, st, by)
		switch {
		case err != nil:
			return nil, err
		case d == nil && st.covers(in):
			return nil, nil
		case d == nil:
			continue // the holder wrote in between
		}
		if err := d.obliged(in); err != nil {
			if rel := d.release(); rel != nil && !errors.Is(rel, errLost) {
				return nil, errors.Join(err, rel)
			}
			return nil, err
		}
		if err := d.save(); errors.Is(err, errLost) {
			continue
		} else if err != nil {
			return nil, err
		}
		return d, nil
	}
	return nil, &Error{Credential: reg.Name, Evidence: "another process writes its record all the time", Err: ErrConflict}
}

// covers reports whether the record holds the incident already, with every key that it names.
func (st *state) covers(in Incident) bool {
	if !st.attached(in.Reference) {
		return false
	}
	var named []string
	if st.Run != nil && slices.Contains(st.Run.Incidents, in.Reference) {
		named = st.Run.Leaks
	}
	for _, e := range st.Ended {
		if slices.Contains(e.Incidents, in.Reference) {
			named = append(slices.Clone(named), e.Leaks...)
		}
	}
	if len(in.Credentials) > 0 && !slices.Contains(named, everyKey) {
		return false
	}
	return !slices.ContainsFunc(in.Keys, func(l Leak) bool { return !slices.Contains(named, l.mark()) || st.leakedValue(l) != nil })
}

// leakedValue is the key that lives and is known by the leaked value alone: each call that brings the value is welcome.
func (st *state) leakedValue(l Leak) *keyState {
	i := slices.IndexFunc(st.Keys, func(k *keyState) bool { return k.Leaked != "" && k.Leaked == l.mark() && k.DeadAt.IsZero() })
	if i < 0 {
		return nil
	}
	return st.Keys[i]
}

// mark tells one leak of a credential from another: the id, or a few bits of a hash of the value. They are too few to find
// the value by, and enough to know it again.
func (l Leak) mark() string {
	if l.KeyID != "" || l.Value.IsZero() {
		return l.KeyID
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "handover leak of %s: %s", l.Credential, l.Value.Reveal()))
	return fmt.Sprintf("\x00value %x", sum[:4])
}

// everyKey stands among the leaks of a run whose incident named the credential. No id looks like this.
const everyKey = "\x00every key"
