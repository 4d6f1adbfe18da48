// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/handover-go/handover/rotation"
)

var errDead = errors.New("the process has ended")

// process is one program with a Rotator in it. Everything it does to the world, and everything it learns of it, goes through
// pass. It dies with its first deadly fault, and has no effect from then on.
type process struct {
	w       *World
	name    string
	skew    atomic.Int64 // its clock is ahead of the others by this much
	jump    atomic.Int64 // and by so much more from its next Advance on: what it has read would jump too
	rotator *rotation.Rotator
	journal *book
	twin    *process // the same process, as the other credential sees it

	dead     bool        // guarded by w.mu, like all that follows
	wake     time.Time   // it stands still until then
	stalls   []time.Time // when it stood still
	advance  time.Time   // when the Advance under way began
	calls    int         // in this Advance
	sawLoss  bool        // its last write of the journal did not succeed
	savedAt  time.Time   // its last successful write of the journal
	seen     map[string]time.Time
	told     map[string]time.Time // receivers that have said when they verified what
	accepted time.Time            // it last heard that a key is accepted
	issuing  time.Time            // since when a call of Issue is under way; zero: none is
}

// alive reports whether the process can still do something.
func (p *process) alive() bool {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return !p.dead
}

// injected is an error of a fault. It carries what must never be seen: a secret and a provider's answer.
type injected struct {
	what    string
	timeout bool
}

func (e injected) Error() string {
	return "simulated: " + e.what + ": " + answerText + " " + marker + "inAnError"
}
func (e injected) Timeout() bool        { return e.timeout }
func (e injected) Temporary() bool      { return true }
func (e injected) Is(target error) bool { return e.timeout && target == context.DeadlineExceeded }

// pass is one call of the engine to the world.
func (p *process) pass(ctx context.Context, o op, about string, do func(context.Context) error) error {
	w := p.w
	label := string(o)
	if about != "" {
		label += " " + about
	}
	label += w.mark
	called := time.Now()
	for {
		w.mu.Lock()
		standing := time.Until(p.wake)
		if standing <= 0 || p.dead {
			break
		}
		w.mu.Unlock()
		time.Sleep(standing)
	}
	if p.dead {
		w.mu.Unlock()
		return errDead
	}
	if time.Now().Before(w.down[o.system()]) {
		w.oracle.tried(o, about)
		w.mu.Unlock()
		return injected{what: "down"}
	}
	if (o == opVerify || o == opProbe) && time.Now().Before(w.refusing) {
		w.mu.Unlock()
		return fmt.Errorf("simulated: a firewall: %w", rotation.ErrRejected)
	}
	w.counts[label]++
	point := Point{label, w.counts[label]}
	p.calls++
	w.reached(p, o, point)
	if !slices.ContainsFunc(p.stalls, called.Equal) || called.Equal(time.Now()) { // it was under way when the process stood still
		w.oracle.before(p, o, about)
	}
	if o == opIssue {
		p.issuing = time.Now()
		defer func() { w.locked(func() { p.issuing = time.Time{} }) }()
	}
	fault, faulty := w.schedule.at(point)
	if faulty {
		w.met++
		w.troubled = time.Now()
	}
	w.mu.Unlock()

	act := func() error {
		err := do(ctx)
		w.after(p, o, about, err)
		return err
	}
	if !faulty {
		return act()
	}
	w.note(p, point, string(fault.Trouble))
	return p.suffer(ctx, fault, act)
}

// suffer is a call that meets its fault.
func (p *process) suffer(ctx context.Context, f Fault, act func() error) error {
	w := p.w
	later := func(d time.Duration) {
		w.mu.Lock()
		w.pending++
		w.mu.Unlock()
		go func() {
			time.Sleep(d)
			_ = act()
			w.mu.Lock()
			w.pending--
			w.mu.Unlock()
		}()
	}
	switch f.Trouble {
	case Fails:
		return injected{what: "failed"}
	case Lost:
		_ = act()
		return injected{what: "timed out", timeout: true}
	case Lags:
		later(callTimeout + 2*time.Second)
		<-ctx.Done()
		return ctx.Err()
	case Hangs:
		<-ctx.Done()
		return ctx.Err()
	case Panics:
		panic(marker + "inAPanic " + answerText)
	case Exits:
		runtime.Goexit()
	case DiesFirst:
		p.die()
		return errDead
	case DiesAfter:
		p.die()
		_ = act()
		return errDead
	case Late:
		p.die()
		later(lease + 5*time.Second)
		return errDead
	case TooLate:
		p.die()
		w.mu.Lock()
		w.oracle.residue(f.Label)
		w.mu.Unlock()
		later(lease + w.settle() + time.Minute)
		return errDead
	case Stalls:
		d := lease + 5*time.Second
		w.locked(func() { p.stands(d) })
		time.Sleep(d)
		return act()
	case Lies:
		w.locked(func() { w.lied = true })
		return nil
	case Down:
		w.locked(func() {
			o := opOf(f.Label)
			d := 10 * time.Minute
			switch {
			case o == opDeliver && w.twin != nil: // their keys are overdue, and the next rotation begins soon
				d = 3 * time.Hour
			case o == opDeliver:
				d = 24 * time.Hour
			}
			w.down[o.system()] = time.Now().Add(d)
			w.outage = true
		})
		return injected{what: "down"}
	case Rejects:
		return fmt.Errorf("simulated: a bad edge: %w", rotation.ErrRejected)
	case Refuses:
		w.locked(func() {
			w.refusing = time.Now().Add(10 * time.Minute)
			w.atOnce = true // a current key that is refused is no key to protect
		})
		return fmt.Errorf("simulated: a firewall: %w", rotation.ErrRejected)
	case Refused:
		return fmt.Errorf("simulated: %w", rotation.ErrNotIssued)
	}
	if o := opOf(f.Label); o == opRevoke || o == opDisable {
		w.locked(func() { // a kill that is under way cannot know what somebody does beside it
			if m := w.labelled(strings.TrimSuffix(strings.TrimPrefix(f.Label, string(o)+" "), w.mark)); m != nil {
				w.oracle.excused[m] = "an intervention beside the kill"
			}
		})
	}
	w.meddle(ctx, p, f.Trouble)
	time.Sleep(time.Second) // the call is under way while it happens
	return act()
}

// retire ends the process when the run is over.
func (p *process) retire() { p.die() }

func (p *process) die() {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.dies()
}

// dies is die for whoever holds the lock.
func (p *process) dies() {
	p.dead = true
	if p.twin != nil {
		p.twin.dead = true
	}
}

// stands makes the whole process stand still. The caller holds the lock.
func (p *process) stands(d time.Duration) {
	for _, p := range []*process{p, p.twin} {
		if p != nil {
			p.stalls, p.wake = append(p.stalls, time.Now()), time.Now().Add(d)
		}
	}
}

// of is the process as the credential of this name sees it, or the first one.
func (p *process) of(name string) *process {
	if p.twin != nil && p.twin.w.name == name {
		return p.twin
	}
	return p
}

// What the engine is configured with.
const (
	lease       = 30 * time.Second
	callTimeout = 10 * time.Second
	issueLimit  = 30 * time.Second
	clockSkew   = 5 * time.Second
)

// start makes a process with a Rotator for the world's credential, and for the other one where there are two.
func (w *World) start(name string, skew time.Duration) *process {
	if w.mark != "" {
		return w.twin.start(name, skew).twin
	}
	p := &process{w: w, name: name, journal: w.journal, seen: map[string]time.Time{}, told: map[string]time.Time{}}
	p.skew.Store(int64(skew))
	if w.twoJournals {
		p.journal = newBook(w)
	}
	inventory := []rotation.Credential{p.credential()}
	if w.twin != nil {
		p.twin = &process{w: w.twin, name: name, journal: p.journal, twin: p, seen: map[string]time.Time{}, told: map[string]time.Time{}}
		p.twin.skew.Store(int64(skew))
		inventory = append(inventory, p.twin.credential())
	}
	r, err := rotation.New(rotation.Config{
		Journal: seamJournal{p.journal, p}, Store: seamStore{w.vault, p}, Actor: name,
		Sinks:  []rotation.Sink{seamSink{w.trail, p}},
		Logger: slog.New(slog.NewTextHandler(scanner{w}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Lease:  lease, CallTimeout: callTimeout, IssueLimit: issueLimit, ClockSkew: clockSkew, Check: w.setting.Check,
		Credentials: inventory,
	})
	if err != nil {
		w.mu.Lock()
		w.oracle.broken("setup", "%v", err)
		p.dies()
		w.mu.Unlock()
	}
	p.rotator = r
	w.mu.Lock()
	w.processes = append(w.processes, p)
	if p.twin != nil {
		p.twin.rotator = r
		w.twin.processes = append(w.twin.processes, p.twin)
	}
	w.mu.Unlock()
	return p
}

// credential is the inventory of this process.
func (p *process) credential() rotation.Credential {
	w := p.w
	if w.hooks != nil {
		return p.webhook()
	}
	c := rotation.Credential{
		Name: w.name, Type: rotation.APIKey, Policy: w.setting.Policy,
		Issuer: seamIssuer{w.provider, p}, Verifier: seamVerifier{w.provider, p, opVerify, ""},
	}
	if w.mark != "" {
		c.Store = seamStore{w.vault, p}
	}
	for _, s := range w.services {
		if s.hidden || s.left {
			continue
		}
		b := rotation.Binding{Name: s.name, Consumer: seamConsumer{s, p}, Lag: s.kind.lag(), Group: s.group()}
		if s.kind != Shared || !w.setting.NoHealth {
			b.Verifier = seamVerifier{s, p, opHealth, s.name}
		}
		c.Consumers = append(c.Consumers, b)
	}
	return c
}
