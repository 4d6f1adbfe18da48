// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package prommetrics

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/handover-go/handover/metrics"
	"github.com/handover-go/handover/rotation"
)

// Config of Metrics. Its zero value is good.
type Config struct {
	// Metrics says how the journal is read and how many events are remembered.
	Metrics metrics.Config
	// Series is the most credentials that have series of their own, about ten each. Those that ask for attention come first; the
	// others are in the counts only. Zero: 500, negative: none.
	Series int
}

const defaultSeries = 500

// Metrics measures rotations: a prometheus.Collector and a rotation.Sink. New makes one; it is safe for concurrent use. Collect
// blocks for Config.Metrics.Timeout at most.
type Metrics struct {
	meter  *metrics.Meter
	series int
	counts counts
}

var (
	_ prometheus.Collector = (*Metrics)(nil)
	_ rotation.Sink        = (*Metrics)(nil)
	_ rotation.Identifier  = (*Metrics)(nil)
)

// New returns Metrics that watch nothing yet, or an error that names every field of cfg that is wrong.
func New(cfg Config) (*Metrics, error) {
	meter, err := metrics.New(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("prommetrics: Config.Metrics: %w", err)
	}
	if cfg.Series == 0 {
		cfg.Series = defaultSeries
	}
	return &Metrics{meter: meter, series: cfg.Series, counts: newCounts()}, nil
}

// Watch says whose credentials are told of: a *rotation.Rotator. Before it there are only counts. It does no I/O.
func (m *Metrics) Watch(s metrics.Source) { m.meter.Watch(s) }

// Identity is the same in every process: an event is counted by one of them.
func (m *Metrics) Identity() string { return "metrics/prometheus" }

// Deliver counts an event, once. It never fails.
func (m *Metrics) Deliver(_ context.Context, e rotation.Event) error {
	m.counts.add(m.meter.Count(e))
	return nil
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range gauges {
		ch <- d
	}
	m.counts.each(func(c prometheus.Collector) { c.Describe(ch) })
}

// Collect implements prometheus.Collector. What cannot be read has no series, and handover_collector_success says so.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.counts.each(func(c prometheus.Collector) { c.Collect(ch) })
	r := m.meter.Read(context.Background())
	if r.At.IsZero() {
		return
	}
	collectReading(ch, r, m.series)
}

// counts are the metrics that events add to.
type counts struct {
	events, failures, ended, deadlines *prometheus.CounterVec
	repeated                           prometheus.Counter
	durations                          *prometheus.HistogramVec
	outages                            prometheus.Histogram
}

const minute, hour, day = 60, 60 * 60, 24 * 60 * 60

// newCounts begins what an alert is made of at zero, because a series that appears with its first count shows no increase.
func newCounts() counts {
	c := counts{
		events:    counter("events_total", "Events of rotations.", "kind", "strategy", "level"),
		failures:  counter("failures_total", "Steps of rotations that failed, by diagnosis.", "diagnosis"),
		ended:     counter("rotations_ended_total", "Rotations that ended.", "strategy", "outcome"),
		deadlines: counter("emergency_deadlines_total", "Emergencies that ended, by whether the revocation was sent in time.", "result"),
		repeated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "handover_events_repeated_total", Help: "Events that were delivered again and are counted once.",
		}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "handover_rotation_duration_seconds", Help: "Duration of rotations that ended.",
			Buckets: []float64{1, 5, 15, minute, 5 * minute, 15 * minute, hour, 4 * hour, 12 * hour, day, 2 * day, 3 * day, 7 * day, 14 * day, 30 * day},
		}, []string{"strategy", "outcome"}),
		outages: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "handover_emergency_outage_seconds", Help: "Longest outage of a consumer in each emergency that ended.",
			Buckets: []float64{0, 1, 5, 15, 30, minute, 2 * minute, 5 * minute, 10 * minute, 30 * minute, hour, 4 * hour, day},
		}),
	}
	for _, d := range metrics.Diagnoses() {
		c.failures.WithLabelValues(string(d))
	}
	for _, s := range metrics.Strategies() {
		for _, o := range append(metrics.Outcomes(), metrics.Other) {
			c.ended.WithLabelValues(string(s), string(o))
		}
	}
	for _, result := range []string{"met", "missed"} {
		c.deadlines.WithLabelValues(result)
	}
	return c
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "handover_" + name, Help: help}, labels)
}

func (c *counts) each(do func(prometheus.Collector)) {
	for _, collector := range []prometheus.Collector{c.events, c.failures, c.ended, c.deadlines, c.repeated, c.durations, c.outages} {
		do(collector)
	}
}

func (c *counts) add(n metrics.Counted) {
	if n.Repeated {
		c.repeated.Inc()
		return
	}
	c.events.WithLabelValues(string(n.Kind), string(n.Strategy), n.Level).Inc()
	if n.Failed {
		c.failures.WithLabelValues(string(n.Diagnosis)).Inc()
	}
	r := n.Ended
	if r == nil {
		return
	}
	c.ended.WithLabelValues(string(r.Strategy), string(r.Outcome)).Inc()
	if r.EndedAt.IsZero() {
		return
	}
	c.durations.WithLabelValues(string(r.Strategy), string(r.Outcome)).Observe(r.Duration().Seconds())
	if r.Strategy == rotation.Emergency && r.Outcome != rotation.TakenOver {
		c.outages.Observe(r.Outage.Seconds())
		result := "missed"
		if r.Met {
			result = "met"
		}
		c.deadlines.WithLabelValues(result).Inc()
	}
}
