// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"
)

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
	return e, rec, read(e, &rec)
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
		reg, unknown := r.registration(name) // a removed one still has its record
		if unknown != nil && st.Run == nil && len(st.Ended) == 0 {
			report.Unknown = append(report.Unknown, name)
		}
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
