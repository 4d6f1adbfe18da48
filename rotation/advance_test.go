// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
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

// mortal is a journal as a process sees it that dies after some calls of Save: the last one is written and not answered.
type mortal struct {
	*rotationtest.Journal
	left atomic.Int64
}

func (j *mortal) Save(ctx context.Context, e rotation.Entry) error {
	left := j.left.Add(-1)
	if left < 0 {
		return errors.New("dead")
	}
	err := j.Journal.Save(ctx, e)
	if left == 0 {
		return errors.New("dead")
	}
	return err
}

// The holder of the lease dies; whoever waits for the end takes over by itself.
func TestWaitTakesOver(t *testing.T) {
	for saves := int64(3); saves < 20; saves += 2 * stride {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 3)
			dying := &mortal{Journal: w.journal}
			dying.left.Store(saves)
			mortals := *w
			mortals.cfg.Journal = dying
			first := mortals.rotator()
			_, _ = first.Rotate(t.Context(), name, rotation.Trigger{ID: "once"})
			second := w.rotator()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Hour)
			defer cancel()
			require.NoError(t, second.Wait(ctx, name), "died after %d saves", saves)
			st, err := second.Status(t.Context(), name)
			require.NoError(t, err)
			require.Nil(t, st.Open)
			require.Equal(t, rotation.Rotated, st.Last.Outcome)
		})
	}
}
