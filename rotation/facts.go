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

// facts is what was observed in one Advance. A key is killed on facts alone, never on what the journal remembers.
type facts struct {
	At        time.Time
	Consumers map[string]sight
	Accepted  error            // what the accepting side says of the target
	Usage     map[int64]*Usage // of each victim; nil where the issuer reports no use
	Gone      map[int64]bool   // the victims that a list does not show any more
	Refused   map[int64]bool   // the victims that are dead already, asked where nothing is left to protect, or their slot has a live key
}

// sight is what was seen of one consumer.
type sight struct {
	Observable bool
	OnTarget   bool      // every instance uses the target, as of a time after the deployment
	AsOf       time.Time // of the oldest instance
	Moved      int       // instances that do
	Elsewhere  []string  // instances seen using another key
	Stale      bool      // an instance was last seen before the deployment
	ObserveErr error
	Verifiable bool
	VerifyErr  error
	Blind      bool             // a receiver of a webhook that nothing can look into
	Receipts   map[int64]*Usage // of a receiver: when deliveries last matched a key; nil where it does not tell
	ReceiptErr error
}

// readers is how many consumers are asked at the same time. Asking changes nothing; an emergency asks all at once.
const readers = 32

// observe asks every consumer of the open rotation, the accepting side and the issuer's usage figures.
func (d *drive) observe() (*facts, error) {
	if d.fresh != nil {
		return d.fresh, nil
	}
	run := d.st.Run
	f := &facts{At: time.Now(), Usage: map[int64]*Usage{}, Refused: map[int64]bool{}, Gone: map[int64]bool{}}
	f.Consumers = d.look(run.Consumers, run.Target)
	f.Accepted = d.verify(d.value(run.Target))
	if d.reg.webhook {
		d.observeReceivers(f)
		d.fresh = f
		return f, nil
	}
	keys, listed, err := d.list()
	if err != nil {
		return nil, err
	}
	revived := false
	for _, victim := range d.st.victims() {
		f.Gone[victim.Key.Serial] = listed && !slices.ContainsFunc(keys, func(k KeyInfo) bool { return k.Key.ID == victim.Key.ID })
		// A slot's figures are those of the key that lives in it: what it held before can only be asked.
		if key := d.whole(victim); (run.NoOverlap || d.heldByLive(victim.Key)) && !key.Secret.IsZero() {
			err := d.verify(key)
			f.Refused[victim.Key.Serial] = errors.Is(err, ErrRejected)
			revived = revived || err == nil && !d.reg.Traits.KillsOld
		}
		for _, k := range keys {
			if listed && victim.Key.ID != "" && k.Key.ID == victim.Key.ID && !k.Usage.AsOf.IsZero() {
				f.Usage[victim.Key.Serial] = victim.used(k.Usage, f.At.Add(d.r.cfg.ClockSkew))
				victim.UsageSeen = true
			}
		}
	}
	if revived { // it is alive after all, and is asked no longer: asking is use
		run.NoOverlap = false
	}
	d.fresh = f
	return f, nil
}

// look asks consumers which key they use and whether they work, and records what they say.
func (d *drive) look(consumers []*consumerState, target int64) map[string]sight {
	seen := map[string]sight{}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(readers)
	if d.emergency() {
		g.SetLimit(-1)
	}
	key := d.value(target)
	for _, c := range consumers {
		b := d.reg.binding(c.Name)
		if b == nil {
			continue
		}
		g.Go(func() error {
			s := d.see(b, c, key)
			mu.Lock()
			defer mu.Unlock()
			seen[c.Name] = s
			return nil
		})
	}
	_ = g.Wait() // see never fails: what could not be seen is a fact too
	for _, c := range consumers {
		d.remember(c, seen[c.Name], target)
	}
	return seen
}

// see asks one consumer.
func (d *drive) see(b *binding, c *consumerState, key Key) sight {
	if d.reg.webhook {
		return d.seeReceiver(b, c, key)
	}
	var s sight
	if b.Observer != nil {
		asked := time.Now()
		instances, err := guarded(d.ctx, d.r.cfg.CallTimeout, b.Observer.Observe)
		if !unsupported(err) {
			s.Observable = true
			s.ObserveErr = err
			s.judge(instances, key, window{c.AckedAt, asked, d.r.cfg.ClockSkew}, d.shared(key))
		}
	}
	if b.Verifier != nil {
		err := guard(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) error { return b.Verifier.Verify(ctx, key) })
		if !unsupported(err) {
			s.Verifiable, s.VerifyErr = true, err
		}
	}
	return s
}

// window is when something has to be seen to be news.
type window struct {
	since time.Time     // it was told by then
	asked time.Time     // and we asked then
	skew  time.Duration // of other clocks
}

// fresh reports whether what was seen at a time can only have been seen after the deployment: at our question, or late enough by
// a clock that is ahead of ours.
func (w window) fresh(at, now time.Time) bool {
	if !at.Before(w.asked) && !at.After(now) {
		return !at.Before(w.since)
	}
	return !at.Before(w.since.Add(w.skew))
}

// judge reads what the instances of a consumer were seen using. No instances is no evidence.
func (s *sight) judge(instances []Instance, key Key, w window, shared bool) {
	if s.ObserveErr != nil || len(instances) == 0 {
		return
	}
	now := time.Now()
	for _, i := range instances {
		at := i.AsOf
		if at.IsZero() {
			at = now
		}
		if s.AsOf.IsZero() || at.Before(s.AsOf) {
			s.AsOf = at
		}
		switch {
		case !w.fresh(at, now):
			s.Stale = true // whatever it used then
		case !uses(i.Key, key, shared):
			s.Elsewhere = append(s.Elsewhere, i.Name)
		default:
			s.Moved++
		}
	}
	s.OnTarget = len(s.Elsewhere) == 0 && !s.Stale
}

// uses compares what can be seen of a key with a key: the serial tells all, else everything that is known has to agree. A
// shared id, of a slot that holds another live key too, tells nothing.
func uses(seen, key Key, shared bool) bool {
	if seen.Serial != 0 {
		return seen.Serial == key.Serial
	}
	agree := false
	if seen.Generation != 0 {
		if seen.Generation != key.Generation {
			return false
		}
		agree = true
	}
	if seen.ID != "" && !shared {
		if seen.ID != key.ID {
			return false
		}
		agree = true
	}
	return agree
}

// shared reports whether the provider uses the id of a key for another one too: then the id is a slot and no identity.
func (d *drive) shared(key Key) bool {
	return slices.ContainsFunc(d.st.Keys, func(k *keyState) bool {
		return k.Key.ID == key.ID && k.Key.Serial != key.Serial && k.DeadAt.IsZero()
	})
}

// remember records what was seen of a consumer, for its record and for people.
func (d *drive) remember(c *consumerState, s sight, target int64) {
	now := time.Now()
	c.Problem = nil
	if s.OnTarget && s.Observable {
		if c.Observed != target {
			c.Observed, c.ObservedAt = target, now
		}
	}
	worksBefore := c.Verified == target
	switch {
	case !s.Verifiable || c.Acked != target:
	case s.VerifyErr == nil:
		if !worksBefore {
			c.Verified, c.VerifiedAt = target, now
			d.emit(Event{Kind: EventVerified, Consumer: c.Name, Text: c.Name + " works"})
		}
	default:
		if d.reg.webhook {
			c.Problem = notAccepting(c.Name, s.VerifyErr)
		} else {
			c.Problem = d.failure(c, s)
		}
	}
	if p := d.adoptionProblem(c, s); p != nil && !c.explained(p, s) {
		c.Problem = p
	}
}

// explained reports whether what is known of a consumer says more than that it is not seen on its key: it does not run, or cannot
// read what it was given.
func (c *consumerState) explained(p *Error, s sight) bool {
	if c.Problem == nil {
		return false
	}
	return p.Diagnosis == "" || c.Problem.Diagnosis == FormatChanged && !errors.Is(s.VerifyErr, ErrNotYet)
}

// adoptionProblem names why a consumer that should have moved is not seen on its key; nil within its lag.
func (d *drive) adoptionProblem(c *consumerState, s sight) *Error {
	b := d.reg.binding(c.Name)
	if b == nil || !s.Observable || s.OnTarget || c.AckedAt.IsZero() || time.Since(c.AckedAt) <= b.Lag {
		return nil
	}
	e := &Error{Consumer: c.Name, Err: hide(s.ObserveErr)}
	switch {
	case s.ObserveErr != nil:
		e.Evidence, e.Action = "it does not tell which key it uses", "look why it does not answer"
	case s.AsOf.IsZero():
		e.Evidence, e.Action = "it shows no instance, which is no evidence", "start it, or answer with forget when it is gone"
	case s.Stale && len(s.Elsewhere) == 0:
		e.Diagnosis, e.Evidence, e.Action = JobHoldsOldKey, fmt.Sprintf("what is seen of it began at %s, and it was given the key at %s", timeText(s.AsOf), timeText(c.AckedAt)), "wait for its next run, or end the one that goes on"
	case s.Moved == 0:
		e.Diagnosis, e.Evidence, e.Action = ConsumerNotUpdated, "another key is used by "+some(s.Elsewhere), "restart it; if that does not help, look why the key in the store does not reach it"
	default:
		e.partial(s)
	}
	return e
}

// partial says that some instances have moved and others have not.
func (e *Error) partial(s sight) {
	e.Diagnosis, e.Evidence = PartialRollout, fmt.Sprintf("%d instances have moved, another key is used by %s", s.Moved, some(s.Elsewhere))
	e.Action = "wait for the rollout to end, or restart those that have not moved"
}

// some lists the first few of many.
func some(names []string) string {
	const few = 3
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}
