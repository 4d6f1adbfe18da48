// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
)

// What is due is told once a week, until there is a new key.
func TestWhatIsDueIsToldAgain(t *testing.T) {
	month := 28 * 24 * time.Hour
	for name, c := range map[string]struct {
		change func(*world)
		first  time.Duration
		kind   rotation.EventKind
	}{
		"without a check": {func(w *world) { w.cfg.Check = -1 }, 80 * 24 * time.Hour, rotation.EventDue},
		"under a hold": {func(w *world) {
			w.paces(w.rotator(), time.Hour)
			require.NoError(w.t, w.rotator().Hold(w.t.Context(), "payment-gateway-api", time.Now().Add(300*24*time.Hour), "the season"))
		}, 85 * 24 * time.Hour, rotation.EventDue},
		"while a person has to bring the key": {func(w *world) { w.cred.Issuer = minted{w.provider} }, 100 * 24 * time.Hour, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, 1)
				g := &gazette{name: "all"}
				w.cfg.Sinks, w.cfg.Lease = []rotation.Sink{g}, time.Hour
				c.change(w)
				r := w.rotator()
				w.runs(r, c.first)
				known := len(g.all())
				if c.kind == "" { // the rotation is open since 10 days, and everybody was told
					w.runs(r, month)
					require.NotEmpty(t, g.all()[known:], "overdue for %v, and no word for four weeks", time.Since(w.status().Due))
					return
				}
				require.NotEmpty(t, g.ofKind(c.kind), "%s", w.status())
			})
		})
	}
	t.Run("a date that nobody knows is no date", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, 1)
			g := &gazette{name: "all"}
			w.cfg.Sinks = []rotation.Sink{g}
			w.store = rotationtest.NewStore()
			w.cfg.Store = w.store
			w.seeded.IssuedAt = time.Time{}
			require.NoError(t, store.Seed(t.Context(), w.store, name, w.seeded))
			w.cred.Policy.Windows = []rotation.Window{"Fri 01:00-04:00 UTC"}
			w.runs(w.rotator(), 24*time.Hour)
			due := g.ofKind(rotation.EventDue)
			require.Len(t, due, 1)
			require.NotContains(t, due[0].Text, "0001")
		})
	})
}

// minted is an issuer whose keys a person makes.
type minted struct{ *rotationtest.Provider }

func (minted) Handmade() bool { return true }

func (minted) Issue(context.Context, rotation.IssueRequest) (rotation.Key, error) {
	return rotation.Key{}, rotation.Manual("make one in the console")
}

// reminders are the words on what is due, after d.
func reminders(w *world, d time.Duration) []rotation.Event {
	g := &gazette{name: "all"}
	w.cfg.Sinks, w.cfg.Lease = append(w.cfg.Sinks, g), time.Hour
	w.runs(w.rotator(), d)
	return g.ofKind(rotation.EventDue)
}

// A key that is replaced by itself is announced as routine; one that a person has to make, and one that is late, is for a person.
func TestTheLevelOfWhatIsDue(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*world)
		want   []slog.Level
	}{
		"by itself": {func(*world) {}, []slog.Level{slog.LevelInfo, slog.LevelInfo}},
		"by hand":   {func(w *world) { w.cred.Issuer = minted{w.provider} }, []slog.Level{slog.LevelWarn, slog.LevelWarn}},
		"held":      {func(w *world) { held(w, 95) }, []slog.Level{slog.LevelInfo, slog.LevelInfo, slog.LevelWarn}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, 1)
				c.change(w)
				var got []slog.Level
				for _, e := range reminders(w, 94*24*time.Hour) {
					got = append(got, e.Level)
				}
				require.Equal(t, c.want, got)
			})
		})
	}
}

// held holds a credential that was looked at once, for some days.
func held(w *world, days int) {
	r := w.rotator()
	w.paces(r, time.Hour)
	require.NoError(w.t, r.Hold(w.t.Context(), name, time.Now().Add(time.Duration(days)*24*time.Hour), "the season"))
}

func TestWhatIsDueSaysWhatItWaitsFor(t *testing.T) {
	t.Run("a hold", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, 1)
			held(w, 300)
			due := reminders(w, 120*24*time.Hour)
			require.Len(t, due, 7, "once a week from the 76th day on")
			require.Contains(t, due[6].Text, "overdue since 2000-03-31")
			require.Contains(t, due[6].Text, "by tester: the season")
			require.Contains(t, due[6].Text, "the rotation begins at 2000-10-27")
		})
	})
	t.Run("a person", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.cred.Issuer = minted{w.provider}
			due := reminders(w, 120*24*time.Hour)
			last := due[len(due)-1]
			require.Len(t, due, 6, "two before it is due, and four since")
			require.Contains(t, last.Text, "make one in the console")
			require.Equal(t, asked(t, w.status(), rotation.VerbRollBack).ID, last.Need)
			require.Equal(t, []rotation.Verb{rotation.VerbRollBack}, last.Verbs)
		})
	})
	t.Run("a store", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.paces(w.rotator(), time.Hour)
			w.store.Inject(rotationtest.Fault{Op: "Load", Err: errors.New("503")})
			due := reminders(w, 92*24*time.Hour)
			require.Len(t, due, 3)
			require.Contains(t, due[2].Text, "in the way: ")
		})
	})
	t.Run("nothing but clocks", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.cred.Policy.Overlap = 30 * 24 * time.Hour
			due := reminders(w, 118*24*time.Hour)
			require.Equal(t, rotation.PhaseSoak, w.status().Open.Phase)
			for _, e := range due {
				require.Equal(t, slog.LevelInfo, e.Level, "it goes as the policy says: %s", e.Text)
			}
		})
	})
}
