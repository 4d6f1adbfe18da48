// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/notify"
	"github.com/handover-go/handover/rotation"
)

// trouble is an event of a kind, with a diagnosis, changed by change.
func trouble(id string, change ...func(*rotation.Event)) rotation.Event {
	e := event()
	e.ID = id
	p := *e.Problem
	e.Problem = &p
	for _, c := range change {
		c(&e)
	}
	return e
}

func deliver(t *testing.T, s rotation.Sink, events ...rotation.Event) {
	t.Helper()
	for _, e := range events {
		require.NoError(t, s.Deliver(t.Context(), e))
	}
}

func TestQuietSaysItOncePerPeriod(t *testing.T) {
	for _, period := range []time.Duration{0, time.Hour, 10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			r := &recorder{}
			s := notify.Quiet(r, period)
			if period == 0 {
				period = time.Hour
			}
			deliver(t, s, trouble("1"), trouble("2"))
			time.Sleep(period - 1)
			deliver(t, s, trouble("3", func(e *rotation.Event) { e.Text, e.Problem.Evidence, e.Phase = "other", "other", "other" }))
			require.Equal(t, []string{"1"}, r.ids())
			time.Sleep(time.Nanosecond)
			deliver(t, s, trouble("4"), trouble("5"))
			require.Equal(t, []string{"4"}, r.ids(), "after the period, which what was left out does not prolong")
		})
	}
}

func TestQuietSaysWhatIsDifferent(t *testing.T) {
	type change = func(*rotation.Event)
	grave := change(func(e *rotation.Event) { e.Level = slog.LevelError })
	waits := change(func(e *rotation.Event) { e.Kind = rotation.EventWaiting })
	vague := change(func(e *rotation.Event) { e.Problem.Diagnosis = "" })
	bare := change(func(e *rotation.Event) { e.Problem = nil })
	text := change(func(e *rotation.Event) { e.Text = "other" })
	evidence := change(func(e *rotation.Event) { e.Problem.Evidence = "other" })
	for name, c := range map[string]struct{ base, other change }{
		"credential":               {nil, func(e *rotation.Event) { e.Credential = "other" }},
		"consumer":                 {nil, func(e *rotation.Event) { e.Consumer = "other" }},
		"kind":                     {nil, func(e *rotation.Event) { e.Kind = rotation.EventDebt }},
		"diagnosis":                {nil, func(e *rotation.Event) { e.Problem.Diagnosis = rotation.Drift }},
		"rotation":                 {nil, func(e *rotation.Event) { e.Rotation = "other" }},
		"level":                    {nil, grave},
		"level, down again":        {grave, nil},
		"error, phase":             {grave, func(e *rotation.Event) { e.Phase = "other" }},
		"error, generation":        {grave, func(e *rotation.Event) { e.Generation++ }},
		"error, incident":          {grave, func(e *rotation.Event) { e.Incident = "other" }},
		"error, evidence":          {grave, evidence},
		"no diagnosis, evidence":   {vague, evidence},
		"no problem, text":         {bare, text},
		"waits for something else": {waits, text},
	} {
		r := &recorder{}
		s := notify.Quiet(r, 0)
		other := func(e *rotation.Event) {
			if c.base != nil && c.other != nil {
				c.base(e)
			}
			if c.other != nil {
				c.other(e)
			}
		}
		base := func(e *rotation.Event) {
			if c.base != nil {
				c.base(e)
			}
		}
		deliver(t, s, trouble("1", base), trouble("2", other), trouble("3", base), trouble("4", other))
		require.Equal(t, []string{"1", "2"}, r.ids(), name)
	}
}

// What ends a trouble, and everything else that is no repetition, always passes; after an end the same trouble is news.
func TestQuietNeverDropsTheEnd(t *testing.T) {
	ends := []rotation.EventKind{rotation.EventBegan, rotation.EventEnded, rotation.EventRollBack, rotation.EventAnswered, rotation.EventDead, rotation.EventVerified}
	goesOn := []rotation.EventKind{
		rotation.EventIssued, rotation.EventProven, rotation.EventPromoted, rotation.EventActivated, rotation.EventDeployed, rotation.EventDisabled, rotation.EventRevoked, "unknown",
	}
	for i, kind := range append(ends, goesOn...) {
		r := &recorder{}
		s := notify.Quiet(r, 0)
		of := func(credential, consumer string) func(*rotation.Event) {
			return func(e *rotation.Event) { e.Credential, e.Consumer = credential, consumer }
		}
		deliver(t, s, trouble("a", of("c", "x")), trouble("b", of("c", "y")), trouble("d", of("other", "x")))
		passes := rotation.Event{ID: "end", Kind: kind, Credential: "c", Consumer: "x"}
		deliver(t, s, passes, passes)
		require.Equal(t, []string{"a", "b", "d", "end", "end"}, r.ids(), kind)
		deliver(t, s, trouble("a", of("c", "x")), trouble("b", of("c", "y")), trouble("d", of("other", "x")))
		want := []string{"a", "b"}
		switch {
		case i >= len(ends):
			want = nil
		case kind == rotation.EventVerified:
			want = []string{"a"}
		}
		require.Equal(t, want, r.ids(), kind)
	}
}

func TestQuietRemembersOnlyWhatWasTaken(t *testing.T) {
	r := &recorder{err: errors.New("down")}
	s := notify.Quiet(r, 0)
	require.Error(t, s.Deliver(t.Context(), trouble("1")))
	deliver(t, s, trouble("1"), trouble("1"))
	require.Equal(t, []string{"1"}, r.ids())

	deliver(t, s, trouble("2", func(e *rotation.Event) { e.Consumer = "x" }))
	r.err = errors.New("down")
	ended := rotation.Event{ID: "end", Kind: rotation.EventEnded, Credential: event().Credential}
	require.Error(t, s.Deliver(t.Context(), ended))
	deliver(t, s, ended, trouble("3"))
	require.Equal(t, []string{"2", "end", "3"}, r.ids())
}

// What it remembers has a bound; what falls out is said again.
func TestQuietIsBounded(t *testing.T) {
	r := &recorder{}
	s := notify.Quiet(r, 0)
	of := func(n int) rotation.Event {
		return trouble(fmt.Sprint(n), func(e *rotation.Event) { e.Credential = fmt.Sprint(n) })
	}
	for n := range 4097 {
		deliver(t, s, of(n))
	}
	require.Len(t, r.ids(), 4097)
	deliver(t, s, of(4096), of(1), of(0))
	require.Equal(t, []string{"0"}, r.ids(), "the oldest was forgotten")
}

func TestQuietConcurrently(t *testing.T) {
	r := &recorder{}
	s := notify.Quiet(r, 0)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range 50 {
				e := trouble(fmt.Sprint(n), func(e *rotation.Event) { e.Credential = fmt.Sprint(n) })
				if i == 25 {
					e.Kind = rotation.EventEnded
				}
				_ = s.Deliver(t.Context(), e)
			}
		})
	}
	wg.Wait()
	require.Len(t, r.ids(), 8*3)
}
