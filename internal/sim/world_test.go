// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/handover-go/handover/rotation"
)

// credential is the name of the credential, and second of the other one where there are two.
const (
	credential = "payment-gateway-api"
	second     = "mail-relay-api"
)

// World is everything that a rotation touches, in one synctest bubble, and what is planned to go wrong with it.
type World struct {
	*common
	name     string // of the credential
	mark     string // ends the labels of its calls, where there are two credentials
	twin     *World // the other credential
	setting  Setting
	provider *provider
	hooks    *hooks // of a webhook secret
	vault    *vault
	journal  *book
	trail    *trail
	services []*service
	oracle   *oracle
	seeded   *minted
	stranger *minted // a key at the provider that is nobody's business here

	processes   []*process // guarded by mu, like all that follows
	pending     int        // late effects under way
	ended       bool       // the script is through
	end         chan struct{}
	said        int      // what methods returned
	revokeFirst bool     // an incident asked for it
	emergency   bool     // one was reported
	reporter    *process // by this one last
	asked       map[string]time.Time
	prefers     rotation.Verb   // what a person answers where there is a choice
	last        rotation.Status // at the end
	stands      rotation.Status // as last seen
	refusing    time.Time       // the verifier refuses everything until then
	lied        bool            // something said yes and did nothing
	answered    bool            // a person did
	meddledAt   time.Time
	meddled     bool // somebody changed the world from outside
	scheduled   bool // nobody asks for the rotation
	atOnce      bool // no overlap was possible
	twoJournals bool // whoever starts now has one of its own
}

// common is what the worlds of two credentials share: one run, one plan, and one clock.
type common struct {
	schedule Schedule
	hashing  bool
	began    time.Time

	mu       sync.Mutex
	counts   map[string]int // guarded by mu, like all that follows: calls of each label
	met      int            // faults that were met
	troubled time.Time      // when the last fault was met
	trace    []line
	steps    []Step
	over     bool
	down     map[string]time.Time // systems that answer nothing until then
	outage   bool                 // something was down
}

// Step is one call of a run, and the state of the world in which it was made.
type Step struct {
	Point Point
	Op    op
	State uint64
	label string // the point, with the names of that state
	met   int
}

// line is one line of a trace.
type line struct {
	at   time.Time
	who  string
	what string
}

// newWorld makes a world in which the first key is in use.
func newWorld(s Setting, plan Schedule) *World {
	c := &common{schedule: plan, counts: map[string]int{}, began: time.Now(), down: map[string]time.Time{}}
	w := makeWorld(s, c, nil)
	if s.Twin != nil {
		w.twin = makeWorld(*s.Twin, c, w)
	}
	return w
}

// makeWorld makes the world of one credential, beside that of another one if there is one.
func makeWorld(s Setting, c *common, first *World) *World {
	w := &World{common: c, name: credential, setting: s, end: make(chan struct{}), asked: map[string]time.Time{}, prefers: rotation.VerbReassert}
	w.oracle = newOracle(w)
	w.provider = &provider{w: w}
	w.vault = &vault{w: w}
	if first == nil {
		w.journal = newBook(w)
		w.trail = &trail{w: w, ids: map[string]bool{}}
	} else {
		w.name, w.mark, w.twin = second, " b", first
		w.journal, w.trail = first.journal, first.trail
	}
	if s.Signing != "" {
		w.hooks = &hooks{w: w}
	}
	w.mu.Lock()
	if !s.Slots && s.Traits.MaxKeys == 0 && w.hooks == nil {
		w.stranger = w.provider.byHand(true)
	}
	w.seeded = w.provider.byHand(false)
	w.seeded.first = true
	w.vault.put(rotation.Versions{Keys: []rotation.StoredKey{{Key: w.shown(w.seeded), Role: rotation.RoleCurrent}}})
	w.mu.Unlock()
	if w.hooks != nil {
		w.listen()
	}
	for i, kind := range s.Services {
		c := newService(w, i, kind)
		if kind == Shared && first != nil {
			c.with(first)
		}
		c.brittle = s.Brittle && i == len(s.Services)-1 || s.BrittleFirst && i == 0
		w.services = append(w.services, c)
		c.seed(w.seeded.answer())
		if c.brittle {
			w.in(w.repaired(), func() { c.brittle = false }) // somebody mends it, long after the roll-back
		}
		if kind == Job {
			w.mu.Lock()
			w.in(70*time.Second, c.runJobs)
			w.mu.Unlock()
		}
	}
	if s.Stray {
		w.locked(w.stray)
	}
	return w
}

// repaired is when a service that breaks with a new key is mended.
func (w *World) repaired() time.Duration {
	if w.setting.Hours != nil {
		return 8 * time.Hour // the window comes after six
	}
	return 15 * time.Minute
}

// stray uses the first key now and then. The caller holds the lock.
func (w *World) stray() {
	now := time.Now()
	if now.Sub(w.began) < 5*time.Hour {
		w.provider.uses = append(w.provider.uses, use{id: w.seeded.key.ID + w.seeded.key.Attributes["held"], from: now, to: now})
		w.in(50*time.Minute, w.stray)
	}
}

// settle is how long a call that was given up may still land.
func (w *World) settle() time.Duration {
	lag := w.setting.Traits.ListLag
	if lag == 0 {
		lag = time.Minute
	}
	return callTimeout + clockSkew + max(lag, 0)
}

// in does something later, under the lock, unless the run is over.
func (w *World) in(d time.Duration, do func()) {
	time.AfterFunc(d, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.over {
			do()
		}
	})
}

// nameOf is what a key is called in labels: its id, with what the slot held if ids come back.
func (w *World) nameOf(k rotation.Key) string {
	if w.hooks != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.nameOfLocked(k)
	}
	if w.setting.Slots {
		if m := w.provider.byValueLocked(k); m != nil {
			return m.key.ID + "/" + m.key.Attributes["held"]
		}
	}
	if k.ID == "" {
		if m := w.provider.byValueLocked(k); m != nil {
			return m.key.ID
		}
		return "a value"
	}
	return k.ID
}

// nameOfLocked is nameOf for whoever holds the lock, of a webhook.
func (w *World) nameOfLocked(k rotation.Key) string {
	if m := w.hooks.find(k); m != nil {
		return m.key.ID
	}
	return "a value"
}

// shown is a key as the engine gets it.
func (w *World) shown(m *minted) rotation.Key {
	if w.hooks != nil {
		return w.hooks.shown(m)
	}
	return m.answer()
}

// listen puts up the receivers of a webhook, and lets the sender work.
func (w *World) listen() {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.hooks
	h.signers = []signer{{key: w.seeded, from: w.seeded.since}}
	w.oracle.presented[w.seeded] = true
	for i, kind := range w.setting.Receivers {
		r := newReceiver(w, i, kind)
		r.saw[w.seeded] = w.began
		for _, l := range r.instances {
			l.accepts = []rotation.Key{h.shown(w.seeded)}
		}
		h.receivers = append(h.receivers, r)
		if r.brittle = w.setting.BrittleFirst && i == 0; r.brittle {
			w.in(w.repaired(), func() { r.brittle = false })
		}
		if kind != Idle {
			every := 7*time.Minute + time.Duration(i)*97*time.Second
			w.in(every/3, func() { h.deliverTo(r, every) })
			if w.setting.Past { // the later the receiver, the later it comes
				before := h.sign(r)
				before.stubborn, before.made = true, w.began.Add(-time.Duration(len(w.setting.Receivers)-i)*10*time.Minute)
				h.again(before)
			}
		}
		if (kind == Follows || kind == Renewed) && w.setting.Renewed >= 0 {
			w.in(40*time.Minute+time.Duration(i)*time.Minute, r.renew)
		}
		if again := w.setting.Renewed; kind == Renewed && again > 0 {
			w.in(again, r.renew)
		}
	}
}

func (p *provider) byValueLocked(k rotation.Key) *minted {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.find(k)
}

// reached notes a call. The caller holds the lock.
func (w *World) reached(p *process, o op, point Point) {
	s := Step{Point: point, Op: o, met: w.met}
	if w.hashing {
		s.State, s.label = w.state(p, point.Label)
	}
	w.steps = append(w.steps, s)
	if len(w.steps) == tooMany {
		w.oracle.broken("law 6", "%d calls, and no end: %s", tooMany, w.where())
		w.stop()
	}
	if o.effect() || keepLogs {
		w.trace = append(w.trace, line{time.Now(), p.name, point.String()})
	}
}

// tooMany calls are a rotation that hammers instead of waiting.
const tooMany = 12000

// stop ends the run. The caller holds the lock.
func (w *World) stop() {
	if !w.ended {
		w.ended = true
		w.last = w.stands
		close(w.end)
	}
}

// note adds a line to the trace.
func (w *World) note(p *process, point Point, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, line{time.Now(), p.name, point.String() + " -> " + strings.ToUpper(what)})
}

// tell adds a line to the trace that is no call. The caller holds the lock.
func (w *World) tell(format string, args ...any) {
	w.trace = append(w.trace, line{time.Now(), w.mark, fmt.Sprintf(format, args...)})
}

// after looks at the world when a call has been made.
func (w *World) after(p *process, o op, about string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !o.effect() {
		return
	}
	w.oracle.after(p, o, about, err)
	w.look(string(o) + " " + about)
	if w.setting.Propagate > 0 && (o == opIssue || o == opRevoke || o == opDisable || o == opEnable || o == opActivate) {
		w.in(w.setting.Propagate, func() { w.look(string(o) + " " + about + " is seen everywhere") })
	}
}

// look lets the oracle see every presenter. The caller holds the lock.
func (w *World) look(why string) {
	switch {
	case w.over:
	case w.hooks != nil:
		w.oracle.lookHooks(why)
	default:
		w.oracle.look(why)
	}
}
