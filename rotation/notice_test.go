// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
)

// People are told when a rotation begins, by the date at which it does: 48 h ahead, whatever came between.
func TestANoticeIsForTheRotationThatBegins(t *testing.T) {
	for name, between := range map[string]func(*world, *rotation.Rotator){
		"a hold": func(w *world, r *rotation.Rotator) {
			require.NoError(w.t, r.Hold(w.t.Context(), "payment-gateway-api", time.Now().Add(40*24*time.Hour), "the season"))
		},
		"nobody drove": func(*world, *rotation.Rotator) { time.Sleep(40 * 24 * time.Hour) },
		"a blackout": func(w *world, r *rotation.Rotator) {
			w.cred.Policy.Blackouts = []rotation.Blackout{"2000-03-01..2000-05-10 UTC"}
			w.again(r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, 1)
				g := &gazette{name: "all"}
				w.cfg.Sinks, w.cfg.Lease = []rotation.Sink{g}, time.Hour
				w.cred.Policy.Windows = []rotation.Window{"Sun 01:00-04:00 UTC"}
				r := w.rotator()
				for len(g.ofKind(rotation.EventNotice)) == 0 {
					w.runs(r, time.Hour)
				}
				between(w, r)
				w.runs(r, 60*24*time.Hour)
				began := g.ofKind(rotation.EventBegan)
				require.NotEmpty(t, began)
				notices := g.ofKind(rotation.EventNotice)
				told := false
				for _, n := range notices {
					told = told || strings.Contains(n.Text, began[0].At.UTC().Format("2006-01-02"))
				}
				require.True(t, told, "it began at %s; the notices said %v", began[0].At, notices)
			})
		})
	}
}

// restarting is a consumer that takes up a key when its process starts.
type restarting struct{ *rotationtest.Consumer }

func (restarting) Reloads() rotation.Reload { return rotation.ReloadRestart }

// Whoever has to restart something is told 48 h ahead, with windows or without.
func TestANoticeWhereARestartIsNeeded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		g := &gazette{name: "all"}
		w.cfg.Sinks, w.cfg.Lease = []rotation.Sink{g}, time.Hour
		w.cred.Consumers[0].Consumer = restarting{w.consumers[0]}
		w.runs(w.rotator(), 95*24*time.Hour)
		require.NotEmpty(t, g.ofKind(rotation.EventBegan))
		require.NotEmpty(t, g.ofKind(rotation.EventNotice), "a restart, and nobody was told")
	})
}

// A notice says the time at which the rotation begins, with jitter too.
func TestANoticeSaysTheTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		g := &gazette{name: "all"}
		w.cfg.Sinks, w.cfg.Lease = []rotation.Sink{g}, time.Hour
		w.cred.Policy.Windows, w.cred.Policy.Jitter = []rotation.Window{"daily 01:00-05:00 UTC"}, 10*24*time.Hour
		w.seeded.IssuedAt = w.seeded.IssuedAt.Add(-400 * 24 * time.Hour)
		w.store = rotationtest.NewStore()
		w.cfg.Store = w.store
		require.NoError(t, store.Seed(t.Context(), w.store, name, w.seeded))
		w.runs(w.rotator(), 4*24*time.Hour)
		began, notices := g.ofKind(rotation.EventBegan), g.ofKind(rotation.EventNotice)
		require.Len(t, began, 1)
		require.Len(t, notices, 1)
		require.Contains(t, notices[0].Text, began[0].At.UTC().Format("2006-01-02T15:04"))
	})
}

// After a hold the next rotation begins in a window, and who asks is told so.
func TestBeginsAfterAHoldIsInAWindow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.cred.Policy.Windows = []rotation.Window{"Sun 01:00-04:00 UTC"}
		r := w.rotator()
		w.paces(r, time.Hour)
		until := time.Date(2000, 6, 7, 15, 0, 0, 0, time.UTC) // a Wednesday
		require.NoError(t, r.Hold(t.Context(), name, until, "the season"))
		why, err := r.Explain(t.Context(), name)
		require.NoError(t, err)
		require.False(t, why.Begins.Before(until))
		require.Equal(t, time.Sunday, why.Begins.UTC().Weekday(), "%s", why.Begins)
		require.Contains(t, why.String(), "begins by itself at "+why.Begins.UTC().Format("2006-01-02T15:04"))
		st, err := r.Status(t.Context(), name)
		require.NoError(t, err)
		require.True(t, st.Begins.Equal(why.Begins))
		require.Contains(t, st.String(), "begins      "+why.Begins.UTC().Format("2006-01-02 15:04"))
	})
}

// A notice is a sentence, of a credential without bindings too.
func TestANoticeIsASentence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 0)
		g := &gazette{name: "all"}
		w.cfg.Sinks, w.cfg.Lease = []rotation.Sink{g}, time.Hour
		w.cred.Policy.Windows = []rotation.Window{"daily 01:00-05:00 UTC"}
		w.runs(w.rotator(), 95*24*time.Hour)
		require.Len(t, g.ofKind(rotation.EventNotice), 1)
		require.NotRegexp(t, "moves $", g.ofKind(rotation.EventNotice)[0].Text)
	})
}
