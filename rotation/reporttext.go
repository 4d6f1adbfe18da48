// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

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
