// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package statuspage_test

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/statuspage"
	"github.com/handover-go/handover/store"
)

// What the page draws are the steps that the engine takes, in its order, for every strategy; and a view reads the journal only.
func TestStepsAreTheEngines(t *testing.T) {
	for name, play := range map[string]func(t *testing.T, w *world){
		"standard": func(t *testing.T, w *world) { w.rotate(t) },
		"roll-back": func(t *testing.T, w *world) {
			w.consumer.Inject(rotationtest.Fault{Op: "Verify", Err: rotation.ErrRejected, Until: time.Now().Add(20 * time.Minute)})
			w.rotate(t)
		},
		"emergency": func(t *testing.T, w *world) {
			_, err := w.rotator.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{"a"}})
			require.NoError(t, err)
		},
	} {
		for _, kind := range []rotation.Type{rotation.APIKey, rotation.WebhookSecret} {
			if kind == rotation.WebhookSecret && name == "roll-back" {
				continue // it takes a person: the tables are compared above
			}
			t.Run(name+" "+string(kind), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, kind)
					play(t, w)
					ctx, cancel := context.WithTimeout(t.Context(), 72*time.Hour)
					defer cancel()
					_ = w.rotator.Wait(ctx, "a")
					doc := document(t, newPage(t, statuspage.Config{Rotator: w.rotator}), "?credential=a")
					last := doc.Credentials[0].Last
					require.NotNil(t, last, "%+v", doc.Credentials[0].Needs)
					require.Equal(t, name, last.Strategy)
					isInOrder(t, last)
				})
			})
		}
	}
}

// isInOrder checks that every line of the timeline belongs to a step, and that none comes before one of an earlier step.
func isInOrder(t *testing.T, r *statuspage.Rotation) {
	t.Helper()
	lines := r.Timeline
	if r.Strategy == string(rotation.RollBack) {
		first := slices.IndexFunc(lines, func(m statuspage.Moment) bool { return m.Phase == string(rotation.PhaseRestore) })
		require.Positive(t, first)
		lines = lines[first:]
	}
	at, seen := 0, map[string]bool{}
	for _, m := range lines {
		step := slices.IndexFunc(r.Steps, func(s statuspage.Step) bool { return s.Phase == m.Phase })
		require.GreaterOrEqual(t, step, at, "%s: %s", m.Phase, m.Text)
		at, seen[m.Phase] = step, true
	}
	require.Greater(t, len(seen), 3, "%+v", lines)
	for _, s := range r.Steps {
		require.Equal(t, "done", s.Progress, s.Phase)
		require.Equal(t, seen[s.Phase], !s.At.IsZero(), s.Phase)
	}
}

// world is one credential on fakes.
type world struct {
	rotator  *rotation.Rotator
	journal  *rotationtest.Journal
	store    *rotationtest.Store
	provider *rotationtest.Provider
	consumer *rotationtest.Consumer
}

func newWorld(t *testing.T, kind rotation.Type) *world {
	w := &world{journal: rotationtest.NewJournal(), store: rotationtest.NewStore(), provider: rotationtest.NewProvider()}
	c := rotation.Credential{Name: "a", Type: kind, Policy: rotation.Policy{Overlap: time.Hour, Quiet: time.Hour}}
	key := rotation.Key{Secret: secret.Random(32), IssuedAt: time.Now()}
	if kind == rotation.WebhookSecret {
		r := rotationtest.NewReceiver(key)
		s := rotationtest.NewSender(r)
		require.NoError(t, s.Activate(t.Context(), key))
		c.Issuer, c.Consumers = s, []rotation.Binding{{Name: "web", Consumer: r}}
	} else {
		key = w.provider.Mint()
		w.consumer = rotationtest.NewConsumer(w.provider)
		require.NoError(t, w.consumer.Deploy(t.Context(), rotation.DeployRequest{Key: key}))
		c.Issuer, c.Consumers = w.provider, []rotation.Binding{{Name: "web", Consumer: w.consumer}}
	}
	require.NoError(t, store.Seed(t.Context(), w.store, "a", key))
	var err error
	w.rotator, err = rotation.New(rotation.Config{
		Journal: w.journal, Store: w.store, Credentials: []rotation.Credential{c}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	require.NoError(t, err)
	return w
}

func (w *world) rotate(t *testing.T) {
	st, err := w.rotator.Rotate(t.Context(), "a", rotation.Trigger{})
	require.NotNil(t, st.Open, "%v", err)
}

// A view costs one reading of the journal for each credential, and asks nobody else.
func TestViewsReadTheJournalOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, rotation.APIKey)
		w.rotate(t)
		calls := func() []int {
			return []int{
				w.journal.Calls("Load"), w.journal.Calls("Save"), w.journal.Calls("Due"), w.store.Calls("Load"), w.store.Calls("Save"),
				w.provider.Calls("List"), w.provider.Calls("Verify"), w.provider.Calls("Issue"), w.consumer.Calls("Observe"), w.consumer.Calls("Deploy"),
			}
		}
		before := calls()
		h := newPage(t, statuspage.Config{Rotator: w.rotator})
		for _, query := range []string{"", "?format=json", "?credential=a", "?state=open", "?credential=missing"} {
			get(t, h, query)
		}
		before[0]++
		require.Equal(t, before, calls())
	})
}
