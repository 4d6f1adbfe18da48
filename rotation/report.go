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

// Done reports whether every credential that the incident names has a rotation under its reference, and all of them have ended.
func (r IncidentReport) Done() bool {
	return len(r.Records) > 0 && len(r.Unknown) == 0 && len(r.Missing) == 0 && !slices.ContainsFunc(r.Records, func(rec Record) bool { return rec.EndedAt.IsZero() })
}

// String is the text for the incident's ticket.
func (r IncidentReport) String() string {
	var b strings.Builder
	line := func(label, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			fmt.Fprintf(&b, "%-12s%s\n", label, text)
		}
	}
	fmt.Fprintf(&b, "Incident %s\n", r.Incident.Reference)
	line("reason", "%s", r.Incident.Reason)
	line("by", "%s", r.Actor)
	line("exposed", "%s", when(r.Incident.ExposedAt))
	line("confirmed", "%s", when(r.Incident.ConfirmedAt))
	for _, name := range r.Unknown {
		line("NOT KILLED", "%s: no such credential is registered", name)
	}
	for _, g := range r.Missing {
		word, text := g.text()
		line(word, "%s: %s", g.Credential, text)
	}
	for _, rec := range r.Records {
		fmt.Fprintf(&b, "\n%s", rec)
	}
	for i, n := range r.Needs {
		if i == 0 {
			b.WriteString("\nstill open\n")
		}
		fmt.Fprintf(&b, "  %s: %s: %s\n", n.Credential, n.Need.text(), n.who())
	}
	for i, f := range r.FollowUps() {
		if i == 0 {
			b.WriteString("\nto do\n")
		}
		fmt.Fprintf(&b, "  %s\n", f)
	}
	return b.String()
}

// String is the record for people: what happened when, and how each consumer fared.
func (r Record) String() string {
	var b strings.Builder
	line := func(label, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			fmt.Fprintf(&b, "  %-12s%s\n", label, text)
		}
	}
	state := string(r.Outcome)
	if r.Outcome == Unfinished {
		state = "in phase " + string(r.Phase)
	}
	fmt.Fprintf(&b, "%s: %s rotation to generation %d, %s\n", r.Credential, r.Strategy, r.Generation, state)
	if r.Strategy == Emergency {
		for _, k := range r.doomed() {
			line("compromised", "%s", k.text())
		}
		line("successor", "%s", cmp.Or(r.NewID, "none yet"))
	} else {
		line("keys", "%s -> %s", cmp.Or(r.OldID, "none"), cmp.Or(r.NewID, "none yet"))
	}
	line("reason", "%s", r.Reason)
	line("began", "%s by %s", when(r.BeganAt), r.Actor)
	line("revoked", "%s", when(r.RevokedAt))
	line("deployed", "%s", when(r.DeployedAt))
	line("dead", "%s", when(r.DeadAt))
	line("ended", "%s", when(r.EndedAt))
	if !r.Deadline.IsZero() {
		met := "open"
		if late := r.late(); late != "" {
			met = "MISSED: " + late
		} else if r.met() {
			met = "met"
		}
		line("deadline", "%s, %s", when(r.Deadline), met)
	}
	if r.Outage > 0 {
		open := ""
		if r.EndedAt.IsZero() && slices.ContainsFunc(r.Consumers, ConsumerRecord.out) {
			open = " so far"
		}
		line("outage", "%v at most%s", r.Outage.Round(time.Millisecond), open)
	}
	for _, u := range r.Usage {
		line("used", "%s", u.text())
	}
	if r.RollbackTakes > 0 {
		line("back after", "%v", r.RollbackTakes.Round(time.Millisecond))
	}
	if r.Problem != nil {
		line("problem", "%s", r.Problem)
		line("do", "%s", r.Problem.Action)
	}
	r.writeConsumers(&b)
	for i, m := range r.Timeline {
		if i == 0 {
			b.WriteString("  timeline\n")
		}
		by := ""
		if m.Actor != "" {
			by = " (" + m.Actor + ")"
		}
		fmt.Fprintf(&b, "    %s  +%-9v %-9s%s%s\n", m.At.UTC().Format("15:04:05.000"), m.At.Sub(r.BeganAt).Round(time.Millisecond), m.Phase, m.Text, by)
	}
	return b.String()
}

// String is the status for people: where the credential stands, what it waits for and who can answer. Record.String of Open
// and Last tells more.
func (s Status) String() string {
	var b strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "  %-12s%s\n", label, fmt.Sprintf(format, args...))
	}
	if s.Generation == 0 {
		fmt.Fprintf(&b, "%s: no key is known yet\n", s.Credential)
	} else {
		fmt.Fprintf(&b, "%s: generation %d, issued %s, due %s\n", s.Credential, s.Generation, cmp.Or(when(s.IssuedAt), "nobody knows when"), cmp.Or(when(s.Due), "now"))
	}
	if !s.Begins.IsZero() {
		line("begins", "%s", when(s.Begins))
	}
	if !s.HeldUntil.IsZero() {
		line("held", "until %s", when(s.HeldUntil))
	}
	if s.Problem != nil {
		line("problem", "%s", s.Problem)
	}
	if o := s.Open; o != nil {
		line("open", "%s rotation to generation %d, in phase %s, began %s", o.Strategy, o.Generation, o.Phase, when(o.BeganAt))
		if o.Problem != nil {
			line("problem", "%s", o.Problem)
		}
		if o.Problem != nil && o.Problem.Action != "" {
			line("do", "%s", o.Problem.Action)
		}
	}
	for _, n := range s.Needs {
		line("waits for", "%s", n.text())
	}
	for _, d := range s.Debts {
		line("debt", "%s since %s (%s)", d.Key, when(d.Since), d.ID)
		if d.Problem != nil {
			line("", "%s", d.Problem)
		}
		if d.Problem != nil && d.Problem.Action != "" {
			line("do", "%s", d.Problem.Action)
		}
	}
	if l := s.Last; l != nil {
		line("last", "%s rotation to generation %d, %s at %s", l.Strategy, l.Generation, l.Outcome, when(l.EndedAt))
	}
	line("next look", "%s", when(s.Next))
	return b.String()
}

// text is one need on one line, with the answers that it takes.
func (n Need) text() string {
	text := n.Text
	if !n.Until.IsZero() {
		text += ", until " + when(n.Until)
	}
	if len(n.Verbs) > 0 {
		var verbs []string
		for _, v := range n.Verbs {
			verbs = append(verbs, string(v))
		}
		text += fmt.Sprintf(" (%s: %s)", n.ID, strings.Join(verbs, ", "))
	}
	return text
}

// out reports whether it has not been seen working again.
func (c ConsumerRecord) out() bool {
	return c.Outage > 0 && c.VerifiedAt.IsZero() && c.ObservedAt.IsZero()
}

func (r Record) writeConsumers(b *strings.Builder) {
	for i, c := range r.Consumers {
		if i == 0 {
			b.WriteString("  consumers\n")
		}
		state := "not told yet"
		switch {
		case !c.VerifiedAt.IsZero():
			state = "works since " + when(c.VerifiedAt)
		case !c.ObservedAt.IsZero():
			state = "seen on the key at " + when(c.ObservedAt)
		case !c.DeployedAt.IsZero():
			state = "told at " + when(c.DeployedAt)
		}
		if c.Proof != "" {
			state += ", " + c.Proof
		}
		if c.Outage > 0 {
			was := "was out"
			if r.EndedAt.IsZero() && c.out() {
				was = "may be out"
			}
			state += fmt.Sprintf(", %s for %v", was, c.Outage.Round(time.Millisecond))
		}
		if c.Problem != nil {
			state += ", " + c.Problem.Error()
		}
		fmt.Fprintf(b, "    %-20s %s\n", c.Name, state)
	}
}

// when is a time for people; nothing for none.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 MST")
}
