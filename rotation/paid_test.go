// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// busyOnce is a provider that answers one revocation of each key with a rate limit, and remembers when it is asked.
type busyOnce struct {
	*rotationtest.Provider
	until map[string]time.Time
	early map[string]int
}

func (b *busyOnce) Revoke(ctx context.Context, key rotation.Key) error {
	until, told := b.until[key.ID]
	switch {
	case !told:
		b.until[key.ID] = time.Now().Add(time.Hour)
		return rotation.RetryAt(errors.New("429"), b.until[key.ID])
	case time.Now().Before(until):
		b.early[key.ID]++
		return rotation.RetryAt(errors.New("429"), until)
	}
	return b.Provider.Revoke(ctx, key)
}

// A provider that says when to come back is not asked sooner, for a debt either: here the key of a lost answer.
func TestADebtWaitsForARateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		b := &busyOnce{Provider: w.provider, until: map[string]time.Time{}, early: map[string]int{}}
		w.cred.Issuer, w.cred.Verifier = b, w.provider
		w.provider.Inject(rotationtest.Fault{Op: "Issue", Call: 1, After: true})
		r := w.rotator()
		_, _ = r.Rotate(t.Context(), name, rotation.Trigger{})
		w.within(r, 30*24*time.Hour)
		require.Len(t, b.until, 2)
		delete(b.early, w.seeded.ID)
		require.Empty(t, b.early)
	})
}

// While the issuer's figures of use are on their way to prove that a consumer has moved, no person is asked to.
func TestNobodyAttestsWhatUseWillProve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		deploy := w.cred.Consumers[0].Consumer.Deploy
		w.cred.Consumers[0].Consumer = rotation.ConsumerFunc(deploy)
		var asked []string
		w.cfg.Sinks = []rotation.Sink{sinkFunc(func(_ context.Context, e rotation.Event) error {
			if e.Level >= slog.LevelWarn {
				asked = append(asked, string(e.Kind)+": "+e.Text)
			}
			return nil
		})}
		r := w.rotator()
		_, err := r.Rotate(t.Context(), name, rotation.Trigger{})
		require.NoError(t, err)
		st := w.within(r, 30*24*time.Hour)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
		require.Empty(t, asked)
	})
}
