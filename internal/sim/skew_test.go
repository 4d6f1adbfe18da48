// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/handover-go/handover/rotation"
)

// A process whose clock is ahead by its skew sees everybody else's times too early by as much. All processes of a bubble read
// one clock, so it is the world that is shifted: what a process reads by minus its skew, what it writes back again.

// ahead is how much its clock is.
func (p *process) ahead() time.Duration { return time.Duration(p.skew.Load()) }

// mine is a time of the world by this process's clock.
func (p *process) mine(t time.Time) time.Time { return shift(t, -p.ahead()) }

func shift(t time.Time, d time.Duration) time.Time {
	if t.IsZero() || d == 0 {
		return t
	}
	return t.Add(d)
}

func (p *process) key(k rotation.Key) rotation.Key { return shiftKey(k, -p.ahead()) }

func shiftKey(k rotation.Key, d time.Duration) rotation.Key {
	k.IssuedAt, k.ExpiresAt = shift(k.IssuedAt, d), shift(k.ExpiresAt, d)
	return k
}

// versions shifts what is read (direction 1) or written (-1).
func (p *process) versions(v rotation.Versions, direction int) rotation.Versions {
	v.Keys = slices.Clone(v.Keys)
	v.Metadata = maps.Clone(v.Metadata)
	for i := range v.Keys {
		v.Keys[i].Key = shiftKey(v.Keys[i].Key, -p.ahead()*time.Duration(direction))
	}
	return v
}

var timestamp = regexp.MustCompile(`"(?:19|20)\d\d-\d\d-\d\dT\d\d:\d\d:\d\d[^"]{1,20}"`)

// entry shifts every time of an entry, those inside its data too.
func (p *process) entry(e rotation.Entry, direction int) rotation.Entry {
	d := -p.ahead() * time.Duration(direction)
	if d == 0 {
		return e
	}
	e.Due, e.SavedAt = shift(e.Due, d), shift(e.SavedAt, d)
	e.Data = timestamp.ReplaceAllFunc(e.Data, func(b []byte) []byte {
		t, err := time.Parse(time.RFC3339Nano, string(b[1:len(b)-1]))
		if err != nil {
			return b
		}
		return []byte(`"` + t.Add(d).Format(time.RFC3339Nano) + `"`)
	})
	return e
}
