// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import "crypto/sha256"

// recentRoom is how many events are remembered. A rotator repeats what it has not seen acknowledged: at most what one record, or
// one overflow entry, holds of one credential, 128 events.
const recentRoom = 8192

// recent remembers the last events. It knows them by their bytes and not by their ID alone: an ID that comes with another
// content is written twice rather than lost. An event without an ID is never the same as another.
type recent struct {
	ring []digest
	next int
	set  map[digest]int // how often it is in ring
}

type digest [sha256.Size]byte

func (r *recent) has(d digest) bool { return r.set[d] > 0 }

func (r *recent) add(d digest) {
	if r.set == nil {
		r.set = map[digest]int{}
	}
	if len(r.ring) < recentRoom {
		r.ring = append(r.ring, d)
	} else {
		old := r.ring[r.next]
		if r.set[old]--; r.set[old] == 0 {
			delete(r.set, old)
		}
		r.ring[r.next] = d
		r.next = (r.next + 1) % recentRoom
	}
	r.set[d]++
}
