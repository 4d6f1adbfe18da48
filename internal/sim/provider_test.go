// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// marker begins every secret value of the simulation, so that one search finds all of them. Its length divides by three:
// that its base64 form does not depend on what follows.
const marker = "S1MSECRETVAL"

// answerText stands for the body of a provider's answer, in the text of every injected error.
const answerText = "ANSWER-BODY"

// provider is the accepting side. It has two edges: the first sees every change at once, the second later.
type provider struct {
	w      *World
	serial int       // guarded by w.mu, like all that follows
	halved bool      // see Setting.Halves: it has happened
	keys   []*minted // in the order of minting
	uses   []use
	probes int // calls of Verify
}

// minted is one key at the provider.
type minted struct {
	key     rotation.Key
	foreign bool // made by a person, for somebody else
	first   bool // the seeded one
	half    bool // see Setting.Halves
	person  bool // put into the store by hand
	since   time.Time
	listed  time.Time
	gone    time.Time // zero: there
	ends    time.Time // by itself; zero: never
	flips   []flip
}

type flip struct {
	at time.Time
	on bool
}

// use is the time during which a presenter used a key; without to it still does.
type use struct {
	id       string
	from, to time.Time
	probe    bool
}

const edges = 2

// lag is how late an edge sees a change.
func (p *provider) lag(edge int) time.Duration {
	return time.Duration(edge%edges) * p.w.setting.Propagate
}

func (m *minted) exists(t time.Time) bool {
	return m.gone.IsZero() && (m.ends.IsZero() || t.Before(m.ends))
}

// changed is when the key was made, or last switched off or on.
func (m *minted) changed() time.Time {
	if n := len(m.flips); n > 0 {
		return m.flips[n-1].at
	}
	return m.since
}

func (m *minted) enabled(t time.Time) bool {
	on := true
	for _, f := range m.flips {
		if !f.at.After(t) {
			on = f.on
		}
	}
	return on
}

// accepted reports whether an edge with this lag accepts the key.
func (m *minted) accepted(t time.Time, lag time.Duration) bool {
	seen := t.Add(-lag)
	switch {
	case seen.Before(m.since), !m.gone.IsZero() && !seen.Before(m.gone), !m.ends.IsZero() && !t.Before(m.ends):
		return false
	}
	return m.enabled(seen)
}

// everywhere reports whether every edge accepts the key.
func (p *provider) everywhere(m *minted) bool {
	t := time.Now()
	return m != nil && m.accepted(t, 0) && m.accepted(t, p.lag(1))
}

// mint makes a key.
func (p *provider) mint(id, name string, value secret.Value) *minted {
	now := time.Now()
	p.serial++
	if id == "" {
		id = "k" + strconv.Itoa(p.serial)
	}
	if value.IsZero() {
		value = newValue()
	}
	m := &minted{key: rotation.Key{ID: id, Name: name, Secret: value, IssuedAt: now.UTC().Round(0)}, since: now, listed: now.Add(p.w.setting.ListLag)}
	if p.w.setting.Slots {
		m.key.Attributes = map[string]string{"held": strconv.Itoa(p.serial)}
	}
	p.keys = append(p.keys, m)
	return m
}

// newID names a value that is chosen before the provider has it.
func (p *provider) newID() string {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.serial++
	return "k" + strconv.Itoa(p.serial)
}

func newValue() secret.Value { return secret.New(marker + secret.Random(16).Reveal()) }

// byHand makes a key as a person would: it is everywhere at once.
func (p *provider) byHand(foreign bool) *minted {
	id := ""
	if p.w.setting.Slots {
		id = "slot-a"
		if foreign {
			id = "slot-z"
		}
	}
	m := p.mint(id, "", secret.Value{})
	m.foreign = foreign
	m.since, m.listed = m.since.Add(-time.Hour), m.since
	m.key.IssuedAt = m.key.IssuedAt.Add(-cmp.Or(p.w.setting.Age, 24*time.Hour))
	return m
}

// holder is what an id stands for now: the last key minted under it.
func (p *provider) holder(id string) *minted {
	for _, m := range slices.Backward(p.keys) {
		if m.key.ID == id {
			return m
		}
	}
	return nil
}

// byValue finds a key by its secret.
func (p *provider) byValue(v secret.Value) *minted {
	for _, m := range slices.Backward(p.keys) {
		if m.key.Secret.Equal(v) {
			return m
		}
	}
	return nil
}

// find is what a caller means: where an id comes back, only what the slot held of it.
func (p *provider) find(k rotation.Key) *minted {
	if !k.Secret.IsZero() && (k.ID == "" || p.w.setting.Slots) {
		return p.byValue(k.Secret)
	}
	if !p.w.setting.Slots {
		return p.holder(k.ID)
	}
	held := k.Attributes["held"]
	for _, m := range p.keys {
		if m.key.ID == k.ID && held != "" && m.key.Attributes["held"] == held {
			return m
		}
	}
	return nil
}

func (p *provider) slots() (taken int) {
	for _, m := range p.keys {
		if !m.foreign && m.exists(time.Now()) {
			taken++
		}
	}
	return taken
}

func (p *provider) Issue(_ context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	s, now := p.w.setting, time.Now()
	old := p.find(req.Current)
	id := ""
	switch {
	case s.Slots:
		id = "slot-a"
		if old != nil && old.key.ID == id {
			id = "slot-b"
		}
		if h := p.holder(id); h != nil && h.exists(now) {
			return rotation.Key{}, fmt.Errorf("simulated provider: %w", rotation.ErrNoSlot)
		}
	case s.Traits.MaxKeys > 0 && p.slots() >= s.Traits.MaxKeys:
		return rotation.Key{}, fmt.Errorf("simulated provider: %w", rotation.ErrNoSlot)
	}
	if m := p.byValue(req.Chosen.Secret); m != nil && !req.Chosen.Secret.IsZero() {
		if m.exists(now) {
			m.half = false
			return m.answer(), nil
		}
		return rotation.Key{}, fmt.Errorf("simulated provider: a value cannot come back: %w", rotation.ErrNotIssued)
	}
	if v := req.Chosen.Secret; !v.IsZero() && !p.w.vault.has(&minted{key: rotation.Key{Secret: v}}) && !p.w.meddled {
		p.w.oracle.broken("law 2", "a chosen value reaches the provider, and the store does not have it")
	}
	name := req.Name
	if s.Untagged {
		name = ""
	}
	m := p.mint(cmp.Or(id, req.Chosen.ID), name, req.Chosen.Secret)
	m.half = s.Halves && !p.halved
	p.halved = p.halved || m.half
	if old != nil && old.exists(now) {
		if s.Traits.KillsOld {
			old.gone = now
			p.w.oracle.excuse(old.key.ID, "issuing kills the old key")
		} else if end := now.Add(s.Traits.Grace); s.Traits.Grace > 0 && (old.ends.IsZero() || end.Before(old.ends)) {
			old.ends = end
			p.w.oracle.excuseAt(old.key.ID, end, "the provider ends it")
			p.w.oracle.deadline(old)
		}
	}
	p.w.oracle.minted(m)
	if m.half {
		return rotation.Key{}, errHalf
	}
	return m.answer(), nil
}

// errHalf is what the provider says of a value that one of its halves has, as far as is known.
var errHalf = errors.New("simulated provider: one half does not answer")

func (m *minted) answer() rotation.Key {
	return rotation.Key{ID: m.key.ID, Secret: m.key.Secret, Attributes: m.key.Attributes, IssuedAt: m.key.IssuedAt}
}

func (p *provider) Revoke(_ context.Context, key rotation.Key) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if m := p.find(key); m != nil && m.gone.IsZero() {
		m.gone = time.Now()
	}
	return nil
}

func (p *provider) Disable(_ context.Context, key rotation.Key) error { return p.flip(key, false) }
func (p *provider) Enable(_ context.Context, key rotation.Key) error  { return p.flip(key, true) }

func (p *provider) flip(key rotation.Key, on bool) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	now := time.Now()
	m := p.find(key)
	if m == nil || !m.exists(now) {
		return fmt.Errorf("simulated provider: %w", rotation.ErrNotFound)
	}
	if m.enabled(now) != on {
		m.flips = append(m.flips, flip{now, on})
	}
	return nil
}

// Verify asks the edges in turn.
func (p *provider) Verify(_ context.Context, key rotation.Key) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.probes++
	return p.present(key, p.probes, true)
}

// present is one request with a key at an edge.
func (p *provider) present(key rotation.Key, edge int, probe bool) error {
	m, now := p.byValue(key.Secret), time.Now()
	if m != nil && m.half && m.gone.IsZero() {
		return errHalf
	}
	if m == nil || !m.accepted(now, p.lag(edge)) {
		return fmt.Errorf("simulated provider: %w", rotation.ErrRejected)
	}
	if probe {
		p.uses = append(p.uses, use{id: m.key.ID + m.key.Attributes["held"], from: now, to: now, probe: true})
	}
	return nil
}

// lastUse is when a presenter (and, if asked for, a probe) last used the key, as it was known at a time.
func (p *provider) lastUse(m *minted, at time.Time, probes bool) time.Time {
	var last time.Time
	for _, u := range p.uses {
		if u.id != m.key.ID+m.key.Attributes["held"] || u.from.After(at) || u.probe && !probes {
			continue
		}
		end := at
		if !u.to.IsZero() && u.to.Before(at) {
			end = u.to
		}
		if end.After(last) {
			last = end
		}
	}
	return last
}

func (p *provider) List(context.Context) ([]rotation.KeyInfo, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	var infos []rotation.KeyInfo
	now := time.Now()
	for _, m := range p.keys {
		if !m.exists(now) || now.Before(m.listed) {
			continue
		}
		info := rotation.KeyInfo{
			Key: rotation.Key{ID: m.key.ID, Name: m.key.Name, Attributes: m.key.Attributes, IssuedAt: m.key.IssuedAt, ExpiresAt: m.ends.UTC().Round(0)},
		}
		if m.ends.IsZero() {
			info.Key.ExpiresAt = time.Time{}
		}
		info.Disabled = !m.enabled(now)
		if !p.w.setting.NoUsage {
			asOf := now.Add(-p.w.setting.UsageLag).UTC().Round(0)
			info.Usage = rotation.Usage{LastUsed: p.lastUse(m, asOf, true).UTC().Round(0), AsOf: asOf, Source: "sim"}
			if p.lastUse(m, asOf, true).IsZero() {
				info.Usage.LastUsed = time.Time{}
			}
		}
		if p.w.setting.Hurried {
			info.Usage = rotation.Usage{LastUsed: now.Add(time.Hour), Since: now.Add(2 * time.Hour), AsOf: now.Add(-100 * 24 * time.Hour), Source: "sim"}
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// live are the keys that the fast edge accepts.
func (p *provider) live() []*minted {
	var live []*minted
	for _, m := range p.keys {
		if m.accepted(time.Now(), 0) {
			live = append(live, m)
		}
	}
	return live
}

// text is the provider for a trace and for the hash of a state: what of each key is accepted where.
func (p *provider) text(names naming) string {
	var b strings.Builder
	now := time.Now()
	for _, m := range p.keys {
		if !m.exists(now) && now.Sub(m.gone) > p.w.setting.Propagate {
			continue
		}
		b.WriteString(names.of(m.key.ID))
		for e := range edges {
			fmt.Fprintf(&b, " %v", m.accepted(now, p.lag(e)))
		}
		if now.Before(m.listed) {
			b.WriteString(" unlisted")
		}
		if !m.enabled(now) {
			b.WriteString(" off")
		}
		b.WriteByte(' ')
	}
	return b.String()
}
