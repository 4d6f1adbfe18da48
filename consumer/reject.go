// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"context"
	"time"

	"github.com/handover-go/handover/rotation"
)

// rejection is what is known of a key that was refused. Handle.mu guards it.
type rejection struct {
	key   rotation.Key
	done  chan struct{} // closed when the look is over
	again time.Time     // no other look before this
	retry func() time.Duration
}

// Reject says that key was refused, and reports whether Key is another one now. If key is still the one in use, the first call
// looks at the store and blocks until that is done or ctx ends; calls meanwhile wait for the same look.
//
// When the look finds no other key, the next calls for this key return false at once. After about 1 s, then 2 s, and so on up
// to Source.Every, one call looks again: the key may have been refused a moment before its successor was in the store.
func (h *Handle) Reject(ctx context.Context, key rotation.Key) bool {
	if done := h.rejected(key); done != nil {
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	return !same(h.Key(), key)
}

// rejected returns what to wait for: nil if nothing.
func (h *Handle) rejected(key rotation.Key) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.src.Store == nil || !same(h.Key(), key) {
		return nil
	}
	r := h.rejection
	switch {
	case r == nil || !same(r.key, key):
		r = &rejection{key: key, retry: newRetry(h.src.every())}
		h.rejection = r
	case r.again.IsZero(): // under way
		return r.done
	case time.Now().Before(r.again):
		return nil
	}
	done := make(chan struct{})
	r.done, r.again = done, time.Time{}
	h.work.Go(func() { // not the caller's goroutine: the others wait for the look even if the first caller gives up
		_ = h.look(h.life) // a failure is logged there, and the key has not changed then
		h.mu.Lock()
		r.again = time.Now().Add(r.retry())
		h.mu.Unlock()
		close(done)
	})
	return done
}
