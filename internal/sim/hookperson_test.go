// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

// answerHook is what a person says about a webhook, having looked at the world. The caller holds the lock.
func (w *World) answerHook(n rotation.Need, verb rotation.Verb) (truth, known bool) {
	switch {
	case verb == rotation.VerbAttest:
		r := w.receiver(n.Name)
		target := w.targetOf(n)
		return r != nil && target != nil && w.attests(n, r, target), true
	case verb == rotation.VerbDone && strings.HasSuffix(n.ID, "/sacrifice"):
		return w.giveUpLost(!slices.Contains(n.Verbs, rotation.VerbRollBack)), true
	case verb == rotation.VerbDone && strings.HasSuffix(n.ID, "/activate"):
		if w.hooks.told != nil {
			w.hooks.signWith(w.hooks.told)
			w.hooks.told = nil
		}
		return true, true
	}
	return false, false
}

// giveUpLost reports whether a person gives up deliveries that bear what the store has lost: where there is no other way, or the
// other way leads here again.
func (w *World) giveUpLost(must bool) bool {
	if w.hooks.turned++; !must && w.hooks.turned < 2 {
		return false
	}
	for _, m := range w.provider.keys {
		if !w.vault.has(m) {
			w.oracle.excused[m] = "a person gave it up"
		}
	}
	return true
}

// attests reports whether what a person is asked to attest is so. A receiver that nothing can look into and that does not
// accept what it was told a person mends.
func (w *World) attests(n rotation.Need, r *receiver, target *minted) bool {
	alone := []*minted{target}
	switch {
	case strings.Contains(n.ID, "/match/"):
		return !r.saw[target].IsZero() && !r.saw[target].Before(w.hooks.switched(target))
	case strings.Contains(n.ID, "/quiet/"):
		for _, m := range w.provider.keys {
			needed := time.Since(r.needed[m]) < max(w.setting.Policy.Quiet, w.hooks.horizon())
			if m != target && (needed || w.hooks.needs(m, alone)) {
				return false
			}
		}
		return !slices.ContainsFunc(w.hooks.failed, func(d *delivery) bool {
			return d.to == r && !slices.Contains(d.by, target) && time.Since(d.made) < w.hooks.horizon()
		})
	}
	only := strings.Contains(n.Text, "and no ") // "no other"
	accepts := w.secrets(r.instances[0].accepts)
	fine := slices.Contains(accepts, target) && (len(accepts) == 1 || !only)
	if meant := w.secrets(r.meant); !fine && slices.Contains(meant, target) && (len(meant) == 1 || !only) {
		w.tell("a person mends %s", r.name)
		r.hold(r.instances[0], r.meant)
		return true
	}
	return fine
}

func (w *World) receiver(name string) *receiver {
	for _, r := range w.hooks.receivers {
		if r.name == name {
			return r
		}
	}
	return nil
}

// targetOf is the secret that a need is about: its number stands in the need's name.
func (w *World) targetOf(n rotation.Need) *minted {
	_, rest, _ := strings.Cut(n.ID, ".")
	text, _, _ := strings.Cut(rest, "/")
	serial, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil
	}
	for _, k := range w.vault.doc.Keys {
		if k.Key.Serial == serial {
			return w.provider.byValue(k.Key.Secret)
		}
	}
	return nil
}

// endHook ends a debt by hand: every receiver forgets it. The caller holds the lock.
func (w *World) endHook(m *minted) {
	w.oracle.handmade[m] = true
	for _, r := range w.hooks.accepting(m) {
		for _, i := range r.instances {
			keys := slices.DeleteFunc(slices.Clone(i.accepts), func(k rotation.Key) bool { return k.Secret.Equal(m.key.Secret) })
			r.hold(i, keys)
		}
	}
	w.hooks.count()
}
