// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
)

// incidentEntry is an incident in the journal, under a reserved name.
type incidentEntry struct {
	Schema   int      `json:"schema"`
	Incident Incident `json:"incident"`
	Actor    string   `json:"actor"`
}

func incidentName(reference string) string { return "handover/incident/" + reference }

// saveIncident records an incident the first time, and adds what a later call brings.
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
		r.expect(ctx, in)
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

// grow adds what a later call under the same reference names, and what was learned since. It reports whether anything is new.
func (in *Incident) grow(more Incident) bool {
	grown := in.learn(more)
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

// learn takes over an earlier exposure, and a reason that was not told yet.
func (in *Incident) learn(more Incident) bool {
	learned := false
	if at := earliest(in.ExposedAt, more.ExposedAt); !at.Equal(in.ExposedAt) {
		in.ExposedAt, learned = at, true
	}
	if !strings.Contains(in.Reason, more.Reason) {
		in.Reason, learned = strings.TrimPrefix(in.Reason+"; "+more.Reason, "; "), true
	}
	return learned
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
	return e, rec, read(e, &rec)
}

// Incident returns the record as it stands now. An unknown reference is an error that matches ErrNotFound. The error joins the
// records that could not be read; their credentials are among the Missing.
func (r *Rotator) Incident(ctx context.Context, reference string) (IncidentReport, error) {
	_, rec, err := r.loadIncident(ctx, reference)
	if err != nil {
		return IncidentReport{}, err
	}
	report := IncidentReport{Incident: rec.Incident, Actor: rec.Actor}
	var errs []error
	for _, name := range rec.Incident.names() {
		errs = append(errs, r.report(ctx, &report, name))
	}
	return report, errors.Join(errs...)
}

// report adds what the record of one credential says.
func (r *Rotator) report(ctx context.Context, report *IncidentReport, name string) error {
	reference := report.Incident.Reference
	reg, unknown := r.registration(name) // a removed one still has its record
	gap := IncidentGap{Credential: name}
	if reg != nil {
		gap.Contact = reg.Contact
	}
	_, st, err := r.load(ctx, name)
	if err != nil {
		if !errors.As(err, &gap.Problem) {
			gap.Problem = &Error{Credential: name, Err: hide(err)}
		}
		report.Missing = append(report.Missing, gap)
		return err
	}
	known := len(report.Records)
	if st.Run != nil && slices.Contains(st.Run.Incidents, reference) {
		rec := st.record(reg, time.Now())
		rec.Credential = name
		report.Records = append(report.Records, *rec)
		report.Needs = append(report.Needs, st.incidentNeeds(name, reg)...)
	}
	for _, e := range st.Ended {
		if slices.Contains(e.Incidents, reference) {
			report.Records = append(report.Records, e.record())
		}
	}
	switch {
	case len(report.Records) > known:
	case unknown != nil && st.Run == nil && len(st.Ended) == 0:
		report.Unknown = append(report.Unknown, name)
	default:
		gap.CoveredBy = st.covering(report.Incident.ConfirmedAt)
		report.Missing = append(report.Missing, gap)
	}
	return nil
}

// covering are the incidents whose emergency is open, or ended after a time.
func (st *state) covering(since time.Time) []string {
	var references []string
	if st.Run != nil {
		references = slices.Clone(st.Run.Incidents)
	}
	for _, e := range st.Ended {
		if len(e.Incidents) > 0 && e.record().EndedAt.After(since) {
			references = append(references, e.Incidents...)
		}
	}
	slices.Sort(references)
	return slices.Compact(references)
}

// incidentNeeds is what the open rotation of a credential waits for. reg may be nil: a removed credential has no contact.
func (st *state) incidentNeeds(name string, reg *registration) []IncidentNeed {
	var needs []IncidentNeed
	for _, n := range st.Needs {
		in := IncidentNeed{Credential: name, Need: n}
		if reg != nil {
			in.Contact = reg.Contact
		}
		needs = append(needs, in)
	}
	return needs
}
