// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
)

// fleet is several credentials of one inventory, each with its own provider and one consumer.
type fleet struct {
	t         *testing.T
	journal   *rotationtest.Journal
	store     *rotationtest.Store
	providers map[string]*rotationtest.Provider
	cfg       rotation.Config
}

// newFleet makes credentials whose keys were issued as long ago as ages says; a negative age has no key yet.
func newFleet(t *testing.T, ages map[string]time.Duration) *fleet {
	f := &fleet{t: t, journal: rotationtest.NewJournal(), store: rotationtest.NewStore(), providers: map[string]*rotationtest.Provider{}}
	f.cfg = rotation.Config{
		Journal: f.journal, Store: f.store, Actor: "tester", Policy: rotation.Policy{Overlap: time.Hour, Quiet: time.Hour},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for n, age := range ages {
		f.cfg.Credentials = append(f.cfg.Credentials, f.credential(n, age))
	}
	return f
}

func (f *fleet) credential(n string, age time.Duration) rotation.Credential {
	p := rotationtest.NewProvider()
	f.providers[n] = p
	c := rotationtest.NewConsumer(p)
	if age >= 0 {
		key := p.Mint()
		key.IssuedAt = time.Now().Add(-age)
		require.NoError(f.t, store.Seed(f.t.Context(), f.store, n, key))
		require.NoError(f.t, c.Deploy(f.t.Context(), rotation.DeployRequest{Key: key}))
	}
	return rotation.Credential{Name: n, Type: rotation.APIKey, Issuer: p, Consumers: []rotation.Binding{{Name: "web", Consumer: c}}}
}

func (f *fleet) rotator() *rotation.Rotator {
	r, err := rotation.New(f.cfg)
	require.NoError(f.t, err)
	return r
}

func (f *fleet) issued(n string) int { return f.providers[n].Calls("Issue") }

const (
	old   = 100 * 24 * time.Hour
	young = 10 * 24 * time.Hour
)

func touched(all []rotation.Status) []string {
	var names []string
	for _, st := range all {
		names = append(names, st.Credential)
	}
	slices.Sort(names)
	return names
}

func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, map[string]time.Duration{"due": old, "fresh": young, "none": -1, "unlisted": old})
		f.cfg.Credentials = slices.DeleteFunc(f.cfg.Credentials, func(c rotation.Credential) bool { return c.Name == "unlisted" })
		r := f.rotator()
		all, err := r.Sweep(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"due", "fresh", "none"}, touched(all), "the first time it looks at all of them")
		require.Equal(t, []int{1, 0, 1, 0}, []int{f.issued("due"), f.issued("fresh"), f.issued("none"), f.issued("unlisted")})

		all, err = r.Sweep(t.Context())
		require.NoError(t, err)
		require.Empty(t, all, "nothing is due now")
		time.Sleep(61 * time.Minute)
		all, err = r.Sweep(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"due"}, touched(all), "a first key has nothing to wait for")
		require.Equal(t, rotation.Rotated, all[0].Last.Outcome)

		time.Sleep(80 * 24 * time.Hour) // the young one is due, in a process that never saw it
		all, err = f.rotator().Sweep(t.Context())
		require.NoError(t, err)
		require.Contains(t, touched(all), "fresh")
		require.Equal(t, 1, f.issued("fresh"))
	})
}

func TestSweepTakesWhatIsRegisteredLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, map[string]time.Duration{"a": young})
		r := f.rotator()
		_, err := r.Sweep(t.Context())
		require.NoError(t, err)
		require.NoError(t, r.Register(f.credential("b", old), f.credential("c", old)))
		r.Remove("c")
		all, err := r.Sweep(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"b"}, touched(all))
		r.Remove("b")
		time.Sleep(2 * time.Hour)
		all, err = r.Sweep(t.Context())
		require.NoError(t, err)
		require.Empty(t, all, "what was removed stands still")
		_, err = r.Status(t.Context(), "b")
		require.ErrorIs(t, err, rotation.ErrNotFound)
	})
}

// Credentials that cannot be advanced, more of them than one look at the journal returns, starve nobody.
func TestPoisonStarvesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ages := map[string]time.Duration{}
		for i := range 20 {
			ages[fmt.Sprintf("poison-%02d", i)] = young
		}
		ages["store-down"], ages["zz-healthy"] = old, old
		f := newFleet(t, ages)
		f.cfg.Parallel = 1
		for i := range f.cfg.Credentials {
			if f.cfg.Credentials[i].Name == "store-down" {
				broken := rotationtest.NewStore()
				broken.Inject(rotationtest.Fault{Op: "Load"})
				f.cfg.Credentials[i].Store = broken
			}
		}
		r := f.rotator() // it has looked at all of them: only the journal says what is due
		_, err := r.Sweep(t.Context())
		require.Error(t, err, "the store")
		for i := range 20 {
			n := fmt.Sprintf("poison-%02d", i)
			e, err := f.journal.Load(t.Context(), n)
			require.NoError(t, err)
			e.Due, e.Data = time.Now().Add(-time.Hour), []byte(`{"schema":99}`)
			require.NoError(t, f.journal.Save(t.Context(), e))
		}
		time.Sleep(2 * time.Hour)
		all, err := r.Sweep(t.Context())
		require.ErrorContains(t, err, "version 99")
		require.Len(t, all, 22)
		i := slices.IndexFunc(all, func(st rotation.Status) bool { return st.Credential == "zz-healthy" })
		require.Equal(t, rotation.Rotated, all[i].Last.Outcome)

		list, err := f.rotator().List(t.Context())
		require.ErrorContains(t, err, "poison-19")
		require.Len(t, list, 22)
		require.Equal(t, touched(list)[0], list[0].Credential, "by name")
		require.Equal(t, "zz-healthy", list[21].Credential)
		require.Equal(t, 2, list[21].Generation)
	})
}

func TestSweepWithoutAJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, map[string]time.Duration{"a": old})
		f.journal.Inject(rotationtest.Fault{Op: "Due"})
		_, err := f.rotator().Sweep(t.Context())
		require.ErrorContains(t, err, "the journal does not say")
		require.Equal(t, 1, f.issued("a"), "what it had not looked at needs no such answer")
	})
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, map[string]time.Duration{"a": old, "b": young})
		r := f.rotator()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(2 * time.Hour)
		st, err := r.Status(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
		require.NoError(t, r.Register(f.credential("later", old)))
		synctest.Wait()
		require.Equal(t, 1, f.issued("later"), "it is looked at without a pause")
		r.Remove("b")
		saves := f.journal.Calls("Save")
		time.Sleep(12 * time.Hour)
		require.Less(t, f.journal.Calls("Save")-saves, 60, "while nothing is to be done nothing is written")
		require.Less(t, f.journal.Calls("Due"), 3*14*120, "and little is asked: once a lease")

		cancel()
		require.NoError(t, <-done)
		// And the bubble ends, which it does only without goroutines.
	})
}

// The end of ctx ends Run after the effect at hand, not in the middle of it.
func TestRunFinishesTheEffectAtHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, map[string]time.Duration{"a": old})
		f.providers["a"].Inject(rotationtest.Fault{Op: "Issue", Delay: 5 * time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f.rotator().Run(ctx) }()
		time.Sleep(time.Second)
		cancel()
		began := time.Now()
		require.NoError(t, <-done)
		require.Equal(t, 4*time.Second, time.Since(began))
		v, err := f.store.Load(t.Context(), "a")
		require.NoError(t, err)
		require.False(t, v.Key(rotation.RolePending).IsZero(), "what was minted is kept")
		st, err := f.rotator().Status(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, 5*time.Second, st.Open.IssuedAt.Sub(st.Open.BeganAt))
		require.NotEqual(t, rotation.PhaseSoak, st.Open.Phase, "and nothing further was begun")
	})
}

func TestRunNeedsAJournalAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, map[string]time.Duration{"a": old})
		f.journal.Inject(rotationtest.Fault{Op: "Load", Call: 1})
		require.ErrorIs(t, f.rotator().Run(t.Context()), context.DeadlineExceeded)
	})
}

// runs lets Run work for d.
func (f *fleet) runs(d time.Duration) {
	ctx, cancel := context.WithTimeout(f.t.Context(), d)
	defer cancel()
	require.NoError(f.t, f.rotator().Run(ctx))
}

// A journal that does not take the first record of a credential is asked again.
func TestRunComesBackToWhatItCouldNotRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, map[string]time.Duration{"a": old})
		f.journal.Inject(rotationtest.Fault{Op: "Save", From: time.Now().Add(time.Nanosecond), Until: time.Now().Add(time.Minute)})
		over, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, f.rotator().Run(over)) // the installation has its id
		time.Sleep(time.Second)
		f.runs(24 * time.Hour)
		require.Equal(t, 1, f.issued("a"))
	})
}

// A sweep that is cut off has not looked at the rest: the next one does.
func TestSweepComesBackToWhatItDidNotReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, map[string]time.Duration{"a": old, "b": old})
		r := f.rotator()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _ = r.Sweep(ctx)
		all, err := r.Sweep(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b"}, touched(all))
	})
}

// What cannot be advanced is tried again, less and less often, and never in a loop.
func TestRunDoesNotLoop(t *testing.T) {
	for what, spoil := range map[string]func(f *fleet){
		"a store that is down": func(f *fleet) {
			f.store.Inject(rotationtest.Fault{Op: "Load", From: time.Now().Add(time.Second)})
		},
		"a provider that is down": func(f *fleet) {
			f.providers["a"].Inject(rotationtest.Fault{Op: "List", From: time.Now().Add(time.Second)})
		},
		"a record that cannot be read": func(f *fleet) {
			require.NoError(f.t, f.journal.Save(f.t.Context(), rotation.Entry{Credential: "a", Due: time.Now(), Data: []byte("{")}))
		},
		"a debt, and a store that is down": func(f *fleet) {
			p := f.providers["a"]
			p.Inject(rotationtest.Fault{Op: "Revoke"})
			f.runs(4 * time.Hour)
			st, err := f.rotator().Status(f.t.Context(), "a")
			require.NoError(f.t, err)
			require.Len(f.t, st.Debts, 1)
			f.store.Inject(rotationtest.Fault{Op: "Load", From: time.Now().Add(time.Second)})
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, map[string]time.Duration{"a": old})
				spoil(f)
				before := f.journal.Calls("Load")
				time.Sleep(time.Minute)
				f.runs(time.Hour)
				require.Less(t, f.journal.Calls("Load")-before, 1500)
			})
		})
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, map[string]time.Duration{"good": old, "bad": old, "idle": young})
		bad := &f.cfg.Credentials[slices.IndexFunc(f.cfg.Credentials, func(c rotation.Credential) bool { return c.Name == "bad" })]
		bad.Policy.Patience = time.Minute
		bad.Consumers[0].Verifier = rotation.VerifierFunc(func(_ context.Context, k rotation.Key) error {
			if k.Generation > 1 {
				return errors.New("crash loop")
			}
			return nil
		})
		r := f.rotator()
		require.ErrorIs(t, r.Wait(t.Context(), "nobody"), rotation.ErrNotFound)
		require.NoError(t, r.Wait(t.Context()), "nothing is open: it begins nothing")
		require.Zero(t, f.issued("good"))

		for _, n := range []string{"good", "bad"} {
			_, _ = r.Rotate(t.Context(), n, rotation.Trigger{})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := r.Wait(ctx, "good")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "good")

		err = r.Wait(t.Context())
		require.ErrorContains(t, err, "bad: the rotation to generation 2 ended rolled-back")
		require.NotContains(t, err.Error(), "good")
		require.NotContains(t, err.Error(), "idle")
		require.NoError(t, r.Wait(t.Context(), "good", "idle"))
		st, err := r.Status(t.Context(), "good")
		require.NoError(t, err)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
	})
}

// Where another process drives, Wait watches; where that one dies, Wait carries on.
func TestWaitWatchesAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, map[string]time.Duration{"a": old})
		driver, watcher := f.rotator(), f.rotator()
		_, err := driver.Rotate(t.Context(), "a", rotation.Trigger{})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
		defer cancel()
		go func() { _ = driver.Run(ctx) }()
		require.NoError(t, watcher.Wait(t.Context(), "a"))
		require.Equal(t, 1, f.issued("a"))
	})
}
