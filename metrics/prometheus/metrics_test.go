// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package prommetrics_test

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/metrics"
	prommetrics "github.com/handover-go/handover/metrics/prometheus"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
)

// world is a rotator of two credentials, at a provider, whose journal can fail.
type world struct {
	rotator  *rotation.Rotator
	metrics  *prommetrics.Metrics
	registry *prometheus.Registry
	journal  *rotationtest.Journal
}

func newWorld(t *testing.T, cfg prommetrics.Config) *world {
	t.Helper()
	m, err := prommetrics.New(cfg)
	require.NoError(t, err)
	w := &world{metrics: m, registry: prometheus.NewPedanticRegistry(), journal: rotationtest.NewJournal()}
	require.NoError(t, w.registry.Register(m))
	require.Zero(t, testutil.CollectAndCount(m, "handover_credentials"), "nothing is watched")
	secrets := store.NewMemory()
	rotated := rotation.Config{
		Journal: w.journal, Store: secrets, Sinks: []rotation.Sink{m}, Actor: "test", Logger: slog.New(slog.DiscardHandler),
	}
	for _, name := range []string{"crm", "mail"} {
		provider := rotationtest.NewProvider()
		require.NoError(t, store.Seed(t.Context(), secrets, name, provider.Mint()))
		rotated.Credentials = append(rotated.Credentials, rotation.Credential{
			Name: name, Type: rotation.APIKey, Issuer: provider,
			Consumers: []rotation.Binding{{Name: "web", Consumer: rotationtest.NewConsumer(provider)}},
		})
	}
	w.rotator, err = rotation.New(rotated)
	require.NoError(t, err)
	m.Watch(w.rotator)
	return w
}

// run drives the rotator until the test ends.
func (w *world) run(t *testing.T) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.rotator.Run(t.Context())
	}()
	t.Cleanup(func() { <-ended })
}

// exposition is what Prometheus gets.
func (w *world) exposition(t *testing.T) string {
	t.Helper()
	time.Sleep(5 * time.Second) // what was read before is old
	return scrape(t, w.registry)
}

func scrape(t *testing.T, registry *prometheus.Registry) string {
	t.Helper()
	answer := httptest.NewRecorder()
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError})
	handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Equal(t, 200, answer.Code, string(text))
	return string(text)
}

// requireLines wants each of the lines in text.
func requireLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	all := strings.Split(text, "\n")
	for _, line := range lines {
		require.Containsf(t, all, line, "%s", text)
	}
}

// A rotation that takes days, an emergency that takes another one over, and all that is told of them.
func TestRotations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, prommetrics.Config{})
		w.run(t)
		time.Sleep(time.Minute)
		_, err := w.rotator.Rotate(t.Context(), "crm", rotation.Trigger{Reason: "a test"})
		require.NoError(t, err)
		requireLines(t, w.exposition(t),
			`handover_credentials{state="ok"} 1`,
			`handover_credentials{state="open"} 1`,
			`handover_collector_success 1`,
			`handover_credential_info{credential="crm",state="open"} 1`,
			`handover_rotation_info{credential="crm",diagnosis="none",phase="soak",strategy="standard"} 1`,
			`handover_events_total{kind="began",level="info",strategy="standard"} 1`,
			`handover_rotations_ended_total{outcome="rotated",strategy="standard"} 0`,
		)
		time.Sleep(3 * 24 * time.Hour)
		requireLines(t, w.exposition(t),
			`handover_credentials{state="ok"} 2`,
			`handover_credential_generation{credential="crm"} 2`,
			`handover_last_rotation_info{credential="crm",outcome="rotated",strategy="standard"} 1`,
			`handover_rotations_ended_total{outcome="rotated",strategy="standard"} 1`,
			`handover_rotation_duration_seconds_bucket{outcome="rotated",strategy="standard",le="43200"} 0`,
			`handover_rotation_duration_seconds_bucket{outcome="rotated",strategy="standard",le="259200"} 1`,
		)

		_, err = w.rotator.Rotate(t.Context(), "crm", rotation.Trigger{Reason: "another one"})
		require.NoError(t, err)
		_, err = w.rotator.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{"crm"}})
		require.NoError(t, err)
		time.Sleep(24 * time.Hour)
		text := w.exposition(t)
		requireLines(t, text,
			`handover_rotations_ended_total{outcome="rotated",strategy="emergency"} 1`,
			`handover_emergency_deadlines_total{result="met"} 1`,
			`handover_emergency_deadlines_total{result="missed"} 0`,
			`handover_emergency_outage_seconds_count 1`,
			`handover_last_rotation_info{credential="crm",outcome="rotated",strategy="emergency"} 1`,
			`handover_events_repeated_total 0`,
		)
		taken := strings.Contains(text, `handover_rotations_ended_total{outcome="taken-over",strategy="standard"} 1`)
		other := strings.Contains(text, `handover_rotations_ended_total{outcome="other",strategy="standard"} 1`)
		assert.True(t, taken != other, "the one that was taken over ended too")
	})
}

// The journal fails, and says so itself: no series tells of what is not known.
func TestJournalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, prommetrics.Config{})
		_, err := w.rotator.Rotate(t.Context(), "crm", rotation.Trigger{})
		require.NoError(t, err)
		w.journal.Inject(rotationtest.Fault{Op: "Load", From: time.Now(), Until: time.Now().Add(time.Hour), Err: errors.New("sk_live_canary")})
		text := w.exposition(t)
		requireLines(t, text,
			`handover_collector_success 0`,
			`handover_credentials{state="unreadable"} 2`,
			`handover_credential_info{credential="crm",state="unreadable"} 1`,
			`handover_credentials{state="ok"} 0`,
		)
		assert.NotContains(t, text, "handover_credential_generation")
		assert.NotContains(t, text, "canary")
	})
}

// Events come at least once, to any process.
func TestRepetitions(t *testing.T) {
	m, err := prommetrics.New(prommetrics.Config{})
	require.NoError(t, err)
	for range 2 {
		for _, e := range []rotation.Event{
			{ID: "1", Kind: rotation.EventFailed, Level: slog.LevelWarn, Strategy: rotation.Standard, Problem: &rotation.Error{Diagnosis: rotation.NewKeyRejected}},
			{ID: "2", Kind: rotation.EventDebt, Level: slog.LevelWarn},
		} {
			require.NoError(t, m.Deliver(t.Context(), e))
		}
	}
	want := `
# HELP handover_events_repeated_total Events that were delivered again and are counted once.
# TYPE handover_events_repeated_total counter
handover_events_repeated_total 2
# HELP handover_events_total Events of rotations.
# TYPE handover_events_total counter
handover_events_total{kind="debt",level="warn",strategy="none"} 1
handover_events_total{kind="failed",level="warn",strategy="standard"} 1
`
	require.NoError(t, testutil.CollectAndCompare(m, strings.NewReader(want), "handover_events_total", "handover_events_repeated_total"))
	requireFailures := func(diagnosis string, want string) {
		t.Helper()
		requireLines(t, gathered(t, m), `handover_failures_total{diagnosis="`+diagnosis+`"} `+want)
	}
	requireFailures("new-key-rejected", "1")
	requireFailures("store-denied", "0")
	assert.Equal(t, "metrics/prometheus", m.Identity())
}

func gathered(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(c))
	return scrape(t, registry)
}

// An event of an older version, or of another program, may lack the account.
func TestEndedWithoutARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, prommetrics.Config{})
		require.NoError(t, w.metrics.Deliver(t.Context(), rotation.Event{ID: "1", Kind: rotation.EventEnded, Strategy: rotation.Standard}))
		text := w.exposition(t)
		requireLines(t, text, `handover_rotations_ended_total{outcome="other",strategy="standard"} 1`, `handover_events_repeated_total 0`)
		require.NotContains(t, text, "handover_rotation_duration_seconds", "nobody knows how long it took")
	})
}

var (
	update   = flag.Bool("update", false, "write the golden exposition anew")
	tookLine = regexp.MustCompile(`(?m)^handover_collector_duration_seconds .*\n`)
)

// list is a source that says always the same.
type list []rotation.Status

func (l list) List(context.Context) ([]rotation.Status, error) { return l, nil }

func TestExposition(t *testing.T) {
	m, err := prommetrics.New(prommetrics.Config{Series: 3})
	require.NoError(t, err)
	at := time.Date(2026, 11, 1, 12, 0, 0, 500e6, time.UTC)
	far := time.Date(2126, 11, 1, 12, 0, 0, 0, time.UTC)
	statuses := list{
		{Credential: "crm", Generation: 4, IssuedAt: at, CheckedAt: at, Due: far, HeldUntil: far, Last: &rotation.Record{
			ID: "r1", Strategy: rotation.Emergency, Outcome: rotation.Rotated, BeganAt: at, EndedAt: at.Add(time.Hour),
			Deadline: at.Add(time.Minute), Outage: 90 * time.Second,
		}},
		{Credential: "idle", Generation: 1, IssuedAt: at, Due: far},
		{Credential: "lost", Generation: 2, Due: far, Open: &rotation.Record{
			ID: "r3", Strategy: rotation.Emergency, Phase: rotation.PhaseDeploy, BeganAt: at, Deadline: at.Add(time.Hour), DeadlineMet: true,
		}, Last: &rotation.Record{ID: "r4", Strategy: rotation.Emergency, Outcome: rotation.TakenOver, BeganAt: at, EndedAt: at.Add(time.Second)}},
		{
			Credential: "ma\xffil", Generation: 7, Due: at, Needs: []rotation.Need{{Kind: rotation.NeedQuiet}, {Kind: rotation.NeedPerson}},
			Debts: []rotation.Debt{{Since: at}}, Open: &rotation.Record{
				ID: "r2", Strategy: rotation.Emergency, Phase: rotation.PhaseDeploy, BeganAt: at, Deadline: at.Add(time.Hour),
				Problem: &rotation.Error{Diagnosis: rotation.PartialRollout, Evidence: "text"}, Timeline: []rotation.Moment{{At: at.Add(time.Minute)}},
			},
		},
	}
	m.Watch(statuses)
	for _, e := range []rotation.Event{
		{ID: "e1", Kind: rotation.EventEnded, Strategy: rotation.Emergency, Credential: "crm", Record: statuses[0].Last, Text: "text"},
		{ID: "e2", Kind: rotation.EventEnded, Strategy: rotation.Emergency, Credential: "lost", Record: statuses[2].Last, Text: "text"},
	} {
		require.NoError(t, m.Deliver(t.Context(), e))
	}
	got := gathered(t, m)
	got = tookLine.ReplaceAllString(got, "handover_collector_duration_seconds 0\n")
	const golden = "testdata/exposition.txt"
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got)

	problems, err := testutil.CollectAndLint(m)
	require.NoError(t, err)
	assert.Empty(t, problems)
}

func TestMistakes(t *testing.T) {
	_, err := prommetrics.New(prommetrics.Config{Metrics: metrics.Config{Timeout: -1}})
	require.ErrorContains(t, err, "Config.Metrics")
	require.ErrorContains(t, err, "Config.Timeout")
}
