// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/metrics"
	"github.com/handover-go/handover/rotation"
)

// source is a Source of statuses that are given. A delay is waited for as long as the context lasts.
type source struct {
	mu       sync.Mutex
	statuses []rotation.Status
	err      error
	delay    time.Duration
	calls    int
}

func (s *source) List(ctx context.Context) ([]rotation.Status, error) {
	s.mu.Lock()
	s.calls++
	delay, statuses, err := s.delay, s.statuses, s.err
	s.mu.Unlock()
	select {
	case <-time.After(delay):
		return statuses, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *source) Status(ctx context.Context, name string) (rotation.Status, error) {
	all, err := s.List(ctx)
	for _, st := range all {
		if st.Credential == name {
			return st, err
		}
	}
	return rotation.Status{}, errors.Join(err, rotation.ErrNotFound)
}

func meter(t *testing.T, cfg metrics.Config) *metrics.Meter {
	t.Helper()
	m, err := metrics.New(cfg)
	require.NoError(t, err)
	return m
}

func read(t *testing.T, statuses ...rotation.Status) metrics.Reading {
	t.Helper()
	m := meter(t, metrics.Config{})
	m.Watch(&source{statuses: statuses})
	r := m.Read(t.Context())
	require.NoError(t, r.Err)
	require.Len(t, r.Credentials, len(statuses))
	return r
}

func TestMistakes(t *testing.T) {
	_, err := metrics.New(metrics.Config{Timeout: -1, Repeats: -1, Fresh: -1, DueSoon: -1})
	require.ErrorContains(t, err, "Config.Timeout")
	require.ErrorContains(t, err, "Config.Repeats")
	require.NotContains(t, err.Error(), "Fresh")
	require.NotContains(t, err.Error(), "DueSoon")
}

func TestStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		standard, emergency := &rotation.Record{Strategy: rotation.Standard}, &rotation.Record{Strategy: rotation.Emergency}
		person := []rotation.Need{{Kind: rotation.NeedTime}, {Kind: rotation.NeedPerson}}
		later, soon, past := now.Add(73*time.Hour), now.Add(71*time.Hour), now.Add(-time.Second)
		for _, c := range []struct {
			want   metrics.State
			status rotation.Status
		}{
			{metrics.OK, rotation.Status{Generation: 1, Due: later}},
			{metrics.Failing, rotation.Status{Generation: 1, Due: later, Problem: &rotation.Error{Diagnosis: rotation.CurrentRejected}}},
			{metrics.DueSoon, rotation.Status{Generation: 1, Due: soon}},
			{metrics.Overdue, rotation.Status{Generation: 1, Due: now}},
			{metrics.Overdue, rotation.Status{Generation: 1}},
			{metrics.NoKey, rotation.Status{}},
			{metrics.Open, rotation.Status{Open: standard}},
			{metrics.Open, rotation.Status{Generation: 1, Due: past, Open: standard}},
			{metrics.Held, rotation.Status{Generation: 1, Due: past, Open: standard, HeldUntil: later}},
			{metrics.Held, rotation.Status{Generation: 1, Due: later, HeldUntil: later}},
			{metrics.Open, rotation.Status{Generation: 1, Due: later, HeldUntil: later, Open: emergency}},
			{metrics.OK, rotation.Status{Generation: 1, Due: later, HeldUntil: past}},
			{metrics.Person, rotation.Status{Generation: 1, Open: standard, Needs: person}},
			{metrics.Person, rotation.Status{Generation: 1, Open: standard, HeldUntil: later, Needs: person}},
		} {
			assert.Equalf(t, c.want, read(t, c.status).Credentials[0].State, "%+v", c.status)
		}
		m := meter(t, metrics.Config{DueSoon: -1})
		m.Watch(&source{statuses: []rotation.Status{{Generation: 1, Due: now.Add(1)}}})
		assert.Equal(t, metrics.OK, m.Read(t.Context()).Credentials[0].State, "no time is soon")
	})
}

func TestReadingTellsAll(t *testing.T) {
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	c := read(t, rotation.Status{
		Credential: "payments", Generation: 4, IssuedAt: at, Due: at.Add(time.Hour), HeldUntil: at.Add(2 * time.Hour),
		Needs: []rotation.Need{{Kind: rotation.NeedTime}, {Kind: rotation.NeedConsumer}, {Kind: rotation.NeedConsumer}},
		Debts: []rotation.Debt{{Since: at.Add(time.Minute)}, {Since: at}},
		Open: &rotation.Record{
			Strategy: rotation.Standard, Phase: rotation.PhaseSoak, BeganAt: at, Problem: &rotation.Error{Diagnosis: rotation.OldKeyInUse},
			Timeline: []rotation.Moment{{At: at.Add(time.Minute)}, {At: at.Add(time.Second)}},
		},
		Last: &rotation.Record{
			Strategy: rotation.Emergency, Phase: rotation.PhaseFinish, Outcome: rotation.Rotated, BeganAt: at, EndedAt: at.Add(time.Hour),
			Deadline: at.Add(time.Minute), DeadlineMet: true, Outage: time.Second, Problem: &rotation.Error{},
		},
	}).Credentials[0]
	assert.Equal(t, metrics.Credential{
		Name: "payments", State: metrics.Open, Generation: 4, IssuedAt: at, Due: at.Add(time.Hour), HeldUntil: at.Add(2 * time.Hour),
		Needs: map[rotation.NeedKind]int{rotation.NeedTime: 1, rotation.NeedConsumer: 2}, Debts: 2, OldestDebt: at,
		Open: &metrics.Rotation{
			Strategy: rotation.Standard, Phase: rotation.PhaseSoak, Diagnosis: rotation.OldKeyInUse, BeganAt: at, MovedAt: at.Add(time.Minute),
		},
		Last: &metrics.Rotation{
			Strategy: rotation.Emergency, Phase: rotation.PhaseFinish, Outcome: rotation.Rotated, Diagnosis: metrics.Other, BeganAt: at, MovedAt: at,
			EndedAt: at.Add(time.Hour), Deadline: at.Add(time.Minute), Met: true, Outage: time.Second,
		},
	}, c)
	assert.Equal(t, time.Hour, c.Last.Duration())
	assert.Zero(t, c.Open.Duration())
}

// Any number of scrapers cost one reading of the journal.
func TestReadIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{statuses: []rotation.Status{{Credential: "a"}}, delay: time.Second}
		m := meter(t, metrics.Config{})
		assert.Equal(t, metrics.Reading{}, m.Read(t.Context()), "an event without a record")
		m.Watch(s)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { assert.Len(t, m.Read(t.Context()).Credentials, 1) })
		}
		wg.Wait()
		assert.Equal(t, 1, s.calls)
		assert.Equal(t, time.Second, m.Read(t.Context()).Took)
		time.Sleep(5 * time.Second)
		m.Read(t.Context())
		assert.Equal(t, 2, s.calls)

		other := &source{}
		m.Watch(other)
		assert.Empty(t, m.Read(t.Context()).Credentials, "another source")
		never := meter(t, metrics.Config{Fresh: -1})
		never.Watch(other)
		never.Read(t.Context())
		never.Read(t.Context())
		assert.Equal(t, 3, other.calls)
	})
}

// list is a Source that cannot be compared.
type list []rotation.Status

func (l list) List(context.Context) ([]rotation.Status, error) { return l, nil }

func (l list) Status(context.Context, string) (rotation.Status, error) { return l[0], nil }

func TestAnySource(t *testing.T) {
	m := meter(t, metrics.Config{})
	m.Watch(list{{Credential: "a"}})
	require.Len(t, m.Read(t.Context()).Credentials, 1)
}

// A reading of the source before is of no use.
func TestWatchWhileReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meter(t, metrics.Config{})
		m.Watch(&source{statuses: []rotation.Status{{Credential: "a"}}, delay: time.Second})
		go m.Read(t.Context())
		synctest.Wait()
		m.Watch(list{{Credential: "b"}})
		require.Equal(t, "b", m.Read(t.Context()).Credentials[0].Name)
	})
}

// A journal that hangs holds a scrape up for a while, and not every scrape.
func TestReadEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{delay: time.Hour}
		m := meter(t, metrics.Config{})
		m.Watch(s)
		began := time.Now()
		require.ErrorIs(t, m.Read(t.Context()).Err, context.DeadlineExceeded)
		require.Equal(t, 5*time.Second, time.Since(began))
		require.ErrorIs(t, m.Read(t.Context()).Err, context.DeadlineExceeded)
		require.Equal(t, 5*time.Second, time.Since(began), "the failure serves as long as an answer")

		time.Sleep(5 * time.Second)
		go m.Read(t.Context())
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		require.ErrorIs(t, m.Read(short).Err, context.DeadlineExceeded, "while another one reads")
		require.Equal(t, time.Second, time.Since(began))
		time.Sleep(time.Hour)

		s.delay = 2 * time.Second
		gone, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, m.Read(gone).Err, context.DeadlineExceeded)
		require.NoError(t, m.Read(t.Context()).Err, "who gives up does so for nobody else")
	})
}

func TestUnreadable(t *testing.T) {
	m := meter(t, metrics.Config{})
	lost := &rotation.Error{Credential: "b", Err: errors.New("refused")}
	m.Watch(&source{statuses: []rotation.Status{{Credential: "a"}, {Credential: "b"}, {Credential: "c"}}, err: fmt.Errorf("list: %w", errors.Join(nil, lost))})
	r := m.Read(t.Context())
	require.ErrorIs(t, r.Err, lost)
	assert.Equal(t, metrics.NoKey, r.Credentials[0].State)
	assert.Equal(t, metrics.Credential{Name: "b", State: metrics.Unreadable}, r.Credentials[1])
	assert.Equal(t, metrics.NoKey, r.Credentials[2].State)
}

func TestTotals(t *testing.T) {
	totals, ok := read(t,
		rotation.Status{Credential: "a", Needs: []rotation.Need{{Kind: rotation.NeedTime}, {Kind: rotation.NeedQuiet}}, Debts: make([]rotation.Debt, 2)},
		rotation.Status{Credential: "b", Needs: []rotation.Need{{Kind: rotation.NeedQuiet}}, Debts: make([]rotation.Debt, 2)},
		rotation.Status{Credential: "c", Generation: 1},
	).Totals()
	require.True(t, ok)
	assert.Equal(t, metrics.Totals{
		States: map[metrics.State]int{metrics.NoKey: 2, metrics.Overdue: 1},
		Needs:  map[rotation.NeedKind]int{rotation.NeedTime: 1, rotation.NeedQuiet: 2},
		Debts:  4,
	}, totals)
	_, ok = read(t).Totals()
	assert.True(t, ok, "there are none")
	_, ok = metrics.Reading{Err: errors.New("down"), Credentials: []metrics.Credential{{State: metrics.Unreadable}}}.Totals()
	assert.True(t, ok, "one could not be read")
	_, ok = metrics.Reading{Err: errors.New("down")}.Totals()
	assert.False(t, ok)
}

// A limit hides what is in order first.
func TestSelect(t *testing.T) {
	r := metrics.Reading{Credentials: []metrics.Credential{
		{Name: "a", State: metrics.OK}, {Name: "b", State: metrics.Overdue}, {Name: "c", State: metrics.OK}, {Name: "d", State: metrics.Unreadable},
	}}
	names := func(n int) (text string, out int) {
		chosen, out := r.Select(n)
		for _, c := range chosen {
			text += c.Name
		}
		return text, out
	}
	for n, want := range []string{"", "d", "bd", "abd", "abcd", "abcd"} {
		got, out := names(n)
		assert.Equal(t, want, got)
		assert.Equal(t, max(0, 4-n), out)
	}
	_, out := names(-1)
	assert.Equal(t, 4, out)
	assert.Equal(t, "a", r.Credentials[0].Name, "the reading is as it was")
}

func TestCount(t *testing.T) {
	m := meter(t, metrics.Config{})
	count := m.Count
	failed := rotation.Event{
		ID: "1", Kind: rotation.EventFailed, Level: slog.LevelWarn, Strategy: rotation.Standard, Problem: &rotation.Error{Diagnosis: rotation.NoSlot},
	}
	assert.Equal(t, metrics.Counted{
		Kind: rotation.EventFailed, Strategy: rotation.Standard, Level: "warn", Failed: true, Diagnosis: rotation.NoSlot,
	}, count(failed))
	assert.Equal(t, metrics.Counted{Repeated: true}, count(failed))
	assert.Equal(t, metrics.Counted{Kind: rotation.EventDebt, Strategy: metrics.None, Level: "error", Diagnosis: metrics.None},
		count(rotation.Event{ID: "2", Kind: rotation.EventDebt, Level: slog.LevelError + 1}))
	assert.Equal(t, &metrics.Rotation{Strategy: rotation.RollBack, Outcome: metrics.Other, Diagnosis: metrics.None},
		count(rotation.Event{ID: "3", Kind: rotation.EventEnded, Strategy: rotation.RollBack}).Ended, "an event without a record")
}

func TestRepeats(t *testing.T) {
	m := meter(t, metrics.Config{Repeats: 3})
	repeated := func(id string) bool {
		return m.Count(rotation.Event{ID: id}).Repeated
	}
	for _, id := range []string{"1", "2", "3"} {
		require.False(t, repeated(id))
	}
	require.True(t, repeated("1"))
	require.False(t, repeated("4"))
	require.False(t, repeated("1"), "the oldest is forgotten")
	require.True(t, repeated("3"))
	require.True(t, repeated("4"))
	require.False(t, repeated("2"))
}

func TestEnded(t *testing.T) {
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	rec := &rotation.Record{ID: "r1", Strategy: rotation.Standard, Outcome: rotation.Rotated, BeganAt: at, EndedAt: at.Add(time.Hour)}
	c := meter(t, metrics.Config{}).Count(rotation.Event{ID: "1", Kind: rotation.EventEnded, Strategy: rotation.Standard, Record: rec})
	require.Equal(t, rotation.Rotated, c.Ended.Outcome)
	require.Equal(t, time.Hour, c.Ended.Duration())
}
