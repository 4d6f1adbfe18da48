// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"
	"time"
)

// Count is what an endpoint met in one act.
type Count struct {
	Sent        int `json:"sent"`         // genuine deliveries
	VerifiedOld int `json:"verified_old"` // with the secret of before
	VerifiedNew int `json:"verified_new"` // with the one that the rotation brought
	Lost        int `json:"lost"`         // and repeated in vain

	Forged  int `json:"forged"`
	Refused int `json:"refused"` // of the forged ones

	Leaked         int   `json:"leaked"`          // forged with a leaked secret, which is as good as genuine until that is dead
	LeakedVerified int   `json:"leaked_verified"` // of these
	LeakedMS       int64 `json:"leaked_ms"`       // after the leak was confirmed the last of these was sent
	OutageMS       int64 `json:"outage_ms"`       // from the first genuine delivery that was refused until all were verified again

	turnedAway int       // refused at the first try
	strange    int       // lost, although signed with the secret that came
	twice      int       // genuine, and booked more than once: a replay
	booked     int       // forged, and booked
	lastLeaked time.Time // zero: never
}

// count tells what an endpoint met in an act. generation is that of the secret that was current before ("4"), and revision the
// sender's number of it.
func (l *ledger) count(at place, generation string, revision int) Count {
	l.mu.Lock()
	defer l.mu.Unlock()
	var c Count
	var events []*sent
	for _, s := range l.genuine {
		if s.place != at {
			continue
		}
		events = append(events, s)
		c.Sent++
		if s.refused {
			c.turnedAway++
		}
		switch {
		case len(s.by) == 0:
			c.Lost++
			if s.revision != revision {
				c.strange++
			}
		case strings.HasPrefix(s.by[0], generation+"-"):
			c.VerifiedOld++
		default:
			c.VerifiedNew++
		}
		if len(s.by) > 1 {
			c.twice++
		}
	}
	if f := l.forged[at]; f != nil {
		c.Forged, c.Refused, c.booked = f.sent, f.refused, f.booked
		c.Leaked, c.LeakedVerified, c.lastLeaked = f.leaked, f.leakedVerified, f.lastLeaked
	}
	c.OutageMS = outage(events).Milliseconds()
	return c
}

// outage is the time from the first event that was refused at the first try until one was not, after which none was.
func outage(events []*sent) time.Duration {
	slices.SortFunc(events, func(a, b *sent) int { return a.tried.Compare(b.tried) })
	refused := func(s *sent) bool { return s.refused }
	first := slices.IndexFunc(events, refused)
	if first < 0 {
		return 0
	}
	last := len(events) - 1
	for !events[last].refused {
		last--
	}
	return events[min(last+1, len(events)-1)].tried.Sub(events[first].tried)
}
