// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package otelmetrics

import (
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/handover-go/handover/metrics"
)

// gauges are the instruments that a reading of the journal gives.
type gauges struct {
	credentials, needs, debts, omitted, success metric.Int64Observable
	took                                        metric.Float64Observable

	status, generation, ownNeeds, ownDebts  metric.Int64Observable
	age, timeToDue, checkAge, hold, debtAge metric.Float64Observable
	active                                  metric.Int64Observable
	activeAge, activeIdle, activeDeadline   metric.Float64Observable
	lastAge, lastDuration                   metric.Float64Observable
}

func newGauges(in *instruments) gauges {
	return gauges{
		credentials: in.sum("credential.count", "{credential}", "Credentials by where they stand."),
		needs:       in.sum("need.count", "{need}", "Things that open rotations wait for."),
		debts:       in.sum("debt.count", "{key}", "Keys that should be dead and are not proven so."),
		omitted:     in.sum("credential.omitted", "{credential}", "Credentials beyond the limit of those with series of their own."),
		success:     in.number("collector.success", "1", "Whether the last reading of the journal told of every credential."),
		took:        in.seconds("collector.duration", "How long the last reading of the journal took."),

		status:     in.sum("credential.status", "{credential}", "Where the credential stands."),
		generation: in.number("credential.generation", "{generation}", "Generation of the current key."),
		age:        in.seconds("credential.age", "Age of the current key."),
		timeToDue:  in.seconds("credential.time_to_due", "Time until the next rotation is due; negative: it was."),
		checkAge:   in.seconds("credential.check.age", "Time since the current key was last found stored and accepted."),
		hold:       in.seconds("credential.hold", "Time until the hold of the credential ends."),
		ownNeeds:   in.sum("credential.need.count", "{need}", "Things that the open rotation waits for."),
		ownDebts:   in.sum("credential.debt.count", "{key}", "Keys of the credential that should be dead and are not proven so."),
		debtAge:    in.seconds("credential.debt.age", "How long the oldest of them should have been dead."),

		active:         in.sum("rotation.active.count", "{rotation}", "The open rotation."),
		activeAge:      in.seconds("rotation.active.age", "Time since the open rotation began."),
		activeIdle:     in.seconds("rotation.active.idle", "Time since something last happened in the open rotation."),
		activeDeadline: in.seconds("rotation.active.deadline", "Time until an open emergency has to have sent the revocation that it has not."),
		lastAge:        in.seconds("rotation.last.age", "Time since the last rotation ended."),
		lastDuration:   in.seconds("rotation.last.duration", "How long the last rotation took."),
	}
}

// sum is of what can be added up over credentials.
func (in *instruments) sum(name, unit, description string) metric.Int64Observable {
	i, err := in.meter.Int64ObservableUpDownCounter("handover."+name, metric.WithUnit(unit), metric.WithDescription(description))
	in.errs, in.observables = append(in.errs, err), append(in.observables, i)
	return i
}

func (in *instruments) number(name, unit, description string) metric.Int64Observable {
	i, err := in.meter.Int64ObservableGauge("handover."+name, metric.WithUnit(unit), metric.WithDescription(description))
	in.errs, in.observables = append(in.errs, err), append(in.observables, i)
	return i
}

func (in *instruments) seconds(name, description string) metric.Float64Observable {
	i, err := in.meter.Float64ObservableGauge("handover."+name, metric.WithUnit("s"), metric.WithDescription(description))
	in.errs, in.observables = append(in.errs, err), append(in.observables, i)
	return i
}

func (g *gauges) observe(o metric.Observer, r metrics.Reading, series int) {
	var ok int64 = 1
	if r.Err != nil {
		ok = 0
	}
	o.ObserveInt64(g.success, ok)
	o.ObserveFloat64(g.took, r.Took.Seconds())
	totals, read := r.Totals()
	if !read {
		return
	}
	for _, s := range metrics.States() {
		o.ObserveInt64(g.credentials, int64(totals.States[s]), metric.WithAttributes(credentialState.String(string(s))))
	}
	for _, kind := range metrics.NeedKinds() {
		o.ObserveInt64(g.needs, int64(totals.Needs[kind]), metric.WithAttributes(needKind.String(string(kind))))
	}
	o.ObserveInt64(g.debts, int64(totals.Debts))
	chosen, out := r.Select(series)
	o.ObserveInt64(g.omitted, int64(out))
	now := time.Now() // the reading may be some seconds old
	for _, c := range chosen {
		g.credential(o, c, now)
	}
}

func (g *gauges) credential(o metric.Observer, c metrics.Credential, now time.Time) {
	name := credentialName.String(strings.ToValidUTF8(c.Name, "\uFFFD"))
	o.ObserveInt64(g.status, 1, metric.WithAttributes(name, credentialState.String(string(c.State))))
	if c.State == metrics.Unreadable {
		return
	}
	own := metric.WithAttributes(name)
	o.ObserveInt64(g.generation, int64(c.Generation), own)
	since(o, g.age, now, c.IssuedAt, own)
	until(o, g.timeToDue, now, c.Due, own)
	since(o, g.checkAge, now, c.CheckedAt, own)
	until(o, g.hold, now, c.HeldUntil, own)
	for kind, n := range c.Needs {
		o.ObserveInt64(g.ownNeeds, int64(n), metric.WithAttributes(name, needKind.String(string(kind))))
	}
	o.ObserveInt64(g.ownDebts, int64(c.Debts), own)
	since(o, g.debtAge, now, c.OldestDebt, own)
	if a := c.Open; a != nil {
		o.ObserveInt64(g.active, 1, metric.WithAttributes(append(words(name, a), phase.String(string(a.Phase)), diagnosis.String(string(a.Diagnosis)))...))
		since(o, g.activeAge, now, a.BeganAt, own)
		since(o, g.activeIdle, now, a.MovedAt, own)
		if !a.Met {
			until(o, g.activeDeadline, now, a.Deadline, own)
		}
	}
	if l := c.Last; l != nil {
		how := metric.WithAttributes(append(words(name, l), outcome.String(string(l.Outcome)))...)
		since(o, g.lastAge, now, l.EndedAt, how)
		o.ObserveFloat64(g.lastDuration, l.Duration().Seconds(), how)
	}
}

func words(name attribute.KeyValue, r *metrics.Rotation) []attribute.KeyValue {
	return []attribute.KeyValue{name, strategy.String(string(r.Strategy))}
}

// since and until observe nothing of a time that is not known.
func since(o metric.Observer, i metric.Float64Observable, now, t time.Time, with metric.ObserveOption) {
	if !t.IsZero() {
		o.ObserveFloat64(i, now.Sub(t).Seconds(), with)
	}
}

func until(o metric.Observer, i metric.Float64Observable, now, t time.Time, with metric.ObserveOption) {
	if !t.IsZero() {
		o.ObserveFloat64(i, t.Sub(now).Seconds(), with)
	}
}
