// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

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
	src      Source
	instance string
	life     context.Context // ends with Close; not a caller's
	end      context.CancelFunc
	flights  singleflight.Group // looks at the store: one at a time
	work     sync.WaitGroup     // the follower, and looks after a rejection

	state atomic.Pointer[state]
	wish  atomic.Pointer[rotation.Key] // the canary, if there is one: see choose

	warned rotation.Key // of a failed build for this key; only adopt uses it

	mu        sync.Mutex // guards what follows, and each change of state
	closed    bool
	failing   bool        // the last look failed
	derived   []dependent // see Derive
	rejection *rejection  // of the key in use
}

// state is what one generation of a Handle shares.
type state struct {
	key     rotation.Key
	changed chan struct{} // closed when another state has taken its place
}

var noState state // of a zero Handle; never written

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
	h := newHandle(src)
	h.life, h.end = context.WithCancel(context.Background())
	if err := h.first(ctx); err != nil {
		h.Close()
		return nil, fmt.Errorf("consumer: follow %s: %w", src.Credential, err)
	}
	h.work.Go(h.follow)
	return h, nil
}

// Static returns a handle that never changes: for tests.
func Static(key rotation.Key) *Handle {
	h := newHandle(Source{})
	h.adopt(key)
	return h
}

func newHandle(src Source) *Handle {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return &Handle{src: src, instance: cmp.Or(src.Instance, fmt.Sprintf("%s:%d", host, os.Getpid()))}
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
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	if h.end == nil { // static
		return nil
	}
	h.end()
	h.work.Wait()
	<-h.flights.DoChan("", func() (any, error) { return nil, nil }) // after the one under way
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
