// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"fmt"
	"time"
)

// The functions of this file decide. They read a record and facts and do nothing: what may be killed, how long the overlap
// is, who has to say what.

// missing is one fact that the gate lacks.
type missing struct {
	Kind     NeedKind
	ID       string
	Consumer string
	Until    time.Time // when a clock alone will bring it; zero: it does not
	Text     string
	Verbs    []Verb
	Problem  *Error // what it looks like to people, if it is more than waiting
}

// overlapNeed is how long both keys have to live after the last consumer was told: until the slowest presenter has let go,
// and what was issued or used just now is seen everywhere.
func overlapNeed(reg *registration, skew time.Duration) time.Duration {
	_, lag := reg.slowest()
	return lag + reg.Traits.Propagation + skew
}

// overlapOf is the need, raised by the policy. A roll-back has the need alone: the policy's minimum is time to find out that
// the new key is bad, and that is known.
func overlapOf(s Strategy, reg *registration, skew time.Duration) time.Duration {
	need := overlapNeed(reg, skew)
	if s == RollBack {
		return need
	}
	return max(need, reg.Policy.Overlap)
}

// lastMove is when the last consumer was told to use the target, and when all of them have done so at the latest.
func (r *run) lastMove(reg *registration) (told, moved time.Time) {
	told = latest(latest(r.BeganAt, r.PromotedAt), r.ActivatedAt)
	moved = told
	for _, c := range r.Consumers {
		if c.Acked != r.Target || c.AckedAt.IsZero() {
			continue
		}
		told = latest(told, c.AckedAt)
		lag := time.Duration(0)
		if b := reg.binding(c.Name); b != nil {
			lag = b.Lag
		}
		moved = latest(moved, c.AckedAt.Add(lag))
	}
	return told, moved
}

// overlapEnd is when the overlap has passed.
func (r *run) overlapEnd(reg *registration, skew time.Duration) time.Time {
	told, _ := r.lastMove(reg)
	return latest(told.Add(overlapOf(r.Strategy, reg, skew)), r.Extend)
}

// gate returns the facts that are missing before victim may be killed; none means that nobody presents it and that the
// target has been proven to work. It guards every kill outside an emergency, of an old key as of a new one.
func gate(reg *registration, st *state, victim *keyState, f *facts, skew time.Duration) []missing {
	if !victim.Presented {
		return nil // nobody ever had it
	}
	if reg.webhook {
		return webhookGate(reg, st, victim, f, skew)
	}
	var lacks []missing
	run := st.Run
	if f.Accepted != nil {
		lacks = append(lacks, missing{
			Kind: NeedRetry, ID: "accepted", Text: "the key that stays is not seen accepted",
			Problem: &Error{Evidence: "the key that stays is not seen accepted", Err: hide(f.Accepted)},
		})
	}
	dead := f.Refused[victim.Key.Serial] && f.Accepted == nil // nothing left to protect, and the verifier tells the two apart
	quiet := quietGate(reg, run, victim.Key, f.Usage[victim.Key.Serial], f.At)
	if victim.UsageSeen && f.Usage[victim.Key.Serial] == nil && !f.Gone[victim.Key.Serial] && !victim.disabled() {
		quiet = &missing{Kind: NeedQuiet, ID: "quiet", Text: "the issuer does not report the use of " + victim.Key.String() + " any more", Verbs: []Verb{VerbAttest, VerbRollBack}}
	}
	if quiet != nil && !dead {
		lacks = append(lacks, *quiet)
	}
	if end := run.overlapEnd(reg, skew); end.After(f.At) && !dead {
		lacks = append(lacks, missing{Kind: NeedTime, ID: "overlap", Until: end, Text: "both keys live until the overlap has passed", Verbs: []Verb{VerbExtend, VerbRollBack}})
	}
	reported := f.Usage[victim.Key.Serial] != nil && (quiet == nil || !dead) // where it is not quiet yet, that is asked for above
	for _, c := range run.Consumers {
		lacks = append(lacks, consumerGate(reg, run, generationOf(st.key(run.Target)), c, f, reported)...)
	}
	if st.Settle.After(f.At) {
		lacks = append(lacks, missing{Kind: NeedTime, ID: "settle", Until: st.Settle, Text: "calls of a process that died can still land"})
	}
	return lacks
}

// quietGate asks for evidence that the victim was not used since everybody has moved, over the whole window. nil: proven, or
// nothing reports use.
func quietGate(reg *registration, run *run, victim Key, u *Usage, now time.Time) *missing {
	if u == nil {
		return nil
	}
	_, moved := run.lastMove(reg)
	verbs := []Verb{VerbExtend, VerbRollBack}
	start := latest(latest(moved, u.Since), u.LastUsed) // a restarted counter has seen nothing before; a use begins the window anew
	end := start.Add(reg.Policy.Quiet)
	if !u.AsOf.Before(end) {
		return nil
	}
	m := &missing{
		Kind: NeedQuiet, ID: "quiet", Until: latest(end, now), Verbs: verbs,
		Text: fmt.Sprintf("%s has to be unused for %v; the evidence reaches to %s", victim, reg.Policy.Quiet, timeText(u.AsOf)),
	}
	if u.LastUsed.After(moved) {
		who := ""
		if u.Source != "" {
			who = " by " + u.Source
		}
		m.Text = victim.String() + " was still used" + who + " at " + timeText(u.LastUsed) + "; " + m.Text
		m.Problem = &Error{
			Diagnosis: OldKeyInUse, Evidence: victim.String() + " was used" + who + " at " + timeText(u.LastUsed) + ", after every known consumer had moved",
			Action: "find in the provider's access log who uses it (a service, a job, a monitor), give it the new key and add it to the consumers; the old key lives until then",
		}
	}
	return m
}

// consumerGate asks for the adoption and the function of one consumer, with the target, which has a generation. reported: what the issuer
// tells of the victim's use proves that nobody has stayed behind, or is waited for.
func consumerGate(reg *registration, run *run, generation int, c *consumerState, f *facts, reported bool) []missing {
	lack := func(kind NeedKind, what, text string, verbs ...Verb) missing {
		return missing{Kind: kind, ID: what + "/" + c.Name, Consumer: c.Name, Text: c.Name + ": " + text, Verbs: verbs, Problem: c.Problem}
	}
	b := reg.binding(c.Name)
	if b == nil {
		return []missing{lack(NeedPerson, "gone", "it is not registered any more", VerbForget)}
	}
	if c.Acked != run.Target {
		return []missing{lack(NeedConsumer, "deploy", "it has not been given the key yet")}
	}
	var lacks []missing
	if end := c.AckedAt.Add(b.Lag); end.After(f.At) {
		m := lack(NeedTime, "lag", "it may go on using the other key until its lag has passed")
		m.Until = end
		lacks = append(lacks, m)
	}
	s := f.Consumers[c.Name]
	switch {
	case s.Observable && !s.OnTarget:
		lacks = append(lacks, lack(NeedConsumer, "observe", "it is not seen on the key", VerbRollBack))
	case !s.Observable && c.Attested != run.Target && !reported && !run.untouched(c):
		m := lack(NeedPerson, "attest", fmt.Sprintf("nothing can see which key it uses: look, and attest that it works with generation %d", generation), VerbAttest, VerbRollBack)
		if m.Problem == nil {
			m.Problem = &Error{Consumer: c.Name, Diagnosis: Unproven, Evidence: "it reports no key, and the issuer reports no use", Action: "answer with attest"}
		}
		lacks = append(lacks, m)
	}
	if s.Verifiable && s.VerifyErr != nil {
		lacks = append(lacks, lack(NeedConsumer, "verify", "it is not seen working", VerbRollBack))
	}
	return lacks
}

// untouched reports whether a consumer can only be using the target: going back before the promotion never gave it another
// key, neither directly nor through the store.
func (r *run) untouched(c *consumerState) bool {
	return r.Target == r.Old && c.Acked == r.Old && c.Sent == 0 && !r.Promoted
}
