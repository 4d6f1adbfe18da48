// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// Provider is a provider in memory: an Issuer that lists, disables and describes, the Verifier of its keys, and an
// http.RoundTripper that answers 200 to a live key and 401 to any other. NewProvider makes one; the zero Provider is not
// usable. It is safe for concurrent use, but set its fields before the first call.
//
// Calls whose context has ended have no effect. Faults can be injected into Issue, Revoke, Verify, List, Disable, Enable and
// RoundTrip.
type Provider struct {
	// Traits is what Describe tells, and with two exceptions what the provider does: MaxKeys, ListLag, Grace, KillsOld and
	// NoReplay are kept, Exclusive and Independent are promises of the test. Propagation is only what it claims.
	Traits rotation.Traits

	// Propagate is how long an issue, a revocation, Disable or Enable takes to be seen by Verify and RoundTrip. Zero: none.
	// More than Traits.Propagation makes a provider that does not keep its word.
	Propagate time.Duration

	script script
	name   string

	mu     sync.Mutex // guards the fields below
	serial int
	ids    map[string]*minted
	values map[digest]*minted
	last   *minted // whose key came with the last request that was accepted
}

const providerOps = "Issue Revoke Verify List Disable Enable RoundTrip"

// digest stands for a value where a printer of unexported fields would find it.
type digest [sha256.Size]byte

func digestOf(value secret.Value) digest { return sha256.Sum256([]byte(value.Reveal())) }

// minted is one key at the provider.
type minted struct {
	key     rotation.Key // with its secret
	family  string       // ID of the first key of the chain that it belongs to
	heir    bool         // it has been succeeded
	since   time.Time    // accepted from here on
	listed  time.Time    // listed from here on
	ends    time.Time    // by itself; zero: never
	gone    time.Time    // revoked; zero: not
	flips   []flip       // Disable and Enable
	used    time.Time
	through string // how it was last used
}

type flip struct {
	at time.Time
	on bool
}

// exists reports whether the provider still has the key, accepted or not.
func (m *minted) exists(t time.Time) bool {
	return m.gone.IsZero() && (m.ends.IsZero() || t.Before(m.ends))
}

// enabled reports what Disable and Enable left at t.
func (m *minted) enabled(t time.Time) bool {
	on := true
	for _, f := range m.flips {
		if !f.at.After(t) {
			on = f.on
		}
	}
	return on
}

// accepted reports whether the key opens the door at t, when changes are seen lag later. A deadline that the provider runs
// is known everywhere and has no lag.
func (m *minted) accepted(t time.Time, lag time.Duration) bool {
	seen := t.Add(-lag)
	switch {
	case seen.Before(m.since):
		return false
	case !m.gone.IsZero() && !seen.Before(m.gone):
		return false
	case !m.ends.IsZero() && !t.Before(m.ends):
		return false
	}
	return m.enabled(seen)
}

// NewProvider returns a provider without keys. What it does is seen at once, and its Traits say so: Propagation and ListLag
// are negative, because zero would make the engine wait for the cautious assumption. Other Traits are zero.
func NewProvider() *Provider {
	return &Provider{
		Traits: rotation.Traits{Propagation: -1, ListLag: -1},
		name:   identity("provider"),
		ids:    make(map[string]*minted),
		values: make(map[digest]*minted),
	}
}

// Mint returns a live key, as if a person had made it: it has no name, is accepted and listed at once, and Traits.MaxKeys
// does not stop it. Its IssuedAt is now. Put into a store as it is, the key is as old as the test: nothing is due before its
// Credential's MaxAge has passed, and a soak test of some days sees no rotation at all. Leave IssuedAt away, which makes the
// key due at once, or call Rotate; and assert that Status.Last is not nil.
func (p *Provider) Mint() rotation.Key {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.mint("", newValue())
	m.since, m.listed = m.key.IssuedAt.Add(-p.Propagate), m.key.IssuedAt
	return answer(m)
}

// Live returns the ids of the keys that are accepted now, sorted.
func (p *Provider) Live() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []string
	for id, m := range p.ids {
		if m.accepted(now(), p.Propagate) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Presented returns the key of the last request that RoundTrip accepted, with its value; a zero Key before the first one.
func (p *Provider) Presented() rotation.Key {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		return rotation.Key{}
	}
	return answer(p.last)
}

// Inject adds a fault. It panics for a method that the fake does not have.
func (p *Provider) Inject(f Fault) { p.script.inject("Provider", providerOps, f) }

// Unmet returns the injected faults that no call has met so far, in the order in which they were injected.
func (p *Provider) Unmet() []Fault { return p.script.unmet() }

// Calls returns how often op was called, faults included. It panics for a method that the fake does not have.
func (p *Provider) Calls(op string) int { return p.script.count("Provider", providerOps, op) }

// Describe returns Traits.
func (p *Provider) Describe() rotation.Traits { return p.Traits }

// Identity tells providers in one test apart.
func (p *Provider) Identity() string { return p.name }

// Issue makes a key with the name req.Name; the value is req.Chosen's if there is one. req.Token is not looked at: a second
// request is a second key. Key.Name is left to the engine, as providers do. Errors: ErrNoSlot; ErrNotIssued where
// Traits.NoReplay ended a family.
func (p *Provider) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	return act(ctx, &p.script, "Issue", func() (rotation.Key, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.issue(req)
	})
}

func (p *Provider) issue(req rotation.IssueRequest) (rotation.Key, error) {
	t := now()
	old := p.find(req.Current)
	if old != nil && old.heir && p.Traits.NoReplay {
		p.endFamily(old.family, t)
		return rotation.Key{}, fmt.Errorf("provider in memory: the current key was used before: %w", rotation.ErrNotIssued)
	}
	if p.full(t, old) {
		return rotation.Key{}, fmt.Errorf("provider in memory: %w", rotation.ErrNoSlot)
	}
	value := req.Chosen.Secret
	if value.IsZero() {
		value = newValue()
	}
	if m := p.values[digestOf(value)]; m != nil && m.exists(t) {
		return answer(m), nil // a chosen value, sent again
	}
	m := p.mint(req.Name, value)
	if old != nil {
		p.succeed(old, m, t)
	}
	return answer(m), nil
}

// full reports whether another key would be one too many. Disabled keys take a slot too.
func (p *Provider) full(t time.Time, old *minted) bool {
	n := 0
	for _, m := range p.ids {
		if m.exists(t) && !(p.Traits.KillsOld && m == old) {
			n++
		}
	}
	return p.Traits.MaxKeys > 0 && n >= p.Traits.MaxKeys
}

// succeed does to the old key what the Traits say.
func (p *Provider) succeed(old, m *minted, t time.Time) {
	old.heir, m.family = true, old.family
	switch end := t.Add(p.Traits.Grace); {
	case !old.exists(t):
	case p.Traits.KillsOld:
		old.gone = t
	case p.Traits.Grace > 0 && (old.ends.IsZero() || end.Before(old.ends)):
		old.ends = end
	}
}

func (p *Provider) endFamily(family string, t time.Time) {
	for _, m := range p.ids {
		if m.family == family && m.gone.IsZero() {
			m.gone = t
		}
	}
}

// mint makes a key. The caller holds the lock.
func (p *Provider) mint(name string, value secret.Value) *minted {
	t := now()
	p.serial++
	id := fmt.Sprintf("key-%03d", p.serial)
	m := &minted{
		key:    rotation.Key{ID: id, Name: name, Secret: value, IssuedAt: t},
		family: id, since: t, listed: t.Add(max(p.Traits.ListLag, 0)),
	}
	p.ids[id], p.values[digestOf(value)] = m, m
	return m
}

// answer is what Issue and Mint give away.
func answer(m *minted) rotation.Key {
	return rotation.Key{ID: m.key.ID, Secret: m.key.Secret, IssuedAt: m.key.IssuedAt}
}

func newValue() secret.Value { return secret.New("rt_" + secret.Random(20).Reveal()) }

// find returns the key with this id, or without an id the one with this value; nil if there is none. Ids never come back
// here, so that an id is enough.
func (p *Provider) find(key rotation.Key) *minted {
	if key.ID == "" {
		return p.values[digestOf(key.Secret)]
	}
	return p.ids[key.ID]
}

// Revoke ends a key, by its id or without one by its value. nil for a key that is already gone or was never here.
func (p *Provider) Revoke(ctx context.Context, key rotation.Key) error {
	return do(ctx, &p.script, "Revoke", func() error {
		if key.ID == "" && key.Secret.IsZero() {
			return errors.New("provider in memory: a key without id and value cannot be revoked")
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if m := p.find(key); m != nil && m.gone.IsZero() {
			m.gone = now()
		}
		return nil
	})
}

// Disable switches a key off until Enable. Errors: ErrNotFound for a key that is gone.
func (p *Provider) Disable(ctx context.Context, key rotation.Key) error {
	return do(ctx, &p.script, "Disable", func() error { return p.flip(key, false) })
}

// Enable switches a key on again. Errors: ErrNotFound for a key that is gone.
func (p *Provider) Enable(ctx context.Context, key rotation.Key) error {
	return do(ctx, &p.script, "Enable", func() error { return p.flip(key, true) })
}

func (p *Provider) flip(key rotation.Key, on bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := now()
	m := p.find(key)
	if m == nil || !m.exists(t) {
		return fmt.Errorf("provider in memory: %w", rotation.ErrNotFound)
	}
	if m.enabled(t) != on {
		m.flips = append(m.flips, flip{t, on})
	}
	return nil
}

// List returns the keys that the provider has, oldest first, without those younger than Traits.ListLag. Use is what RoundTrip
// and Verify accepted: a provider cannot tell a probe from a service. It is known from the beginning until now.
func (p *Provider) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	return act(ctx, &p.script, "List", func() ([]rotation.KeyInfo, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		t := now()
		var infos []rotation.KeyInfo
		for _, m := range p.ids {
			if m.exists(t) && !t.Before(m.listed) {
				infos = append(infos, m.info(t))
			}
		}
		slices.SortFunc(infos, func(a, b rotation.KeyInfo) int {
			return cmp.Or(a.Key.IssuedAt.Compare(b.Key.IssuedAt), cmp.Compare(a.Key.ID, b.Key.ID))
		})
		return infos, nil
	})
}

func (m *minted) info(t time.Time) rotation.KeyInfo {
	return rotation.KeyInfo{
		Key:      rotation.Key{ID: m.key.ID, Name: m.key.Name, IssuedAt: m.key.IssuedAt, ExpiresAt: m.ends},
		Disabled: !m.enabled(t),
		Usage:    rotation.Usage{LastUsed: m.used, AsOf: t, Source: m.through},
	}
}
