// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
)

// noticeable are the events that a consumer can notice, or that its owners have to be there for.
var noticeable = map[rotation.EventKind]bool{
	rotation.EventBegan: true, rotation.EventPromoted: true, rotation.EventDeployed: true, rotation.EventDisabled: true, rotation.EventRevoked: true,
	rotation.EventActivated: true,
}

// A year in the life of a credential with windows: whatever a consumer can notice happens in one of them, and no key gets too old.
func TestWindowsOfAYear(t *testing.T) {
	for _, jitter := range []time.Duration{0, 20 * 24 * time.Hour} {
		t.Run(fmt.Sprint(jitter), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, 3)
				g := &gazette{name: "all"}
				w.cfg.Sinks, w.cfg.Lease = []rotation.Sink{g}, time.Hour
				w.cred.Policy.Windows = []rotation.Window{"Tue-Thu 01:00-04:00 UTC"}
				w.cred.Policy.Blackouts = []rotation.Blackout{"2000-06-01..2000-07-31 UTC"}
				w.cred.Policy.Jitter = jitter
				w.runs(w.rotator(), 365*24*time.Hour)
				rotations := 0
				for _, e := range g.all() {
					if e.Kind == rotation.EventEnded {
						rotations++
					}
					if !noticeable[e.Kind] {
						continue
					}
					at := e.At.UTC()
					require.Contains(t, []time.Weekday{time.Tuesday, time.Wednesday, time.Thursday}, at.Weekday(), "%s", e.Text)
					require.GreaterOrEqual(t, at.Hour(), 1, "%s: %s", at, e.Text)
					require.Less(t, at.Hour(), 4, "%s: %s", at, e.Text)
					require.False(t, at.Month() == time.June || at.Month() == time.July, "%s: %s", at, e.Text)
				}
				require.GreaterOrEqual(t, rotations, 4)
				require.Empty(t, w.status().Debts)
			})
		})
	}
}

// Rotate begins at any hour; what consumers can notice waits for a window, or for somebody who says that it need not.
func TestWindowHoldsWhatConsumersNotice(t *testing.T) {
	for _, now := range []bool{false, true} {
		t.Run(fmt.Sprint(now), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, 1)
				w.cred.Policy.Windows = []rotation.Window{"daily 12:00-14:00 UTC"}
				r := w.rotator()
				began := time.Now()
				w.rotate(r)
				st := w.paces(r, 3*time.Hour)
				require.Len(t, st.Needs, 1)
				require.Equal(t, rotation.NeedWindow, st.Needs[0].Kind)
				require.Equal(t, began.Add(12*time.Hour), st.Needs[0].Until)
				require.True(t, w.current().Secret.Equal(w.seeded.Secret), "nobody has seen the new key")
				if now {
					w.does(r, rotation.Answer{Need: st.Needs[0].ID, Verb: rotation.VerbDone})
					st = w.paces(r, time.Hour)
					require.False(t, w.current().Secret.Equal(w.seeded.Secret))
				} else {
					st = w.paces(r, 10*time.Hour)
					require.False(t, w.current().Secret.Equal(w.seeded.Secret))
				}
				require.Equal(t, rotation.PhaseSoak, st.Open.Phase)
				st = w.within(r, 5*24*time.Hour)
				require.Equal(t, rotation.Rotated, st.Last.Outcome)
				if !now {
					require.Contains(t, []int{12, 13}, st.Last.RevokedAt.UTC().Hour())
				}
			})
		})
	}
}

// An emergency and a roll-back wait for no window.
func TestWindowsHoldNoRescue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 2)
		w.cred.Policy.Windows = []rotation.Window{"Mon 12:00-14:00 UTC"} // the bubble begins on a Saturday
		r := w.rotator()
		_, err := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
		require.NoError(t, err)
		st := w.within(r, time.Hour)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)

		w.rotate(r)
		st = w.paces(r, 2*24*time.Hour+12*time.Hour+30*time.Minute) // into the window of Monday
		require.Equal(t, rotation.PhaseSoak, st.Open.Phase)
		w.paces(r, 4*time.Hour)
		_, err = r.Abort(t.Context(), name, "no")
		require.NoError(t, err)
		st = w.within(r, 3*24*time.Hour)
		require.Equal(t, rotation.RolledBack, st.Last.Outcome)
		require.NotEqual(t, time.Monday, st.Last.RevokedAt.UTC().Weekday())
	})
}

// People are told ahead of what the schedule begins, by name, and it begins no earlier.
func TestNotice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		g := &gazette{name: "all"}
		w.cfg.Sinks, w.cfg.Lease = []rotation.Sink{g}, time.Hour
		w.cred.Policy.Notice = 48 * time.Hour
		w.cred.Policy.Windows = []rotation.Window{"Sun 01:00-04:00 UTC"}
		w.runs(w.rotator(), 200*24*time.Hour)
		var noticed time.Time
		began := 0
		for _, e := range g.all() {
			switch e.Kind {
			case rotation.EventNotice:
				noticed = e.At
				require.Contains(t, e.Text, "c0")
			case rotation.EventBegan:
				require.GreaterOrEqual(t, e.At.Sub(noticed), 48*time.Hour)
				require.Less(t, e.At.Sub(noticed), 9*24*time.Hour)
				require.Equal(t, time.Sunday, e.At.UTC().Weekday())
				began++
			}
		}
		require.Equal(t, 2, began)
	})
}

// Several credentials share a consumer, which starts anew when it is told: once for all of them, and no more often than the interval.
func TestGroupIsToldOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const n = 4
		s, j := rotationtest.NewStore(), rotationtest.NewJournal()
		var restarts []time.Time
		var cs []rotation.Credential
		app := map[string]rotation.Key{} // what the consumer has read
		names := make([]string, n)
		for i := range n {
			names[i] = fmt.Sprint("key-", i)
		}
		read := func() {
			for _, name := range names {
				v, err := s.Load(t.Context(), name)
				require.NoError(t, err)
				app[name] = v.Key(rotation.RoleCurrent)
			}
		}
		for _, name := range names {
			p := rotationtest.NewProvider()
			require.NoError(t, store.Seed(t.Context(), s, name, p.Mint()))
			cs = append(cs, rotation.Credential{
				Name: name, Type: rotation.APIKey, Issuer: p,
				Consumers: []rotation.Binding{{Name: "app", Group: "app", Consumer: &sharedApp{name: name, app: app, restart: func() {
					restarts = append(restarts, time.Now())
					read()
				}}}},
			})
		}
		read()
		r, err := rotation.New(rotation.Config{Journal: j, Store: s, Credentials: cs, Lease: time.Hour, Policy: rotation.Policy{MinInterval: 7 * 24 * time.Hour}})
		require.NoError(t, err)
		ctx, stop := contextFor(t, 365*24*time.Hour)
		defer stop()
		require.NoError(t, r.Run(ctx))
		all, err := r.List(t.Context())
		require.NoError(t, err)
		for _, st := range all {
			require.GreaterOrEqual(t, st.Generation, 4, "%s", st)
			require.True(t, st.Due.After(time.Now()), "%s", st)
		}
		for i := range restarts[1:] {
			require.GreaterOrEqual(t, restarts[i+1].Sub(restarts[i]), 7*24*time.Hour)
		}
		require.LessOrEqual(t, len(restarts), all[0].Generation+1, "%v", restarts)
	})
}

// sharedApp is a consumer of several credentials that starts anew when it is told, and reads the current keys of all of them then.
type sharedApp struct {
	name    string
	app     map[string]rotation.Key
	restart func()
}

func (s *sharedApp) Deploy(_ context.Context, req rotation.DeployRequest) error {
	if req.Role != rotation.RoleCurrent {
		return fmt.Errorf("it reads the current key only: %w", errors.ErrUnsupported)
	}
	s.restart()
	return nil
}

func (s *sharedApp) Observe(context.Context) ([]rotation.Instance, error) {
	return []rotation.Instance{{Name: "app-1", Key: s.app[s.name], AsOf: time.Now()}}, nil
}

func contextFor(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

// Where making a key ends the old one, at once or by a clock, making it is what consumers notice first.
func TestWindowsHoldAnIssueThatEndsTheOldKey(t *testing.T) {
	for name, change := range map[string]func(*world){
		"at once": func(w *world) { w.provider.Traits.KillsOld, w.cred.Policy.AllowOutage = true, true },
		"by a clock": func(w *world) {
			w.provider.Traits.Grace, w.cred.Policy.AllowProviderDeadline = 24*time.Hour, true
			w.cred.Policy.Windows = []rotation.Window{"Wed 12:00-14:00 UTC"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, 1, func(w *world) { w.cred.Policy.Windows = []rotation.Window{"daily 12:00-14:00 UTC"} }, change)
				g := &gazette{name: "all"}
				w.cfg.Sinks = []rotation.Sink{g}
				r := w.rotator()
				_, _ = r.Rotate(t.Context(), w.cred.Name, rotation.Trigger{})
				w.paces(r, 6*24*time.Hour)
				issued, deployed := g.ofKind(rotation.EventIssued), g.ofKind(rotation.EventDeployed)
				require.Len(t, issued, 1)
				require.Len(t, deployed, 1)
				for _, e := range append(issued, deployed...) {
					require.Contains(t, []int{12, 13}, e.At.UTC().Hour(), "outside of every window: %s: %s", e.At, e.Text)
				}
			})
		})
	}
}

// A deadline of the provider that comes before the next window is met.
func TestWindowHoldsNoDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.provider.Traits.Grace, w.cred.Policy.AllowProviderDeadline = 4*time.Hour, true
		w.cred.Policy.Windows = []rotation.Window{"daily 12:00-14:00 UTC"}
		began := time.Now()
		w.provider.Inject(rotationtest.Fault{Op: "Verify", From: began.Add(12 * time.Hour), Until: began.Add(14 * time.Hour)})
		r := w.rotator()
		_, err := r.Rotate(t.Context(), name, rotation.Trigger{})
		require.NoError(t, err)
		st := w.paces(r, 14*time.Hour+30*time.Minute)
		require.Equal(t, 1, w.provider.Calls("Issue"))
		require.True(t, w.current().Secret.Equal(w.seeded.Secret), "the window was over before the new key was proven")
		require.Len(t, st.Needs, 1)
		require.Equal(t, rotation.NeedWindow, st.Needs[0].Kind)
		require.WithinRange(t, st.Needs[0].Until, time.Now(), began.Add(16*time.Hour), "the provider does not wait for the next one")
		w.paces(r, time.Hour)
		require.False(t, w.current().Secret.Equal(w.seeded.Secret))
		require.NoError(t, w.consumers[0].Verify(t.Context(), w.current()))
	})
}

// Neither a blackout, nor a window, nor a notice delays what a deadline of the provider does not let wait: see Policy.Windows.
func TestNothingOutwaitsAKeyThatExpires(t *testing.T) {
	life := 7 * 24 * time.Hour
	for name, change := range map[string]func(*world){
		"blackout": func(w *world) { w.cred.Policy.Blackouts = []rotation.Blackout{"2000-01-02..2000-01-20 UTC"} },
		"window": func(w *world) {
			w.cred.Policy.Windows, w.cred.Policy.Notice = []rotation.Window{"Sat 03:00-04:00 UTC"}, -1
		},
		"notice": func(w *world) { // the one that windows bring
			w.cred.Policy.Windows, w.cred.Policy.Overlap, w.cred.Policy.Quiet = []rotation.Window{"daily 00:00-24:00 UTC"}, time.Hour, time.Hour
			w.seeded.ExpiresAt = w.seeded.IssuedAt.Add(24 * time.Hour)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, 1, change)
				life := life
				if w.seeded.ExpiresAt.IsZero() {
					w.seeded.ExpiresAt = w.seeded.IssuedAt.Add(life)
				} else {
					life = w.seeded.ExpiresAt.Sub(w.seeded.IssuedAt)
				}
				w.store = rotationtest.NewStore()
				w.cfg.Store = w.store
				require.NoError(t, store.Seed(t.Context(), w.store, "payment-gateway-api", w.seeded))
				r := w.rotator()
				w.runs(r, life)
				st := w.status()
				require.False(t, w.current().Secret.Equal(w.seeded.Secret), "the key has expired under its consumer, and nothing was begun:\n%s", st)
			})
		})
	}
}

// There is nothing that consumers could notice where they have no key yet.
func TestTheFirstKeyWaitsForNoWindow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.store = rotationtest.NewStore()
		w.cfg.Store = w.store
		w.cred.Policy.Windows = []rotation.Window{"Fri 12:00-14:00 UTC"}
		st := w.paces(w.rotator(), time.Hour)
		require.False(t, w.current().IsZero(), "a new service waits for its first key: %+v", st.Needs)
	})
}

// A rollout that is longer than its window goes on in the next one.
func TestWavesEndWithTheWindow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 12)
		g := &gazette{name: "all"}
		w.cfg.Sinks, w.cfg.CallTimeout, w.cfg.Lease = []rotation.Sink{g}, 10*time.Minute, time.Hour
		w.cred.Policy.Windows, w.cred.Policy.Parallel = []rotation.Window{"daily 12:00-12:30 UTC"}, 1
		for _, c := range w.consumers {
			c.Inject(rotationtest.Fault{Op: "Deploy", Delay: 5 * time.Minute})
		}
		r := w.rotator()
		w.rotate(r)
		w.paces(r, 20*time.Hour)
		for _, e := range g.ofKind(rotation.EventDeployed) {
			began := e.At.Add(-5 * time.Minute).UTC()
			require.Less(t, began.Sub(time.Date(2000, 1, 1, 12, 30, 0, 0, time.UTC)), time.Duration(0), "%s was begun after the window", e.Text)
		}
	})
}

// What a provider knows of a key is in the record of its incident, also where a revoked key is gone from the list at once.
// laggard is a provider whose list shows a revoked key for as long as Traits.Propagation allows.
// A revocation that the provider has its time for is no finding.
// An incident is done when every credential that it names is, whatever kept one of them from being taken up.
// The row of a credential names the keys that were compromised, each.
// Credentials that are all overdue when a fleet is first driven do not all begin at once, if there is a jitter.
func TestAnOverdueFleetIsSpread(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 0)
		g := &gazette{name: "all"}
		w.cfg.Sinks, w.cfg.Lease = []rotation.Sink{g}, time.Hour
		w.cfg.Policy = rotation.Policy{Jitter: 10 * 24 * time.Hour}
		r := w.rotator()
		for i := range 40 {
			c := rotation.Credential{Name: fmt.Sprint("old-", i), Type: rotation.APIKey, Issuer: w.provider}
			k := w.provider.Mint()
			k.IssuedAt = time.Time{}
			require.NoError(t, store.Seed(t.Context(), w.store, c.Name, k))
			require.NoError(t, r.Register(c))
		}
		w.runs(r, 2*24*time.Hour)
		at := map[int64]int{}
		for _, e := range g.ofKind(rotation.EventBegan) {
			at[e.At.Unix()/60]++
		}
		require.Greater(t, len(at), 10, "rotations by the minute in which they began: %v", at)
	})
}

// Who lets one thing happen outside of the windows has said nothing of the others, nor of how often a shared consumer may be started.
func TestDoneIsAnAnswerToWhatWasAsked(t *testing.T) {
	t.Run("the revocation waits for its window", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.cred.Policy.Windows, w.cred.Policy.Overlap = []rotation.Window{"daily 12:00-14:00 UTC"}, 30*time.Hour
			r := w.rotator()
			w.rotate(r)
			st := w.paces(r, time.Hour)
			w.does(r, rotation.Answer{Need: asked(t, st, rotation.VerbDone).ID, Verb: rotation.VerbDone})
			st = w.within(r, 5*24*time.Hour)
			require.Contains(t, []int{12, 13}, st.Last.RevokedAt.UTC().Hour(), "%s", st.Last)
		})
	})
	t.Run("the group keeps its distance", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.cred.Policy.Windows = []rotation.Window{"daily 12:00-14:00 UTC"}
			w.cred.Consumers[0].Group, w.cfg.Policy.MinInterval = "app", 7*24*time.Hour
			g := &gazette{name: "all"}
			w.cfg.Sinks = []rotation.Sink{g}
			r := w.rotator()
			w.rotate(r)
			w.within(r, 5*24*time.Hour)
			time.Sleep(6 * time.Hour) // past the window
			w.rotate(r)
			st := w.paces(r, time.Minute)
			w.does(r, rotation.Answer{Need: asked(t, st, rotation.VerbDone).ID, Verb: rotation.VerbDone})
			w.paces(r, 9*24*time.Hour)
			at := g.ofKind(rotation.EventDeployed)
			require.Len(t, at, 2)
			require.GreaterOrEqual(t, at[1].At.Sub(at[0].At), 7*24*time.Hour)
		})
	})
}

// A consumer that went back to the old key is told the new one again in a window: nothing is lost by then, both keys live.
func TestWindowHoldsWhatIsToldAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.cred.Policy.Windows = []rotation.Window{"daily 12:00-14:00 UTC"}
		r := w.rotator()
		_, err := r.Rotate(t.Context(), name, rotation.Trigger{})
		require.NoError(t, err)
		w.paces(r, 15*time.Hour)
		fresh := w.current()
		require.NoError(t, w.consumers[0].Verify(t.Context(), fresh))
		require.NoError(t, w.consumers[0].Deploy(t.Context(), rotation.DeployRequest{ID: "by hand", Key: w.seeded, Role: rotation.RoleCurrent}))
		told := w.consumers[0].Calls("Deploy")
		w.paces(r, 20*time.Hour)
		require.Equal(t, told, w.consumers[0].Calls("Deploy"), "it is told outside of every window")
		st := w.paces(r, 14*time.Hour)
		require.NoError(t, w.consumers[0].Verify(t.Context(), fresh), "%v", st.Needs)
	})
}
