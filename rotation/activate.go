// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// signsAtOnce reports whether the sender of a webhook signs with a secret as soon as it is made.
func (d *drive) signsAtOnce() bool {
	_, ok := As[Activator](d.reg.Issuer)
	return d.reg.webhook && !ok
}

// activate tells the sender to sign with the target. From the intent on it may be signing with either.
func (d *drive) activate() error {
	run := d.st.Run
	key := d.st.key(run.Target)
	act, ok := As[Activator](d.reg.Issuer)
	switch {
	case d.neverLeft() || run.Activated == run.Target:
		return nil
	case !ok: // it does so since it was made
		key.Presented = true
		run.Activated, run.ActivatedAt = run.Target, latest(run.IssuedAt, run.BeganAt)
		return nil
	}
	if !d.emergency() { // there the receivers were told at once, and the sender waits for none of them
		if err := d.nobodyBehind(); err != nil {
			return err
		}
	}
	if err := d.inWindow(); err != nil {
		return err
	}
	if err := d.read(); err != nil {
		return err
	}
	before := key.Activating
	key.Presented, key.Activating = true, time.Now().Add(d.r.settle(d.reg)).Round(0)
	run.Activated = 0
	for _, c := range run.Consumers {
		c.Quieted = 0
	}
	if run.SenderTold != run.Target {
		run.SenderTold = 0
	}
	d.fresh = nil
	if err := d.save(); err != nil {
		return err
	}
	value := d.value(run.Target)
	err := guard(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) error { return act.Activate(ctx, value) })
	if err == nil || errors.Is(err, ErrManual) { // it has landed; a call before it may not have
		key.Activating = before
	}
	if errors.Is(err, ErrManual) && run.SenderTold == run.Target {
		err = nil // a person said that it is done
	}
	switch {
	case errors.Is(err, ErrManual):
		return d.again(d.personNeed("activate", "", publicText(err), VerbDone, VerbRollBack))
	case errors.Is(err, ErrNotYet):
		return d.again(Need{ID: d.needID("activate"), Kind: NeedRetry, Text: "the sender is being told to sign with the secret"})
	case err != nil:
		return d.failing(&Error{Evidence: "the sender was not told to sign with " + key.Key.String(), Err: hide(err)})
	}
	run.Failing = time.Time{}
	run.Activated, run.ActivatedAt = run.Target, time.Now()
	d.emit(Event{Kind: EventActivated, Key: key.Key.named(), Text: "the sender signs with " + key.Key.String()})
	return nil
}

// matched waits until every receiver has verified a delivery that the sender signed with the target since it was told to, and has
// the sender make one where it can.
func (d *drive) matched() error {
	run := d.st.Run
	if d.neverLeft() {
		return nil
	}
	if err := d.nobodyBehind(); err != nil {
		return err
	}
	landed := d.senderLanded()
	if landed.After(time.Now()) {
		return &waiting{needs: []Need{{ID: d.needID("settle"), Kind: NeedTime, Until: landed, Text: "a call that makes the sender use another secret can still land"}}}
	}
	if _, can := As[Activator](d.reg.Issuer); can && run.ActivatedAt.Before(landed) { // it may have landed after the answer
		run.Activated, run.SenderTold = 0, 0
		return to(PhaseActivate, "the sender may have heard of another secret later")
	}
	needs, err := d.unmatched()
	if err == nil && len(needs) > 0 && d.ping() {
		needs, err = d.unmatched()
	}
	switch {
	case err != nil:
		return err
	case len(needs) == 0:
		d.emit(Event{Kind: EventProven, Key: d.st.key(run.Target).Key.named(), Text: "every receiver has verified a delivery that was signed with " + d.st.key(run.Target).Key.String()})
		return nil
	case d.senderStrayed():
		return to(PhaseActivate, "the sender still uses another secret")
	default:
		return d.again(needs...)
	}
}

// ping has the sender deliver a test. It reports whether it was done.
func (d *drive) ping() bool {
	if d.reg.Ping == nil {
		return false
	}
	key := d.value(d.st.Run.Target)
	err := guard(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) error { return d.reg.Ping.Verify(ctx, key) })
	if err != nil && !unsupported(err) {
		d.st.Problem = &Error{Evidence: "the sender's test delivery failed", Err: hide(err)}
	}
	return err == nil
}

// unmatched are the receivers that have not verified a delivery signed with the target since the sender was told.
func (d *drive) unmatched() ([]Need, error) {
	run := d.st.Run
	seen := d.look(run.Consumers, run.Target)
	if err := d.relearn(seen); err != nil {
		return nil, err
	}
	d.readReceipts(seen, func(c *consumerState, s sight) {
		d.rememberReceipts(c, s)
		seen[c.Name] = s
	})
	landed := d.senderLanded()
	var needs []Need
	for _, c := range run.Consumers {
		b := d.reg.binding(c.Name)
		if b == nil || c.Matched == run.Target && !c.LastMatched.Before(landed) {
			continue
		}
		n := Need{ID: d.needID("match/" + c.Name), Kind: NeedConsumer, Name: c.Name, Text: c.Name + ": no delivery signed with the secret has arrived since the sender was told, or only repeats of others", Verbs: []Verb{VerbAttest, VerbExtend, VerbRollBack}}
		if c.Problem != nil {
			n.Text = c.Problem.text()
			d.st.Problem = c.Problem
		}
		if s := seen[c.Name]; s.Receipts == nil && s.ReceiptErr == nil {
			n.Kind = NeedPerson
			n.Text = fmt.Sprintf("%s: nothing tells which secret a delivery matched: look, and attest that one with generation %d was verified", c.Name, generationOf(d.st.key(run.Target)))
		}
		needs = append(needs, n)
	}
	return needs, nil
}

// senderLanded is when no call can take effect any more that makes the sender sign with another key than the target.
func (d *drive) senderLanded() time.Time {
	var landed time.Time
	for _, k := range d.st.Keys {
		if k.Key.Serial != d.st.Run.Target {
			landed = latest(landed, k.Activating)
		}
	}
	return landed
}

// senderStrayed forgets that the sender was told where the newest deliveries say otherwise for longer than patience: a call that
// told it something else may have landed later.
func (d *drive) senderStrayed() bool {
	run := d.st.Run
	_, can := As[Activator](d.reg.Issuer)
	// In an emergency nobody accepts another secret, and so nobody can tell that the sender uses one.
	deaf := d.emergency() && slices.ContainsFunc(run.Consumers, func(c *consumerState) bool { return c.Matched != run.Target })
	if !d.reg.webhook || !can || run.Activated != run.Target || run.SenderTold == run.Target || time.Since(run.ActivatedAt) < d.reg.Policy.Patience {
		return false
	}
	if deaf {
		run.Activated = 0
		return true
	}
	for _, c := range run.Consumers {
		if !c.OldSince.IsZero() && time.Since(c.OldSince) >= d.reg.Policy.Patience {
			run.Activated, c.OldSince = 0, time.Time{}
			return true
		}
	}
	return false
}

// attest takes a person's word on a receiver.
func (d *drive) attest(n Need, a Answer, c *consumerState) {
	run := d.st.Run
	generation := generationOf(d.st.key(run.Target))
	switch {
	case strings.HasPrefix(n.what(), "match/"):
		now := time.Now()
		c.Matched, c.MatchedAt, c.LastMatched = run.Target, now, now
		d.answered(a, fmt.Sprintf("%s has verified a delivery with generation %d", n.Name, generation))
	case strings.HasPrefix(n.what(), "quiet/"):
		c.Quieted, c.QuietedAt = run.Target, time.Now()
		d.answered(a, fmt.Sprintf("%s gets no delivery any more but with generation %d", n.Name, generation))
	default:
		c.Sworn = c.Holds
		d.answered(a, fmt.Sprintf("%s accepts what it was told, and nothing else", n.Name))
	}
}
