// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// kills are the revocations of an emergency that are under way beside its steps.
type kills struct {
	mu      sync.Mutex
	done    *sync.Cond
	pending int
	sent    map[int64]bool
	ids     map[string]bool // that they were sent for
	taken   map[string]bool // ids that were given to a new key: slots that must not be revoked any more
	results []killed
	closed  bool             // the Advance is ending: nothing is sent any more
	usage   <-chan []KeyInfo // what the issuer lists of the victims, asked once in an Advance; nil: not asked, or taken
	asked   bool             // it was
}

// killed is what became of one revocation, or of telling one receiver to forget what is compromised.
type killed struct {
	serial   int64
	receiver string
	set      string // that it accepts now
	at       time.Time
	err      error
}

// obligations sends the revocation of every compromised key that is not proven dead, beside everything else that is going
// on, and waits for none of it. While a successor is tried first, an alarm sends it when that takes too long.
func (d *drive) obligations() {
	if !d.emergency() {
		return
	}
	if d.kills == nil {
		d.kills = &kills{sent: map[int64]bool{}, ids: map[string]bool{}, taken: map[string]bool{}}
		d.kills.done = sync.NewCond(&d.kills.mu)
	}
	if d.reg.webhook {
		d.shutOut()
		return
	}
	due := map[int64]Key{}
	for _, victim := range d.st.victims() {
		if victim.compromised() && victim.DeadAt.IsZero() && !victim.Answered && !victim.Retry.At.After(time.Now()) && d.mine(victim) {
			due[victim.Key.Serial] = d.whole(victim)
		}
	}
	if !d.st.Run.mayRevoke(d.st, d.reg.Traits, time.Now()) {
		if d.alarm == nil {
			d.alarm = time.AfterFunc(time.Until(d.st.Run.IssueBy), func() { d.send(due) })
		}
		d.askUsage()
		return
	}
	d.askUsage() // first, and it does not wait: a revoked key may be listed no more
	d.send(due)
	if d.st.Run.RevokeFirst {
		d.fold()
	}
}

// mine reports whether a compromised key can be revoked here at all; what cannot is asked of a person.
func (d *drive) mine(k *keyState) bool {
	nameless := k.Key.ID == "" && !k.Stored && d.whole(k).Secret.IsZero() // its value was the caller's, who may bring it again
	return d.untouchable(k) == nil && !d.heldByLive(k.Key) && !nameless
}

// send begins revocations, each once in an Advance.
func (d *drive) send(due map[int64]Key) {
	k := d.kills
	k.mu.Lock()
	defer k.mu.Unlock()
	for serial, key := range due {
		if k.closed || k.sent[serial] || k.taken[key.ID] {
			continue
		}
		k.sent[serial], k.ids[key.ID] = true, true
		k.pending++
		go func() {
			at := time.Now()
			err := d.revokeCall(key)
			k.mu.Lock()
			defer k.mu.Unlock()
			k.results = append(k.results, killed{serial: serial, at: at, err: err})
			k.pending--
			k.done.Broadcast()
		}()
	}
}

// spareSlot keeps an alarm from revoking the slot in which a new key lives now. It reports whether a revocation of what lived
// there before was sent already.
func (d *drive) spareSlot(id string) (sent bool) {
	if d.kills == nil || id == "" {
		return false
	}
	d.kills.mu.Lock()
	defer d.kills.mu.Unlock()
	d.kills.taken[id] = true
	return d.kills.ids[id]
}

// revokeCall revokes by what is known at once; a provider that revokes by value gets it from the store in a second call.
func (d *drive) revokeCall(key Key) error {
	revoke := func(key Key) error {
		return guard(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) error { return d.reg.Issuer.Revoke(ctx, key) })
	}
	var err error = ErrNotIssued
	if key.ID != "" || !key.Secret.IsZero() {
		err = revoke(key)
	}
	if err == nil || !key.Secret.IsZero() || errors.Is(err, ErrNotFound) || errors.Is(err, ErrManual) {
		return err
	}
	doc, loadErr := guarded(d.ctx, d.r.cfg.CallTimeout, func(ctx context.Context) (Versions, error) { return d.reg.Store.Load(ctx, d.reg.Name) })
	for _, stored := range doc.Keys {
		if loadErr == nil && stored.Key.Serial == key.Serial {
			key.Secret = stored.Key.Secret
			return revoke(key)
		}
	}
	return err
}

// fold waits for the revocations that are under way and records what became of them.
func (d *drive) fold() {
	if d.kills == nil {
		return
	}
	k := d.kills
	k.mu.Lock()
	for k.pending > 0 {
		k.done.Wait()
	}
	results := k.results
	k.results = nil
	k.mu.Unlock()
	if d.reg.webhook {
		d.foldShut(results)
		return
	}
	for _, res := range results {
		victim := d.st.key(res.serial)
		if victim == nil {
			continue
		}
		if victim.RevokedAt.IsZero() && !errors.Is(res.err, ErrManual) {
			victim.RevokedAt = res.at
		}
		if err := d.revoked(victim, res.at, res.err); err != nil {
			victim.Retry = d.backoff(victim.Retry, err)
			p := &Error{Credential: d.reg.Name, Rotation: d.st.Run.ID, Phase: PhaseRetire, Evidence: victim.Key.String() + " was not revoked", Action: "it is tried again until it is proven dead", Err: hide(err)}
			d.st.Problem = p
			d.unkilled = append(d.unkilled, p)
			d.emit(Event{Kind: EventFailed, Level: slog.LevelError, Problem: p, Text: p.Error()})
		}
	}
}

// lastFold ends the sending.
func (d *drive) lastFold() {
	if d.kills == nil {
		return
	}
	if d.alarm != nil {
		d.alarm.Stop()
	}
	d.kills.mu.Lock()
	d.kills.closed = true
	d.kills.mu.Unlock()
	d.fold()
	d.takeUsage(d.r.cfg.CallTimeout / 10)
}

// byHand asks people, in every Advance, for what this library cannot revoke itself.
func (d *drive) byHand() {
	if !d.emergency() {
		return
	}
	for _, a := range d.unclear {
		d.askOnce(d.askNeed(a))
	}
	for _, n := range d.tasks {
		d.askOnce(n)
	}
	for _, victim := range d.st.victims() {
		if !victim.compromised() || !victim.DeadAt.IsZero() {
			continue
		}
		var n Need
		switch {
		case victim.Manual != "":
			n = d.keyNeed("revoke", victim, victim.Manual, VerbDone)
		case !d.mine(victim):
			if !victim.Retry.At.After(time.Now()) {
				victim.Retry = d.backoff(victim.Retry, nil)
			}
			n = d.keyNeed("dead", victim, victim.Key.String()+" is compromised and cannot be revoked from here: end it at its provider", VerbSettle)
		default:
			continue
		}
		d.askOnce(n)
	}
}

// askOnce adds a need of an emergency, and tells people of it if it is new.
func (d *drive) askOnce(n Need) {
	same := func(o Need) bool { return o.ID == n.ID }
	if slices.ContainsFunc(d.st.Needs, same) {
		return
	}
	d.st.Needs = append(d.st.Needs, n)
	if !slices.ContainsFunc(d.asked, same) {
		d.emit(Event{Kind: EventWaiting, Level: slog.LevelError, Consumer: n.Name, Need: n.ID, Verbs: d.possible(n.Verbs), Text: n.Text})
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
			if d.reg.webhook {
				d.unforget(victim)
			}
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
