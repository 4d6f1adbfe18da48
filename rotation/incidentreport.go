// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// FollowUps are what is left to people when the keys are dead, and what the report itself gives cause to do; none where the report
// has no record. They are the same in Markdown, String and JSON.
func (r IncidentReport) FollowUps() []string {
	if len(r.Records) == 0 && len(r.Unknown) == 0 && len(r.Missing) == 0 {
		return nil
	}
	var out []string
	for _, name := range r.Unknown {
		out = append(out, fmt.Sprintf("End the keys of %s at their provider, or register it and call Emergency again: nothing here has killed them.", name))
	}
	for _, g := range r.Missing {
		out = append(out, g.followUp())
	}
	if len(r.Records) == 0 {
		return out
	}
	out = append(out, "Find out how it came out, and close that way before the next rotation: otherwise the new key goes the same way.")
	for _, rec := range r.Records {
		out = append(out, rec.followUps(r.Incident.ExposedAt)...)
	}
	return append(out,
		"Remove the value from where it lay: the history of repositories, logs, tickets, chats, artifacts of builds, dumps.",
		"Find out who is affected, and tell them.",
		"Rotate what was derived from the key or could be read with it: tokens, sessions, other secrets.",
	)
}

func (g IncidentGap) followUp() string {
	switch {
	case g.Problem != nil:
		return fmt.Sprintf("Look at the record of %s: it cannot be read, and nobody knows what became of its keys.", g.Credential)
	case len(g.CoveredBy) > 0:
		return fmt.Sprintf("Find out whether %s is the same leak for %s. If it is not, call Emergency again with the ids of the keys of %s that leaked.", strings.Join(g.CoveredBy, ", "), g.Credential, g.Credential)
	default:
		return fmt.Sprintf("Call Emergency again for %s: nothing has killed its keys under this reference.", g.Credential)
	}
}

// text says what is known of it, after a word in capitals.
func (g IncidentGap) text() (word, text string) {
	switch {
	case g.Problem != nil:
		return "NOT KNOWN", "its record cannot be read: " + g.Problem.text()
	case len(g.CoveredBy) > 0:
		return "NOT KILLED", "nothing was done under this reference; it may be the leak of " + strings.Join(g.CoveredBy, ", ")
	default:
		return "NOT KILLED", "nothing was done under this reference"
	}
}

// followUps are those of one credential.
func (r Record) followUps(exposed time.Time) []string {
	if r.Outcome == TakenOver {
		return nil
	}
	from, to := cmp.Or(when(exposed), "the exposure (nobody knows when)"), cmp.Or(when(r.DeadAt), "now (not proven dead)")
	out := []string{fmt.Sprintf("Look in the provider's log at what was done with the keys of %s between %s and %s: more than usual, from unknown places, for unusual things.", r.Credential, from, to)}
	if late := r.late(); late != "" {
		out = append(out, fmt.Sprintf("Find out why the deadline of %s was missed (%s).", r.Credential, late))
	}
	var outs []string
	for _, c := range r.Consumers {
		if c.Outage > 0 {
			outs = append(outs, fmt.Sprintf("%s for %v", c.Name, c.Outage.Round(time.Millisecond)))
		}
	}
	if len(outs) > 0 {
		out = append(out, fmt.Sprintf("Tell the users of %s that were out: %s.", r.Credential, strings.Join(outs, ", ")))
	}
	return out
}

// late says by how much a deadline was missed; empty: it was not, or is not over as far as the record reaches.
func (r Record) late() string {
	by := func(t time.Time) string { return t.Sub(r.Deadline).Round(time.Second).String() }
	switch first, told := cmp.Or(r.RevokedAt, r.DeadAt), cmp.Or(r.EndedAt, r.AsOf); {
	case r.Deadline.IsZero() || r.DeadlineMet:
		return ""
	case first.After(r.Deadline):
		return "by " + by(first)
	case !told.After(r.Deadline):
		return ""
	case first.IsZero():
		return "by " + by(told) + " so far, nothing is revoked"
	case r.RevokedAt.IsZero(): // somebody else has ended it in time
		return ""
	default:
		return "the first revocation was in time, and not every one"
	}
}

// met reports whether the revocation was sent in time, or not needed any more: then somebody else had ended the key.
func (r Record) met() bool {
	return r.DeadlineMet || r.RevokedAt.IsZero() && !r.DeadAt.IsZero() && !r.DeadAt.After(r.Deadline)
}

// who can end a need.
func (n IncidentNeed) who() string {
	if n.Need.Kind != NeedPerson && len(n.Need.Verbs) == 0 {
		return "it settles by itself"
	}
	return personOf(n.Contact)
}

func personOf(contact string) string {
	if contact != "" {
		return "a person, " + contact
	}
	return "a person"
}

// incidentReport is IncidentReport without methods.
type incidentReport IncidentReport

// MarshalJSON adds the FollowUps.
func (r IncidentReport) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		incidentReport
		FollowUps []string `json:"follow_ups,omitzero"`
	}{incidentReport(r), r.FollowUps()})
}

// Markdown is the record for a document: what happened to each credential and when, how it was used before, what is still open and
// who can end it, and what is left to do. Whatever somebody wrote into it stands there as text, and cannot become markup.
func (r IncidentReport) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Incident %s\n\n", md(r.Incident.Reference))
	table(&b, []string{"", ""}, [][]string{
		{"State", r.state()},
		{"Reason", r.Incident.Reason},
		{"Recorded by", r.Actor},
		{"Exposed", cmp.Or(when(r.Incident.ExposedAt), "not known")},
		{"Confirmed", cmp.Or(when(r.Incident.ConfirmedAt), "not known")},
	})
	if len(r.Records) > 0 {
		b.WriteString("\n## Credentials\n\n")
		var rows [][]string
		for _, rec := range r.Records {
			rows = append(rows, rec.incidentRow())
		}
		table(&b, []string{"Credential", "Compromised", "Successor", "State", "Revoked", "Dead", "Deployed", "Verified", "Deadline", "Outage", "Begun by"}, rows)
	}
	for _, rec := range r.Records {
		rec.section(&b)
	}
	r.stillOpen(&b)
	for i, f := range r.FollowUps() {
		if i == 0 {
			b.WriteString("\n## To do\n\n")
		}
		fmt.Fprintf(&b, "- [ ] %s\n", md(f))
	}
	return b.String()
}

func (r IncidentReport) state() string {
	ended := 0
	for _, rec := range r.Records {
		if !rec.EndedAt.IsZero() {
			ended++
		}
	}
	text := fmt.Sprintf("%d of %d rotations have ended", ended, len(r.Records))
	if len(r.Missing) > 0 {
		text += fmt.Sprintf(", and %d credentials have none under this reference", len(r.Missing))
	}
	if len(r.Unknown) > 0 {
		text += fmt.Sprintf(", and %d credentials are not known here", len(r.Unknown))
	}
	if r.Done() {
		text = "done: " + text
	}
	return text
}

func (r Record) incidentRow() []string {
	state := string(r.Outcome)
	if r.Outcome == Unfinished {
		state = "open, in phase " + string(r.Phase)
	}
	outage := ""
	if r.Outage > 0 {
		outage = r.Outage.Round(time.Millisecond).String() + " at most"
	}
	return []string{
		r.Credential, r.doomedText(), cmp.Or(r.NewID, "none yet"), state,
		cmp.Or(when(r.RevokedAt), "not yet"), cmp.Or(when(r.DeadAt), "not proven"), cmp.Or(when(r.DeployedAt), "not yet"), r.verifiedText(),
		r.deadlineText(), outage, r.Actor,
	}
}

// doomed are the compromised keys, as far as the record tells: one of an older version of this library names the key that was
// current.
func (r Record) doomed() []DoomedKey {
	if len(r.Compromised) > 0 || r.OldID == "" {
		return r.Compromised
	}
	return []DoomedKey{{Key: r.OldID, RevokedAt: r.RevokedAt, DeadAt: r.DeadAt}}
}

func (r Record) doomedText() string {
	var names []string
	for _, k := range r.doomed() {
		names = append(names, k.name())
	}
	return cmp.Or(strings.Join(names, ", "), "none")
}

func (k DoomedKey) name() string {
	name := cmp.Or(k.Key, "a key that only its value names")
	if k.Generation > 0 {
		name += fmt.Sprintf(" (generation %d)", k.Generation)
	}
	return name
}

// text is one line: when it was revoked, and when it was proven dead.
func (k DoomedKey) text() string {
	revoked, dead := "not revoked yet", "not proven dead"
	if !k.RevokedAt.IsZero() {
		revoked = "revoked " + when(k.RevokedAt)
	}
	if !k.DeadAt.IsZero() {
		dead = "dead " + when(k.DeadAt)
	}
	return k.name() + ", " + revoked + ", " + dead
}

// verifiedText is when the last consumer was seen working.
func (r Record) verifiedText() string {
	var last time.Time
	seen := 0
	for _, c := range r.Consumers {
		if !c.VerifiedAt.IsZero() {
			seen++
			last = latest(last, c.VerifiedAt)
		}
	}
	if len(r.Consumers) == 0 {
		return "no consumer is bound"
	}
	return strings.TrimSpace(fmt.Sprintf("%d of %d consumers %s", seen, len(r.Consumers), when(last)))
}

// deadlineText says by how much the deadline was kept or missed.
func (r Record) deadlineText() string {
	switch late := r.late(); {
	case r.Deadline.IsZero():
		return ""
	case late != "":
		return when(r.Deadline) + ", missed: " + late
	case !r.met():
		return when(r.Deadline) + ", open"
	case r.RevokedAt.IsZero(): // see late
		return when(r.Deadline) + ", met: it was dead before"
	default:
		return fmt.Sprintf("%s, met with %v to spare", when(r.Deadline), r.Deadline.Sub(r.RevokedAt).Round(time.Second))
	}
}

// section is what one credential has to tell beyond its row.
func (r Record) section(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n\n", md(r.Credential))
	fmt.Fprintf(b, "Rotation %s to generation %d, begun %s by %s.\n", md(r.ID), r.Generation, when(r.BeganAt), md(r.Actor))
	if r.Problem != nil {
		fmt.Fprintf(b, "\nProblem: %s. What to do: %s.\n", md(r.Problem.text()), md(cmp.Or(r.Problem.Action, "nothing, it is tried again")))
	}
	var keys [][]string
	for _, k := range r.doomed() {
		keys = append(keys, []string{k.name(), cmp.Or(when(k.RevokedAt), "not yet"), cmp.Or(when(k.DeadAt), "not proven")})
	}
	if len(keys) > 0 {
		b.WriteString("\n")
		table(b, []string{"Compromised key", "Revoked", "Dead"}, keys)
	}
	var rows [][]string
	for _, c := range r.Consumers {
		row := []string{c.Name, when(c.DeployedAt), cmp.Or(when(c.VerifiedAt), when(c.ObservedAt)), c.Proof, "", ""}
		if c.Outage > 0 {
			row[4] = c.Outage.Round(time.Millisecond).String()
		}
		if c.Problem != nil {
			row[5] = c.Problem.text()
		}
		rows = append(rows, row)
	}
	if len(rows) > 0 {
		b.WriteString("\n")
		table(b, []string{"Consumer", "Told", "Works since", "Proof", "Was out for", "Problem"}, rows)
	}
	b.WriteString("\nUse of the compromised keys before they were revoked:\n\n")
	for _, u := range r.Usage {
		fmt.Fprintf(b, "- %s\n", md(u.text()))
	}
	if len(r.Usage) == 0 {
		b.WriteString("- the issuer has told nothing of it\n")
	}
	for i, m := range r.Timeline {
		if i == 0 {
			b.WriteString("\nTimeline:\n\n")
		}
		by := ""
		if m.Actor != "" {
			by = " (" + md(m.Actor) + ")"
		}
		fmt.Fprintf(b, "- %s, %s: %s%s\n", when(m.At), md(string(m.Phase)), md(m.Text), by)
	}
}

// stillOpen is what is not done, and who can end it.
func (r IncidentReport) stillOpen(b *strings.Builder) {
	if len(r.Needs) == 0 && len(r.Unknown) == 0 && len(r.Missing) == 0 {
		return
	}
	b.WriteString("\n## Still open\n\n")
	var rows [][]string
	for _, name := range r.Unknown {
		rows = append(rows, []string{name, "NOT KILLED: no such credential is registered", "a person, at its provider", ""})
	}
	for _, g := range r.Missing {
		word, text := g.text()
		rows = append(rows, []string{g.Credential, word + ": " + text, personOf(g.Contact), ""})
	}
	for _, n := range r.Needs {
		answer := ""
		if len(n.Need.Verbs) > 0 {
			var verbs []string
			for _, v := range n.Need.Verbs {
				verbs = append(verbs, string(v))
			}
			answer = n.Need.ID + ": " + strings.Join(verbs, ", ")
		}
		text := n.Need.Text
		if !n.Need.Until.IsZero() {
			text += ", until " + when(n.Need.Until)
		}
		rows = append(rows, []string{n.Credential, text, n.who(), answer})
	}
	table(b, []string{"Credential", "What", "Who can end it", "Answer"}, rows)
}

// table writes a table of cells that become text.
func table(b *strings.Builder, header []string, rows [][]string) {
	row := func(cells []string) {
		for _, c := range cells {
			b.WriteString("| " + md(c) + " ")
		}
		b.WriteString("|\n")
	}
	row(header)
	b.WriteString(strings.Repeat("| --- ", len(header)) + "|\n")
	for _, cells := range rows {
		row(cells)
	}
}

var (
	markup = strings.NewReplacer(
		`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "|", `\|`, "~", `\~`, "#", `\#`, "!", `\!`,
		"&", "&amp;", "<", "&lt;", ">", "&gt;", "://", `:\//`, "www.", `www\.`,
	)
	bullet = regexp.MustCompile(`^([-+=])`)
	number = regexp.MustCompile(`^(\d+)([.)])( |$)`)
)

// md is a text that Markdown shows as it is, on one line.
func md(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, text)
	text = markup.Replace(strings.Join(strings.Fields(text), " "))
	return number.ReplaceAllString(bullet.ReplaceAllString(text, `\$1`), `$1\$2$3`)
}
