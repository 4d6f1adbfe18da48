// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
)

// A key that a rotation of the record brought within the time counts, whatever was tried since.
func TestComplianceKeepsItsEvidence(t *testing.T) {
	for name, since := range map[string]func(*world, *rotation.Rotator){
		"a rotation was rolled back": func(w *world, r *rotation.Rotator) {
			w.rotate(r)
			_, err := r.Abort(w.t.Context(), "payment-gateway-api", "not today")
			require.NoError(w.t, err)
			require.Equal(w.t, rotation.RolledBack, w.within(r, 5*24*time.Hour).Last.Outcome)
		},
		"the next one is under way": func(w *world, r *rotation.Rotator) {
			w.rotate(r)
			require.Equal(w.t, rotation.PhaseSoak, w.paces(r, 2*time.Hour).Open.Phase)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, 1)
				r := w.rotator()
				w.rotate(r)
				require.Equal(t, rotation.Rotated, w.within(r, 5*24*time.Hour).Last.Outcome)
				time.Sleep(10 * 24 * time.Hour)
				since(w, r)
				items, err := r.Inventory(t.Context())
				require.NoError(t, err)
				c := rotation.RotatedWithin(items, 90*24*time.Hour, time.Now())
				require.True(t, c.Met(), "every key that anybody uses is younger than a month:\n%s", c)
				c = rotation.RotatedWithin(items, 9*24*time.Hour, time.Now())
				require.False(t, c.Met(), "and the one that they use is older than that:\n%s", c)
			})
		})
	}
}
