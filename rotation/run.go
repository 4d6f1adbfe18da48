// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Run advances whatever is due until ctx ends, then finishes the side effect at hand and returns nil. It fails only if the
// journal cannot be read at the start. It sleeps.
func (r *Rotator) Run(ctx context.Context) error {
	if _, err := r.installationID(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		_, err := r.Sweep(ctx)
		r.logSweep(ctx, err)
		timer := time.NewTimer(r.untilNext(ctx))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-r.wake:
		}
		timer.Stop()
	}
	return nil
}

func (r *Rotator) logSweep(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		r.cfg.Logger.DebugContext(ctx, "rotation: sweep", "problem", publicText(err)) // each trouble was told when it was new
	}
}

// floor is the part of a call's time limit that lies at least between two looks at the same thing.
const floor = 20

// untilNext is how long Run may sleep: until the next entry is due, and no longer than a lease, since other processes write
// entries too.
func (r *Rotator) untilNext(ctx context.Context) time.Duration {
	longest := r.cfg.Lease
	entries, _ := r.due(ctx, r.awake(), time.Now().Add(longest), 1) // an error was told by the sweep
	if len(entries) == 0 {
		return longest
	}
	return min(max(time.Until(entries[0].Due), r.cfg.CallTimeout/floor), longest)
}

func (r *Rotator) due(ctx context.Context, names []string, t time.Time, limit int) ([]Entry, error) {
	return guarded(ctx, r.cfg.CallTimeout, func(ctx context.Context) ([]Entry, error) {
		return r.cfg.Journal.Due(ctx, names, t, limit)
	})
}

// Sweep advances everything that is due, once, and returns the status of each credential that it touched. The error joins
// what is wrong; the others are advanced all the same.
func (r *Rotator) Sweep(ctx context.Context) ([]Status, error) {
	s := &sweep{r: r, seen: map[string]bool{}}
	s.advance(ctx, r.unlooked())
	names := r.awake()
	for ctx.Err() == nil {
		entries, err := r.due(ctx, names, time.Now(), 4*r.cfg.Parallel)
		if err != nil { // what came beside the error is due all the same
			s.errs = append(s.errs, &Error{Evidence: "the journal does not say everything that is due", Err: hide(err)})
		}
		var due []string
		for _, e := range entries {
			if !s.seen[e.Credential] {
				due = append(due, e.Credential)
			}
		}
		if len(due) < len(entries) { // some are still due after they were looked at: no more of them, they may hide others
			left := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return s.seen[n] })
			if len(due) == 0 && len(left) == len(names) {
				break
			}
			names = left
		}
		if len(entries) == 0 {
			break
		}
		s.advance(ctx, due)
	}
	return s.all, errors.Join(s.errs...)
}

// unlooked are the names that were registered since the last Sweep, and those with an emergency that no journal took, or whose
// receivers were told something without a record: the journal does not know when they are due.
func (r *Rotator) unlooked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.unrecorded {
		r.unseen[name] = true
	}
	for name, from := range r.untold {
		if !from.After(time.Now()) {
			r.unseen[name] = true
		}
	}
	names := make([]string, 0, len(r.unseen))
	for name := range r.unseen {
		if !r.resting[name].After(time.Now()) {
			names = append(names, name)
			delete(r.unseen, name)
		}
	}
	slices.Sort(names)
	return names
}

// lookAgain remembers a name of which the journal may know nothing, or nothing readable.
func (r *Rotator) lookAgain(name string, rest time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.registered[name] != nil {
		r.unseen[name], r.resting[name] = true, time.Now().Add(rest)
	}
}

// correct writes down when there is something to do, where the journal says another time: the policy is another one, or what was due
// then cannot be done now. A time that has passed would be looked at without an end, and a later one would be too late. For the length of a
// lease a time that has passed is left to others, which may see something to do.
func (r *Rotator) correct(ctx context.Context, reg *registration, e Entry, st *state) {
	now := time.Now()
	wake := st.wake(reg, now)
	const rounded = time.Second // journals round
	over := e.Due.Add(r.cfg.Lease)
	switch {
	case e.Revision == 0:
	case e.Due.IsZero() || wake.Before(e.Due.Add(-rounded)) || !over.After(now):
		d := &drive{r: r, ctx: ctx, reg: reg, st: st, revision: e.Revision, began: now}
		err := d.write(wake)
		if errors.Is(err, errLost) { // somebody else has something to do, and may write another time
			r.lookAgain(reg.Name, 0)
		} else if err != nil {
			r.pause(reg.Name, now.Add(r.cfg.Lease))
		}
	case !e.Due.After(now):
		r.pause(reg.Name, over)
	}
}

// pause leaves a name alone until a time.
func (r *Rotator) pause(name string, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.registered[name] != nil {
		r.resting[name] = until
	}
}

// rouse ends a pause: something was done.
func (r *Rotator) rouse(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.resting, name)
}

// awake are the registered names that may be looked at now, and the entry of the incidents that have to be carried on, sorted.
// They are not the caller's to change.
func (r *Rotator) awake() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.resting, func(_ string, until time.Time) bool { return !until.After(time.Now()) })
	names := r.ordered().watched
	if len(r.resting) == 0 {
		return names
	}
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !r.resting[n].IsZero() })
}

// sweep is one pass over what is due.
type sweep struct {
	r    *Rotator
	mu   sync.Mutex
	seen map[string]bool // guarded by mu
	all  []Status        // guarded by mu
	errs []error         // guarded by mu
}

func (s *sweep) advance(ctx context.Context, names []string) {
	var g errgroup.Group
	g.SetLimit(s.r.cfg.Parallel)
	for _, name := range names {
		s.mu.Lock()
		s.seen[name] = true
		s.mu.Unlock()
		g.Go(func() error {
			if ctx.Err() != nil {
				s.r.lookAgain(name, 0)
				return nil
			}
			if name == pendingName {
				err := s.r.carryOn(ctx)
				s.mu.Lock()
				defer s.mu.Unlock()
				s.errs = append(s.errs, err)
				return nil
			}
			st, err := s.r.Advance(ctx, name)
			if err != nil && st.Open == nil && st.Last == nil && st.Generation == 0 {
				s.r.lookAgain(name, s.r.cfg.Lease)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.all, s.errs = append(s.all, st), append(s.errs, err)
			return nil
		})
	}
	_ = g.Wait() // each credential has its own error
}

// Wait drives (or, while another process does, watches) the open rotations of names until all have ended, sleeping in
// between: that can be days. Without names: of every registered credential. The error joins those that did not end with a
// new key, and is ctx's if that ends first.
func (r *Rotator) Wait(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		names = r.names()
	}
	errs := make([]error, len(names))
	var g errgroup.Group
	for i, name := range names {
		g.Go(func() error {
			errs[i] = r.waitOne(ctx, name)
			return nil
		})
	}
	_ = g.Wait() // errs holds them, in the order of names
	return errors.Join(errs...)
}

func (r *Rotator) waitOne(ctx context.Context, name string) error {
	st, err := r.Status(ctx, name)
	if err == nil && st.Open != nil {
		st, err = r.Advance(ctx, name) // when to look was written under a policy that may be another one
	}
	if errors.Is(err, ErrNotFound) {
		return err
	}
	pending := func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.unrecorded[name]) > 0
	}
	for err != nil || st.Open != nil || pending() {
		wait := max(time.Until(st.Next), r.cfg.CallTimeout/floor)
		look := st.Next
		timer := time.NewTimer(min(wait, r.cfg.Lease))
		select {
		case <-ctx.Done():
			timer.Stop()
			return &Error{Credential: name, Evidence: "waiting ended before the rotation", Err: ctx.Err()}
		case <-timer.C:
		}
		if look.After(time.Now()) && !pending() {
			st, err = r.Status(ctx, name) // somebody else may have ended it
		} else {
			st, err = r.Advance(ctx, name) // carries on, or takes over from a process that died
		}
		if errors.Is(err, ErrNotFound) {
			return err
		}
	}
	if st.Last != nil && st.Last.Outcome != Rotated {
		return &Error{Credential: name, Rotation: st.Last.ID, Evidence: fmt.Sprintf("the rotation to generation %d ended %s", st.Last.Generation, st.Last.Outcome), Err: problemOf(st.Last)}
	}
	return nil
}

func problemOf(rec *Record) error {
	if rec.Problem == nil {
		return nil
	}
	return rec.Problem
}
