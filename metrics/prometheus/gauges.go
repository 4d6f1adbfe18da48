// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package prommetrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/handover-go/handover/metrics"
)

// The gauges that a reading of the journal gives.
var (
	credentials = gauge("credentials", "Credentials by where they stand.", "state")
	needs       = gauge("needs", "Things that open rotations wait for.", "kind")
	debts       = gauge("debts", "Keys that should be dead and are not proven so.")
	leftOut     = gauge("credentials_without_series", "Credentials beyond the limit of those with series of their own.")
	success     = gauge("collector_success", "Whether the last reading of the journal told of every credential.")
	took        = gauge("collector_duration_seconds", "How long the last reading of the journal took.")

	info       = gauge("credential_info", "Where the credential stands.", "credential", "state")
	generation = gauge("credential_generation", "Generation of the current key.", "credential")
	issued     = gauge("credential_issued_timestamp_seconds", "When the current key was issued.", "credential")
	due        = gauge("credential_due_timestamp_seconds", "When the next rotation is due.", "credential")
	checked    = gauge("credential_checked_timestamp_seconds", "When the current key was last found stored and accepted.", "credential")
	heldUntil  = gauge("credential_held_until_timestamp_seconds", "Until when the credential is held.", "credential")
	ownNeeds   = gauge("credential_needs", "Things that the open rotation waits for.", "credential", "kind")
	ownDebts   = gauge("credential_debts", "Keys of the credential that should be dead and are not proven so.", "credential")
	oldestDebt = gauge("credential_oldest_debt_timestamp_seconds", "Since when the oldest of them should be dead.", "credential")

	open      = gauge("rotation_info", "The open rotation.", "credential", "strategy", "phase", "diagnosis")
	began     = gauge("rotation_began_timestamp_seconds", "When the open rotation began.", "credential")
	lastEvent = gauge("rotation_last_event_timestamp_seconds", "When something last happened in the open rotation.", "credential")
	deadline  = gauge("rotation_deadline_timestamp_seconds", "When an open emergency has to have sent the revocation that it has not.", "credential")

	last         = gauge("last_rotation_info", "The last rotation that ended.", "credential", "strategy", "outcome")
	lastEnded    = gauge("last_rotation_ended_timestamp_seconds", "When the last rotation ended.", "credential")
	lastDuration = gauge("last_rotation_duration_seconds", "How long the last rotation took.", "credential")

	gauges = []*prometheus.Desc{
		credentials, needs, debts, leftOut, success, took, info, generation, issued, due, checked, heldUntil, ownNeeds, ownDebts, oldestDebt,
		open, began, lastEvent, deadline, last, lastEnded, lastDuration,
	}
)

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("handover_"+name, help, labels, nil)
}

// emitter sends gauges.
type emitter chan<- prometheus.Metric

func (ch emitter) value(d *prometheus.Desc, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// time sends nothing of a time that is not known.
func (ch emitter) time(d *prometheus.Desc, t time.Time, labels ...string) {
	if !t.IsZero() {
		ch.value(d, float64(t.UnixMilli())/1000, labels...)
	}
}

func collectReading(ch emitter, r metrics.Reading, series int) {
	ok := 1.0
	if r.Err != nil {
		ok = 0
	}
	ch.value(success, ok)
	ch.value(took, r.Took.Seconds())
	totals, read := r.Totals()
	if !read {
		return
	}
	for _, s := range metrics.States() {
		ch.value(credentials, float64(totals.States[s]), string(s))
	}
	for _, kind := range metrics.NeedKinds() {
		ch.value(needs, float64(totals.Needs[kind]), string(kind))
	}
	ch.value(debts, float64(totals.Debts))
	chosen, out := r.Select(series)
	ch.value(leftOut, float64(out))
	for _, c := range chosen {
		collectCredential(ch, c)
	}
}

func collectCredential(ch emitter, c metrics.Credential) {
	name := strings.ToValidUTF8(c.Name, "\uFFFD")
	ch.value(info, 1, name, string(c.State))
	if c.State == metrics.Unreadable {
		return
	}
	ch.value(generation, float64(c.Generation), name)
	ch.time(issued, c.IssuedAt, name)
	ch.time(due, c.Due, name)
	ch.time(checked, c.CheckedAt, name)
	ch.time(heldUntil, c.HeldUntil, name)
	for kind, n := range c.Needs {
		ch.value(ownNeeds, float64(n), name, string(kind))
	}
	ch.value(ownDebts, float64(c.Debts), name)
	ch.time(oldestDebt, c.OldestDebt, name)
	if o := c.Open; o != nil {
		ch.value(open, 1, name, string(o.Strategy), string(o.Phase), string(o.Diagnosis))
		ch.time(began, o.BeganAt, name)
		ch.time(lastEvent, o.MovedAt, name)
		if !o.Met {
			ch.time(deadline, o.Deadline, name)
		}
	}
	if l := c.Last; l != nil {
		ch.value(last, 1, name, string(l.Strategy), string(l.Outcome))
		ch.time(lastEnded, l.EndedAt, name)
		ch.value(lastDuration, l.Duration().Seconds(), name)
	}
}
