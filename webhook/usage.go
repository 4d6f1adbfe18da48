// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"sync/atomic"
	"time"
)

// Usage of one secret, as one Verifier saw it.
type Usage struct {
	SecretID  string
	Matches   uint64    // deliveries that verified with it
	LastMatch time.Time // zero: never
	Since     time.Time // counted from here: when the secret was first set
}

// Usage says when each secret of the present set last matched, in the order of the set. It survives Set for secrets that stay.
// A delivery that is refused does not count, one that is stale or was seen before included: otherwise whoever holds an old
// delivery could keep an old secret in use.
//
// No match of the old secret does not prove by itself that its sender has moved: a sender that signs with several secrets at
// once always matches the same one first, and some senders never sign with a new secret before the old one is revoked.
func (v *Verifier) Usage() []Usage {
	current := v.set.Load()
	if current == nil {
		return nil
	}
	now := time.Now()
	elapsed := v.elapsed(now)
	out := make([]Usage, len(current.slots))
	for i := range current.slots {
		out[i] = current.slots[i].usage.read(now, elapsed)
		out[i].SecretID = current.slots[i].id
	}
	return out
}

// elapsed is the time since the Verifier was made. Where a delivery needs the time of day it is by that; elsewhere by a clock
// that only counts, which is read in half the time.
func (v *Verifier) elapsed(now time.Time) time.Duration {
	if v.scheme.timed {
		return time.Duration(now.UnixNano() - v.started.UnixNano())
	}
	return time.Since(v.started)
}

// usage is the figures of a key.
type usage struct {
	matches atomic.Uint64
	last    atomic.Int64 // nanoseconds after the start, zero: never
	since   time.Time    // set before the key is shared
}

func (u *usage) begin(now time.Time) {
	if u.since.IsZero() {
		u.since = now
	}
}

func (u *usage) count(elapsed time.Duration) {
	u.matches.Add(1)
	u.last.Store(int64(max(elapsed, 1)))
}

// read is told now twice. If the machine slept since the match, and the clock that counts with it, the match looks younger than
// it is, and never older.
func (u *usage) read(now time.Time, elapsed time.Duration) Usage {
	out := Usage{Matches: u.matches.Load(), Since: u.since.UTC()}
	if last := u.last.Load(); last != 0 {
		out.LastMatch = now.Add(time.Duration(last) - elapsed).UTC()
	}
	return out
}
