// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// What the receivers of a webhook tell of the deliveries that they verified, and what follows from it.

// observeReceivers completes the facts of a webhook: nothing but the receivers can say who still signs with what.
func (d *drive) observeReceivers(f *facts) {
	for _, victim := range d.st.victims() {
		if key := d.whole(victim); !key.Secret.IsZero() {
			f.Refused[victim.Key.Serial] = errors.Is(d.verify(key), ErrRejected)
		}
	}
	d.readReceipts(f.Consumers, func(c *consumerState, s sight) {
		d.rememberReceipts(c, s)
		f.Consumers[c.Name] = s
	})
}

// freshMatch has the sender make a delivery where nothing but that is missing at the end of a quiet time.
func (d *drive) freshMatch(f *facts) (*facts, error) {
	lacksMatch := func(m missing) bool { return strings.HasPrefix(m.ID, "match/") }
	var lacks []missing
	for _, victim := range d.st.victims() {
		lacks = append(lacks, gate(d.reg, d.st, victim, f, d.r.cfg.ClockSkew)...)
	}
	if len(lacks) == 0 || slices.ContainsFunc(lacks, func(m missing) bool { return !lacksMatch(m) }) || !d.ping() {
		return f, nil
	}
	d.fresh = nil
	return d.observe()
}

// readReceipts asks every receiver when it last verified a delivery signed with the target, or with a victim.
func (d *drive) readReceipts(seen map[string]sight, then func(*consumerState, sight)) {
	run := d.st.Run
	keys := []*keyState{d.st.key(run.Target)}
	keys = append(keys, d.st.victims()...)
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(readers)
	told := map[string]sight{}
	for _, c := range run.Consumers {
		b := d.reg.binding(c.Name)
		if b == nil || b.Usage == nil {
			continue
		}
		s := seen[c.Name]
		g.Go(func() error {
			s.Receipts = map[int64]*Usage{}
			for _, k := range keys {
				u, err := guarded(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) (Usage, error) { return b.Usage.Usage(ctx, k.Key) })
				if unsupported(err) {
					s.Receipts = nil
					break
				}
				if d.emergency() && k.Key.Serial != run.Target && errors.Is(err, ErrNotFound) {
					continue // whoever refuses it need not know it
				}
				if err != nil {
					s.Receipts, s.ReceiptErr = nil, err
					break
				}
				s.Receipts[k.Key.Serial] = &u
			}
			mu.Lock()
			defer mu.Unlock()
			told[c.Name] = s
			return nil
		})
	}
	_ = g.Wait() // what could not be read is a fact too
	for _, c := range run.Consumers {
		if s, ok := told[c.Name]; ok {
			then(c, s)
		}
	}
}

// rememberReceipts records the first delivery that matched the target since the sender was told, and names the trouble of one
// that still matches something else.
func (d *drive) rememberReceipts(c *consumerState, s sight) {
	run := d.st.Run
	if s.ReceiptErr != nil {
		c.Problem = &Error{Consumer: c.Name, Evidence: "it does not tell which secret its deliveries match", Action: "look why it does not answer", Err: hide(s.ReceiptErr)}
		return
	}
	u := s.Receipts[run.Target]
	if u != nil && run.Activated == run.Target && u.LastUsed.After(run.since(d.r.cfg.ClockSkew)) {
		if c.Matched != run.Target {
			c.Matched, c.MatchedAt = run.Target, u.LastUsed
		}
		c.LastMatched = latest(c.LastMatched, u.LastUsed)
	}
	old := false
	for _, victim := range d.st.victims() {
		v := s.Receipts[victim.Key.Serial]
		if v == nil || !d.stillSigns(v, u) {
			continue
		}
		if old = true; c.OldSince.IsZero() {
			c.OldSince = time.Now()
		}
		// A delivery that is repeated is no news of the sender.
		if c.Matched != run.Target || time.Since(c.OldSince) >= d.reg.Policy.Patience {
			c.Problem = senderOnOld(c.Name, victim.Key, v)
		}
	}
	if !old {
		c.OldSince = time.Time{}
	}
}

// since is after when a delivery signed with the target says that the sender has changed. A new secret says so whenever it is seen.
func (r *run) since(skew time.Duration) time.Time {
	if r.Target == r.New {
		return r.IssuedAt.Add(-skew)
	}
	return r.ActivatedAt.Add(skew)
}

// stillSigns reports whether the newest delivery was signed with the other key although the sender has been told for a while.
func (d *drive) stillSigns(other, target *Usage) bool {
	run := d.st.Run
	newest := target == nil || other.LastUsed.After(target.LastUsed)
	return newest && other.LastUsed.After(run.ActivatedAt.Add(d.reg.Traits.Propagation))
}

func senderOnOld(consumer string, k Key, u *Usage) *Error {
	return &Error{
		Consumer: consumer, Diagnosis: SenderOnOldSecret,
		Evidence: fmt.Sprintf("a delivery signed with %s arrived at %s, after the sender was told to use another secret", k, timeText(u.LastUsed)),
		Action:   "look at the sender's configuration; both secrets are accepted until it has changed",
	}
}

// webhookGate returns the facts that are missing before the receivers may forget victim: each of them accepts the target and has
// verified a delivery signed with it, and none has needed the victim for as long as the sender may repeat a delivery.
func webhookGate(reg *registration, st *state, victim *keyState, f *facts, skew time.Duration) []missing {
	var lacks []missing
	run := st.Run
	if f.Accepted != nil {
		lacks = append(lacks, missing{
			Kind: NeedRetry, ID: "accepted", Text: "the secret that stays is not seen accepted by every receiver",
			Problem: &Error{Evidence: "the secret that stays is not seen accepted by every receiver", Err: hide(f.Accepted)},
		})
	}
	dead := f.Refused[victim.Key.Serial] && f.Accepted == nil // nothing left to protect
	if end := run.overlapEnd(reg, skew); end.After(f.At) && !dead {
		lacks = append(lacks, missing{Kind: NeedTime, ID: "overlap", Until: end, Text: "both secrets are accepted until the overlap has passed", Verbs: []Verb{VerbExtend, VerbRollBack}})
	}
	for _, c := range run.Consumers {
		lacks = append(lacks, receiverGate(reg, run, victim, c, f, dead)...)
	}
	for name, until := range st.Lands {
		if until.After(f.At) && reg.binding(name) != nil {
			lacks = append(lacks, missing{Kind: NeedTime, ID: "landing", Until: until, Text: "a call that tells " + name + " what to accept can still land"})
		}
	}
	if victim.Activating.After(f.At) {
		lacks = append(lacks, missing{Kind: NeedTime, ID: "settle", Until: victim.Activating, Text: "a call that makes the sender use the other secret can still land"})
	}
	if st.Settle.After(f.At) {
		lacks = append(lacks, missing{Kind: NeedTime, ID: "settle", Until: st.Settle, Text: "calls of a process that died can still land"})
	}
	return lacks
}

// receiverGate asks for what is missing of one receiver.
func receiverGate(reg *registration, run *run, victim *keyState, c *consumerState, f *facts, dead bool) []missing {
	lack := func(kind NeedKind, what, text string, verbs ...Verb) missing {
		return missing{Kind: kind, ID: what + "/" + c.Name, Consumer: c.Name, Text: c.Name + ": " + text, Verbs: verbs, Problem: c.Problem}
	}
	s := f.Consumers[c.Name]
	switch {
	case reg.binding(c.Name) == nil:
		return []missing{lack(NeedPerson, "gone", "it is not registered any more", VerbForget)}
	case s.Verifiable && s.VerifyErr != nil:
		return []missing{lack(NeedConsumer, "verify", "it is not seen accepting the secret that stays", VerbRollBack)}
	case dead:
		return nil
	case s.Receipts == nil && c.Quieted == run.Target:
		return nil
	case s.ReceiptErr != nil:
		return []missing{lack(NeedConsumer, "quiet", "it does not tell which secret its deliveries match", VerbAttest, VerbRollBack)}
	case s.Receipts == nil:
		return []missing{lack(NeedPerson, "quiet", fmt.Sprintf("nothing tells which secret its deliveries match: look, and attest that none has needed %s for %v", victim.Key, reg.Policy.Quiet), VerbAttest, VerbExtend, VerbRollBack)}
	}
	u := s.Receipts[victim.Key.Serial]
	if c.Quieted == run.Target && !u.LastUsed.After(c.QuietedAt) { // what is seen later outweighs the word
		return nil
	}
	_, moved := run.lastMove(reg)
	moved = latest(moved, latest(run.ActivatedAt, victim.Activating).Add(reg.Traits.Propagation)) // until then it may have made another one
	start := latest(latest(moved, u.Since), u.LastUsed)                                           // a restarted counter has seen nothing before
	end := start.Add(reg.Policy.Quiet)
	if !u.AsOf.Before(end) {
		last := latest(latest(run.ActivatedAt, victim.Activating), latest(u.Since, u.LastUsed))
		if c.Matched == run.Target && !c.LastMatched.Before(last) {
			return nil
		} // silence alone says nothing of what the sender would sign with
		return []missing{lack(NeedConsumer, "match", "no delivery signed with the secret that stays has come after the last one that was not", VerbAttest, VerbExtend, VerbRollBack)}
	}
	m := lack(NeedQuiet, "quiet", fmt.Sprintf("no delivery may need %s for %v; the evidence reaches to %s", victim.Key, reg.Policy.Quiet, timeText(u.AsOf)), VerbAttest, VerbExtend, VerbRollBack)
	m.Until = latest(end, f.At)
	return []missing{m}
}
