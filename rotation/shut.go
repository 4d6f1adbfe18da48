// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/hashicorp/go-multierror"
	"golang.org/x/sync/errgroup"
)

// A webhook secret is killed where it is accepted: every receiver is told to accept everything else. This file does so outside
// the steps: for what is compromised, for debts, and without a record.

// shutOut has every receiver refuse what is compromised, beside everything else that is going on, and waits for none of it. While
// a successor is tried first, an alarm does it when that takes too long.
func (d *drive) shutOut() {
	due := slices.ContainsFunc(d.st.victims(), func(k *keyState) bool {
		return k.compromised() && k.DeadAt.IsZero() && !k.Answered && !k.Retry.At.After(time.Now()) && d.untouchable(k) == nil
	})
	if !due {
		return
	}
	_ = d.read() // a store that does not answer keeps nothing alive: what is not known is not accepted
	run, set := d.st.Run, d.acceptSet()
	var reqs []DeployRequest
	for _, c := range run.Consumers {
		if d.reg.binding(c.Name) != nil && c.Holds != labelOf(set) {
			reqs = append(reqs, d.request(c, d.value(run.Target), RoleCurrent))
		}
	}
	if !run.mayRevoke(d.st, d.reg.Traits, time.Now()) {
		if d.alarm == nil {
			d.alarm = time.AfterFunc(time.Until(run.IssueBy), func() { d.sendShut(reqs) })
		}
		return
	}
	d.sendShut(reqs)
	if run.RevokeFirst {
		d.fold()
	}
}

// sendShut tells receivers, each the same once in an Advance.
func (d *drive) sendShut(reqs []DeployRequest) {
	k := d.kills
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, req := range reqs {
		if k.closed || k.ids[req.ID] {
			continue
		}
		k.ids[req.ID] = true
		k.pending++
		go func() {
			at := time.Now()
			err := d.r.tell(d.ctx, d.reg, req)
			k.mu.Lock()
			defer k.mu.Unlock()
			k.results = append(k.results, killed{receiver: req.Consumer, set: labelOf(req.Accept), at: at, err: err})
			k.pending--
			k.done.Broadcast()
		}()
	}
}

// foldShut records which receivers were told. When all of them were, what is compromised counts as answered, and is to be proven.
func (d *drive) foldShut(results []killed) {
	run := d.st.Run
	if run == nil { // it has ended, with everything told
		return
	}
	var failed *multierror.Error
	for _, res := range results {
		c := run.consumer(res.receiver)
		if c == nil {
			continue
		}
		c.Sent, c.Offered = run.Target, res.set
		if res.err != nil {
			failed = multierror.Append(failed, res.err)
			continue
		}
		c.Holds, c.Acked, c.AckedAt, c.Role = res.set, run.Target, time.Now(), RoleCurrent
	}
	told := !slices.ContainsFunc(run.Consumers, func(c *consumerState) bool {
		return d.reg.binding(c.Name) != nil && c.Holds != labelOf(d.acceptSet())
	})
	for _, victim := range d.st.victims() {
		if !victim.compromised() || !victim.DeadAt.IsZero() || len(results) == 0 && !told {
			continue
		}
		for _, res := range results {
			victim.RevokedAt = earliest(victim.RevokedAt, res.at)
		}
		switch err := failed.ErrorOrNil(); {
		case told && !victim.Answered:
			_ = d.revoked(victim, time.Now(), nil) // which has no error of its own
		case err != nil:
			victim.Retry = d.backoff(victim.Retry, err)
		}
	}
	if err := failed.ErrorOrNil(); err != nil {
		p := &Error{Credential: d.reg.Name, Rotation: run.ID, Phase: PhaseDrop, Evidence: "not every receiver was told to refuse what is compromised", Action: "it is tried again until each refuses it", Err: hide(err)}
		d.st.Problem = p
		d.unkilled = append(d.unkilled, p)
		d.emit(Event{Kind: EventFailed, Level: slog.LevelError, Problem: p, Text: p.Error()})
	}
}

// allTold makes sure, before anything is proven, that a receiver which was added late knows what to accept, and that a person has
// looked at those that nothing else can look into.
func (d *drive) allTold() error {
	var added []*consumerState
	for _, c := range d.st.Run.Consumers {
		if c.Sent == 0 || d.emergency() {
			added = append(added, c)
		}
	}
	if err := d.read(); err != nil {
		return err
	}
	if d.neverLeft() {
		added = nil
	}
	if err := d.deploy(added, RoleCurrent); err != nil {
		return err
	}
	return d.sworn("nothing can see which secrets it accepts: look, and attest that it accepts generation %d and no older one")
}

// cleanSender ends what the provider still holds of secrets that no receiver is to accept any more. It is tried as long as patience
// lasts: they are of no use to anybody.
func (d *drive) cleanSender() error {
	for _, victim := range d.st.victims() {
		if !victim.Answered && victim.DeadAt.IsZero() || victim.Cleaned {
			continue
		}
		if err := d.endAtSender(victim); err != nil {
			run := d.st.Run
			if run.Failing.IsZero() {
				run.Failing = time.Now()
			}
			if time.Since(run.Failing) < d.reg.Policy.Patience {
				return &Error{Evidence: victim.Key.String() + " was not removed at the sender", Err: hide(err)}
			}
			d.note(slog.LevelWarn, victim.Key.String()+" is accepted by nobody any more, and was not removed at the sender: remove it there")
		}
		victim.Cleaned = true
	}
	return nil
}

// shut has every receiver forget a debt.
func (d *drive) shut(k *keyState) error {
	if err := d.read(); err != nil {
		return err
	}
	if err := d.project(nil); err != nil {
		return err
	}
	if k.RevokedAt.IsZero() {
		k.RevokedAt = time.Now()
	}
	set := d.acceptSet()
	errs := make([]error, len(d.reg.Bindings))
	var g errgroup.Group
	for i, b := range d.reg.Bindings {
		req := DeployRequest{
			ID:         fmt.Sprintf("%s/without-%d/%s/%s/%d", d.home, k.Key.Serial, b.Name, labelOf(set), k.Retry.Failures),
			Credential: d.reg.Name, Consumer: b.Name, Key: d.living(), Role: RoleCurrent, Accept: set,
		}
		g.Go(func() error {
			errs[i] = d.r.tell(d.ctx, d.reg, req)
			return nil
		})
	}
	_ = g.Wait() // errs holds them
	if err := multierror.Append(nil, errs...).ErrorOrNil(); err != nil {
		return err
	}
	if err := d.endAtSender(k); err != nil {
		return err
	}
	return d.revoked(k, k.RevokedAt, nil)
}

// tell makes one request to its receiver.
func (r *Rotator) tell(ctx context.Context, reg *registration, req DeployRequest) error {
	b := reg.binding(req.Consumer)
	err := guard(ctx, r.cfg.CallTimeout, func(ctx context.Context) error { return b.Consumer.Deploy(ctx, req) })
	if err != nil {
		return &Error{Consumer: req.Consumer, Evidence: "it was not told which secrets to accept", Err: hide(err)}
	}
	return nil
}

// refuseNamed has every receiver refuse keys that no record names yet. What else they are to accept only the store can say; where
// it does not answer either, they accept nothing.
func (r *Rotator) refuseNamed(ctx context.Context, reg *registration, keys []Key) error {
	doc, _ := guarded(ctx, r.cfg.CallTimeout, func(ctx context.Context) (Versions, error) { return reg.Store.Load(ctx, reg.Name) })
	set := slices.DeleteFunc(doc.Accepted(), func(k Key) bool {
		return slices.ContainsFunc(keys, func(bad Key) bool {
			return bad.ID != "" && bad.ID == k.ID || !bad.Secret.IsZero() && bad.Secret.Equal(k.Secret)
		})
	})
	var newest Key
	if len(set) > 0 {
		newest = set[0]
	}
	errs := make([]error, len(reg.Bindings))
	var g errgroup.Group
	for i, b := range reg.Bindings {
		req := DeployRequest{
			ID:         fmt.Sprintf("unrecorded/%s/%s", b.Name, labelOf(set)),
			Credential: reg.Name, Consumer: b.Name, Key: newest, Role: RoleCurrent, Accept: set, Emergency: true,
		}
		g.Go(func() error {
			errs[i] = r.tell(ctx, reg, req)
			return nil
		})
	}
	_ = g.Wait() // errs holds them
	return multierror.Append(nil, errs...).ErrorOrNil()
}
