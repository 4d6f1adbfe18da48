// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
)

func TestStandardRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		r := w.rotator()
		st, err := r.Rotate(t.Context(), name, rotation.Trigger{Reason: "test"})
		require.NoError(t, err)
		t.Log(st.Open)
		t.Log(st.Needs)
		st = w.within(r, 100*time.Hour)
		t.Log(st.Last)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
		require.Equal(t, []string{w.current().ID}, w.provider.Live())
		require.Len(t, w.versions().Keys, 1)
		require.Equal(t, 2, st.Generation)
		require.Empty(t, st.Debts)
	})
}
