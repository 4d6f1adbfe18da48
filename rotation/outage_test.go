// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
)

// A consumer could not be told for hours, and is under way since. Naive: it is looked at as seldom as if the outage went on.
func TestLooksAfterAnOutageBeginAnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newBrief(t, 1)
		w.cfg.Policy.Patience = 24 * time.Hour
		over := time.Now().Add(5 * time.Hour)
		var looks []time.Time
		inner := w.cred.Consumers[0].Consumer
		w.cred.Consumers[0].Consumer = rotation.ConsumerFunc(func(ctx context.Context, req rotation.DeployRequest) error {
			if time.Now().Before(over) {
				return errors.New("no answer")
			}
			if looks = append(looks, time.Now()); len(looks) < 5 {
				return rotation.ErrNotYet
			}
			return inner.Deploy(ctx, req)
		})
		r := w.rotator()
		w.rotate(r)
		for len(looks) < 5 {
			st, _ := r.Advance(t.Context(), name)
			require.NotNil(t, st.Open)
			time.Sleep(st.Delay())
		}
		require.Less(t, looks[0].Sub(over), 10*time.Minute, "an outage is looked at now and then")
		require.Less(t, looks[4].Sub(looks[0]), time.Minute, "%v", looks)
	})
}

// relapsing reports, half an hour late, that the old key was used, and some time later that it never was.
type relapsing struct {
	rotation.Issuer
	rotation.Verifier
	old         string
	used, until time.Time
	told        []bool // what each report has said
}

func (f *relapsing) List(context.Context) ([]rotation.KeyInfo, error) {
	u := rotation.Usage{AsOf: time.Now().Add(-30 * time.Minute)}
	if !u.AsOf.Before(f.used) && time.Now().Before(f.until) {
		u.LastUsed, u.Source = f.used, "cron"
	}
	f.told = append(f.told, !u.LastUsed.IsZero())
	return []rotation.KeyInfo{{Key: rotation.Key{ID: f.old}, Usage: u}}, nil
}

// The provider reports that the old key was used, and then that it never was: another of its machines answers. Naive: the key is
// killed as if nobody had used it.
func TestAUseThatWasReportedIsRemembered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newBrief(t, 1)
		now := time.Now()
		f := &relapsing{taciturn{w.provider, w.provider}, w.provider, w.seeded.ID, now.Add(50 * time.Minute), now.Add(88 * time.Minute), nil}
		w.cred.Issuer = f
		r := w.rotator()
		w.rotate(r)
		proven := f.used.Add(time.Hour).Add(30 * time.Minute)
		for time.Now().Before(proven) {
			require.Contains(t, w.provider.Live(), w.seeded.ID, "nothing proves that it was not used since %v", f.used)
			st, _ := r.Advance(t.Context(), name)
			time.Sleep(min(st.Delay(), time.Until(proven)))
		}
		last := slices.Index(f.told, true)
		require.GreaterOrEqual(t, last, 0)
		require.Contains(t, f.told[last:], false, "the report never fell back: this test tests nothing")
		require.Equal(t, rotation.Rotated, w.ends(r).Last.Outcome)
		require.NotContains(t, w.provider.Live(), w.seeded.ID)
	})
}
