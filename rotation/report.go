// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Status reads the journal only.
func (r *Rotator) Status(ctx context.Context, name string) (Status, error) {
	reg, err := r.registration(name)
	if err != nil {
		return Status{Credential: name, Next: time.Now()}, err
	}
	_, st, err := r.load(ctx, name)
	if err != nil {
		return Status{Credential: name, Next: time.Now().Add(r.cfg.CallTimeout)}, err
	}
	return st.status(reg), nil
}

// List is Status of every registered credential, by name. The error joins those that could not be read.
func (r *Rotator) List(ctx context.Context) ([]Status, error) {
	var all []Status
	var errs []error
	for _, name := range r.names() {
		st, err := r.Status(ctx, name)
		all, errs = append(all, st), append(errs, err)
	}
	return all, errors.Join(errs...)
}

// status is what the record says of a credential.
func (st *state) status(reg *registration) Status {
	now := time.Now()
	out := Status{Credential: reg.Name, Needs: st.Needs, Next: st.wake(reg, now)}
	if st.Lease != nil {
		out.Next = latest(out.Next, now.Add(st.Lease.For/4)) // somebody is at it
	}
	out.Next = latest(out.Next, now.Add(-time.Millisecond)).Round(0) // never zero
	if current := st.key(st.Current); current != nil {
		out.Generation, out.IssuedAt = current.Key.Generation, current.Key.IssuedAt
		out.Due, out.CheckedAt = dueAt(reg, current), st.CheckedAt
	}
	if st.Hold != nil && st.Hold.Until.After(now) {
		out.HeldUntil = st.Hold.Until
	}
	if st.Run != nil {
		out.Open = st.record(reg, now)
	} else {
		out.Problem = st.Problem
		if out.Generation > 0 {
			out.Begins = latest(st.opening(reg, now), now).Round(0)
		}
	}
	if n := len(st.Ended); n > 0 {
		last := st.Ended[n-1].record()
		out.Last = &last
	}
	for _, k := range st.debts() {
		if k.DeadAt.IsZero() { // else only its value is left
			out.Debts = append(out.Debts, Debt{ID: k.debtID(), Key: k.Key, Since: k.DebtSince, Problem: k.Problem})
		}
	}
	return out
}

func (k *keyState) debtID() string { return fmt.Sprintf("debt/%d", k.Key.Serial) }

// record is the account of the open rotation. reg may be nil: then it tells nothing that needs the registration.
func (st *state) record(reg *registration, now time.Time) *Record {
	run := st.Run
	rec := &Record{
		ID: run.ID, Strategy: run.Strategy, Phase: run.Phase, Generation: run.Generation, Reason: run.Reason, Actor: run.Actor,
		Trigger: run.Trigger, Incident: strings.Join(run.Incidents, ", "), Problem: st.Problem, BeganAt: run.BeganAt,
		IssuedAt: run.IssuedAt, RevokedAt: run.RevokedAt, DeployedAt: run.DeployedAt, DeadAt: run.DeadAt,
		RollbackTakes: run.BackTakes, Usage: slices.Clone(run.Used), Timeline: slices.Clone(run.Timeline),
	}
	if old := st.key(run.Old); old != nil {
		rec.OldID = old.Key.named()
	}
	made := cmp.Or(run.New, run.Target)
	if run.Strategy == Emergency {
		made = run.Target // what the rotation before it had made may be compromised too
	}
	if n := st.key(made); n != nil {
		rec.NewID = n.Key.named()
	}
	for _, c := range run.Consumers {
		rec.Consumers = append(rec.Consumers, run.consumerRecord(c, now))
	}
	for _, c := range rec.Consumers {
		rec.Outage = max(rec.Outage, c.Outage)
	}
	if run.Strategy == Emergency {
		rec.AsOf, rec.Deadline = now.Round(0), run.deadline(reg)
		rec.DeadlineMet = !rec.Deadline.IsZero() && run.met(st, rec.Deadline)
		rec.Compromised = st.doomed()
	}
	if reg == nil {
		return rec
	}
	rec.Credential = reg.Name
	if run.Strategy == Standard && !run.irreversible(st) && run.Old != 0 && st.key(run.Old).live() {
		rec.RollbackUntil = latest(run.overlapEnd(reg, 0), now)
		if ends := st.key(run.Old).Ends; !ends.IsZero() {
			rec.RollbackUntil = earliest(rec.RollbackUntil, ends)
		}
	}
	return rec
}

// deadline is when the revocation has to be sent. reg may be nil.
func (r *run) deadline(reg *registration) time.Time {
	switch {
	case r.Confirmed.IsZero():
		return time.Time{}
	case r.Delay > 0:
		return r.Confirmed.Add(r.Delay)
	case reg != nil: // begun by a version of this library that did not record it
		return r.Confirmed.Add(emergencyDelay(reg.Type))
	default:
		return time.Time{}
	}
}

// doomed are the compromised keys of the open emergency.
func (st *state) doomed() []DoomedKey {
	var keys []DoomedKey
	for _, k := range st.victims() {
		if k.compromised() {
			keys = append(keys, DoomedKey{Key: k.Key.named(), Generation: k.Key.Generation, RevokedAt: k.RevokedAt, DeadAt: k.DeadAt})
		}
	}
	return keys
}

// met reports whether the revocation of every compromised key was sent by the deadline.
func (r *run) met(st *state, deadline time.Time) bool {
	for _, serial := range r.Victims {
		if k := st.key(serial); k != nil && k.compromised() && (k.RevokedAt.IsZero() || k.RevokedAt.After(deadline)) {
			return false
		}
	}
	return !r.RevokedAt.IsZero()
}

func (r *run) consumerRecord(c *consumerState, now time.Time) ConsumerRecord {
	out := ConsumerRecord{Name: c.Name, Problem: c.Problem}
	outage := r.Strategy == Emergency && !r.RevokedAt.IsZero()
	if c.Acked != r.Target {
		if outage {
			out.Outage = now.Sub(r.RevokedAt)
		}
		return out
	}
	out.DeployedAt = c.AckedAt
	works := c.AckedAt
	if c.Observed == r.Target {
		out.ObservedAt, out.Proof, works = c.ObservedAt, "observed", c.ObservedAt
	}
	if c.Verified == r.Target {
		out.VerifiedAt, works = c.VerifiedAt, latest(works, c.VerifiedAt)
	}
	if c.Matched == r.Target {
		out.VerifiedAt, works = c.MatchedAt, latest(works, c.MatchedAt)
		out.Proof = "a delivery matched"
	}
	if c.Attested == r.Target && out.Proof == "" {
		out.Proof = "attested by " + c.AttestedBy
	}
	if out.Proof == "" && !r.DeadAt.IsZero() && r.Strategy != Emergency {
		out.Proof = "the other key was quiet"
	}
	if c.Offered != "" && c.Matched != r.Target { // a receiver that has verified nothing since
		works = now
	}
	if outage && works.After(r.RevokedAt) {
		out.Outage = works.Sub(r.RevokedAt)
	}
	return out
}
