// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Emergency ends every compromised key of the incident, all at the same time, waiting for nothing: no lease, journal, store,
// window or other rotation; and begins to replace them. It returns after the first pass: call Wait, or leave the rest to Run.
// The same reference again attaches. A name that is not registered is an error in the result and does not stop the others.
func (r *Rotator) Emergency(ctx context.Context, in Incident) (IncidentReport, error) {
	if err := in.check(); err != nil {
		return IncidentReport{Incident: in}, err
	}
	if in.ConfirmedAt.IsZero() {
		in.ConfirmedAt = time.Now()
	}
	in.ConfirmedAt = in.ConfirmedAt.Round(0)
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
	report, err := r.Incident(ctx, in.Reference)
	if err != nil {
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
	early := r.revokeAtOnce(ctx, reg, in)
	d, err := r.openIncident(ctx, reg, in)
	if d == nil {
		if err == nil {
			return <-early
		}
		r.keepUnrecorded(reg.Name, in)
		r.cfg.Logger.LogAttrs(ctx, slog.LevelError, "EMERGENCY without a record", slog.String("credential", name), slog.String("incident", in.Reference), slog.String("problem", err.Error()))
		return errors.Join(<-early, err, r.revokeUnrecorded(ctx, reg, in))
	}
	err = d.do(nil)
	<-early // what it found out, the recorded revocations find out too
	return err
}

// revokeAtOnce kills the keys that the caller names, in parallel with the record, where nothing is to be issued before.
func (r *Rotator) revokeAtOnce(ctx context.Context, reg *registration, in Incident) <-chan error {
	done := make(chan error, 1)
	if !in.RevokeFirst && !reg.Traits.Independent {
		done <- nil
		return done
	}
	go func() {
		var errs []error
		for _, k := range in.Keys {
			errs = append(errs, r.revokeNamed(ctx, reg, Key{ID: k.KeyID, Secret: k.Value}))
		}
		done <- errors.Join(errs...)
	}()
	return done
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
			return nil, errors.Join(err, d.release())
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
	return !slices.ContainsFunc(in.Keys, func(l Leak) bool {
		return slices.ContainsFunc(st.Keys, func(k *keyState) bool {
			return k.Key.ID == l.KeyID && l.KeyID != "" && k.DeadAt.IsZero() && !slices.Contains(k.Incidents, in.Reference)
		})
	})
}

// obliged takes the incident into the record: which keys have to die, and what that means for the open rotation.
func (d *drive) obliged(in Incident) error {
	home, err := d.r.installationID(d.ctx)
	if err != nil {
		return err
	}
	d.home = home
	if d.st.attached(in.Reference) {
		if !d.st.covers(in) {
			d.addLeaks(in)
			d.arrive(in)
		}
		return nil
	}
	if len(in.Credentials) > 0 && len(in.Keys) == 0 && d.emergency() {
		return &Error{Credential: d.reg.Name, Evidence: "an emergency is open already, under " + strings.Join(d.st.Run.Incidents, ", ") + ": it may be the same leak", Action: "use that reference, or name the keys"}
	}
	if d.st.Current == 0 {
		if err := d.read(); err == nil && judge(d.st, d.doc, d.home) == driftNone {
			d.meetCurrent()
		}
	}
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
		return &Error{Credential: d.reg.Name, Evidence: "no key of it is known", Action: "name the key's id"}
	}
	d.arrive(in)
	return nil
}

// accuseAttempts marks the tries whose outcome is not known yet: a key that they made was alive when the incident came.
func (st *state) accuseAttempts(reference string) {
	if st.Run == nil {
		return
	}
	for _, a := range st.Run.Attempts {
		switch {
		case a.Fate == fateOpen && st.key(a.Serial) != nil:
			a.Fate = fateCondemned // a chosen value, which is a known key
		case a.Fate == fateOpen && !a.Manual:
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

// addLeaks takes exactly the named keys. One that no record names is ours to kill, because the caller names it.
func (d *drive) addLeaks(in Incident) {
	for _, leak := range in.Keys {
		ks := d.named(leak)
		if ks == nil && d.st.attached(in.Reference) {
			continue // it is dead already
		}
		if ks == nil {
			ks = d.st.add(Key{ID: leak.KeyID}, 0, d.reg.parts.Issuer, "named in "+in.Reference)
			ks.DebtSince = time.Now()
		}
		if ks.Named == "" {
			ks.Named = "named in " + in.Reference
		}
		ks.accuse(in.Reference)
		if !leak.Value.IsZero() {
			d.leak(ks.Key.Serial, Key{Secret: leak.Value})
		}
	}
}

// named finds the key that a leak means: by its id, newest first where the id is a slot, or by its value.
func (d *drive) named(leak Leak) *keyState {
	for _, k := range slices.Backward(d.st.Keys) {
		if leak.KeyID != "" && k.Key.ID == leak.KeyID && k.DeadAt.IsZero() {
			return k
		}
	}
	if leak.KeyID != "" || leak.Value.IsZero() || d.read() != nil {
		return nil
	}
	for _, k := range d.doc.Keys {
		if k.Key.Secret.Equal(leak.Value) {
			return d.st.key(k.Key.Serial)
		}
	}
	return nil
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
		}
		before.Confirmed = earliest(before.Confirmed, in.ConfirmedAt)
	} else {
		if before != nil {
			d.close(TakenOver)
		}
		d.begin(Emergency, in.Reason, "")
		st.Run.Incidents, st.Run.Confirmed, st.Run.RevokeFirst = []string{in.Reference}, in.ConfirmedAt, in.RevokeFirst
		st.Run.IssueBy = time.Now().Add(d.r.cfg.IssueLimit)
		if before != nil {
			st.Run.inherit(before)
		}
	}
	run := st.Run
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
	run.Target = successorOf(run, st)
	run.Phase = PhaseIssue
	d.oweTheRest()
	st.Retry = retry{}
	if n := st.key(run.Target); n != nil {
		run.Generation = n.Key.Generation
	} else if before != nil {
		st.LastGeneration = max(st.LastGeneration, before.Generation+1)
		run.Generation = st.LastGeneration
	}
}

// oweTheRest makes debts of keys that are neither the successor nor compromised: they are replaced too, and die by the
// ordinary rules when the emergency is over.
func (d *drive) oweTheRest() {
	run := d.st.Run
	for _, k := range d.st.Keys {
		serial := k.Key.Serial
		trying := slices.ContainsFunc(run.Attempts, func(a *attempt) bool { return a.Serial == serial && a.Fate == fateOpen })
		if serial != run.Target && !slices.Contains(run.Victims, serial) && k.DebtSince.IsZero() && k.DeadAt.IsZero() && !trying {
			d.owe(k, &Error{Evidence: "it was replaced in an emergency"})
		}
	}
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

// kills are the revocations of an emergency that are under way beside its steps.
type kills struct {
	wg      sync.WaitGroup
	mu      sync.Mutex
	results map[int64]error // guarded by mu
}

// obligations sends the revocation of every compromised key that is not proven dead, beside everything else that is going
// on, and waits for none of it.
func (d *drive) obligations() {
	if !d.emergency() || !d.st.Run.mayRevoke(d.st, d.reg.Traits, time.Now()) {
		return
	}
	for _, victim := range d.st.victims() {
		if !victim.compromised() || !victim.DeadAt.IsZero() || victim.Answered || victim.Retry.At.After(time.Now()) || d.untouchable(victim) != nil {
			continue
		}
		if d.kills == nil {
			d.kills = &kills{results: map[int64]error{}}
		}
		if d.heldByLive(victim.Key) {
			victim.Answered = true
			continue
		}
		victim.Answered = true // until fold knows better: it is under way
		if victim.RevokedAt.IsZero() {
			victim.RevokedAt = time.Now()
		}
		if d.value(victim.Key.Serial).IsZero() {
			_ = d.read() // for a provider that revokes by value; without a store the id has to do
		}
		d.send(d.kills, victim.Key.Serial, d.whole(victim))
	}
	if d.st.Run.RevokeFirst {
		d.fold(true)
	}
}

func (d *drive) send(k *kills, serial int64, key Key) {
	k.wg.Add(1)
	go func() {
		defer k.wg.Done()
		err := guard(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) error { return d.reg.Issuer.Revoke(ctx, key) })
		k.mu.Lock()
		defer k.mu.Unlock()
		k.results[serial] = err
	}()
}

// fold records what became of the revocations that are under way.
func (d *drive) fold(wait bool) {
	if d.kills == nil {
		return
	}
	if wait {
		d.kills.wg.Wait()
	}
	d.kills.mu.Lock()
	results := d.kills.results
	d.kills.results = map[int64]error{}
	d.kills.mu.Unlock()
	for serial, err := range results {
		k := d.st.key(serial)
		if k == nil {
			continue
		}
		if err := d.revoked(k, err); err != nil {
			k.Answered = false
			k.Retry = d.backoff(k.Retry, err)
			d.st.Problem = &Error{Credential: d.reg.Name, Rotation: d.st.Run.ID, Phase: PhaseRetire, Evidence: k.Key.String() + " was not revoked", Action: "it is tried again until it is proven dead", Err: hide(err)}
			d.unkilled = append(d.unkilled, d.st.Problem)
			d.emit(Event{Kind: EventFailed, Level: slog.LevelError, Problem: d.st.Problem, Text: d.st.Problem.Error()})
		}
	}
}

// proveDeaths looks, in every Advance, whether what was revoked is dead: a compromised key that is seen alive is revoked
// again, whatever the presenters do meanwhile.
func (d *drive) proveDeaths() {
	if !d.emergency() {
		return
	}
	for _, victim := range d.st.victims() {
		if !victim.Answered || !victim.DeadAt.IsZero() || victim.Manual != "" {
			continue
		}
		switch verdict, how := d.dead(victim); verdict {
		case isDead:
			d.buried(victim, how)
		case isAlive:
			victim.Answered = false
			victim.Retry = d.backoff(victim.Retry, nil)
		}
	}
}

// mayRevoke decides whether the compromised keys die now. Where issuing needs a live key, the successor is tried first, once
// and within a limit that is in the record; then they die regardless.
func (r *run) mayRevoke(st *state, t Traits, now time.Time) bool {
	return r.RevokeFirst || t.Independent || r.IssueTried || r.successor(st) || !r.IssueBy.After(now)
}

// keepUnrecorded remembers an emergency that no journal took: the next Advance in this process tries again.
func (r *Rotator) keepUnrecorded(name string, in Incident) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unrecorded[name] = append(r.unrecorded[name], in)
	r.nudge()
}

// revokeUnrecorded kills what the caller names or, where it names a credential, what the store and the provider show of it.
// Killing comes before the record, which is made as soon as a journal answers.
func (r *Rotator) revokeUnrecorded(ctx context.Context, reg *registration, in Incident) error {
	keys := map[string]Key{}
	for _, k := range in.Keys {
		keys[k.KeyID] = Key{ID: k.KeyID, Secret: k.Value}
	}
	var errs []error
	if len(in.Credentials) > 0 {
		doc, err := guarded(ctx, r.cfg.CallTimeout, func(ctx context.Context) (Versions, error) { return reg.Store.Load(ctx, reg.Name) })
		for _, k := range doc.Keys {
			keys[k.Key.ID] = k.Key
		}
		if l, ok := As[Lister](reg.Issuer); ok && (err != nil || len(doc.Keys) == 0) {
			infos, err := guarded(ctx, r.cfg.CallTimeout, l.List)
			if err != nil {
				errs = append(errs, &Error{Credential: reg.Name, Evidence: "neither the journal, nor the store, nor the issuer says which keys there are", Err: hide(err)})
			}
			for _, i := range infos {
				if strings.HasPrefix(i.Key.Name, reg.Name+"-v") {
					keys[i.Key.ID] = i.Key
				}
			}
		}
	}
	var g errgroup.Group
	var mu sync.Mutex
	for _, key := range keys {
		g.Go(func() error {
			err := r.revokeNamed(ctx, reg, key)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			return nil
		})
	}
	_ = g.Wait()
	r.deliverUnrecorded(ctx, reg, in, len(keys))
	return errors.Join(errs...)
}

// recordLate records the emergencies of this process that no journal took when they came, and kills what is still alive.
func (r *Rotator) recordLate(ctx context.Context, reg *registration) error {
	r.mu.Lock()
	late := r.unrecorded[reg.Name]
	delete(r.unrecorded, reg.Name)
	r.mu.Unlock()
	var errs []error
	for _, in := range late {
		errs = append(errs, r.emergency(ctx, reg.Name, in), r.saveIncident(ctx, in))
	}
	return errors.Join(errs...)
}

// incidentEntry is an incident in the journal, under a reserved name.
type incidentEntry struct {
	Schema   int      `json:"schema"`
	Incident Incident `json:"incident"`
	Actor    string   `json:"actor"`
}

func incidentName(reference string) string { return "handover/incident/" + reference }

// saveIncident records an incident the first time, and adds the credentials of a later call.
func (r *Rotator) saveIncident(ctx context.Context, in Incident) error {
	in = in.public()
	for range saveTries {
		e, rec, err := r.loadIncident(ctx, in.Reference)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if e.Revision == 0 {
			rec = incidentEntry{Schema: schema, Incident: in, Actor: r.actor(ctx)}
		} else if !rec.Incident.grow(in) {
			return nil
		}
		data, err := json.Marshal(rec)
		if err != nil {
			return err
		}
		err = guard(ctx, r.cfg.CallTimeout, func(ctx context.Context) error {
			return r.cfg.Journal.Save(ctx, Entry{Credential: incidentName(in.Reference), Revision: e.Revision, Data: data})
		})
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrConflict) {
			return &Error{Evidence: "the incident was not recorded", Err: hide(err)}
		}
	}
	return &Error{Evidence: "the incident was not recorded", Err: ErrConflict}
}

// grow adds what a later call under the same reference names. It reports whether anything is new.
func (in *Incident) grow(more Incident) bool {
	grown := false
	for _, c := range more.Credentials {
		if !slices.Contains(in.Credentials, c) {
			in.Credentials, grown = append(in.Credentials, c), true
		}
	}
	for _, k := range more.Keys {
		same := func(l Leak) bool { return l.Credential == k.Credential && l.KeyID == k.KeyID }
		if !slices.ContainsFunc(in.Keys, same) {
			in.Keys, grown = append(in.Keys, k), true
		}
	}
	return grown
}

func (r *Rotator) loadIncident(ctx context.Context, reference string) (Entry, incidentEntry, error) {
	var rec incidentEntry
	e, err := guarded(ctx, r.cfg.CallTimeout, func(ctx context.Context) (Entry, error) {
		return r.cfg.Journal.Load(ctx, incidentName(reference))
	})
	if err != nil {
		return e, rec, &Error{Evidence: "the journal does not answer", Err: hide(err)}
	}
	if e.Revision == 0 {
		return e, rec, &Error{Evidence: "no incident " + reference + " is recorded", Err: ErrNotFound}
	}
	if err := json.Unmarshal(e.Data, &rec); err != nil {
		return e, rec, &Error{Evidence: "the record of incident " + reference + " is not readable", Err: recorded(fmt.Sprintf("decode: %T", err))}
	}
	return e, rec, nil
}

// Incident returns the record as it stands now. An unknown reference is an error that matches ErrNotFound.
func (r *Rotator) Incident(ctx context.Context, reference string) (IncidentReport, error) {
	_, rec, err := r.loadIncident(ctx, reference)
	if err != nil {
		return IncidentReport{}, err
	}
	report := IncidentReport{Incident: rec.Incident, Actor: rec.Actor}
	var errs []error
	for _, name := range rec.Incident.names() {
		_, st, err := r.load(ctx, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		reg, _ := r.registration(name) // a removed one still has its record
		if st.Run != nil && slices.Contains(st.Run.Incidents, reference) {
			report.Records = append(report.Records, *st.record(reg, time.Now()))
		}
		for _, e := range st.Ended {
			if slices.Contains(e.Incidents, reference) {
				report.Records = append(report.Records, e.record())
			}
		}
	}
	return report, errors.Join(errs...)
}
