// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"slices"
	"time"

	"github.com/handover-go/handover/rotation"
)

// hookInterventions are what somebody does to the world of a webhook.
func hookInterventions() []Trouble {
	return []Trouble{
		LeakAll, LeakOld, LeakNew, LeakBoth, LeakTwice, LeakDown, PutBack, PutKeep, NewKey, NewKeyKeep, Lose, Backup, Foreign, Rewind, Empty,
		Second, Join, Leave, Desert, Clock, Abort, Again, Paused, SenderBack, Amnesia,
	}
}

// leak names a secret in an incident: by its value, where an id tells nothing.
func (h *hooks) leak(m *minted) rotation.Leak {
	if id := h.shown(m).ID; id != "" && id != endpoint {
		return rotation.Leak{Credential: h.w.name, KeyID: id}
	}
	return rotation.Leak{Credential: h.w.name, Value: m.key.Secret}
}

// killing is the system in which a key is killed.
func (w *World) killing() string {
	if w.hooks != nil {
		return opDeploy.system()
	}
	return opRevoke.system()
}

// meddleHook changes the sender, or a receiver. The caller holds the lock.
func (w *World) meddleHook(what Trouble) {
	h := w.hooks
	r := h.receivers[0]
	switch what {
	case SenderBack:
		if len(h.accepting(w.seeded)) == len(h.receivers) && w.setting.Signing != AtOnce && w.vault.has(w.seeded) {
			w.tell("a person tells the sender")
			h.signWith(w.seeded)
			if h.back = time.Now(); w.oracle.hook.gated[w.seeded] {
				w.oracle.excused[w.seeded] = "the sender was put back when the receivers were about to forget"
			}
		}
	case Amnesia:
		r.astray = true
		w.oracle.byHand = true
		r.hold(r.instances[0], []rotation.Key{h.shown(w.seeded)})
		w.oracle.byHand = false
	}
}

// editHook puts a key of a person's into the store, beside the one that is current. On purpose: the receivers and the sender have it too.
func (w *World) editHook(doc rotation.Versions, current int, onPurpose bool) {
	m := w.provider.byHand(false)
	m.person = true
	doc.Keys = slices.DeleteFunc(doc.Keys, func(k rotation.StoredKey) bool { return k.Role == rotation.RolePrevious })
	for i := range doc.Keys {
		if doc.Keys[i].Role == rotation.RoleCurrent {
			doc.Keys[i].Role = rotation.RolePrevious
		}
	}
	doc.Keys = append(doc.Keys, rotation.StoredKey{Key: m.answer(), Role: rotation.RoleCurrent})
	if onPurpose {
		w.prefers = rotation.VerbAdopt
	}
	w.tell("a person edits the store")
	w.excuseHook(doc)
	w.oracle.byHand = true
	w.vault.put(doc)
	if onPurpose {
		w.oracle.excused[m] = "nobody was asked about it yet"
		for _, r := range w.hooks.receivers {
			for _, i := range r.instances {
				if !i.takes(m) {
					r.hold(i, append([]rotation.Key{m.answer()}, i.accepts...))
				}
			}
		}
		if w.setting.Signing != AtOnce {
			w.hooks.signWith(m)
		}
	}
	w.oracle.byHand = false
}

// excuseHook says of whoever reads the store that it can do nothing for secrets that a person takes out of it.
func (w *World) excuseHook(doc rotation.Versions) {
	if w.hooks == nil {
		return
	}
	stay := w.secrets(doc.Accepted())
	for _, r := range w.hooks.receivers {
		if r.kind == Follows && slices.ContainsFunc(w.secrets(w.vault.doc.Accepted()), func(m *minted) bool { return !slices.Contains(stay, m) }) {
			r.astray = true
		}
	}
}

// accustomed: a person says what is to become of what another one did. The caller holds the lock.
func (w *World) accustomed() {
	for _, m := range w.provider.keys {
		if _, unasked := w.oracle.excused[m]; !m.person || !unasked || w.hooks == nil {
			continue
		}
		delete(w.oracle.excused, m)
		for _, r := range w.hooks.receivers {
			r.astray = r.astray || !r.takes(m) // what was under way then came after the person
		}
	}
}

// registerHook changes the receivers. The caller holds the lock.
func (w *World) registerHook(what Trouble) {
	h := w.hooks
	last := h.receivers[len(h.receivers)-1]
	switch what {
	case Join:
		r := newReceiver(w, len(h.receivers), Told)
		r.astray = true
		r.saw[w.seeded] = w.began
		r.instances[0].accepts = []rotation.Key{h.shown(w.seeded)} // from an old file
		h.receivers = append(h.receivers, r)
		h.count()
		h.deliverTo(r, 17*time.Minute)
	case Leave:
		last.leave()
	case Desert:
		if r := h.receivers[0]; w.oracle.touched(r.name) {
			r.left = true // until a person says that it is gone
		} else {
			r.leave()
		}
	}
}
