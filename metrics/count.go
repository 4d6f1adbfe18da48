// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import "github.com/handover-go/handover/rotation"

// Counted is what an event adds to the counts. Its words are those of package rotation, None or Other.
type Counted struct {
	Repeated  bool // it has been counted before: nothing else is set
	Kind      rotation.EventKind
	Strategy  rotation.Strategy // None: outside of a rotation
	Level     string            // info, warn or error
	Failed    bool              // something failed
	Diagnosis rotation.Diagnosis
	Ended     *Rotation // of an event that ends one: how. Its Outcome is Other where the event has no Record
}

// Count takes an event. Adapters call it from the Deliver of their rotation.Sink. It does not block.
func (m *Meter) Count(e rotation.Event) Counted {
	if !m.first(e.ID) {
		return Counted{Repeated: true}
	}
	c := Counted{
		Kind: known(e.Kind, kinds), Strategy: strategyOf(e.Strategy), Level: levelOf(e.Level),
		Failed: e.Kind == rotation.EventFailed, Diagnosis: diagnosisOf(e.Problem),
	}
	switch {
	case e.Kind != rotation.EventEnded:
	case e.Record == nil:
		c.Ended = &Rotation{Strategy: c.Strategy, Outcome: Other, Diagnosis: None}
	default:
		c.Ended = rotationOf(e.Record)
	}
	return c
}

func (m *Meter) first(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen.add(id, m.cfg.Repeats)
}

// repeated remembers the last ids. One that was forgotten keeps its place in the row, where it does no harm.
type repeated struct {
	ids map[string]int // its place in row
	row []string       // a ring
	at  int
}

// add reports whether id is new.
func (r *repeated) add(id string, most int) bool {
	if _, ok := r.ids[id]; ok {
		return false
	}
	if r.ids == nil {
		r.ids, r.row = map[string]int{}, make([]string, most)
	}
	if old := r.row[r.at]; r.ids[old] == r.at {
		delete(r.ids, old)
	}
	r.row[r.at], r.ids[id] = id, r.at
	r.at = (r.at + 1) % most
	return true
}
