// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package otelmetrics

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/handover-go/handover/metrics"
	"github.com/handover-go/handover/webhook"
)

// Webhooks counts deliveries of webhooks: its Observe makes functions for verifiers. NewWebhooks makes one; it is safe for
// concurrent use.
type Webhooks struct {
	deliveries, refusals metric.Int64Counter

	mu        sync.Mutex
	verifiers map[string]*verifier // guarded by mu
}

// NewWebhooks makes the instruments. A nil provider is the global one. The error is the provider's.
func NewWebhooks(provider metric.MeterProvider) (*Webhooks, error) {
	in := newInstruments(provider)
	w := &Webhooks{
		deliveries: in.counter("webhook.deliveries", "{delivery}", "Deliveries that verified, by the id of the secret that matched."),
		refusals:   in.counter("webhook.refusals", "{delivery}", "Deliveries that were refused, by reason."),
		verifiers:  map[string]*verifier{},
	}
	if err := errors.Join(in.errs...); err != nil {
		return nil, fmt.Errorf("otelmetrics: %w", err)
	}
	return w, nil
}

// Observe returns a function for webhook.Config.Observe of the verifier that the program calls by that name. Verifiers of one
// name are counted together. The function never blocks, as long as the SDK does not.
//
// An attribute for each secret says which one senders use still: that is webhook.Secret.ID, the generation and serial of a key
// where consumer.Receiver keeps the secrets. Only ids of secrets that a delivery has matched become attributes,
// metrics.MostSecrets of them for each verifier in the life of the process and then metrics.Other, so that no sender can make any.
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

// verifier holds what the counts of one verifier are measured with, so that a delivery costs a look into a small map.
type verifier struct {
	name                 attribute.KeyValue
	deliveries, refusals metric.Int64Counter
	reasons              map[string][]metric.AddOption

	mu      sync.RWMutex
	secrets map[string][]metric.AddOption // guarded by mu
}

func (w *Webhooks) newVerifier(name string) *verifier {
	v := &verifier{
		name: verifierName.String(name), deliveries: w.deliveries, refusals: w.refusals,
		reasons: map[string][]metric.AddOption{}, secrets: map[string][]metric.AddOption{},
	}
	for _, reason := range metrics.Refusals() {
		v.reasons[reason] = v.with(errorType.String(reason))
	}
	return v
}

func (v *verifier) with(attr attribute.KeyValue) []metric.AddOption {
	return []metric.AddOption{metric.WithAttributeSet(attribute.NewSet(v.name, attr))}
}

func (v *verifier) observe(m webhook.Match, err error) {
	ctx := context.Background()
	if err != nil {
		v.refusals.Add(ctx, 1, v.reasons[metrics.Refusal(err)]...)
		return
	}
	v.mu.RLock()
	with := v.secrets[m.SecretID]
	v.mu.RUnlock()
	if with == nil {
		with = v.secret(m.SecretID)
	}
	v.deliveries.Add(ctx, 1, with...)
}

func (v *verifier) secret(id string) []metric.AddOption {
	v.mu.Lock()
	defer v.mu.Unlock()
	if with := v.secrets[id]; with != nil {
		return with
	}
	if len(v.secrets) >= metrics.MostSecrets {
		return v.with(secretID.String(metrics.Other))
	}
	with := v.with(secretID.String(strings.ToValidUTF8(id, "\uFFFD")))
	v.secrets[id] = with
	return with
}
