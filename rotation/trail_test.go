// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
)

// Whatever happens to a key is in the trail, wherever the process died that did it: an auditor who reads that a key is dead reads
// also that it was issued, made current and revoked.
func TestTheTrailHasNoHoles(t *testing.T) {
	for _, op := range []string{"Issue", "Save", "Journal", "Deploy", "Revoke"} {
		for name, how := range map[string]cut{"before": {op: op}, "after": {op: op, after: true}, "answer lost": {op: op, after: true, lives: true}} {
			t.Run(op+" "+name, func(t *testing.T) {
				for how.call = 1; ; how.call += stride {
					hit := false
					bubble(t, func(t *testing.T) { hit = trailAfter(t, how) })
					if !hit {
						require.Greater(t, how.call, 1, "never called")
						return
					}
				}
			})
		}
	}
}

// trailAfter rotates in a process that dies, or hears no answer, and then in another one. It reports whether there was a call to die at.
func trailAfter(t *testing.T, c cut) bool {
	paper := &gazette{name: "trail"}
	h := newHazard(t, 2, func(w *world) { w.cfg.Sinks = []rotation.Sink{paper} })
	before := h.current()
	n, first := h.mortal(c)
	h.begin(first)
	h.drive(first, 3*time.Hour)
	for st := h.status(); st.Open == nil && st.Last == nil; st = h.status() { // it died before it began, and holds the lease
		time.Sleep(time.Minute)
		h.begin(h.rotator())
	}
	h.ended(h.rotator(), 2*24*time.Hour, rotation.Rotated)
	h.drive(h.rotator(), time.Hour)
	new := h.current()

	said := map[string]int{}
	for _, e := range paper.all() {
		said[fmt.Sprintf("%s %s%s", e.Kind, e.Key, e.Consumer)]++
	}
	for _, line := range []string{
		"began ", "issued " + new.ID, "proven " + new.ID, "promoted " + new.ID, "deployed c0", "deployed c1", "verified c0", "verified c1",
		"revoked " + before.ID, "dead " + before.ID, "ended ",
	} {
		require.Positive(t, said[line], "%+v: nothing says %q: %v", c, line, said)
	}
	return n.hit()
}

// hit reports whether the cut was made.
func (n *node) hit() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.done
}
