// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package statuspage

import (
	"cmp"
	"net/url"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

// The functions of this file copy what may be shown, field by field, so that what rotation's types get later is not shown by
// accident.

func newCredential(c rotation.Credential, st rotation.Status) Credential {
	out := Credential{
		Name: clean(c.Name), Type: clean(string(c.Type)), Risk: clean(string(c.Risk)), Scope: clean(string(c.Scope)), Contact: clean(c.Contact),
		Issuer: identity(c.Issuer), Verifier: identity(c.Verifier), Store: identity(c.Store),
		Generation: st.Generation, IssuedAt: utc(st.IssuedAt), Due: utc(st.Due), CheckedAt: utc(st.CheckedAt), Begins: utc(st.Begins), HeldUntil: utc(st.HeldUntil), Next: utc(st.Next),
		Problem: newProblem(st.Problem, c.Name), Open: newRotation(st.Open, c), Last: newRotation(st.Last, c),
	}
	if c.Type != "" {
		out.MaxAge = c.MaxAge()
	}
	for _, n := range st.Needs {
		need := Need{ID: clean(n.ID), Kind: clean(string(n.Kind)), Name: clean(n.Name), Text: plain(n.Text, c.Name), Until: utc(n.Until)}
		for _, v := range n.Verbs {
			need.Verbs = append(need.Verbs, clean(string(v)))
		}
		out.Needs = append(out.Needs, need)
	}
	for _, d := range st.Debts {
		out.Debts = append(out.Debts, Debt{
			ID: clean(d.ID), Key: clean(cmp.Or(d.Key.ID, d.Key.Name, "key without id")), Generation: d.Key.Generation,
			Since: utc(d.Since), Problem: newProblem(d.Problem, c.Name),
		})
	}
	for _, b := range c.Consumers {
		out.Bindings = append(out.Bindings, Binding{Name: clean(b.Name), Consumer: identity(b.Consumer)})
	}
	return out
}

func newRotation(r *rotation.Record, of rotation.Credential) *Rotation {
	if r == nil {
		return nil
	}
	out := &Rotation{
		ID: clean(r.ID), Strategy: clean(string(r.Strategy)), Phase: clean(string(r.Phase)), Outcome: clean(string(r.Outcome)),
		Generation: r.Generation, OldID: clean(r.OldID), NewID: clean(r.NewID), Reason: clean(r.Reason), Actor: clean(r.Actor),
		Trigger: clean(r.Trigger), Incident: clean(r.Incident), Problem: newProblem(r.Problem, of.Name), BeganAt: utc(r.BeganAt),
		EndedAt: utc(r.EndedAt), IssuedAt: utc(r.IssuedAt), DeployedAt: utc(r.DeployedAt), RevokedAt: utc(r.RevokedAt),
		DeadAt: utc(r.DeadAt), Deadline: utc(r.Deadline), DeadlineMet: r.DeadlineMet, Outage: r.Outage,
		RollbackUntil: utc(r.RollbackUntil), RollbackTakes: r.RollbackTakes,
	}
	for _, c := range r.Consumers {
		out.Consumers = append(out.Consumers, Consumer{
			Name: clean(c.Name), DeployedAt: utc(c.DeployedAt), ObservedAt: utc(c.ObservedAt), VerifiedAt: utc(c.VerifiedAt),
			Proof: clean(c.Proof), Outage: c.Outage, Problem: newProblem(c.Problem, of.Name),
		})
	}
	for _, m := range r.Timeline {
		out.Timeline = append(out.Timeline, Moment{At: utc(m.At), Phase: clean(string(m.Phase)), Actor: clean(m.Actor), Text: clean(m.Text)})
	}
	out.Steps = steps(r, of.Type)
	return out
}

// newProblem takes the text of e, which holds of its cause only what may be recorded.
func newProblem(e *rotation.Error, name string) *Problem {
	if e == nil {
		return nil
	}
	return &Problem{
		Text: plain(e.Error(), name), Diagnosis: clean(string(e.Diagnosis)), Consumer: clean(e.Consumer), Action: clean(e.Action),
	}
}

// plain is the text of an error without what its place on the page says already.
func plain(text, name string) string {
	return clean(strings.TrimPrefix(strings.TrimPrefix(text, "rotation: "), name+": "))
}

// identity is what a part says of what it talks to. Whatever it says, no user, password or query of a URL is shown.
func identity(part any) string {
	i, ok := rotation.As[rotation.Identifier](part)
	if !ok {
		return ""
	}
	text := i.Identity()
	if u, err := url.Parse(text); err == nil && u.Host != "" && (u.User != nil || u.RawQuery != "") {
		u.User, u.RawQuery, u.Fragment = nil, "", ""
		text = u.String()
	}
	return clean(text)
}

// clean keeps a text to what a page can hold.
func clean(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// utc is t as it is shown; zero stays zero.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Round(0)
}
