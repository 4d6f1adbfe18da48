// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// sluggish is a journal some of whose saves answer late; asked is when the last one began that has been answered.
type sluggish struct {
	*rotationtest.Journal
	slow  func(save int) bool
	asked *time.Time
}

func (s sluggish) Save(ctx context.Context, e rotation.Entry) error {
	asked := time.Now()
	err := s.Journal.Save(ctx, e)
	if s.slow(s.Calls("Save")) {
		time.Sleep(8 * time.Second)
	}
	*s.asked = asked
	return err
}

// The journal answers when most of the lease has passed, which began when it was asked. Naive: an effect is begun under what is
// left of it, and is still under way when somebody else drives.
func TestLateAnswerOfTheJournalLeavesNoTimeForAnEffect(t *testing.T) {
	rotated := func(t *testing.T, slow func(save int) bool) (*world, error) {
		w := newBrief(t, 1)
		w.cfg.Lease, w.cfg.CallTimeout = 15*time.Second, 10*time.Second
		asked := time.Now()
		w.cfg.Journal = sluggish{w.journal, slow, &asked}
		inTime := func(op string) {
			assert.Less(t, time.Since(asked)+w.cfg.CallTimeout, w.cfg.Lease, "%s can outlast the lease", op)
		}
		w.cred.Issuer = calling{w.provider, inTime}
		w.cred.Consumers[0].Consumer = consuming{w.consumers[0], func(op string) {
			if op == "Deploy" {
				inTime(op)
			}
		}}
		_, err := w.rotator().Rotate(t.Context(), name, rotation.Trigger{})
		return w, err
	}
	t.Run("one", func(t *testing.T) {
		for late := range 12 {
			bubble(t, func(t *testing.T) {
				w, err := rotated(t, func(save int) bool { return save == late })
				require.NoError(t, err)
				require.True(t, w.consumers[0].Key().Equal(w.current()))
			})
		}
	})
	t.Run("all", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w, err := rotated(t, func(save int) bool { return save > 3 })
			require.ErrorContains(t, err, "too slow to keep the lease")
			require.Zero(t, w.provider.Calls("Issue"))
		})
	})
}
