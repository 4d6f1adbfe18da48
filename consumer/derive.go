// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"errors"
	"sync/atomic"

	"github.com/handover-go/handover/rotation"
)

// Derive keeps a value that is built from the key, such as an SDK's client: built now, and again whenever the key changes. An
// error of the first build is returned as it is. Derive blocks as long as build does.
//
// If a later build fails, or panics, the old value stays, Handle.Observe tells the old key and Handle.Verify fails, so that a
// rotation does not go on to kill it; build is called again at each look at the store. build is called by one goroutine at
// a time, must return soon and must not call methods of h but Key. What an old value holds open is for build, or for the
// garbage collector, to end. A Derived lives as long as h.
func Derive[T any](h *Handle, build func(rotation.Key) (T, error)) (*Derived[T], error) {
	if h == nil {
		return nil, required("Derive: the handle")
	}
	if build == nil {
		return nil, required("Derive: build")
	}
	d := &Derived[T]{build: build}
	for {
		key := h.Key()
		value, err := build(key)
		if err != nil {
			return nil, err
		}
		d.now.Store(&built[T]{value, key})
		if h.join(d, key) {
			return d, nil
		}
	}
}

// Derived is a value that follows a key. It is made by Derive and safe for concurrent use.
type Derived[T any] struct {
	build func(rotation.Key) (T, error)
	now   atomic.Pointer[built[T]]
}

type built[T any] struct {
	value T
	from  rotation.Key
}

// Get returns the newest value: one atomic load. Call it for each use.
func (d *Derived[T]) Get() T { return d.now.Load().value }

// dependent is a Derived of any type.
type dependent interface {
	from() rotation.Key
	update(key rotation.Key) error
}

func (d *Derived[T]) from() rotation.Key { return d.now.Load().from }

// update builds the value from key if that is not done yet.
func (d *Derived[T]) update(key rotation.Key) error {
	if d.from().Equal(key) {
		return nil
	}
	return guard("build", func() error {
		value, err := d.build(key)
		if err == nil {
			d.now.Store(&built[T]{value, key})
		}
		return err
	})
}

// join adds d if the key it was built from is still the one in use.
func (h *Handle) join(d dependent, key rotation.Key) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.Key().Equal(key) {
		return false
	}
	h.derived = append(h.derived, d)
	return true
}

func (h *Handle) dependents() []dependent {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.derived[:len(h.derived):len(h.derived)]
}

// rebuild brings what is derived up to key. The first failure for a key is logged; every one shows in inUse.
func (h *Handle) rebuild(key rotation.Key) {
	for _, d := range h.dependents() {
		if err := d.update(key); err != nil && !h.warned.Equal(key) {
			h.warned = key
			public := &rotation.Error{Credential: h.src.Credential, Err: err} // build may quote the key
			h.src.logger().Warn("consumer: an old value stays in use", "key", key, "error", public.Error())
		}
	}
}

var errBehind = errors.New("an old value stays in use")

// inUse returns the key that all of this process uses, or, beside an error, an older one that a part of it still uses.
func (h *Handle) inUse() (rotation.Key, error) {
	key := h.Key()
	for _, d := range h.dependents() {
		if from := d.from(); !from.Equal(key) {
			return from, fail(errBehind, "%s: what is derived from the key could not be built from %v and is still that of %v",
				h.instance, key, from)
		}
	}
	return key, nil
}
