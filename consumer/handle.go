// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"cmp"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Source says where a live key comes from.
type Source struct {
	Store      rotation.SecretStore // required
	Credential string               // required: its name in the store
	Every      time.Duration        // between looks at the store; zero: 1 min. Each wait is a tenth more or less
	Instance   string               // name of this process among its replicas; empty: host:pid
	Logger     *slog.Logger         // is told when the store fails and when it is back; nil: slog.Default()
}

func (s Source) every() time.Duration { return cmp.Or(s.Every, time.Minute) }

func (s Source) logger() *slog.Logger {
	if s.Logger == nil {
		return slog.Default()
	}
	return s.Logger
}

func (s Source) validate() error {
	var errs []error
	if s.Store == nil {
		errs = append(errs, required("Source.Store"))
	}
	if s.Credential == "" {
		errs = append(errs, required("Source.Credential"))
	}
	if s.Every < 0 {
		errs = append(errs, fail(nil, "Source.Every is negative"))
	}
	return errors.Join(errs...)
}

// Handle is a live key. Make one with Follow or Static; a zero Handle has no key and never gets one. It is safe for
// concurrent use.
//
// It is a rotation.Consumer, Observer, Verifier, Lagger, Checker and Identifier that stands for this process alone: a service
// with replicas serves the Handle (ServeHTTP) and binds Replicas.
type Handle struct {
	watch

	state atomic.Pointer[state]        // mu guards each change
	wish  atomic.Pointer[rotation.Key] // the canary, if there is one: see choose

	warned rotation.Key // of a failed build for this key; only adopt uses it

	derived   []dependent // see Derive; mu guards it
	rejection *rejection  // of the key in use; mu guards it
}

// state is what one generation of a Handle shares.
type state struct {
	key     rotation.Key
	changed chan struct{} // closed when another state has taken its place
}

var noState state // of a zero Handle; never written

// Static returns a handle that never changes: for tests.
func Static(key rotation.Key) *Handle {
	h := &Handle{}
	h.instance = processName(Source{})
	h.adopt(key)
	return h
}

// Key returns the key to use now, with its secret: one atomic load, never blocks. Take it for each use; do not keep it.
func (h *Handle) Key() rotation.Key {
	s := h.state.Load()
	if s == nil {
		s = &noState
	}
	return s.key
}

// Changed returns a channel that is closed when the key changes after this call. Call Changed first and Key second: the other
// way round a change between the two goes unseen.
func (h *Handle) Changed() <-chan struct{} {
	if s := h.state.Load(); s != nil {
		return s.changed
	}
	return nil
}

// Close stops following and returns when nothing runs any more. Key goes on returning the last key. Closing again does
// nothing. The error is always nil.
func (h *Handle) Close() error {
	h.close()
	return nil
}

// adopt makes key the one to use. Only one look runs at a time, so calls do not overlap.
func (h *Handle) adopt(key rotation.Key) {
	old := h.state.Load()
	if old == nil || !old.key.Equal(key) {
		h.mu.Lock()
		h.state.Store(&state{key, make(chan struct{})})
		h.mu.Unlock()
		if old != nil {
			close(old.changed)
		}
	}
	h.rebuild(key)
}
