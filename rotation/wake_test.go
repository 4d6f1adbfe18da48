// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// A process that was away over a window waits for the next one at rest.
func TestAWindowThatNobodyCameTo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.cfg.Check = -1
		w.cred.Policy.Windows, w.cred.Policy.Notice = []rotation.Window{"Sun 01:00-04:00 UTC"}, -1
		r := w.rotator()
		w.runs(r, 24*time.Hour)
		time.Sleep(time.Until(time.Date(2000, 3, 26, 6, 0, 0, 0, time.UTC))) // five hours after the slot
		before := w.journal.Calls("Load")
		w.runs(r, 6*time.Hour)
		require.Less(t, w.journal.Calls("Load")-before, 6*60*2*4, "every half second, for a week")
	})
}

// What a policy says today holds from today on: the journal's date of yesterday is no excuse, and no reason to look twice a second.
func TestAPolicyThatChanged(t *testing.T) {
	t.Run("to sooner", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.cfg.Check, w.cfg.Lease = -1, time.Hour
			w.runs(w.rotator(), 10*24*time.Hour)
			w.cred.Risk = rotation.HighRisk
			w.runs(w.rotator(), 25*24*time.Hour)
			require.False(t, w.current().Secret.Equal(w.seeded.Secret), "the key is 35 days old, and may be 30:\n%s", w.status())
		})
	})
	t.Run("to sooner, while another process drives", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.cfg.Check, w.cfg.Lease = -1, time.Hour
			w.provider.Inject(rotationtest.Fault{Op: "Issue", Call: 1, Delay: 5 * time.Second})
			before := w.rotator()
			go func() { _, _ = before.Rotate(t.Context(), name, rotation.Trigger{}) }()
			time.Sleep(time.Second)
			w.cred.Risk = rotation.HighRisk
			now := w.rotator()
			_, err := now.Sweep(t.Context())
			require.NoError(t, err)
			w.within(before, 7*24*time.Hour)
			second := w.current()
			w.runs(now, 40*24*time.Hour)
			require.False(t, w.current().Secret.Equal(second.Secret), "the key is older than 30 days:\n%s", w.status())
		})
	})
	t.Run("to sooner, and another process writes at the same time", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.cfg.Check, w.cfg.Lease = -1, time.Hour
			w.runs(w.rotator(), 10*24*time.Hour)
			w.cfg.Journal = &contestedJournal{Journal: w.journal}
			w.cred.Risk = rotation.HighRisk
			w.runs(w.rotator(), 25*24*time.Hour)
			require.False(t, w.current().Secret.Equal(w.seeded.Secret), "the key is 35 days old, and may be 30:\n%s", w.status())
		})
	})
	t.Run("to later", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.runs(w.rotator(), 90*24*time.Hour-time.Minute)
			w.cred.Policy.Blackouts = []rotation.Blackout{"2000-03-30..2000-04-20 UTC"}
			r := w.rotator()
			before := w.journal.Calls("Load")
			w.runs(r, 6*time.Hour)
			require.Less(t, w.journal.Calls("Load")-before, 6*60*2*4, "every half second")
		})
	})
}

// What the journal has right is not written again, however often it is looked at.
func TestAnIdleLookWritesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.cfg.Check = -1
		w.paces(w.rotator(), time.Hour)
		before := w.journal.Calls("Save")
		for range 5 {
			_, err := w.rotator().Sweep(t.Context())
			require.NoError(t, err)
			_, err = w.rotator().Advance(t.Context(), name)
			require.NoError(t, err)
		}
		require.Equal(t, before, w.journal.Calls("Save"))
		w.cred.Risk = rotation.HighRisk
		r := w.rotator()
		for range 5 {
			_, err := r.Advance(t.Context(), name)
			require.NoError(t, err)
		}
		require.Equal(t, before+1, w.journal.Calls("Save"), "the policy is another one: once")
	})
}

// A journal that does not take the correction is not asked twice a second.
func TestACorrectionThatCannotBeWritten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.cfg.Check = -1
		w.cred.Policy.Windows, w.cred.Policy.Notice = []rotation.Window{"Sun 01:00-04:00 UTC"}, -1
		w.runs(w.rotator(), 24*time.Hour)
		time.Sleep(time.Until(time.Date(2000, 3, 26, 6, 0, 0, 0, time.UTC)))
		w.journal.Inject(rotationtest.Fault{Op: "Save"})
		before := w.journal.Calls("Load")
		w.runs(w.rotator(), 6*time.Hour)
		require.Less(t, w.journal.Calls("Load")-before, 6*60*2*5, "a few times a lease")
	})
}

// A process that sees nothing to do leaves what is due to one that does, such as the one with the newer policy.
func TestWhatOthersSeeIsLeftToThem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.cfg.Lease = time.Minute
		a := w.rotator()
		w.cfg.Check = -1
		b := w.rotator()
		done := make(chan struct{})
		go func() {
			time.Sleep(time.Minute) // later than the one with the policy that looks
			w.runs(b, 20*24*time.Hour)
			close(done)
		}()
		w.runs(a, 20*24*time.Hour)
		<-done
		require.Less(t, time.Since(w.status().CheckedAt), 25*time.Hour)
	})
}

// contestedJournal has somebody else write the entry just before the first write to it.
type contestedJournal struct {
	*rotationtest.Journal
	lost bool
}

func (j *contestedJournal) Save(ctx context.Context, e rotation.Entry) error {
	if e.Credential == name && !j.lost {
		j.lost = true
		other, err := j.Load(ctx, name)
		if err != nil {
			return err
		}
		if err := j.Journal.Save(ctx, other); err != nil {
			return err
		}
	}
	return j.Journal.Save(ctx, e)
}

// Whoever waits obeys the policy that he was started with: the time that the journal has may be that of another one.
func TestWaitObeysAShorterPolicy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHazard(t, 1)
		h.cred.Policy.Overlap = 100 * time.Hour
		r := h.rotator()
		h.begin(r)
		h.drive(r, 3*time.Hour)
		h.cred.Policy.Overlap = time.Hour
		require.Equal(t, rotation.Rotated, h.within(h.rotator(), time.Hour).Last.Outcome)
		h.laws()
	})
}
