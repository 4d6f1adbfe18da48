// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package prommetrics_test

import (
	"context"
	"fmt"
	"log"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/handover-go/handover/journal"
	prommetrics "github.com/handover-go/handover/metrics/prometheus"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/webhook"
)

// A program that rotates one credential and exposes what there is to know of it.
func Example() {
	ctx := context.Background()
	m, err := prommetrics.New(prommetrics.Config{})
	if err != nil {
		log.Fatal(err)
	}
	provider, secrets := rotationtest.NewProvider(), store.NewMemory()
	if err := store.Seed(ctx, secrets, "crm", provider.Mint()); err != nil {
		log.Fatal(err)
	}
	rotator, err := rotation.New(rotation.Config{
		Journal: journal.NewMemory(), Store: secrets, Sinks: []rotation.Sink{m}, ClockSkew: -1,
		Policy: rotation.Policy{Overlap: -1, Quiet: -1},
		Credentials: []rotation.Credential{{
			Name: "crm", Type: rotation.APIKey, Issuer: provider,
			Consumers: []rotation.Binding{{Name: "web", Consumer: rotationtest.NewConsumer(provider)}},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	m.Watch(rotator)
	registry := prometheus.NewRegistry() // or prometheus.DefaultRegisterer
	registry.MustRegister(m)

	if _, err := rotator.Rotate(ctx, "crm", rotation.Trigger{Reason: "an employee left"}); err != nil {
		log.Fatal(err)
	}
	show(registry, "handover_rotations_ended_total", "handover_credential_generation")
	// Output:
	// handover_credential_generation credential=crm 2
	// handover_rotations_ended_total outcome=rotated strategy=standard 1
}

// A receiver of webhooks that counts which secret its senders use.
func ExampleWebhooks() {
	w := prommetrics.NewWebhooks()
	verifier, err := webhook.NewVerifier(webhook.Config{
		Scheme:  webhook.Standard,
		Secrets: []webhook.Secret{{ID: "4-9", Value: secret.New("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")}},
		Observe: w.Observe("orders"),
	})
	if err != nil {
		log.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(w)

	_, err = verifier.Verify(context.Background(), nil, []byte(`{"paid":true}`))
	fmt.Println(err)
	show(registry, "handover_webhook_refusals_total")
	// Output:
	// webhook: no signature
	// handover_webhook_refusals_total reason=unsigned verifier=orders 1
}

// show prints the samples of some metrics that are not zero.
func show(registry *prometheus.Registry, names ...string) {
	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, family := range families {
		for _, name := range names {
			if family.GetName() != name {
				continue
			}
			for _, sample := range family.GetMetric() {
				value := sample.GetCounter().GetValue() + sample.GetGauge().GetValue()
				if value == 0 {
					continue
				}
				fmt.Print(name)
				for _, label := range sample.GetLabel() {
					fmt.Printf(" %s=%s", label.GetName(), label.GetValue())
				}
				fmt.Println("", value)
			}
		}
	}
}
