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
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
)

var errDead = errors.New("the process is dead")

// process is what one process can do to the world, until it dies at its n-th effect: just before it, or with the effect
// done and the answer lost. Once dead it has no effect any more.
type process struct {
	mu      sync.Mutex
	effects []string
	dieAt   int // 1 is the first; 0: never
	after   bool
	dead    bool
	check   func(effect string)
}

func (p *process) effect(what string, do func() error) error {
	p.mu.Lock()
	if p.dead {
		p.mu.Unlock()
		return errDead
	}
	p.effects = append(p.effects, what)
	dying := len(p.effects) == p.dieAt
	p.dead = dying
	p.mu.Unlock()
	if dying && !p.after {
		return errDead
	}
	err := do()
	p.check(what)
	if dying {
		return errDead
	}
	return err
}

func (p *process) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.dead
}

type procProvider struct {
	*rotationtest.Provider
	p *process
}

func (s procProvider) Issue(ctx context.Context, req rotation.IssueRequest) (k rotation.Key, err error) {
	err = s.p.effect("issue", func() error { k, err = s.Provider.Issue(ctx, req); return err })
	return k, err
}

func (s procProvider) Revoke(ctx context.Context, k rotation.Key) error {
	return s.p.effect("revoke "+k.ID, func() error { return s.Provider.Revoke(ctx, k) })
}

func (s procProvider) Disable(ctx context.Context, k rotation.Key) error {
	return s.p.effect("disable "+k.ID, func() error { return s.Provider.Disable(ctx, k) })
}

func (s procProvider) Enable(ctx context.Context, k rotation.Key) error {
	return s.p.effect("enable "+k.ID, func() error { return s.Provider.Enable(ctx, k) })
}

type procStore struct {
	*rotationtest.Store
	p *process
}

func (s procStore) Save(ctx context.Context, n string, v rotation.Versions) error {
	return s.p.effect("store", func() error { return s.Store.Save(ctx, n, v) })
}

type procJournal struct {
	*rotationtest.Journal
	p *process
}

func (s procJournal) Save(ctx context.Context, e rotation.Entry) error {
	return s.p.effect("journal", func() error { return s.Journal.Save(ctx, e) })
}

func (s procJournal) Load(ctx context.Context, n string) (rotation.Entry, error) {
	if !s.p.alive() {
		return rotation.Entry{}, errDead
	}
	return s.Journal.Load(ctx, n)
}

type procConsumer struct {
	*rotationtest.Consumer
	p    *process
	name string
}

func (s procConsumer) Deploy(ctx context.Context, r rotation.DeployRequest) error {
	return s.p.effect("deploy "+s.name+" "+r.Key.ID, func() error { return s.Consumer.Deploy(ctx, r) })
}

// reader is a consumer that looks at the store by itself every few minutes.
type reader struct {
	mu  sync.Mutex
	key rotation.Key
}

func (c *reader) Deploy(context.Context, rotation.DeployRequest) error { return nil }
func (c *reader) Lag() time.Duration                                   { return 7 * time.Minute }

func (c *reader) held() rotation.Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.key
}

func (c *reader) Observe(context.Context) ([]rotation.Instance, error) {
	k := c.held()
	return []rotation.Instance{{Name: "reader", Key: rotation.Key{Serial: k.Serial, ID: k.ID, Generation: k.Generation}}}, nil
}

func (c *reader) refresh(s *rotationtest.Store) {
	v, err := s.Load(context.Background(), name)
	if k := v.Key(rotation.RoleCurrent); err == nil && !k.IsZero() {
		c.mu.Lock()
		c.key = k
		c.mu.Unlock()
	}
}

// crashWorld is a world in which processes die.
type crashWorld struct {
	t         *testing.T
	provider  *rotationtest.Provider
	store     *rotationtest.Store
	journal   *rotationtest.Journal
	pushed    []*rotationtest.Consumer
	reader    *reader
	seeded    rotation.Key
	mu        sync.Mutex
	broken    []string // guarded by mu
	outageOK  bool     // guarded by mu
	badCanary bool
	trace     []string
}

func newCrashWorld(t *testing.T) *crashWorld {
	w := &crashWorld{t: t, provider: rotationtest.NewProvider(), store: rotationtest.NewStore(), journal: rotationtest.NewJournal(), reader: &reader{}}
	w.seeded = w.provider.Mint()
	require.NoError(t, store.Seed(t.Context(), w.store, name, w.seeded))
	for range 2 {
		c := rotationtest.NewConsumer(w.provider)
		require.NoError(t, c.Deploy(t.Context(), rotation.DeployRequest{ID: "seed", Key: w.seeded, Role: rotation.RoleCurrent}))
		w.pushed = append(w.pushed, c)
	}
	w.reader.refresh(w.store)
	go func() {
		for t.Context().Err() == nil {
			select {
			case <-t.Context().Done():
			case <-time.After(6 * time.Minute):
				w.reader.refresh(w.store)
				w.check("reader refreshes")
			}
		}
	}()
	return w
}

func (w *crashWorld) allowOutage() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outageOK = true
}

// check is the oracle: no presenter holds a dead key.
func (w *crashWorld) check(effect string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, time.Now().Format("02 15:04:05 ")+effect)
	if w.outageOK {
		return
	}
	live := w.provider.Live()
	holds := []rotation.Key{w.reader.held()}
	for _, c := range w.pushed {
		holds = append(holds, c.Key())
	}
	for i, k := range holds {
		if !slices.Contains(live, k.ID) {
			w.broken = append(w.broken, fmt.Sprintf("after %q presenter %d holds %s; live: %v", effect, i, k, live))
		}
	}
}

// process starts a rotator that dies at its n-th effect.
func (w *crashWorld) process(dieAt int, after bool) (*rotation.Rotator, *process) {
	p := &process{dieAt: dieAt, after: after, check: w.check}
	issuer := procProvider{w.provider, p}
	cred := rotation.Credential{Name: name, Type: rotation.APIKey, Issuer: issuer, Verifier: w.provider}
	for i, c := range w.pushed {
		n := fmt.Sprint("pushed", i)
		b := rotation.Binding{Name: n, Consumer: procConsumer{c, p, n}}
		if i == 0 && w.badCanary {
			b.Verifier = rotation.VerifierFunc(func(ctx context.Context, k rotation.Key) error {
				if k.Generation > 1 {
					return errors.New("crash loop")
				}
				return c.Verify(ctx, k)
			})
		}
		cred.Consumers = append(cred.Consumers, b)
	}
	cred.Consumers = append(cred.Consumers, rotation.Binding{Name: "reader", Consumer: w.reader})
	r, err := rotation.New(rotation.Config{
		Journal: procJournal{w.journal, p}, Store: procStore{w.store, p}, Actor: "tester",
		Logger:      slog.New(slog.NewTextHandler(io.Discard, nil)),
		Credentials: []rotation.Credential{cred},
	})
	require.NoError(w.t, err)
	return r, p
}

// drive advances until the rotation has ended or the process is dead.
func (w *crashWorld) drive(r *rotation.Rotator, p *process, begin func() error) (ended bool) {
	_ = begin()
	for range 400 {
		if !p.alive() {
			return false
		}
		st, err := r.Status(w.t.Context(), name)
		if err == nil && st.Open == nil && st.Last != nil {
			return true
		}
		time.Sleep(max(time.Until(st.Next), time.Second))
		if p.alive() {
			_, _ = r.Advance(w.t.Context(), name)
		}
	}
	st, _ := r.Status(w.t.Context(), name)
	w.t.Fatalf("no progress:\n%s\nneeds: %+v\ndebts %+v", st.Open, st.Needs, st.Debts)
	return false
}

// settled pays what is left to pay.
func (w *crashWorld) settled(r *rotation.Rotator) rotation.Status {
	for range 50 {
		st, err := r.Status(w.t.Context(), name)
		require.NoError(w.t, err)
		if len(st.Debts) == 0 && st.Open == nil {
			return st
		}
		time.Sleep(max(time.Until(st.Next), time.Second))
		_, _ = r.Advance(w.t.Context(), name)
	}
	st, _ := r.Status(w.t.Context(), name)
	return st
}

func (w *crashWorld) verdict(st rotation.Status, outcome rotation.Outcome) {
	w.t.Helper()
	for _, b := range w.broken {
		w.t.Error(b)
	}
	v, err := w.store.Load(w.t.Context(), name)
	require.NoError(w.t, err)
	current := v.Key(rotation.RoleCurrent)
	if st.Last == nil || st.Last.Outcome != outcome || len(st.Debts) > 0 || !slices.Equal(w.provider.Live(), []string{current.ID}) || len(v.Keys) != 1 {
		w.t.Errorf("outcome %+v, debts %+v, live %v, store %+v", st.Last, st.Debts, w.provider.Live(), v)
	}
	if w.t.Failed() {
		for _, l := range w.trace {
			w.t.Log(l)
		}
		w.t.Log(st.Last)
	}
}

// effectsOf runs a scenario without a fault and returns how many effects it has.
func effectsOf(t *testing.T, scenario func(t *testing.T, dieAt int, after bool) int) int {
	n := 0
	synctest.Test(t, func(t *testing.T) { n = scenario(t, 0, false) })
	return n
}

func everyCrash(t *testing.T, scenario func(t *testing.T, dieAt int, after bool) int) {
	n := effectsOf(t, scenario)
	require.Greater(t, n, 10)
	for at := 1; at <= n; at++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d,after=%v", at, after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { scenario(t, at, after) })
			})
		}
	}
}

func TestEveryCrashOfAStandardRotation(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int, after bool) int {
		w := newCrashWorld(t)
		r, p := w.process(dieAt, after)
		rotate := func(r *rotation.Rotator) func() error {
			return func() error {
				_, err := r.Rotate(t.Context(), name, rotation.Trigger{ID: "once"})
				return err
			}
		}
		if !w.drive(r, p, rotate(r)) {
			r, p = w.process(0, false)
			w.drive(r, p, rotate(r))
		}
		w.verdict(w.settled(r), rotation.Rotated)
		return len(p.effects)
	})
}

func TestEveryCrashOfARollBack(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int, after bool) int {
		w := newCrashWorld(t)
		w.badCanary = true
		r, p := w.process(dieAt, after)
		rotate := func(r *rotation.Rotator) func() error {
			return func() error {
				_, err := r.Rotate(t.Context(), name, rotation.Trigger{ID: "once"})
				return err
			}
		}
		if !w.drive(r, p, rotate(r)) {
			r, p = w.process(0, false)
			w.drive(r, p, rotate(r))
		}
		w.verdict(w.settled(r), rotation.RolledBack)
		return len(p.effects)
	})
}

func TestEveryCrashOfAnEmergency(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int, after bool) int {
		w := newCrashWorld(t)
		w.allowOutage()
		r, p := w.process(dieAt, after)
		emergency := func(r *rotation.Rotator) func() error {
			return func() error {
				_, err := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
				return err
			}
		}
		if !w.drive(r, p, emergency(r)) {
			r, p = w.process(0, false)
			w.drive(r, p, emergency(r))
		}
		w.verdict(w.settled(r), rotation.Rotated)
		require.NotContains(t, w.provider.Live(), w.seeded.ID)
		return len(p.effects)
	})
}

// An emergency arrives between any two effects of a standard rotation, from another process.
func TestAnEmergencyAtEveryEffect(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int, after bool) int {
		w := newCrashWorld(t)
		r, p := w.process(dieAt, after)
		ended := w.drive(r, p, func() error {
			_, err := r.Rotate(t.Context(), name, rotation.Trigger{ID: "once"})
			return err
		})
		effects := len(p.effects)
		if !ended {
			w.allowOutage()
			r, p = w.process(0, false)
			before := w.provider.Live()
			w.drive(r, p, func() error {
				_, err := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
				return err
			})
			st := w.settled(r)
			w.verdict(st, rotation.Rotated)
			for _, id := range before {
				require.NotContains(t, w.provider.Live(), id, "every key that was alive is dead")
			}
		}
		return effects
	})
}
