// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"context"
	"fmt"

	"github.com/handover-go/handover/rotation"
)

// Follow loads the key and keeps it up to date until Close; ctx bounds only the wait for the first one. A store without a
// current key is an error that matches rotation.ErrNotFound, and one that refuses is an error that matches
// rotation.ErrDenied. While the store fails otherwise, Follow asks again until ctx ends.
//
// Afterwards there is always a key: the current one of the store, or while the store fails, or holds no current key, the last
// one known. A key that the store marks as compromised or retiring is left as soon as the store has a current one.
func Follow(ctx context.Context, src Source) (*Handle, error) {
	if err := src.validate(); err != nil {
		return nil, err
	}
	h := &Handle{}
	h.begin(src, h.load)
	if err := h.first(ctx); err != nil {
		h.Close()
		return nil, fmt.Errorf("consumer: follow %s: %w", src.Credential, err)
	}
	h.work.Go(h.follow)
	return h, nil
}

// load asks the store and takes the key to use. A failure leaves the key as it is.
func (h *Handle) load() error {
	wish := h.wish.Load()
	versions, err := h.ask()
	if err == nil {
		key, canary := choose(versions, wish)
		if !canary {
			h.wish.CompareAndSwap(wish, nil) // unless another wish came meanwhile: it has not been looked for yet
		}
		if key.IsZero() {
			err = fail(rotation.ErrNotFound, "the store has no current key of %s: store.Seed puts the one in use there", h.src.Credential)
		} else {
			h.adopt(key)
		}
	}
	text := "no key from the store; the last one stays in use"
	if h.Key().IsZero() {
		text = "no key from the store yet"
	}
	h.note(err, text)
	return err
}
