// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package otelmetrics

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/handover-go/handover/metrics"
	"github.com/handover-go/handover/rotation"
)

// Config of Metrics. Its zero value is good.
type Config struct {
	// MeterProvider makes the instruments. Nil: the global one.
	MeterProvider metric.MeterProvider
	// Metrics says how the journal is read and how many events are remembered.
	Metrics metrics.Config
	// Series is the most credentials that have series of their own, about ten each. Those that ask for attention come first; the
	// others are in the counts only. Zero: 500, negative: none. An SDK has a limit too, for each instrument, as a rule of 2000.
	Series int
}

const (
	scope         = "github.com/handover-go/handover/metrics/otel"
	defaultSeries = 500
)

// Metrics measures rotations: a rotation.Sink, and a callback of its MeterProvider. New makes one; it is safe for concurrent use.
// The callback blocks a collection for Config.Metrics.Timeout at most.
type Metrics struct {
	meter        *metrics.Meter
	series       int
	counts       counts
	gauges       gauges
	registration metric.Registration
}

var (
	_ rotation.Sink       = (*Metrics)(nil)
	_ rotation.Identifier = (*Metrics)(nil)
)

// New makes the instruments and registers the callback, which observes nothing before Watch. The error names every field of cfg
// that is wrong, or is of the MeterProvider.
func New(cfg Config) (*Metrics, error) {
	meter, err := metrics.New(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("otelmetrics: Config.Metrics: %w", err)
	}
	if cfg.Series == 0 {
		cfg.Series = defaultSeries
	}
	m := &Metrics{meter: meter, series: cfg.Series}
	in := newInstruments(cfg.MeterProvider)
	m.counts = newCounts(in)
	m.gauges = newGauges(in)
	if err := errors.Join(in.errs...); err != nil {
		return nil, fmt.Errorf("otelmetrics: %w", err)
	}
	if m.registration, err = in.meter.RegisterCallback(m.observe, in.observables...); err != nil {
		return nil, fmt.Errorf("otelmetrics: %w", err)
	}
	return m, nil
}

// Watch says whose credentials are told of: a *rotation.Rotator. Before it there are only counts. It does no I/O.
func (m *Metrics) Watch(s metrics.Source) { m.meter.Watch(s) }

// Close ends the observations. Events are counted still.
func (m *Metrics) Close() error {
	if err := m.registration.Unregister(); err != nil {
		return fmt.Errorf("otelmetrics: %w", err)
	}
	return nil
}

// Identity is the same in every process: an event is counted by one of them.
func (m *Metrics) Identity() string { return "metrics/otel" }

// Deliver counts an event, once. It never fails.
func (m *Metrics) Deliver(ctx context.Context, e rotation.Event) error {
	m.counts.add(ctx, m.meter.Count(e))
	return nil
}

// observe is the callback. What cannot be read is not observed, and handover.collector.success says so.
func (m *Metrics) observe(ctx context.Context, o metric.Observer) error {
	if r := m.meter.Read(ctx); !r.At.IsZero() {
		m.gauges.observe(o, r, m.series)
	}
	return nil
}

// instruments makes instruments and gathers what goes wrong.
type instruments struct {
	meter       metric.Meter
	observables []metric.Observable
	errs        []error
}

func newInstruments(provider metric.MeterProvider) *instruments {
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	return &instruments{meter: provider.Meter(scope)}
}

func (in *instruments) counter(name, unit, description string) metric.Int64Counter {
	c, err := in.meter.Int64Counter("handover."+name, metric.WithUnit(unit), metric.WithDescription(description))
	in.errs = append(in.errs, err)
	return c
}

func (in *instruments) histogram(name, description string, bounds ...float64) metric.Float64Histogram {
	h, err := in.meter.Float64Histogram("handover."+name, metric.WithUnit("s"), metric.WithDescription(description),
		metric.WithExplicitBucketBoundaries(bounds...))
	in.errs = append(in.errs, err)
	return h
}

// counts are the instruments that events add to.
type counts struct {
	events, repeated, failures, ended, emergencies metric.Int64Counter
	durations, outages                             metric.Float64Histogram
}

const minute, hour, day = 60, 60 * 60, 24 * 60 * 60

func newCounts(in *instruments) counts {
	return counts{
		events:      in.counter("event.taken", "{event}", "Events of rotations."),
		repeated:    in.counter("event.repeated", "{event}", "Events that were delivered again and are counted once."),
		failures:    in.counter("rotation.failures", "{failure}", "Steps of rotations that failed, by diagnosis."),
		ended:       in.counter("rotation.ended", "{rotation}", "Rotations that ended."),
		emergencies: in.counter("emergency.ended", "{rotation}", "Emergencies that ended, by whether the revocation was sent in time."),
		durations: in.histogram("rotation.duration", "Duration of rotations that ended.",
			1, 5, 15, minute, 5*minute, 15*minute, hour, 4*hour, 12*hour, day, 2*day, 3*day, 7*day, 14*day, 30*day),
		outages: in.histogram("emergency.outage", "Longest outage of a consumer in each emergency that ended.",
			0, 1, 5, 15, 30, minute, 2*minute, 5*minute, 10*minute, 30*minute, hour, 4*hour, day),
	}
}

func (c *counts) add(ctx context.Context, n metrics.Counted) {
	if n.Repeated {
		c.repeated.Add(ctx, 1)
		return
	}
	c.events.Add(ctx, 1, metric.WithAttributes(eventKind.String(string(n.Kind)), eventLevel.String(n.Level), strategy.String(string(n.Strategy))))
	if n.Failed {
		c.failures.Add(ctx, 1, metric.WithAttributes(errorType.String(string(n.Diagnosis))))
	}
	r := n.Ended
	if r == nil {
		return
	}
	how := metric.WithAttributes(strategy.String(string(r.Strategy)), outcome.String(string(r.Outcome)))
	c.ended.Add(ctx, 1, how)
	if r.EndedAt.IsZero() {
		return
	}
	c.durations.Record(ctx, r.Duration().Seconds(), how)
	if r.Strategy == rotation.Emergency && r.Outcome != rotation.TakenOver {
		c.outages.Record(ctx, r.Outage.Seconds())
		result := "missed"
		if r.Met {
			result = "met"
		}
		c.emergencies.Add(ctx, 1, metric.WithAttributes(deadlineResult.String(result)))
	}
}

const (
	credentialName  = attribute.Key("handover.credential.name")
	credentialState = attribute.Key("handover.credential.state")
	needKind        = attribute.Key("handover.need.kind")
	strategy        = attribute.Key("handover.rotation.strategy")
	phase           = attribute.Key("handover.rotation.phase")
	outcome         = attribute.Key("handover.rotation.outcome")
	diagnosis       = attribute.Key("handover.rotation.diagnosis")
	eventKind       = attribute.Key("handover.event.kind")
	eventLevel      = attribute.Key("handover.event.level")
	deadlineResult  = attribute.Key("handover.emergency.deadline")
	verifierName    = attribute.Key("handover.webhook.verifier")
	secretID        = attribute.Key("handover.webhook.secret")
	errorType       = attribute.Key("error.type") // of OpenTelemetry's own conventions
)
