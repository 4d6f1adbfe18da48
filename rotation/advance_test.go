// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
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

// The holder of the lease dies; whoever waits for the end takes over by itself.
func TestWaitTakesOver(t *testing.T) {
	for dieAt := 5; dieAt < 40; dieAt += 4 {
		synctest.Test(t, func(t *testing.T) {
			w := newCrashWorld(t)
			first, _ := w.process(dieAt, true)
			_, _ = first.Rotate(t.Context(), name, rotation.Trigger{ID: "once"})
			second, _ := w.process(0, false)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Hour)
			defer cancel()
			require.NoError(t, second.Wait(ctx, name), "died at effect %d", dieAt)
			st, err := second.Status(t.Context(), name)
			require.NoError(t, err)
			require.Nil(t, st.Open)
		})
	}
}
