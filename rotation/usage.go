// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// askUsage asks the issuer what it knows of the use of compromised keys, beside their revocation: nothing waits for the answer. In an
// Advance it is asked once. A provider may list a revoked key no more: then what the last look at the key has told is all there is.
func (d *drive) askUsage() {
	for _, victim := range d.st.victims() {
		if u := victim.Use.told(); victim.compromised() && u != nil && !slices.ContainsFunc(d.st.Run.Used, u.same) {
			d.st.Run.used(*u)
		}
	}
	d.takeUsage(0)
	l, ok := As[Lister](d.reg.Issuer)
	if !ok || d.reg.webhook || d.kills.asked || len(d.unaskedVictims()) == 0 {
		return
	}
	d.kills.asked = true
	answer := make(chan []KeyInfo, 1)
	d.kills.usage = answer
	ctx, limit := d.ctx, d.r.cfg.CallTimeout
	go func() {
		defer close(answer)
		if keys, err := guarded(ctx, limit, l.List); err == nil {
			answer <- keys
		}
	}()
}

// unaskedVictims are the compromised keys of which the issuer has not told anything yet, and that it may still know.
func (d *drive) unaskedVictims() []*keyState {
	run := d.st.Run
	return slices.DeleteFunc(d.st.victims(), func(k *keyState) bool {
		return !k.compromised() || k.Key.ID == "" || !k.RevokedAt.IsZero() || slices.Contains(run.UsageAsked, k.Key.Serial)
	})
}

// takeUsage records the answer, if it comes within a time. What comes later, or not at all, is left.
func (d *drive) takeUsage(within time.Duration) {
	if d.kills.usage == nil || d.st.Run == nil || within == 0 && len(d.kills.usage) == 0 {
		return
	}
	timer := time.NewTimer(max(within, time.Second))
	defer timer.Stop()
	select {
	case keys, answered := <-d.kills.usage:
		d.kills.usage = nil
		if answered {
			d.recordUsage(keys)
		}
	case <-timer.C:
	}
}

// recordUsage notes what a list tells of the victims. One that it does not show is not asked for again.
func (d *drive) recordUsage(keys []KeyInfo) {
	run := d.st.Run
	for _, victim := range d.st.victims() {
		if !victim.compromised() || victim.Key.ID == "" || slices.Contains(run.UsageAsked, victim.Key.Serial) {
			continue
		}
		run.UsageAsked = append(run.UsageAsked, victim.Key.Serial)
		if d.learnUsage(victim, keys) {
			run.used(*victim.Use.Told)
		}
	}
}

// used takes the newest report of a key into the record.
func (r *run) used(u KeyUsage) {
	if i := slices.IndexFunc(r.Used, u.same); i >= 0 {
		r.Used[i] = u
	} else {
		r.Used = append(r.Used, u)
	}
}

func (u KeyUsage) same(other KeyUsage) bool { return u.Key == other.Key }

// keepUsage asks the issuer how the current key was used, before this library uses it to look at it. An issuer that does not answer
// tells nothing: the look goes on.
func (d *drive) keepUsage() {
	current := d.st.key(d.st.Current)
	if current == nil || current.Key.ID == "" || d.reg.webhook {
		return
	}
	if keys, listed, err := d.list(); err == nil && listed {
		d.learnUsage(current, keys)
	}
}

// learnUsage takes what a list tells of a key. A use at a time at which this library itself has used it is nobody else's, and hides
// what was before it: what an earlier report has told of that stays.
func (d *drive) learnUsage(k *keyState, keys []KeyInfo) bool {
	i := slices.IndexFunc(keys, func(i KeyInfo) bool { return i.Key.ID == k.Key.ID && !i.Usage.AsOf.IsZero() })
	if i < 0 {
		return false
	}
	told := keys[i].Usage
	u := KeyUsage{Key: k.Key.ID, LastUsed: told.LastUsed, Since: told.Since, AsOf: told.AsOf, Source: told.Source}
	if d.probed(k, told.LastUsed) {
		u.LastUsed, u.Source, u.Probed = time.Time{}, "", told.LastUsed
	}
	if before := k.Use.told(); before != nil && before.LastUsed.After(u.LastUsed) {
		u.LastUsed, u.Source = before.LastUsed, before.Source
	}
	k.use().Told = &u
	return true
}

// used is a report with the latest use that any report has told of: one that falls back undoes none. A time that is still to come is
// no use to be remembered.
func (k *keyState) used(u Usage, now time.Time) *Usage {
	if u.LastUsed.After(k.Used) && !u.LastUsed.After(now) {
		k.Used, k.UsedBy = u.LastUsed, u.Source
	}
	if k.Used.After(u.LastUsed) {
		u.LastUsed, u.Source = k.Used, k.UsedBy
	}
	return &u
}

// use is what is known of the use of a key.
type use struct {
	Told   *KeyUsage   `json:"told,omitzero"`   // what the issuer has told last
	Probes []time.Time `json:"probes,omitzero"` // when this library itself has used it last, oldest first
}

func (u *use) told() *KeyUsage {
	if u == nil {
		return nil
	}
	return u.Told
}

func (k *keyState) use() *use {
	if k.Use == nil {
		k.Use = &use{}
	}
	return k.Use
}

// keptProbes is how many looks at a key are remembered: issuers are late to report its use.
const keptProbes = 8

// probing remembers that this library itself uses a key at a time. Looks in a row are one.
func (k *keyState) probing(at time.Time) {
	u := k.use()
	at = at.Round(0)
	if n := len(u.Probes); n > 0 && at.Sub(u.Probes[n-1]) < time.Second {
		u.Probes[n-1] = at
		return
	}
	u.Probes = append(u.Probes, at)
	u.Probes = u.Probes[max(0, len(u.Probes)-keptProbes):]
}

// probed reports whether a use was one of this library itself, by the provider's clock.
func (d *drive) probed(k *keyState, at time.Time) bool {
	near := time.Second + d.r.cfg.CallTimeout + d.r.cfg.ClockSkew
	return k.Use != nil && !at.IsZero() && slices.ContainsFunc(k.Use.Probes, func(p time.Time) bool { return at.Sub(p).Abs() <= near })
}

// text is one line: when it was last used, by whom, and how far that reaches.
func (u KeyUsage) text() string {
	text := cmp.Or(when(u.LastUsed), "never")
	switch {
	case !u.LastUsed.IsZero():
	case !u.Probed.IsZero():
		text = "by nobody else as far as is known"
	case !u.Since.IsZero():
		text = "not since " + when(u.Since)
	}
	if u.Source != "" {
		text += " (" + u.Source + ")"
	}
	if !u.Probed.IsZero() {
		text += ", and looked at by this library at " + when(u.Probed) + ", which can hide other use before"
	}
	return fmt.Sprintf("%s: last used %s, as of %s", u.Key, text, when(u.AsOf))
}
