// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Signing is how the sender of a webhook gets and uses its secrets. None: the credential is no webhook secret.
type Signing string

// Ways of signing.
const (
	Activates Signing = "activates" // it is given chosen values, and told which one to sign with
	Console   Signing = "console"   // the same, and a person tells it
	AtOnce    Signing = "at once"   // it makes the values, and signs with each from the moment it is made, beside the older ones until their grace ends
)

// hooks is the webhook of a world: who signs, and who verifies.
type hooks struct {
	w         *World
	signers   []signer // guarded by w.mu, like all that follows; in the order in which it was told
	receivers []*receiver
	failed    []*delivery // that will be repeated
	made      int         // deliveries
	refused   int         // genuine ones
	from, to  time.Time   // of the first and the last of these that was refused
	back      time.Time   // somebody put the sender back on the first secret
	turned    int         // how often somebody was asked to give up what is lost
	told      *minted     // what a person was asked to tell the sender
}

// signer is a secret that the sender signs with from a time on.
type signer struct {
	key   *minted
	from  time.Time
	until time.Time // zero: no end
}

// endpoint is the id that every secret bears where the provider counts webhooks and not secrets.
const endpoint = "hook"

// shown is a key as the engine gets it.
func (h *hooks) shown(m *minted) rotation.Key {
	k := m.answer()
	switch {
	case h.w.setting.OneID && !m.person: // who puts a secret into the store by hand calls it what they like
		k.ID = endpoint
	case h.w.setting.Signing != AtOnce && !m.first && !m.person:
		k.ID = ""
	}
	return k
}

// signs is what a delivery is signed with at an edge of the sender.
func (h *hooks) signs(at time.Time, edge int) []*minted {
	var by []*minted
	for _, s := range h.signers {
		if s.from.Add(h.w.provider.lag(edge)).After(at) || !s.until.IsZero() && !at.Before(s.until) {
			continue
		}
		if h.w.setting.Signing == AtOnce {
			by = append(by, s.key)
		} else {
			by = []*minted{s.key}
		}
	}
	return by
}

// signsWith reports whether some edge of the sender signs with the key, and with nothing else that one of the others is.
func (h *hooks) needs(m *minted, others []*minted) bool {
	for edge := range edges {
		by := h.signs(time.Now(), edge)
		if slices.Contains(by, m) && !slices.ContainsFunc(by, func(b *minted) bool { return b != m && slices.Contains(others, b) }) {
			return true
		}
	}
	return false
}

// switched is when the sender was last told to sign with the key, zero for never.
func (h *hooks) switched(m *minted) time.Time {
	for _, s := range slices.Backward(h.signers) {
		if s.key == m {
			return s.from
		}
	}
	return time.Time{}
}

// changed lets those read the store that do so by themselves. The caller holds the lock.
func (h *hooks) changed() {
	h.count()
	for _, r := range h.receivers {
		r.storeChanged()
	}
}

// find is the secret that a caller means.
func (h *hooks) find(k rotation.Key) *minted {
	if !k.Secret.IsZero() {
		return h.w.provider.byValue(k.Secret)
	}
	for _, m := range slices.Backward(h.w.provider.keys) {
		shared := h.w.setting.OneID && !m.first && !m.person // then only its name tells
		if k.Name != "" && m.key.Name == k.Name || k.Name == "" && k.ID != "" && !shared && h.shown(m).ID == k.ID {
			return m
		}
	}
	return nil
}

func (h *hooks) choose(req rotation.IssueRequest) rotation.Key {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	m := h.w.provider.mint("", req.Name, newValue())
	m.gone = m.since // nobody has it
	return rotation.Key{Secret: m.key.Secret}
}

func (h *hooks) issue(req rotation.IssueRequest) (rotation.Key, error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if h.w.setting.Signing != AtOnce {
		m := h.w.provider.byValue(req.Chosen.Secret)
		if m == nil || req.Chosen.Secret.IsZero() {
			return rotation.Key{}, fmt.Errorf("simulated sender: it makes no values: %w", rotation.ErrNotIssued)
		}
		if !h.w.vault.has(m) && !h.w.meddled {
			h.w.oracle.broken("law 2", "a chosen value reaches the sender, and the store does not have it")
		}
		return h.shown(m), nil
	}
	m := h.w.provider.mint("", req.Name, newValue())
	end := time.Now().Add(h.w.setting.Traits.Grace)
	for i, s := range h.signers {
		if s.until.IsZero() || end.Before(s.until) {
			h.signers[i].until = end
		}
	}
	h.signers = append(h.signers, signer{key: m, from: time.Now()})
	h.w.oracle.presented[m] = true
	h.w.oracle.minted(m)
	h.count()
	return h.shown(m), nil
}

// activate makes it sign with the key.
func (h *hooks) activate(k rotation.Key, byHand bool) error {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	m := h.find(k)
	if m == nil {
		return errors.New("no value to sign with")
	}
	if h.w.setting.Signing == Console && !byHand {
		if by := h.signs(time.Now(), 1); len(by) == 1 && by[0] == m {
			return nil
		}
		h.told = m
		return fmt.Errorf("simulated console: %w", rotation.ErrManual)
	}
	h.signWith(m)
	return nil
}

// signWith is activate for whoever holds the lock.
func (h *hooks) signWith(m *minted) {
	if !h.w.vault.has(m) && !h.w.meddled {
		h.w.oracle.broken("law 2", "the sender is to sign with %s, and the store does not have it", m.key.ID)
	}
	if by := h.signs(time.Now(), 0); len(by) != 1 || by[0] != m {
		for _, r := range h.receivers {
			h.w.in(h.w.setting.Propagate-time.Second, func() { h.lastBefore(r) })
			if h.w.setting.Propagate == 0 {
				h.lastBefore(r)
			}
		}
	}
	h.signers = append(h.signers, signer{key: m, from: time.Now()})
	h.w.oracle.presented[m] = true
	h.w.tell("the sender signs with %s", m.key.ID)
	h.count()
}

// revoke ends what the sender holds. Who names an endpoint and no secret ends the endpoint.
func (h *hooks) revoke(k rotation.Key) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	m := h.find(k)
	for i, s := range h.signers {
		if m != nil && s.key == m || h.w.setting.OneID && k.Secret.IsZero() && k.ID == endpoint {
			h.signers[i].until = time.Now()
		}
	}
	h.count()
}

func (h *hooks) list() []rotation.KeyInfo {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	var infos []rotation.KeyInfo
	now := time.Now()
	for _, m := range h.w.provider.keys {
		held := slices.ContainsFunc(h.signers, func(s signer) bool { return s.key == m && (s.until.IsZero() || now.Before(s.until)) })
		if !held || now.Before(m.listed) {
			continue
		}
		k := h.shown(m)
		infos = append(infos, rotation.KeyInfo{Key: rotation.Key{ID: k.ID, Name: m.key.Name, IssuedAt: k.IssuedAt}})
	}
	return infos
}

// count finds out which secrets are of any use: signed with, accepted, or stored. The caller holds the lock.
func (h *hooks) count() {
	now := time.Now()
	for _, m := range h.w.provider.keys {
		used := h.w.vault.has(m) || len(h.accepting(m)) > 0
		for _, s := range h.signers {
			used = used || s.key == m && (s.until.IsZero() || now.Before(s.until)) && slices.Contains(h.signs(now.Add(h.w.provider.lag(1)), 0), m)
		}
		switch {
		case used:
			m.gone = time.Time{}
		case m.gone.IsZero():
			m.gone = now
		}
	}
}

// ping makes a test delivery to every receiver.
func (h *hooks) ping(context.Context) error {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	var errs []error
	for _, r := range h.receivers {
		if !r.hidden {
			errs = append(errs, h.attempt(h.sign(r)))
		}
	}
	return errors.Join(errs...)
}
