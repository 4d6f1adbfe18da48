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

// sluggish is a journal whose Save answers late while slow says so, and which knows when the last one that did began.
type sluggish struct {
	*rotationtest.Journal
	slow  func() bool
	began *time.Time
}

func (s sluggish) Save(ctx context.Context, e rotation.Entry) error {
	began := time.Now()
	err := s.Journal.Save(ctx, e)
	if s.slow() {
		time.Sleep(8 * time.Second)
	}
	*s.began = began
	return err
}

// The journal answers when most of the lease has passed, which began when it was asked. Naive: an effect is begun under what is
// left of it, and is still under way when somebody else drives.
func TestLateAnswerOfTheJournalLeavesNoTimeForAnEffect(t *testing.T) {
	for what, always := range map[string]bool{"once": false, "always": true} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newBrief(t, 1)
				w.cfg.Lease, w.cfg.CallTimeout = 15*time.Second, 10*time.Second
				var began time.Time
				saves, late := 0, false
				w.cfg.Journal = sluggish{w.journal, func() bool {
					saves++
					late = late || w.journal.Calls("Save") > 3
					return always && late || !always && saves%3 == 0
				}, &began}
				w.cred.Issuer = calling{w.provider, func(string) {
					assert.LessOrEqual(t, time.Since(began)+w.cfg.CallTimeout, w.cfg.Lease, "the call can outlast the lease")
				}}
				r := w.rotator()
				_, err := r.Rotate(t.Context(), name, rotation.Trigger{})
				if always {
					require.ErrorContains(t, err, "too slow to keep the lease")
					require.Zero(t, w.provider.Calls("Issue"))
					return
				}
				require.NoError(t, err)
				require.Equal(t, rotation.Rotated, w.ends(r).Last.Outcome)
			})
		})
	}
}
