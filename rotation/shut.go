// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"cmp"
	"context"
	"errors"
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
	known := d.read() == nil // a store that does not answer keeps nothing alive: what is not known is not accepted
	run, now := d.st.Run, time.Now()
	may := run.mayRevoke(d.st, d.reg.Traits, now)
	if may && d.alarm != nil {
		d.alarm.Stop()
		d.fold() // what it has sent is older than what is sent now
	}
	found := judge(d.st, d.doc, d.home)
	if may && known && found != driftForeign && found != driftBehind { // receivers that follow the store can be told of nothing else
		_ = d.project(nil) // the steps meet the trouble again
	}
	var reqs []DeployRequest
	for _, c := range run.Consumers {
		if d.reg.binding(c.Name) == nil || d.goodEnough(c) {
			continue
		}
		reqs = append(reqs, d.request(c, d.value(run.Target), RoleCurrent))
		if may {
			d.calling(c.Name, now)
		} else {
			d.calling(c.Name, run.IssueBy)
		}
	}
	if !may {
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

// goodEnough reports whether a receiver holds nothing that is compromised, and everything that it should as far as that is known.
func (d *drive) goodEnough(c *consumerState) bool {
	if d.toldAll(c) {
		return true
	}
	if c.Holds == "" || c.Holds != c.Offered || c.Holds == labelOf(nil) {
		return false
	}
	for _, k := range d.st.Keys {
		if k.compromised() && c.holds(k.Key.Serial) {
			return false
		}
	}
	return len(d.acceptSet()) == 0 // the store does not answer: what it holds is better than nothing
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
		d.answeredBy(c.Name, res.err)
		c.Sent, c.Offered = cmp.Or(run.Target, run.Old, c.Sent), res.set
		switch byHand := errors.Is(res.err, ErrManual); {
		case byHand && !d.doneByHand(c):
			d.tasks = append(d.tasks, d.personNeed("drop", c.Name, c.Name+": "+publicText(res.err), VerbDone))
		case byHand:
			c.Sworn = res.set
			fallthrough
		case res.err == nil:
			c.Holds, c.Acked, c.AckedAt, c.Role = res.set, run.Target, time.Now(), RoleCurrent
		default:
			failed = multierror.Append(failed, res.err)
		}
	}
	told := !slices.ContainsFunc(run.Consumers, func(c *consumerState) bool {
		return d.reg.binding(c.Name) != nil && !d.goodEnough(c)
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
		case !told:
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

// allTold makes sure, before anything is proven, that a receiver which was added late knows what to accept, that no call is under
// way, and that a person has looked at the receivers that nothing else can look into.
func (d *drive) allTold() error {
	run := d.st.Run
	if err := d.read(); err != nil {
		return err
	}
	var added []*consumerState
	for _, c := range run.Consumers {
		if (c.Sent == 0 || d.emergency()) && !d.neverLeft() {
			added = append(added, c)
		}
	}
	if err := d.deploy(added, RoleCurrent); err != nil {
		return err
	}
	if needs := d.landing(); len(needs) > 0 {
		return &waiting{needs: needs}
	}
	if err := d.relearn(d.look(run.Consumers, run.Target)); err != nil {
		return err
	}
	for _, c := range run.Consumers {
		b := d.reg.binding(c.Name)
		if b != nil && c.AckedAt.Add(b.Lag).After(time.Now()) && !d.emergency() {
			return &waiting{needs: []Need{{ID: d.needID("lag/" + c.Name), Kind: NeedTime, Name: c.Name, Until: c.AckedAt.Add(b.Lag), Text: c.Name + ": it may go on accepting the other secret until its lag has passed"}}}
		}
	}
	if err := d.stillAccepted(); err != nil {
		return err
	}
	return d.sworn("nothing can see which secrets it accepts: look, and attest that it accepts generation %d and no other")
}

// stillAccepted has receivers told again, as long as patience lasts, that go on accepting what they were told to forget.
func (d *drive) stillAccepted() error {
	run := d.st.Run
	if d.emergency() || time.Since(run.RevokedAt) >= d.reg.Policy.Patience {
		return nil
	}
	again := false
	for _, victim := range d.st.victims() {
		again = again || victim.DeadAt.IsZero() && d.unforget(victim)
	}
	if again {
		return to(PhaseDrop, "a receiver accepts what it was told to forget")
	}
	return nil
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

// shut has the receivers forget a debt: those that were not told, or do not do what they were told.
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
	if len(set) < len(d.st.wanted()) {
		return &Error{Evidence: "the store has lost a value that the receivers need"}
	}
	var reqs []DeployRequest
	for i := range d.reg.Bindings {
		b := &d.reg.Bindings[i]
		err := d.r.accepts(d.ctx, b, d.whole(k), time.Time{}, d.shared(k.Key))
		told := slices.Contains(k.Told, b.Name)
		if errors.Is(err, ErrRejected) || told && err != nil && !errors.Is(err, errMixed) {
			continue
		}
		id := fmt.Sprintf("%s/without-%d/%s/%s", d.home, k.Key.Serial, b.Name, labelOf(set))
		if told {
			id += fmt.Sprintf("/%d", k.Retry.Failures)
		}
		d.calling(b.Name, time.Now())
		reqs = append(reqs, DeployRequest{ID: id, Credential: d.reg.Name, Consumer: b.Name, Key: d.living(), Role: RoleCurrent, Accept: set})
	}
	if err := d.save(); err != nil {
		return err
	}
	errs := make([]error, len(reqs))
	var g errgroup.Group
	for i, req := range reqs {
		g.Go(func() error {
			errs[i] = d.r.tell(d.ctx, d.reg, req)
			return nil
		})
	}
	_ = g.Wait() // errs holds them
	for i, req := range reqs {
		if d.answeredBy(req.Consumer, errs[i]); errs[i] == nil && !slices.Contains(k.Told, req.Consumer) {
			k.Told = append(k.Told, req.Consumer)
		}
	}
	if err := multierror.Append(nil, errs...).ErrorOrNil(); err != nil {
		return err
	}
	if k.Answered {
		return nil
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
	defer r.owe(reg)
	doc, _ := guarded(ctx, r.cfg.CallTimeout, func(ctx context.Context) (Versions, error) { return reg.Store.Load(ctx, reg.Name) })
	set := slices.DeleteFunc(append([]Key{}, doc.Accepted()...), func(k Key) bool {
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

// owe remembers that receivers were told something without a record: what the record wants has to be told again when that can land
// no more.
func (r *Rotator) owe(reg *registration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.untold == nil {
		r.untold = map[string]time.Time{}
	}
	r.untold[reg.Name] = time.Now().Add(r.settle(reg))
}

// owing reports whether something is owed to the receivers, and from when on it can be told.
func (r *Rotator) owing(name string) (from time.Time, owing bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from, owing = r.untold[name]
	return from, owing
}

// repay tells the receivers what the record wants, whatever they were told without it.
func (d *drive) repay() {
	from, owing := d.r.owing(d.reg.Name)
	if !owing || from.After(time.Now()) {
		return
	}
	if run := d.st.Run; run != nil {
		for _, c := range run.Consumers {
			c.unlearn()
		}
	} else if d.retell() != nil {
		return // the next Advance tries again
	}
	d.r.mu.Lock()
	defer d.r.mu.Unlock()
	delete(d.r.untold, d.reg.Name)
}

// retell tells every receiver what it has to accept while no rotation is open.
func (d *drive) retell() error {
	set := d.acceptSet()
	if len(set) == 0 || len(set) < len(d.st.wanted()) {
		return &Error{Evidence: "the store does not have what the receivers need"}
	}
	for _, b := range d.reg.Bindings { // what is not answered can land in the next rotation
		d.calling(b.Name, time.Now())
	}
	if err := d.save(); err != nil {
		return err
	}
	errs := make([]error, len(d.reg.Bindings))
	var g errgroup.Group
	for i, b := range d.reg.Bindings {
		req := DeployRequest{
			ID:         fmt.Sprintf("%s/again-%d/%s/%s", d.home, d.st.Epoch, b.Name, labelOf(set)),
			Credential: d.reg.Name, Consumer: b.Name, Key: d.living(), Role: RoleCurrent, Accept: set,
		}
		g.Go(func() error {
			errs[i] = d.r.tell(d.ctx, d.reg, req)
			return nil
		})
	}
	_ = g.Wait() // errs holds them
	for i, b := range d.reg.Bindings {
		d.answeredBy(b.Name, errs[i])
	}
	return multierror.Append(nil, errs...).ErrorOrNil()
}
