// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// kills are the revocations of an emergency that are under way beside its steps.
type kills struct {
	wg      sync.WaitGroup
	mu      sync.Mutex
	results map[int64]error // guarded by mu
}

// obligations sends the revocation of every compromised key that is not proven dead, beside everything else that is going
// on, and waits for none of it.
func (d *drive) obligations() {
	if !d.emergency() || !d.st.Run.mayRevoke(d.st, d.reg.Traits, time.Now()) {
		return
	}
	for _, victim := range d.st.victims() {
		if !victim.compromised() || !victim.DeadAt.IsZero() || victim.Answered || victim.Retry.At.After(time.Now()) || d.untouchable(victim) != nil {
			continue
		}
		if d.kills == nil {
			d.kills = &kills{results: map[int64]error{}}
		}
		if d.heldByLive(victim.Key) {
			victim.Answered = true
			continue
		}
		victim.Answered = true // until fold knows better: it is under way
		if victim.RevokedAt.IsZero() {
			victim.RevokedAt = time.Now()
		}
		if d.value(victim.Key.Serial).IsZero() {
			_ = d.read() // for a provider that revokes by value; without a store the id has to do
		}
		d.send(d.kills, victim.Key.Serial, d.whole(victim))
	}
	if d.st.Run.RevokeFirst {
		d.fold(true)
	}
}

func (d *drive) send(k *kills, serial int64, key Key) {
	k.wg.Add(1)
	go func() {
		defer k.wg.Done()
		err := guard(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) error { return d.reg.Issuer.Revoke(ctx, key) })
		k.mu.Lock()
		defer k.mu.Unlock()
		k.results[serial] = err
	}()
}

// fold records what became of the revocations that are under way.
func (d *drive) fold(wait bool) {
	if d.kills == nil {
		return
	}
	if wait {
		d.kills.wg.Wait()
	}
	d.kills.mu.Lock()
	results := d.kills.results
	d.kills.results = map[int64]error{}
	d.kills.mu.Unlock()
	for serial, err := range results {
		k := d.st.key(serial)
		if k == nil {
			continue
		}
		if err := d.revoked(k, err); err != nil {
			k.Answered = false
			k.Retry = d.backoff(k.Retry, err)
			d.st.Problem = &Error{Credential: d.reg.Name, Rotation: d.st.Run.ID, Phase: PhaseRetire, Evidence: k.Key.String() + " was not revoked", Action: "it is tried again until it is proven dead", Err: hide(err)}
			d.unkilled = append(d.unkilled, d.st.Problem)
			d.emit(Event{Kind: EventFailed, Level: slog.LevelError, Problem: d.st.Problem, Text: d.st.Problem.Error()})
		}
	}
}

// proveDeaths looks, in every Advance, whether what was revoked is dead: a compromised key that is seen alive is revoked
// again, whatever the presenters do meanwhile.
func (d *drive) proveDeaths() {
	if !d.emergency() {
		return
	}
	for _, victim := range d.st.victims() {
		if !victim.Answered || !victim.DeadAt.IsZero() || victim.Manual != "" {
			continue
		}
		switch verdict, how := d.dead(victim); verdict {
		case isDead:
			d.buried(victim, how)
		case isAlive:
			victim.Answered = false
			victim.Retry = d.backoff(victim.Retry, nil)
		}
	}
}

// mayRevoke decides whether the compromised keys die now. Where issuing needs a live key, the successor is tried first, once
// and within a limit that is in the record; then they die regardless.
func (r *run) mayRevoke(st *state, t Traits, now time.Time) bool {
	return r.RevokeFirst || t.Independent || r.IssueTried || r.successor(st) || !r.IssueBy.After(now)
}
