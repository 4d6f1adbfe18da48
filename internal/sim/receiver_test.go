// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Kinds of receivers of webhooks.
const (
	Told    Kind = "told"    // accepts what it was told, and tells everything
	Follows Kind = "follows" // reads the store: one process at once, one as late as it may; shows what each accepts
	Renewed Kind = "renewed" // accepts what it was told; its process is started anew now and then, and has counted nothing then
	Unseen  Kind = "unseen"  // accepts what it was told; nothing can look into it
	Idle    Kind = "idle"    // the same as told, and no delivery but a test ever comes
)

// receiver is one consumer of a webhook.
type receiver struct {
	w         *World
	name      string
	kind      Kind
	hidden    bool // not in the inventory (yet, or any more), and nobody's business
	left      bool // not in the inventory any more, although it was told something and goes on
	astray    bool // somebody made it accept something else, until it is told again
	brittle   bool // it does not take any secret but the first
	instances []*listener

	sent   int                   // deliveries to it; guarded by w.mu, like all that follows
	meant  []rotation.Key        // what it was last told, if it heard it or not
	saw    map[*minted]time.Time // when the last delivery was made that it verified with this secret
	needed map[*minted]time.Time // when it last verified one that nothing else would have done for
	known  map[int64]*minted     // secrets by the numbers that it was told
}

// listener is one process of a receiver.
type listener struct {
	name    string
	accepts []rotation.Key // newest first
	matched map[*minted][]time.Time
	since   time.Time // it counts since then
	late    bool      // it looks at the store as rarely as it may
	due     bool      // a look is under way
}

func newReceiver(w *World, i int, kind Kind) *receiver {
	r := &receiver{
		w: w, name: fmt.Sprintf("%s%d", kind, i), kind: kind,
		saw: map[*minted]time.Time{}, needed: map[*minted]time.Time{}, known: map[int64]*minted{},
	}
	copies := 1
	if kind == Follows {
		copies = 2
	}
	for n := range copies {
		r.instances = append(r.instances, &listener{
			name: fmt.Sprintf("%s/%d", r.name, n), matched: map[*minted][]time.Time{}, since: w.began.Add(-100 * time.Hour), late: n == 1,
		})
	}
	return r
}

// up reports whether deliveries reach it.
func (r *receiver) up() bool { return !time.Now().Before(r.w.down[opDeploy.system()]) }

// others are what every process of it accepts, but for one secret.
func (r *receiver) others(m *minted) []*minted {
	var others []*minted
	for _, k := range r.instances[0].accepts {
		if o := r.w.provider.byValue(k.Secret); o != nil && o != m && !slices.ContainsFunc(r.instances, func(i *listener) bool { return !i.takes(o) }) {
			others = append(others, o)
		}
	}
	return others
}

func (i *listener) takes(m *minted) bool {
	return slices.ContainsFunc(i.accepts, func(k rotation.Key) bool { return k.Secret.Equal(m.key.Secret) })
}

// takes reports whether a process of it accepts a secret.
func (r *receiver) takes(m *minted) bool {
	return slices.ContainsFunc(r.instances, func(i *listener) bool { return i.takes(m) })
}

// accepting are the receivers of which a process accepts a secret.
func (h *hooks) accepting(m *minted) []*receiver {
	var rs []*receiver
	for _, r := range h.receivers {
		if !r.hidden && r.takes(m) {
			rs = append(rs, r)
		}
	}
	return rs
}

// deploy is what reaches the receiver of a deployment.
func (r *receiver) deploy(req rotation.DeployRequest) error {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	r.learn(req.Accept)
	if r.kind == Follows {
		r.storeChanged()
		return nil
	}
	r.hold(r.instances[0], req.Accept)
	r.astray = false
	return nil
}

// learn remembers what numbers mean.
func (r *receiver) learn(keys []rotation.Key) {
	for _, k := range keys {
		if m := r.w.provider.byValue(k.Secret); m != nil && k.Serial != 0 {
			r.known[k.Serial] = m
		}
	}
}

// hold makes a process accept these keys and no other. The caller holds the lock.
func (r *receiver) hold(i *listener, keys []rotation.Key) {
	before := i.accepts
	if r.brittle {
		keys = slices.DeleteFunc(slices.Clone(keys), func(k rotation.Key) bool { return !k.Secret.Equal(r.w.seeded.key.Secret) })
	}
	r.learn(keys)
	i.accepts = slices.Clone(keys)
	r.w.hooks.count()
	r.w.oracle.accepts(r, i, before)
	r.w.look(i.name + " accepts " + namesOf(r.w.secrets(keys)))
}

// secrets are what keys are here.
func (w *World) secrets(keys []rotation.Key) []*minted {
	var ms []*minted
	for _, k := range keys {
		if m := w.provider.byValue(k.Secret); m != nil {
			ms = append(ms, m)
		}
	}
	return ms
}

// storeChanged lets those look that look at the store by themselves. The caller holds the lock.
func (r *receiver) storeChanged() {
	if r.kind != Follows {
		return
	}
	for _, i := range r.instances {
		if !i.late {
			r.refresh(i)
		} else if !i.due {
			i.due = true
			r.w.in(r.kind.lag()-time.Second, func() {
				i.due = false
				r.refresh(i)
			})
		}
	}
}

// refresh reads the store. While that is down what was read stays.
func (r *receiver) refresh(i *listener) {
	if time.Now().Before(r.w.down["store"]) {
		r.w.in(20*time.Second, func() { r.refresh(i) })
		return
	}
	keys := r.w.vault.doc.Accepted()
	if !slices.EqualFunc(keys, i.accepts, rotation.Key.Equal) {
		r.hold(i, keys)
	}
}

// renew starts the processes anew. The caller holds the lock.
func (r *receiver) renew() {
	for _, i := range r.instances {
		i.matched, i.since = map[*minted][]time.Time{}, time.Now()
		if r.kind == Follows {
			r.refresh(i)
		}
	}
	r.w.tell("%s is started anew", r.name)
}

// leave ends a receiver for good. The caller holds the lock.
func (r *receiver) leave() { r.hidden = true }

// probe says whether every process accepts what is signed with a key.
func (r *receiver) probe(k rotation.Key) error {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	with, without := 0, 0
	for _, i := range r.instances {
		if slices.ContainsFunc(i.accepts, func(a rotation.Key) bool { return a.Secret.Equal(k.Secret) }) {
			with++
		} else {
			without++
		}
	}
	switch {
	case without == 0:
		return nil
	case with == 0:
		return fmt.Errorf("simulated receiver: %w", rotation.ErrRejected)
	default:
		return fmt.Errorf("simulated receiver: not every process: %w", rotation.ErrNotYet)
	}
}

// observe shows each process once for each key that it accepts.
func (r *receiver) observe() []rotation.Instance {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	var seen []rotation.Instance
	for _, i := range r.instances {
		now := time.Now().UTC().Round(0)
		for _, k := range i.accepts {
			seen = append(seen, rotation.Instance{Name: i.name, AsOf: now, Key: rotation.Key{ID: k.ID, Serial: k.Serial, Generation: k.Generation, Name: k.Name}})
		}
		if len(i.accepts) == 0 {
			seen = append(seen, rotation.Instance{Name: i.name, AsOf: now})
		}
	}
	return seen
}

// usage is when a delivery last matched a key, as far as the processes that run now have seen.
func (r *receiver) usage(k rotation.Key) rotation.Usage {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	m := r.known[k.Serial]
	u := rotation.Usage{AsOf: time.Now().Add(-r.w.setting.UsageLag).UTC().Round(0), Source: r.name}
	for _, i := range r.instances {
		u.Since = latest(u.Since, i.since.UTC().Round(0))
		for _, at := range slices.Backward(i.matched[m]) {
			if !at.After(u.AsOf) {
				u.LastUsed = latest(u.LastUsed, at.UTC().Round(0))
				break
			}
		}
	}
	return u
}
