// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Interventions: what somebody does to the world while a call is under way.
const (
	LeakAll    Trouble = "emergency of the credential"
	LeakOld    Trouble = "emergency of the old key"
	LeakNew    Trouble = "emergency of the new key"
	LeakBoth   Trouble = "emergency of both keys"
	LeakTwice  Trouble = "emergency, again, and another one"
	LeakDown   Trouble = "emergency in an outage, and another one"
	PutBack    Trouble = "the old key is put back by hand"
	PutKeep    Trouble = "the old key is put back by hand, on purpose"
	NewKey     Trouble = "a key of a person's in the store"
	NewKeyKeep Trouble = "a key of a person's in the store, on purpose"
	DeadKey    Trouble = "a dead key in the store"
	Lose       Trouble = "the values beside the current one are lost"
	Backup     Trouble = "the store is restored"
	Foreign    Trouble = "another installation writes the store"
	Rewind     Trouble = "the journal is restored"
	Empty      Trouble = "the journal is emptied"
	Second     Trouble = "a second journal"
	Join       Trouble = "a consumer is registered"
	Leave      Trouble = "a consumer is not registered any more"
	Desert     Trouble = "a consumer goes on unregistered"
	Clock      Trouble = "the clock jumps by two days"
	OldDies    Trouble = "the old key dies"
	NewDies    Trouble = "the new key dies"
	Abort      Trouble = "somebody aborts"
	Again      Trouble = "somebody rotates again"
	Paused     Trouble = "somebody holds it for an hour"

	GoesBack Trouble = "a service goes back to the old key" // where there are windows

	// Of a webhook.
	SenderBack Trouble = "the sender is put back by hand"
	Amnesia    Trouble = "a receiver is restored from an old image"
)

// Interventions are all of them.
func Interventions(s Setting) []Trouble {
	if s.Signing != "" {
		return hookInterventions()
	}
	all := []Trouble{
		LeakAll, LeakOld, LeakNew, LeakBoth, LeakTwice, LeakDown, PutBack, PutKeep, NewKey, NewKeyKeep, DeadKey, Lose, Backup, Foreign, Rewind, Empty,
		Second, Join, Leave, Desert, Clock, OldDies, NewDies, Abort, Again, Paused,
	}
	if s.Hours != nil {
		all = append(all, GoesBack)
	}
	if s.Twin != nil { // one journal and one clock are for both
		all = slices.DeleteFunc(all, func(t Trouble) bool { return t == Rewind || t == Empty || t == Second || t == Clock })
	}
	return all
}

// meddle does it.
func (w *World) meddle(ctx context.Context, p *process, what Trouble) {
	w.mu.Lock()
	w.meddled, w.meddledAt = true, time.Now()
	old, fresh := w.seeded, w.newest()
	known := w.oracle.recorded(old)
	w.mu.Unlock()
	switch what {
	case NewKey, NewKeyKeep, DeadKey, Backup, Second:
		if !known {
			return // before the library knows of any key, this is just how the world is
		}
	}
	leak := func(ms ...*minted) []rotation.Leak {
		var keys []rotation.Leak
		for _, m := range ms {
			if m != nil && w.hooks != nil {
				keys = append(keys, w.hooks.leak(m))
			} else if m != nil {
				keys = append(keys, rotation.Leak{Credential: w.name, KeyID: m.key.ID})
			}
		}
		return keys
	}
	report := func(in rotation.Incident) {
		if len(in.Keys)+len(in.Credentials) > 0 {
			ctx := context.WithoutCancel(ctx) // the call beside which it happens may be given up meanwhile
			w.operator(ctx, func(eve *process) { _ = emergency(in)(ctx, eve) })
		}
	}
	switch what {
	case LeakAll:
		report(rotation.Incident{Reference: "INC-2", Credentials: []string{w.name}})
	case LeakOld:
		report(rotation.Incident{Reference: "INC-2", Keys: leak(old)})
	case LeakNew:
		report(rotation.Incident{Reference: "INC-2", Keys: leak(fresh)})
	case LeakBoth:
		report(rotation.Incident{Reference: "INC-2", Keys: leak(old, fresh)})
	case LeakTwice:
		report(rotation.Incident{Reference: "INC-2", Keys: leak(old)})
		report(rotation.Incident{Reference: "INC-2", Keys: leak(old)})
		report(rotation.Incident{Reference: "INC-3", Keys: leak(fresh)})
	case LeakDown:
		w.locked(func() {
			w.down[w.killing()] = time.Now().Add(25 * time.Second)
			w.pending++ // it is not over before the second one
		})
		report(rotation.Incident{Reference: "INC-2", Keys: leak(old)})
		if fresh != nil {
			time.Sleep(15 * time.Second)
			report(rotation.Incident{Reference: "INC-3", Keys: leak(fresh)})
		}
		w.locked(func() { w.pending-- })
	case PutBack, PutKeep, NewKey, NewKeyKeep, DeadKey, Lose, Backup, Foreign:
		w.locked(func() { w.edit(what) })
	case Rewind, Empty:
		w.locked(func() { w.journal.rewind(what == Empty) })
	case Second:
		w.second(ctx)
	case Join, Leave, Desert:
		w.register(what)
	case Clock:
		p.jump.Add(int64(48 * time.Hour))
		w.in(3*time.Hour, func() { p.jump.Add(-int64(48 * time.Hour)) }) // longer than the engine sleeps
	case SenderBack, Amnesia:
		w.locked(func() { w.meddleHook(what) })
	case GoesBack:
		w.locked(func() {
			if s := w.services[0]; s.kind == Pushed && w.seeded.exists(time.Now()) {
				w.tell("%s goes back to %s", s.name, w.seeded.key.ID)
				s.hold(s.instances[0], w.seeded.answer())
			}
		})
	case OldDies, NewDies:
		w.mu.Lock()
		if m := map[Trouble]*minted{OldDies: old, NewDies: fresh}[what]; m != nil && m.gone.IsZero() {
			w.oracle.handmade[m] = true
			w.atOnce = true
			m.gone = time.Now()
			w.tell("a person ends %s", m.key.ID)
		}
		w.mu.Unlock()
	case Abort:
		w.operator(ctx, func(eve *process) {
			w.insist(ctx, eve, func() error {
				st, err := eve.rotator.Abort(ctx, w.name, "simulated")
				w.say("Abort", st, err)
				return err
			})
		})
	case Again:
		w.operator(ctx, func(eve *process) {
			w.insist(ctx, eve, func() error {
				st, err := eve.rotator.Rotate(ctx, w.name, rotation.Trigger{ID: "job 8"})
				w.say("Rotate", st, err)
				return err
			})
		})
	case Paused:
		w.operator(ctx, func(eve *process) {
			w.insist(ctx, eve, func() error {
				err := eve.rotator.Hold(ctx, w.name, time.Now().Add(time.Hour), "simulated")
				w.say("Hold", nil, err)
				return err
			})
		})
	}
}

// locked does something under the lock, and gives it back even if that panics: the engine would go on, and wait for ever.
func (w *World) locked(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do()
}

// newest is the last key that was issued, nil before. The caller holds the lock.
func (w *World) newest() *minted {
	for _, m := range slices.Backward(w.provider.keys) {
		if !m.foreign && !m.first {
			return m
		}
	}
	return nil
}

// operator does something from a process of its own, beside the call that is under way.
func (w *World) operator(_ context.Context, do func(*process)) {
	eve := w.start("eve", 0)
	w.mu.Lock()
	eve.advance = time.Now()
	w.pending++
	w.mu.Unlock()
	go func() {
		do(eve)
		w.mu.Lock()
		w.pending--
		w.mu.Unlock()
	}()
}

// insist asks again while another process drives.
func (w *World) insist(ctx context.Context, eve *process, ask func() error) {
	for range 40 {
		w.locked(func() { eve.advance = time.Now() })
		err := ask()
		w.locked(func() { w.tell("eve asks: %v", err) })
		if !errors.Is(err, rotation.ErrConflict) || ctx.Err() != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

// edit changes the store by hand. The caller holds the lock.
func (w *World) edit(what Trouble) {
	doc := cloneVersions(w.vault.doc)
	find := func(r rotation.Role) int {
		return slices.IndexFunc(doc.Keys, func(k rotation.StoredKey) bool { return k.Role == r && !k.Compromised })
	}
	current, previous := find(rotation.RoleCurrent), find(rotation.RolePrevious)
	switch what {
	case PutBack, PutKeep:
		if current < 0 || previous < 0 {
			return
		}
		doc.Keys[current].Role, doc.Keys[previous].Role = rotation.RolePrevious, rotation.RoleCurrent
	case NewKey, NewKeyKeep, DeadKey:
		if w.setting.Slots || w.setting.Traits.MaxKeys > 0 || current < 0 {
			return
		}
		if w.hooks != nil {
			w.editHook(doc, current, what == NewKeyKeep)
			return
		}
		m := w.provider.byHand(false)
		w.oracle.handmade[m], m.person = true, true
		if what == DeadKey {
			m.gone = m.since
			w.atOnce = true
		}
		k := m.answer()
		doc.Keys[current] = rotation.StoredKey{Key: k, Role: rotation.RoleCurrent}
	case Lose:
		if current < 0 || len(doc.Keys) < 2 {
			return
		}
		doc.Keys = doc.Keys[current : current+1]
	case Backup:
		doc = cloneVersions(w.vault.history[len(w.vault.history)/2])
	case Foreign:
		parts := strings.Split(doc.Stamp, ":")
		if len(parts) != 5 {
			return
		}
		parts[1] = "SOMEBODYELSEHERE"
		doc.Stamp = strings.Join(parts, ":")
	}
	if what == PutKeep || what == NewKeyKeep || what == Foreign {
		w.prefers = rotation.VerbAdopt
	}
	w.tell("a person edits the store")
	if m := w.provider.byValue(doc.Key(rotation.RoleCurrent).Secret); m != nil && (!m.exists(time.Now()) || !m.enabled(time.Now())) {
		w.oracle.handmade[m] = true // whoever reads the store has a dead key now, or one that is switched off
	}
	w.excuseHook(doc)
	w.oracle.byHand = true
	w.vault.put(doc)
	w.oracle.byHand = false
}

// rewind makes the journal what it was, or nothing. The caller holds the lock.
func (b *book) rewind(empty bool) {
	b.w.oracle.tampered = true
	b.w.prefers = rotation.VerbAdopt
	b.w.tell("the journal goes back")
	if empty || len(b.history) == 0 {
		clear(b.entries)
		return
	}
	e := b.history[len(b.history)/2]
	b.entries[credential] = e
}

// second is a rotator with a journal of its own, as a mistake of configuration makes it.
func (w *World) second(ctx context.Context) {
	w.mu.Lock()
	w.twoJournals = true
	w.mu.Unlock()
	eve := w.start("eve", 0)
	w.mu.Lock()
	w.twoJournals = false
	w.pending++
	w.mu.Unlock()
	go func() {
		for i := 0; i < 10 && ctx.Err() == nil; i++ {
			w.mu.Lock()
			eve.advance = time.Now()
			w.mu.Unlock()
			st, err := eve.rotator.Rotate(ctx, w.name, rotation.Trigger{ID: "job 9"})
			w.say("Rotate", st, err)
			time.Sleep(20 * time.Minute)
		}
		eve.retire()
		w.mu.Lock()
		w.pending--
		w.mu.Unlock()
	}()
}

// register changes the inventory of every process.
func (w *World) register(what Trouble) {
	w.mu.Lock()
	switch what {
	case Join, Leave, Desert:
		if w.hooks != nil {
			w.registerHook(what)
			break
		}
		w.registerService(what)
	}
	processes := slices.Clone(w.processes)
	w.mu.Unlock()
	for _, p := range processes {
		if err := p.rotator.Register(p.credential()); err != nil {
			w.say("Register", nil, err)
		}
	}
}

// registerService is register for services. The caller holds the lock.
func (w *World) registerService(what Trouble) {
	switch what {
	case Join:
		s := newService(w, len(w.services), Pushed)
		w.services = append(w.services, s)
		if k := w.seeded; k.exists(time.Now()) {
			s.hold(s.instances[0], k.answer()) // from an old file
		} else {
			s.hold(s.instances[0], w.vault.served())
		}
	case Leave:
		w.services[len(w.services)-1].leave()
	case Desert:
		if s := w.services[0]; w.oracle.touched(s.name) {
			s.left = true // until a person says that it is gone
		} else {
			s.leave()
		}
	}
}
