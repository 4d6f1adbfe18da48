// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"time"
)

// slotLimit is how far ahead of the present a slot is looked for.
const slotLimit = 400 * day

// margin of a window, or half of it where it is shorter, is left to what begins in it: it has to do its work there, and a
// process that looks once an hour has to come by.
const margin = time.Hour

// nextSlot is when a rotation that is due may begin by itself: from the first moment on, and before the second one; zero: no
// end. It depends on the name and not on the process: each replica finds the same slot, before and after a restart.
//
// With jitter it lies in the period of that length that ends when the key is due, but never in the first half of the key's
// life, somewhere in what is allowed of that period. If nothing is, the period ends with the last time allowed before; a window
// can take it down to the first quarter of the key's life, so that two rotations never follow each other in one. Without
// jitter it is when the key is due, or, where that is not allowed, the beginning of the last time allowed before, but no more
// than a day before its end. If nothing is allowed in all that time the key gets too old: then it is the first time allowed
// after it was due.
//
// A slot that has passed is followed by the next time allowed from now on; so is a due of zero, which is at once. Such a late slot
// is spread as well, by no more than a day. The error says that nothing is allowed for too long.
func nextSlot(c *calendar, jitter time.Duration, issued, due time.Time, name string, now time.Time) (from, to time.Time, err error) {
	at := now
	if !due.IsZero() {
		if from, ok := plannedSlot(c, jitter, issued, due, name); ok {
			if s, _ := c.next(from, 0); s.to.IsZero() || s.to.After(now) {
				return from, s.to, nil
			}
		} else {
			at = latest(now, due)
		}
	}
	s, ok := c.next(at, slotLimit)
	if !ok {
		return time.Time{}, time.Time{}, fmt.Errorf("Policy.Windows and Policy.Blackouts allow nothing within %d days", slotLimit/day)
	}
	wide := min(max(jitter, 0), day)
	if !s.to.IsZero() {
		wide = min(wide, s.usable())
	}
	if due.After(s.from) { // it was missed, and is not late yet
		wide = min(wide, due.Sub(s.from))
	}
	if len(c.windows) == 0 && !s.from.After(at) { // it is allowed now, and began at no moment that others would find as well
		wide = 0
	}
	return s.from.Add(share(name, wide)), s.to, nil
}

// plannedSlot is the beginning of the slot of a key that does not get too old; false if there is none.
func plannedSlot(c *calendar, jitter time.Duration, issued, due time.Time, name string) (from time.Time, ok bool) {
	life := due.Sub(issued)
	half, quarter := due.Add(-life/2), due.Add(-life/4*3)
	if jitter > 0 {
		if from, ok = c.spread(span{latest(due.Add(-jitter), half), due}, name); ok {
			return from, true
		}
	} else if s, open := c.next(due, 0); open {
		if s.to.IsZero() {
			return due, true
		}
		return earliest(due, s.from.Add(s.usable())), true
	}
	s, ok := c.last(span{quarter, due})
	if ok && jitter > 0 {
		return c.spread(span{latest(s.to.Add(-jitter), earliest(half, s.from)), s.to}, name)
	}
	return s.from, ok
}

// spread is the place of a name in what is allowed of a span: each day, and each window, draws a lot for the name, and the best one
// wins, the longer the more often. So every rotation of a key falls on another day of the week, and names that share a consumer, which
// are one name here, meet on the same day as often as the times from which they choose are the same.
func (c *calendar) spread(outer span, name string) (at time.Time, ok bool) {
	best := math.Inf(1)
	for _, s := range c.within(outer) {
		for day := range (span{s.from, s.from.Add(s.usable())}).days() {
			sum := sha256.Sum256([]byte(name + day.from.UTC().Format(" 2006-01-02 15")))
			luck := (float64(binary.BigEndian.Uint64(sum[:])>>11) + 0.5) / (1 << 53)
			if lot := -math.Log(luck) / day.length().Seconds(); lot < best {
				best, ok = lot, true
				at = day.from.Add(shareOf(sum[8:], day.length()))
			}
		}
	}
	return at, ok
}

// days are the pieces of a span that lie on one day each, by UTC.
func (s span) days() iter.Seq[span] {
	return func(yield func(span) bool) {
		for s.from.Before(s.to) {
			piece := span{s.from, earliest(s.to, s.from.UTC().Truncate(day).Add(day))}
			if !yield(piece) {
				return
			}
			s.from = piece.to
		}
	}
}

// usable is the length of a span without the margin at its end.
func (s span) usable() time.Duration { return s.length() - min(s.length()/2, margin) }

// share is the place of a name in a time: whole seconds, less than all.
func share(name string, all time.Duration) time.Duration {
	sum := sha256.Sum256([]byte(name))
	return shareOf(sum[:], all)
}

// shareOf is the part of a time that a sum stands for: whole seconds, less than all.
func shareOf(sum []byte, all time.Duration) time.Duration {
	if all <= 0 {
		return 0
	}
	return time.Duration(binary.BigEndian.Uint64(sum) % uint64(all)).Truncate(time.Second)
}
