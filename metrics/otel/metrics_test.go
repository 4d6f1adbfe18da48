// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package otelmetrics_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/handover-go/handover/metrics"
	otelmetrics "github.com/handover-go/handover/metrics/otel"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
)

// reader collects by hand.
type reader struct {
	*sdk.ManualReader
	provider *sdk.MeterProvider
}

func newReader() reader {
	r := sdk.NewManualReader()
	return reader{r, sdk.NewMeterProvider(sdk.WithReader(r))}
}

// points are the collected points as text, sorted: name, value and attributes, but no zeros of sums and no instrument that the
// text does not begin with.
func (r reader) points(t *testing.T, prefixes ...string) []string {
	t.Helper()
	var data metricdata.ResourceMetrics
	require.NoError(t, r.Collect(t.Context(), &data))
	var out []string
	for _, scope := range data.ScopeMetrics {
		require.Equal(t, "github.com/handover-go/handover/metrics/otel", scope.Scope.Name)
		for _, m := range scope.Metrics {
			assert.NotEmpty(t, m.Description, m.Name)
			assert.NotEmpty(t, m.Unit, m.Name)
			if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(m.Name, p) }) {
				out = append(out, texts(t, m)...)
			}
		}
	}
	slices.Sort(out)
	return out
}

func texts(t *testing.T, m metricdata.Metrics) []string {
	t.Helper()
	var out []string
	add := func(value any, set attribute.Set) {
		text := fmt.Sprintf("%s %v", m.Name, value)
		for _, kv := range set.ToSlice() {
			text += fmt.Sprintf(" %s=%s", kv.Key, kv.Value.String())
		}
		out = append(out, text)
	}
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			if p.Value != 0 {
				add(p.Value, p.Attributes)
			}
		}
	case metricdata.Gauge[int64]:
		for _, p := range data.DataPoints {
			add(p.Value, p.Attributes)
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			add(p.Value, p.Attributes)
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			add(fmt.Sprintf("%d:%v", p.Count, p.Sum), p.Attributes)
		}
	default:
		t.Fatalf("%s is a %T", m.Name, data)
	}
	return out
}

// A rotation that takes days, an emergency that takes another one over, and all that is told of them.
func TestRotations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		m, err := otelmetrics.New(otelmetrics.Config{MeterProvider: r.provider})
		require.NoError(t, err)
		require.Empty(t, r.points(t, "handover"), "nothing is watched")
		secrets, journal := store.NewMemory(), rotationtest.NewJournal()
		provider := rotationtest.NewProvider()
		require.NoError(t, store.Seed(t.Context(), secrets, "crm", provider.Mint()))
		rotator, err := rotation.New(rotation.Config{
			Journal: journal, Store: secrets, Sinks: []rotation.Sink{m}, Actor: "test", Logger: slog.New(slog.DiscardHandler),
			Credentials: []rotation.Credential{{
				Name: "crm", Type: rotation.APIKey, Issuer: provider,
				Consumers: []rotation.Binding{{Name: "web", Consumer: rotationtest.NewConsumer(provider)}},
			}},
		})
		require.NoError(t, err)
		m.Watch(rotator)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = rotator.Run(t.Context())
		}()
		t.Cleanup(func() { <-ended })

		time.Sleep(time.Minute)
		_, err = rotator.Rotate(t.Context(), "crm", rotation.Trigger{Reason: "a test"})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		assert.Equal(t, []string{
			"handover.credential.count 1 handover.credential.state=open",
			"handover.rotation.active.age 60 handover.credential.name=crm",
			"handover.rotation.active.count 1 handover.credential.name=crm handover.rotation.diagnosis=none handover.rotation.phase=soak handover.rotation.strategy=standard",
			"handover.rotation.active.idle 60 handover.credential.name=crm",
		}, r.points(t, "handover.credential.count", "handover.rotation.active"))

		time.Sleep(3 * 24 * time.Hour)
		points := r.points(t, "handover")
		for _, want := range []string{
			"handover.collector.success 1",
			"handover.credential.count 1 handover.credential.state=ok",
			"handover.credential.generation 2 handover.credential.name=crm",
			"handover.event.taken 1 handover.event.kind=ended handover.event.level=info handover.rotation.strategy=standard",
			"handover.rotation.ended 1 handover.rotation.outcome=rotated handover.rotation.strategy=standard",
		} {
			assert.Contains(t, points, want)
		}
		status, err := rotator.Status(t.Context(), "crm")
		require.NoError(t, err)
		took := status.Last.EndedAt.Sub(status.Last.BeganAt).Seconds()
		require.Greater(t, took, 24*time.Hour.Seconds())
		assert.Equal(t, []string{
			fmt.Sprintf("handover.rotation.duration 1:%v handover.rotation.outcome=rotated handover.rotation.strategy=standard", took),
			fmt.Sprintf("handover.rotation.last.duration %v handover.credential.name=crm handover.rotation.outcome=rotated handover.rotation.strategy=standard", took),
		}, r.points(t, "handover.rotation.duration", "handover.rotation.last.duration"))

		_, err = rotator.Rotate(t.Context(), "crm", rotation.Trigger{Reason: "another one"})
		require.NoError(t, err)
		_, err = rotator.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{"crm"}})
		require.NoError(t, err)
		time.Sleep(24 * time.Hour)
		points = r.points(t, "handover.emergency", "handover.rotation.ended")
		assert.Contains(t, points, "handover.emergency.ended 1 handover.emergency.deadline=met")
		assert.Contains(t, points, "handover.rotation.ended 1 handover.rotation.outcome=rotated handover.rotation.strategy=emergency")
		assert.Len(t, points, 5, "the one that was taken over ended too: %v", points)

		journal.Inject(rotationtest.Fault{Op: "Load", From: time.Now(), Until: time.Now().Add(time.Hour), Err: errors.New("sk_live_canary")})
		time.Sleep(5 * time.Second)
		assert.Equal(t, []string{
			"handover.collector.success 0",
			"handover.credential.count 1 handover.credential.state=unreadable",
			"handover.credential.status 1 handover.credential.name=crm handover.credential.state=unreadable",
		}, r.points(t, "handover.collector.success", "handover.credential"))

		require.NoError(t, m.Close())
		assert.Empty(t, r.points(t, "handover.collector", "handover.credential"))
		assert.NotEmpty(t, r.points(t, "handover.event"))
	})
}

// list is a source that says always the same.
type list []rotation.Status

func (l list) List(context.Context) ([]rotation.Status, error) { return l, nil }

var update = flag.Bool("update", false, "write the golden points anew")

func TestEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		m, err := otelmetrics.New(otelmetrics.Config{MeterProvider: r.provider, Series: 3})
		require.NoError(t, err)
		at := time.Now()
		statuses := list{
			{Credential: "crm", Generation: 4, IssuedAt: at, CheckedAt: at, Due: at.Add(time.Hour), HeldUntil: at.Add(2 * time.Hour), Last: &rotation.Record{
				ID: "r1", Strategy: rotation.Emergency, Outcome: rotation.Rotated, BeganAt: at.Add(-time.Minute), EndedAt: at.Add(-time.Second),
				Deadline: at.Add(time.Minute), Outage: 90 * time.Second,
			}},
			{Credential: "idle", Generation: 1, IssuedAt: at, Due: at.Add(1000 * time.Hour)},
			{Credential: "lost", Generation: 2, Due: at.Add(1000 * time.Hour), Open: &rotation.Record{
				ID: "r3", Strategy: rotation.Emergency, Phase: rotation.PhaseDeploy, BeganAt: at, Deadline: at.Add(time.Hour), DeadlineMet: true,
			}, Last: &rotation.Record{ID: "r4", Strategy: rotation.Emergency, Outcome: rotation.TakenOver, BeganAt: at.Add(-time.Second), EndedAt: at}},
			{
				Credential: "ma\xffil", Generation: 7, Due: at.Add(-time.Hour), Needs: []rotation.Need{{Kind: rotation.NeedQuiet}, {Kind: rotation.NeedPerson}},
				Debts: []rotation.Debt{{Since: at}}, Open: &rotation.Record{
					ID: "r2", Strategy: rotation.Emergency, Phase: rotation.PhaseDeploy, BeganAt: at, Deadline: at.Add(time.Hour),
					Problem: &rotation.Error{Diagnosis: rotation.PartialRollout, Evidence: "text"}, Timeline: []rotation.Moment{{At: at.Add(time.Second)}},
				},
			},
		}
		m.Watch(statuses)
		events := []rotation.Event{
			{ID: "1", Kind: rotation.EventEnded, Strategy: rotation.Emergency, Credential: "crm", Record: statuses[0].Last, Text: "text"},
			{ID: "2", Kind: rotation.EventFailed, Level: slog.LevelWarn, Problem: &rotation.Error{Diagnosis: rotation.StoreDenied}},
			{ID: "4", Kind: rotation.EventEnded, Strategy: rotation.Emergency, Credential: "lost", Record: statuses[2].Last},
			{ID: "3", Kind: rotation.EventEnded, Strategy: rotation.Standard, Credential: "gone", Rotation: "r3"},
		}
		for range 2 {
			for _, e := range events {
				require.NoError(t, m.Deliver(t.Context(), e))
			}
		}
		time.Sleep(2 * time.Second)
		got := strings.Join(r.points(t, "handover"), "\n") + "\n"
		const golden = "testdata/points.txt"
		if *update {
			require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
		}
		want, err := os.ReadFile(golden)
		require.NoError(t, err)
		require.Equal(t, string(want), got)
	})
}

func TestMistakes(t *testing.T) {
	_, err := otelmetrics.New(otelmetrics.Config{Metrics: metrics.Config{Timeout: -1}})
	require.ErrorContains(t, err, "Config.Metrics")
	require.ErrorContains(t, err, "Config.Timeout")
	m, err := otelmetrics.New(otelmetrics.Config{})
	require.NoError(t, err, "the global provider does nothing until there is one")
	assert.Equal(t, "metrics/otel", m.Identity())
	require.NoError(t, m.Close())
	_, err = otelmetrics.New(otelmetrics.Config{MeterProvider: noop.NewMeterProvider()})
	require.NoError(t, err)
}
