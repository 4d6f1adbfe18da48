// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package prommetrics

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/handover-go/handover/metrics"
	"github.com/handover-go/handover/webhook"
)

// Webhooks counts deliveries of webhooks: a prometheus.Collector, whose Observe makes functions for verifiers. NewWebhooks makes
// one; it is safe for concurrent use.
type Webhooks struct {
	deliveries, refusals *prometheus.CounterVec

	mu        sync.Mutex
	verifiers map[string]*verifier // guarded by mu
}

var _ prometheus.Collector = (*Webhooks)(nil)

// NewWebhooks returns one that has counted nothing.
func NewWebhooks() *Webhooks {
	return &Webhooks{
		deliveries: counter("webhook_deliveries_total", "Deliveries that verified, by the id of the secret that matched.", "verifier", "secret"),
		refusals:   counter("webhook_refusals_total", "Deliveries that were refused, by reason.", "verifier", "reason"),
		verifiers:  map[string]*verifier{},
	}
}

// Describe implements prometheus.Collector.
func (w *Webhooks) Describe(ch chan<- *prometheus.Desc) {
	w.deliveries.Describe(ch)
	w.refusals.Describe(ch)
}

// Collect implements prometheus.Collector.
func (w *Webhooks) Collect(ch chan<- prometheus.Metric) {
	w.deliveries.Collect(ch)
	w.refusals.Collect(ch)
}

// Observe returns a function for webhook.Config.Observe of the verifier that the program calls by that name. Verifiers of one
// name are counted together. The function never blocks; for an id that it has seen it allocates nothing.
//
// A label for each secret says which one senders use still: that is webhook.Secret.ID, the generation and serial of a key where
// consumer.Receiver keeps the secrets. Only ids of secrets that a delivery has matched become labels, metrics.MostSecrets of them
// for each verifier in the life of the process and then metrics.Other, so that no sender can make any.
func (w *Webhooks) Observe(name string) func(webhook.Match, error) {
	name = strings.ToValidUTF8(name, "\uFFFD")
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.verifiers[name]
	if v == nil {
		v = w.newVerifier(name)
		w.verifiers[name] = v
	}
	return v.observe
}

// verifier holds the counters of one verifier, so that a delivery costs a look into a small map.
type verifier struct {
	refusals map[string]prometheus.Counter
	newest   func(id string) prometheus.Counter

	mu      sync.RWMutex
	secrets map[string]prometheus.Counter // guarded by mu
}

func (w *Webhooks) newVerifier(name string) *verifier {
	v := &verifier{refusals: map[string]prometheus.Counter{}, secrets: map[string]prometheus.Counter{}}
	for _, reason := range metrics.Refusals() {
		v.refusals[reason] = w.refusals.WithLabelValues(name, reason)
	}
	v.newest = func(id string) prometheus.Counter {
		return w.deliveries.WithLabelValues(name, strings.ToValidUTF8(id, "\uFFFD"))
	}
	return v
}

func (v *verifier) observe(m webhook.Match, err error) {
	if err != nil {
		v.refusals[metrics.Refusal(err)].Inc()
		return
	}
	v.mu.RLock()
	c := v.secrets[m.SecretID]
	v.mu.RUnlock()
	if c == nil {
		c = v.secret(m.SecretID)
	}
	c.Inc()
}

func (v *verifier) secret(id string) prometheus.Counter {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c := v.secrets[id]; c != nil {
		return c
	}
	if len(v.secrets) >= metrics.MostSecrets {
		return v.newest(metrics.Other)
	}
	c := v.newest(id)
	v.secrets[id] = c
	return c
}
