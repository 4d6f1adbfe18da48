// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package statuspage

import (
	"context"
	"sync"
	"time"
)

// reader reads the source, one reading at a time, and keeps what was read for a moment: a storm of reloads costs one reading.
type reader struct {
	source  Source
	fresh   time.Duration
	timeout time.Duration
	slot    chan struct{} // holds one token while somebody reads

	mu   sync.Mutex
	last *snapshot // guarded by mu; not modified once it is here
}

// read returns what is fresh enough, or reads. The error is ctx's, or that another reading did not end in time.
func (r *reader) read(ctx context.Context) (*snapshot, error) {
	asked := time.Now()
	if s := r.usable(asked); s != nil {
		return s, nil
	}
	waiting, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	select {
	case r.slot <- struct{}{}:
		defer func() { <-r.slot }()
	case <-waiting.Done():
		return nil, waiting.Err()
	}
	if s := r.usable(asked); s != nil { // the one before this one has read it
		return s, nil
	}
	// Others wait for this reading, so it does not end with the request that happened to come first.
	reading, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
	defer cancel()
	at := time.Now()
	statuses, err := r.source.List(reading)
	s := newSnapshot(at, r.source.Credentials(), statuses, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = s
	return s, nil
}

// usable returns the last reading if it is fresh, or began after somebody asked for it.
func (r *reader) usable(asked time.Time) *snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil || time.Since(r.last.at) >= r.fresh && r.last.at.Before(asked) {
		return nil
	}
	return r.last
}
