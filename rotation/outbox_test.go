// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// gazette is a sink that keeps what it took, and everything it was offered. Other kinds of sinks are made of it by trouble.
type gazette struct {
	name    string
	trouble func(n int) error // of the n-th call, from 1; nil: none

	mu      sync.Mutex
	calls   int              // guarded by mu
	took    []rotation.Event // guarded by mu
	offered []rotation.Event // guarded by mu
}

func (g *gazette) Identity() string { return "gazette " + g.name }

func (g *gazette) Deliver(_ context.Context, e rotation.Event) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls++
	e.At, e.Record = e.At.UTC(), nil // to compare deliveries: the instant is the same, and its zone what the journal made of it
	g.offered = append(g.offered, e)
	if g.trouble != nil {
		if err := g.trouble(g.calls); err != nil {
			return err
		}
	}
	g.took = append(g.took, e)
	return nil
}

func (g *gazette) all() []rotation.Event {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.took)
}

// serials are the events in the order of their IDs' last part, which counts.
func serials(t *testing.T, events []rotation.Event) []int {
	var out []int
	for _, e := range events {
		var n int
		_, err := fmt.Sscanf(e.ID[strings.LastIndex(e.ID, "/"):], "/%d", &n)
		require.NoError(t, err)
		out = append(out, n)
	}
	return out
}

// inOrder checks that nothing is missing and nothing comes before what was earlier; what comes twice is the same.
func inOrder(t *testing.T, events []rotation.Event) {
	t.Helper()
	numbers := serials(t, events)
	require.True(t, slices.IsSorted(numbers), "%v", numbers)
	numbers = slices.Compact(numbers)
	require.NotEmpty(t, numbers)
	require.Equal(t, len(numbers), numbers[len(numbers)-1]-numbers[0]+1, "some are missing: %v", numbers)
}

var errSink = errors.New("hunter2: the sink is down")

func TestEveryEventOnceAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 2)
		w.cred.Contact = "payments"
		a, b := &gazette{name: "a"}, &gazette{name: "b"}
		w.cfg.Sinks = []rotation.Sink{a, b}
		r := w.rotator()
		w.rotate(r)
		w.ends(r)
		inOrder(t, a.all())
		require.Equal(t, a.all(), b.all())
		var kinds []rotation.EventKind
		for _, e := range a.all() {
			require.Equal(t, name, e.Credential)
			require.Equal(t, "payments", e.Contact)
			require.NotEmpty(t, e.Rotation)
			require.NotEmpty(t, e.Text)
			require.False(t, e.At.IsZero())
			kinds = append(kinds, e.Kind)
		}
		require.Equal(t, []rotation.EventKind{
			rotation.EventBegan, rotation.EventIssued, rotation.EventProven, rotation.EventPromoted, rotation.EventDeployed,
			rotation.EventDeployed, rotation.EventVerified, rotation.EventVerified, rotation.EventDisabled, rotation.EventRevoked,
			rotation.EventDead, rotation.EventEnded,
		}, kinds)
	})
}

// A sink that fails now and then gets everything in the end, in order, under the same IDs, and delays nobody.
func TestASinkThatFailsNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 2)
		steady := &gazette{name: "steady"}
		shaky := &gazette{name: "shaky", trouble: func(n int) error {
			if n%3 != 0 {
				return errSink
			}
			return nil
		}}
		w.cfg.Sinks = []rotation.Sink{shaky, steady}
		r := w.rotator()
		st := w.rotate(r)
		require.Equal(t, rotation.PhaseSoak, st.Open.Phase)
		w.ends(r)
		w.paces(r, 6*time.Hour)
		inOrder(t, steady.all())
		inOrder(t, shaky.all())
		require.Equal(t, steady.all(), shaky.all())
	})
}

// An answer that is lost makes a second delivery with the same ID.
func TestAtLeastOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		lossy := &gazette{name: "lossy"}
		w.cfg.Sinks = []rotation.Sink{answerLost{lossy}}
		r := w.rotator()
		w.rotate(r)
		w.ends(r)
		w.paces(r, 6*time.Hour)
		inOrder(t, lossy.all())
		seen := map[string]rotation.Event{}
		for _, e := range lossy.all() {
			if before, twice := seen[e.ID]; twice {
				require.Equal(t, before.Text, e.Text)
				require.True(t, before.At.Equal(e.At))
			}
			seen[e.ID] = e
		}
		require.Less(t, len(seen), len(lossy.all()))
	})
}

// answerLost takes every event and reports a failure for every second one.
type answerLost struct{ *gazette }

func (s answerLost) Deliver(ctx context.Context, e rotation.Event) error {
	if err := s.gazette.Deliver(ctx, e); err != nil {
		return err
	}
	if len(s.all())%2 == 1 {
		return context.DeadlineExceeded
	}
	return nil
}

// A sink that panics, ends its goroutine or hangs is a sink that fails.
func TestASinkThatMisbehaves(t *testing.T) {
	for what, misbehave := range map[string]func(){
		"panics": func() { panic("hunter2") },
		"hangs":  func() { time.Sleep(time.Minute) },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBrief(t, 1)
				steady := &gazette{name: "steady"}
				w.cfg.Sinks = []rotation.Sink{sinkFunc(func(context.Context, rotation.Event) error {
					misbehave()
					return nil
				}), steady}
				r := w.rotator()
				w.rotate(r)
				st := w.ends(r)
				require.Equal(t, rotation.Rotated, st.Last.Outcome)
				inOrder(t, steady.all())
				require.NotContains(t, w.everything(), "hunter2")
				time.Sleep(time.Hour)
			})
		})
	}
}

type sinkFunc func(context.Context, rotation.Event) error

func (f sinkFunc) Deliver(ctx context.Context, e rotation.Event) error { return f(ctx, e) }

// everything is all that the journal holds of the world's credential.
func (w *world) everything() string {
	var b strings.Builder
	for _, n := range append([]string{name, "handover/installation"}, overflows()...) {
		e, err := w.journal.Load(context.Background(), n)
		require.NoError(w.t, err)
		b.Write(e.Data)
	}
	return b.String()
}

func overflows() []string {
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("handover/events/%s/%d", name, i))
	}
	return names
}

// busyDays makes many events: holds and releases.
func (w *world) busyDays(r *rotation.Rotator, n int) {
	for range n {
		require.NoError(w.t, r.Hold(w.t.Context(), name, time.Now().Add(time.Second), "a"))
		require.NoError(w.t, r.Hold(w.t.Context(), name, time.Now(), "b"))
	}
}

// Two sinks that nothing tells apart get everything, both of them, also when one of them fails.
func TestSinksOfOneIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		shaky := &gazette{name: "same", trouble: func(n int) error {
			if n < 3 {
				return errSink
			}
			return nil
		}}
		steady := &gazette{name: "same"}
		w.cfg.Sinks = []rotation.Sink{shaky, steady}
		r := w.rotator()
		w.rotate(r)
		w.ends(r)
		w.paces(r, time.Hour)
		inOrder(t, steady.all())
		require.Equal(t, steady.all(), shaky.all())
	})
}

// A dead sink holds nothing up: the record stays small, the others get their events, and when it comes back it gets all of
// its own, in order.
func TestADeadSinkOverflows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		dead := true
		zombie := &gazette{name: "zombie", trouble: func(int) error {
			if dead {
				return errSink
			}
			return nil
		}}
		steady := &gazette{name: "steady"}
		w.cfg.Sinks = []rotation.Sink{zombie, steady}
		r := w.rotator()
		largest := 0
		for range 5 {
			w.busyDays(r, 50)
			e, err := w.journal.Load(t.Context(), name)
			require.NoError(t, err)
			largest = max(largest, len(e.Data))
		}
		w.rotate(r)
		st := w.ends(r)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
		require.Less(t, largest, 100_000, "the record does not grow")
		require.Empty(t, zombie.all())
		inOrder(t, steady.all())
		require.Greater(t, len(steady.all()), 500)
		require.Equal(t, 1, serials(t, zombie.offered)[0])
		require.Len(t, slices.Compact(serials(t, zombie.offered)), 1, "nothing younger before the oldest")

		dead = false
		w.paces(r, time.Hour)
		require.Equal(t, steady.all(), zombie.all())
		e, err := w.journal.Load(t.Context(), name)
		require.NoError(t, err)
		var rec struct{ Outbox map[string]any }
		require.NoError(t, json.Unmarshal(e.Data, &rec))
		require.Empty(t, rec.Outbox["events"])
		require.Equal(t, rec.Outbox["first"], rec.Outbox["next"])
	})
}

// A lost answer of the overflow's own write does not stop it for good.
func TestOverflowAfterALostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		w.cfg.Sinks = []rotation.Sink{&gazette{name: "dead", trouble: func(int) error { return errSink }}}
		lost := false
		w.cfg.Journal = journalFunc{w.journal, func(e rotation.Entry, err error) error {
			if !lost && strings.HasPrefix(e.Credential, "handover/events/") {
				lost = true
				return context.DeadlineExceeded
			}
			return err
		}}
		r := w.rotator()
		for range 8 {
			w.busyDays(r, 50)
		}
		require.True(t, lost)
		e, err := w.journal.Load(t.Context(), name)
		require.NoError(t, err)
		require.Less(t, len(e.Data), 100_000)
	})
}

// journalFunc changes the answers of Save.
type journalFunc struct {
	*rotationtest.Journal
	answer func(rotation.Entry, error) error
}

func (j journalFunc) Save(ctx context.Context, e rotation.Entry) error {
	return j.answer(e, j.Journal.Save(ctx, e))
}

// Another process with other sinks owes nothing to those that it does not know, and forgets nobody's events.
func TestSinksOfAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		here, there := &gazette{name: "here"}, &gazette{name: "there"}
		w.cfg.Sinks = []rotation.Sink{here}
		a := w.rotator()
		w.cfg.Sinks = []rotation.Sink{there}
		b := w.rotator()
		w.rotate(a)
		w.paces(b, 10*time.Minute)
		w.ends(a)
		w.paces(b, 10*time.Minute)
		w.paces(a, 10*time.Minute)
		inOrder(t, here.all())
		require.Equal(t, 1, serials(t, here.all())[0])
		inOrder(t, there.all())
		last := func(g *gazette) rotation.Event { all := g.all(); return all[len(all)-1] }
		require.Equal(t, rotation.EventEnded, last(here).Kind)
		require.Equal(t, last(here), last(there))
	})
}

// overflowing is a rotator that kept more events for a sink than its record holds: the sink takes none until its trouble ends.
func (w *world) overflowing() (*gazette, *rotation.Rotator) {
	sink := &gazette{name: "zombie", trouble: func(int) error { return errSink }}
	w.cfg.Sinks = []rotation.Sink{sink}
	r := w.rotator()
	w.busyDays(r, 250)
	return sink, r
}

// An entry of the overflow was damaged. Naive: it is older than everything else, so nothing is ever delivered again.
func TestADamagedOverflowIsPassedOver(t *testing.T) {
	for what, damaged := range map[string]int{"the oldest": 0, "one in between": 1} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBrief(t, 1)
				sink, r := w.overflowing()
				e, err := w.journal.Load(t.Context(), overflows()[damaged])
				require.NoError(t, err)
				require.NotZero(t, e.Revision)
				e.Data = []byte("{damaged")
				require.NoError(t, w.journal.Save(t.Context(), e))
				sink.trouble = nil
				w.paces(r, time.Hour)
				all := sink.all()
				lost := 0
				for _, e := range all {
					if strings.HasPrefix(e.Text, "events are lost") {
						lost++
						require.Contains(t, e.Text, overflows()[damaged])
					}
				}
				require.Equal(t, 1, lost, "people are told, once")
				require.Greater(t, len(all), 250, "the younger ones were delivered")
			})
		})
	}
}

// A newer program wrote the overflow. Naive: what this one cannot read is taken for damage, and its events are lost.
func TestANewerOverflowIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBrief(t, 1)
		sink, r := w.overflowing()
		put := func(data []byte) []byte {
			e, err := w.journal.Load(t.Context(), overflows()[0])
			require.NoError(t, err)
			was := e.Data
			e.Data = data
			require.NoError(t, w.journal.Save(t.Context(), e))
			return was
		}
		readable := put([]byte(`{"schema":2,"events":{}}`))
		sink.trouble = nil
		w.paces(r, time.Hour)
		require.Empty(t, sink.all(), "none of the younger ones came first")
		put(readable)
		w.paces(r, time.Hour)
		inOrder(t, sink.all())
		require.Greater(t, len(sink.all()), 250)
	})
}

// ofKind are the events of a kind, in their order.
func (g *gazette) ofKind(kind rotation.EventKind) []rotation.Event {
	var out []rotation.Event
	for _, e := range g.all() {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}
