// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Script is what is asked of the library in a run. Every process asks it, as a job does that is repeated after a timeout.
type Script struct {
	Name  string
	Table rotation.Strategy

	Scheduled             bool // nobody asks for the rotation
	Brittle, BrittleFirst bool // the new key does not work for the last service, or for the first
	begin                 func(context.Context, *process) error
	begun                 func(rotation.Status) bool
	outcome               rotation.Outcome
}

// Scripts are the tables, as they are entered.
func Scripts() []Script {
	rotate := func(ctx context.Context, p *process) error {
		st, err := p.rotator.Rotate(ctx, p.w.name, rotation.Trigger{ID: "job 7", Reason: "simulated"})
		p.w.say("Rotate", st, err)
		return err
	}
	recorded := func(st rotation.Status) bool { return st.Open != nil || st.Last != nil }
	return []Script{
		{Name: "standard", Table: rotation.Standard, begin: rotate, begun: recorded, outcome: rotation.Rotated},
		{Name: "roll-back", Table: rotation.RollBack, Brittle: true, begin: rotate, begun: recorded, outcome: rotation.RolledBack},
		{Name: "emergency", Table: rotation.Emergency, begin: emergency(rotation.Incident{Reference: "INC-1", Credentials: []string{credential}}), begun: recorded, outcome: rotation.Rotated},
		{Name: "emergency, revoked first", Table: rotation.Emergency, begin: emergency(rotation.Incident{Reference: "INC-1", Credentials: []string{credential}, RevokeFirst: true}), begun: recorded, outcome: rotation.Rotated},
		{Name: "roll-back of a canary", Table: rotation.RollBack, BrittleFirst: true, begin: rotate, begun: recorded, outcome: rotation.RolledBack},
		{Name: "by itself", Table: rotation.Standard, Scheduled: true, begin: nobody, begun: recorded, outcome: rotation.Rotated},
	}
}

// nobody asks for anything.
func nobody(context.Context, *process) error { return nil }

// twinScript is what is asked of the other credential, whatever happens to the first.
func (s Setting) twinScript() Script {
	sc := Scripts()[0]
	begin := sc.begin
	sc.begin = func(ctx context.Context, p *process) error {
		time.Sleep(time.Until(p.w.began.Add(s.After)))
		return begin(ctx, p)
	}
	return sc
}

// emergency reports an incident.
func emergency(in rotation.Incident) func(context.Context, *process) error {
	return func(ctx context.Context, p *process) error {
		in := in
		if in.Reference == "INC-1" {
			in.ConfirmedAt = p.w.began.Add(-clockSkew) // whoever repeats it says the same
		}
		added := p.w.declare(p, in)
		report, err := p.rotator.Emergency(ctx, in)
		p.w.say("Emergency", report, err)
		if err != nil && strings.Contains(err.Error(), "an emergency is open already") {
			p.w.locked(func() { // a refusal: the same leak, perhaps, whose successor must not die
				for _, m := range added {
					if delete(p.w.oracle.accused[m], in.Reference); len(p.w.oracle.accused[m]) == 0 {
						delete(p.w.oracle.compromised, m)
					}
				}
			})
		}
		return err
	}
}

// declare tells the oracle what an incident makes compromised: what the journal resolves when it first sees the reference.
func (w *World) declare(p *process, in rotation.Incident) (added []*minted) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.emergency, w.revokeFirst = true, in.RevokeFirst
	w.tell("%s reports %s", p.name, in.Reference)
	known := bytes.Contains(p.journal.entries[p.w.name].Data, []byte(in.Reference))
	if !known {
		w.oracle.hook.storm, w.oracle.hook.since = true, time.Now()
	}
	for _, m := range w.provider.keys {
		named := len(in.Credentials) > 0 && !known && !w.oracle.tampered
		for _, leak := range in.Keys {
			named = named || (leak.KeyID == m.key.ID || leak.Value.Equal(m.key.Secret) && !leak.Value.IsZero()) && m.exists(time.Now())
		}
		if m.foreign || !m.exists(time.Now()) {
			continue
		}
		since, already := w.oracle.compromised[m]
		if !named && !already {
			continue
		}
		if !already || w.reporter != nil && w.reporter.dead {
			since = time.Now()
		}
		w.oracle.compromised[m] = since
		if named {
			if w.oracle.accused[m] == nil {
				w.oracle.accused[m] = map[string]bool{}
			}
			if !w.oracle.accused[m][in.Reference] {
				added = append(added, m)
			}
			w.oracle.accused[m][in.Reference] = true
		}
	}
	w.reporter = p
	return added
}

const (
	horizon = 20 * 24 * time.Hour // by then everything has ended
	oneLook = time.Hour           // between two looks of a process at the latest
	patient = 30 * time.Minute    // until a person answers
)

// patience is how long it takes until a person answers. In an emergency of a webhook all look.
func (w *World) patience() time.Duration {
	if w.hooks != nil && w.emergency {
		return patient / 10
	}
	return patient
}

// live drives the credential from one process until the run is over.
func (w *World) live(ctx context.Context, p *process, s Script) {
	begun := false
	for ctx.Err() == nil && p.alive() {
		w.mu.Lock()
		p.advance, p.calls = time.Now(), 0
		w.mu.Unlock()
		p.skew.Add(p.jump.Swap(0))
		if !begun {
			err := s.begin(ctx, p)
			begun = err == nil
		}
		st, err := p.rotator.Advance(ctx, w.name)
		w.say("Advance", st, err)
		w.mu.Lock()
		w.stands = st
		if err == nil {
			w.oracle.stood(p, st)
		}
		w.mu.Unlock()
		if !p.alive() {
			return
		}
		begun = begun || err == nil && s.begun(st)
		if err == nil && w.person(ctx, p, st) {
			time.Sleep(time.Second)
			continue
		}
		if w.giveUp(p, st, s) {
			now, err := p.rotator.Abort(ctx, w.name, "simulated")
			w.say("Abort", now, err)
			time.Sleep(time.Second)
			continue
		}
		if begun && err == nil {
			w.finished(st, s)
		}
		pause := min(max(time.Until(st.Next), time.Second), oneLook)
		if !begun {
			pause = min(pause, 10*time.Second)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// giveUp reports whether somebody aborts now: of a webhook nobody but a person knows that a new secret, which every receiver
// accepts, is no good, or that the half of a provider is not coming back.
func (w *World) giveUp(p *process, st rotation.Status, s Script) bool {
	if w.hooks == nil && !w.setting.Halves || !s.Brittle || st.Open == nil || st.Open.Strategy != rotation.Standard || st.Open.Phase != w.setting.abortIn() {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked["abort"].IsZero() {
		w.asked["abort"] = time.Now()
	}
	ready := time.Since(w.asked["abort"]) > time.Minute
	if ready {
		w.asked["abort"] = time.Now() // if it is refused, he asks again
		w.tell("%s aborts", p.name)
	}
	return ready
}

// finished ends the run if there is nothing left to do.
func (w *World) finished(st rotation.Status, s Script) {
	w.mu.Lock()
	defer w.mu.Unlock()
	over := s.begun(st) && st.Last != nil || w.oracle.tampered && time.Since(w.meddledAt) > 3*24*time.Hour // nobody remembers
	if over && st.Open == nil && len(st.Debts) == 0 && w.pending == 0 {
		w.stop()
	}
}

// person answers what only a person can, after a while and truthfully. It reports whether it did.
func (w *World) person(ctx context.Context, p *process, st rotation.Status) bool {
	ctx = rotation.WithActor(ctx, "operator")
	for _, n := range st.Needs {
		fooled := w.fooled() && n.Kind == rotation.NeedConsumer && slices.Contains(n.Verbs, rotation.VerbRollBack)
		if n.Kind != rotation.NeedPerson && !fooled {
			continue
		}
		w.mu.Lock()
		since, seen := w.asked[n.ID]
		if !seen {
			since = time.Now()
			w.asked[n.ID] = since
		}
		a, ok := w.answer(n, st)
		w.mu.Unlock()
		if !ok || time.Since(since) < w.patience() {
			continue
		}
		w.locked(func() {
			w.answered = true
			w.accustomed()
			if a.Verb == rotation.VerbForget {
				w.stopService(n.Name)
			}
		})
		now, err := p.rotator.Resolve(ctx, w.name, a)
		w.say("Resolve", now, err)
		w.mu.Lock()
		w.tell("a person answers %s with %s %s (%v)", n.ID, a.Verb, a.KeyID, err)
		if !errors.Is(err, rotation.ErrConflict) { // else somebody is driving: once more, soon
			delete(w.asked, n.ID)
		}
		w.mu.Unlock()
		return err == nil
	}
	for _, debt := range st.Debts {
		w.mu.Lock()
		since, seen := w.asked[debt.ID]
		if !seen {
			w.asked[debt.ID] = time.Now()
		}
		m := w.provider.holder(debt.Key.ID)
		if w.hooks != nil {
			m = w.hooks.find(debt.Key)
		}
		if m == nil && debt.Key.Name != "" {
			for _, k := range w.provider.keys {
				if k.key.Name == debt.Key.Name {
					m = k
				}
			}
		}
		w.mu.Unlock()
		if !seen || time.Since(since) < 2*time.Hour {
			continue // it may yet settle by itself
		}
		w.mu.Lock()
		if m != nil && w.hooks != nil {
			if w.met == 0 && !w.meddled {
				w.oracle.broken("law 6", "a person has to end %s, although nothing went wrong", m.key.ID)
			}
			w.endHook(m)
			w.tell("a person ends %s by hand", m.key.ID)
		} else if m != nil && m.gone.IsZero() {
			m.gone = time.Now()
			w.oracle.handmade[m] = true
			w.tell("a person ends %s by hand", m.key.ID)
		}
		w.mu.Unlock()
		now, err := p.rotator.Resolve(ctx, w.name, rotation.Answer{Need: debt.ID, Verb: rotation.VerbSettle, Reason: "looked"})
		w.say("Resolve", now, err)
		w.mu.Lock()
		w.tell("a person settles the debt %s (%v)", debt.Key.ID, err)
		if !errors.Is(err, rotation.ErrConflict) { // else somebody is driving: once more, soon
			delete(w.asked, debt.ID)
		}
		w.mu.Unlock()
		return err == nil
	}
	return false
}

// fooled reports whether a consumer took a key and did nothing, and nothing but a person can tell that it never will.
func (w *World) fooled() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.setting.NoHealth && w.lied
}

// answer is what a person says to a need, having looked at the world. The caller holds the lock.
func (w *World) answer(n rotation.Need, st rotation.Status) (rotation.Answer, bool) {
	a := rotation.Answer{Need: n.ID, Reason: "looked"}
	for _, v := range n.Verbs {
		a.Verb = v
		if w.hooks != nil {
			truth, known := w.answerHook(n, v)
			if known && !truth && v == rotation.VerbDone {
				continue
			}
			if known && !truth && slices.Contains(n.Verbs, rotation.VerbAttest) {
				return a, false // not yet
			}
			if known {
				return a, truth
			}
		}
		switch v {
		case rotation.VerbAttest:
			if n.Name == "" || w.uses(n.Name, w.vault.served()) {
				return a, true
			}
		case rotation.VerbSettle:
			for _, m := range w.provider.keys {
				if !m.foreign && !m.first && m.exists(time.Now()) && !w.vault.has(m) && !w.oracle.recorded(m) {
					a.KeyID = m.key.ID
				}
			}
			return a, true
		case w.prefers, rotation.VerbDone:
			return a, true
		}
	}
	for _, v := range n.Verbs { // what is left to say
		switch v {
		case rotation.VerbAdopt, rotation.VerbReassert, rotation.VerbForget, rotation.VerbRollBack:
			a.Verb = v
			return a, true
		}
	}
	return a, false
}

// stopService ends a service, as whoever says that it is gone has done before. The caller holds the lock.
func (w *World) stopService(name string) {
	for _, s := range w.services {
		if s.name == name && !s.hidden {
			s.leave()
		}
	}
	if w.hooks != nil && w.receiver(name) != nil {
		w.receiver(name).leave()
	}
}

// uses reports whether every instance of a service uses the key.
func (w *World) uses(name string, k rotation.Key) bool {
	for _, s := range w.services {
		for _, i := range s.instances {
			if s.name == name && !i.key.Secret.Equal(k.Secret) {
				return false
			}
		}
	}
	return true
}

// recorded reports whether the journal knows the key by its id.
func (o *oracle) recorded(m *minted) bool {
	if o.w.hooks != nil {
		return o.recordedHook(m)
	}
	return slices.ContainsFunc(o.w.processes, func(p *process) bool {
		return bytes.Contains(p.journal.entries[p.w.name].Data, []byte(`"`+m.key.ID+`"`))
	})
}

// underWay reports whether another rotation is open after the one that the run was about.
func (w *World) underWay() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stands.Open != nil
}

// verdict is what holds at the end.
func (w *World) verdict(s Script) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o, p := w.oracle, w.provider
	if !w.ended {
		o.broken("law 6", "not ended after %v: %s", horizon, w.where())
		return
	}
	if w.last.Last == nil {
		return // stopped
	}
	if w.hooks != nil {
		w.verdictHook(s)
		return
	}
	current := p.byValue(w.vault.served().Secret)
	if got := w.last.Last.Outcome; got != s.outcome && !w.meddled && !(s.Table != rotation.Emergency && w.met > 0) {
		o.broken("law 6", "it ended %q instead of %q", got, s.outcome)
	}
	last := w.last.Last
	if (current == nil || o.handmade[current]) && w.meddled && (w.meddledAt.After(last.EndedAt.Add(-time.Minute)) || !last.RevokedAt.IsZero() && w.meddledAt.After(last.RevokedAt.Add(-time.Minute))) {
		return // it was changed when nobody looked any more: that is for Inspect
	}
	if current == nil || !p.everywhere(current) {
		o.broken("law 3", "at the end the store serves %v, which is not accepted", w.vault.served())
	}
	for _, m := range p.live() {
		switch {
		case m.foreign, m == current, m.first && !o.recorded(m):
		case o.lateDone(opIssue) && (w.setting.Untagged || m.since.After(w.last.Last.EndedAt.Add(-time.Minute))), o.lateDone(opEnable), o.tampered:
		default:
			o.broken("law 2", "at the end %s is alive, and nobody knows", m.key.ID)
		}
	}
	for m := range o.compromised {
		if m.exists(time.Now()) {
			o.broken("law 7", "at the end %s is compromised and alive", m.key.ID)
		}
	}
	if len(w.vault.doc.Keys) != 1 && !w.meddled {
		o.broken("law 2", "at the end the store holds %d keys", len(w.vault.doc.Keys))
	}
	if w.stranger != nil && !w.stranger.exists(time.Now()) {
		o.broken("law 10", "the stranger's key was killed")
	}
	for _, c := range w.services {
		for _, i := range c.instances {
			if m := p.byValue(i.key.Secret); m != current && !i.idle && !c.hidden && !w.meddled && !o.lateDone(opDeploy) {
				o.broken("law 1", "at the end %s uses %v", i.name, i.key)
			}
		}
	}
	w.complete()
	o.covered(s)
	o.used(s)
}

// complete is law 9: what ended was told, from its beginning to its end, in order.
func (w *World) complete() {
	var began, ended bool
	if keepLogs {
		for _, e := range w.trail.events {
			w.tell("event %s %s %s: %s", e.Kind, e.Rotation, e.Strategy, e.Text)
		}
	}
	last := w.last.Last
	for _, e := range w.trail.events {
		if e.Rotation != last.ID {
			continue
		}
		began = began || e.Kind == rotation.EventBegan
		if e.Kind == rotation.EventEnded {
			ended = true
			if !began {
				w.oracle.broken("law 9", "the end of %s was told before its beginning", last.ID)
			}
		}
	}
	if (!began || !ended) && !w.oracle.tampered {
		w.oracle.broken("law 9", "of the rotation that ended, the trail knows: began %v, ended %v", began, ended)
	}
}

// where is what the run stands at, for a person.
func (w *World) where() string {
	st := w.stands
	if st.Open == nil {
		return fmt.Sprintf("nothing open, last %v, %d debts %v", st.Last != nil, len(st.Debts), st.Debts)
	}
	text := fmt.Sprintf("%s, %s", st.Open.Strategy, st.Open.Phase)
	for _, n := range st.Needs {
		text += fmt.Sprintf("; %s %s %v", n.Kind, n.Text, n.Verbs)
	}
	if st.Open.Problem != nil {
		text += "; " + st.Open.Problem.Error()
	}
	return text
}
