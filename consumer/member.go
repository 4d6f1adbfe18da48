// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/handover-go/handover/rotation"
)

var (
	_ rotation.Consumer   = (*Handle)(nil)
	_ rotation.Observer   = (*Handle)(nil)
	_ rotation.Verifier   = (*Handle)(nil)
	_ rotation.Lagger     = (*Handle)(nil)
	_ rotation.Checker    = (*Handle)(nil)
	_ rotation.Reloader   = (*Handle)(nil)
	_ rotation.Identifier = (*Handle)(nil)
)

// Deploy looks at the store now and returns nil when this process, with everything derived from the key, uses req.Key.
//
// The store is authoritative: Deploy takes the value from there and never from req, so that a request that arrives late, or
// twice, cannot bring an old key back. A store that does not show req.Key in req.Role (empty: current) gives an error that
// matches rotation.ErrNotYet. A pending key is kept as long as the store lists it as pending, then the current one is taken;
// a request for the current one ends that at once.
func (h *Handle) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	if err := errors.Join(h.suits(req), alive(ctx)); err != nil {
		return err
	}
	role := cmp.Or(req.Role, rotation.RoleCurrent)
	if h.src.Store == nil {
		if same(h.Key(), req.Key) {
			return nil
		}
		return fail(nil, "a static handle never changes")
	}
	var wish *rotation.Key
	if role == rotation.RolePending {
		wish = &req.Key
	}
	h.wish.Store(wish)
	if err := h.look(ctx); err != nil {
		return fmt.Errorf("consumer: look at the store: %w", err)
	}
	if !same(h.Key(), req.Key) {
		return fail(rotation.ErrNotYet, "the store does not show %v as %s; %s uses %v", req.Key, role, h.instance, h.Key())
	}
	_, err := h.inUse()
	return err
}

func (h *Handle) suits(req rotation.DeployRequest) error {
	if len(req.Accept) > 0 {
		return oneKey("a Handle", req)
	}
	return h.watch.suits("handle", req)
}

// Observe tells which key this process uses now. While something derived from the key is behind, that is the key it was built
// from: a process has moved when all of it has. It never fails and asks nobody.
func (h *Handle) Observe(context.Context) ([]rotation.Instance, error) {
	key, _ := h.inUse()
	return []rotation.Instance{{Name: h.instance, Key: identity(key).key(), AsOf: time.Now()}}, nil
}

// Verify returns nil if this process uses key and everything derived from it could be built. It asks nobody.
func (h *Handle) Verify(_ context.Context, key rotation.Key) error {
	if now := h.Key(); !same(now, key) {
		return fail(nil, "%s uses %v, not %v", h.instance, now, key)
	}
	_, err := h.inUse()
	return err
}

// Lag is 0: after Deploy returned nil this process does not take the old key for anything new. Where something lives on that
// was begun with it, such as a database connection, say so in Binding.Lag.
func (h *Handle) Lag() time.Duration { return 0 }

// Reloads says live: the process takes a new key while it runs, with everything derived from it.
func (h *Handle) Reloads() rotation.Reload { return rotation.ReloadLive }

// Check fails if the Handle is closed. What could not be derived from the present key is no reason: the rotation may be the
// repair.
func (h *Handle) Check(context.Context) error { return h.open() }

// Identity names the credential, and the store where that can be named. It is the same in each replica.
func (h *Handle) Identity() string { return h.identity("handle", "a static key") }
