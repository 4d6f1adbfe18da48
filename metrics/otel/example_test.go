// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package otelmetrics_test

import (
	"context"
	"fmt"
	"log"

	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/handover-go/handover/journal"
	otelmetrics "github.com/handover-go/handover/metrics/otel"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/webhook"
)

// A program that rotates one credential and exports what there is to know of it.
func Example() {
	ctx := context.Background()
	reader := sdk.NewManualReader() // a program takes sdk.NewPeriodicReader and an exporter
	m, err := otelmetrics.New(otelmetrics.Config{MeterProvider: sdk.NewMeterProvider(sdk.WithReader(reader))})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
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

	if _, err := rotator.Rotate(ctx, "crm", rotation.Trigger{Reason: "an employee left"}); err != nil {
		log.Fatal(err)
	}
	show(reader, "handover.rotation.ended")
	// Output:
	// handover.rotation.ended 1 handover.rotation.outcome=rotated handover.rotation.strategy=standard
}

// A receiver of webhooks that counts which secret its senders use.
func ExampleWebhooks() {
	reader := sdk.NewManualReader()
	w, err := otelmetrics.NewWebhooks(sdk.NewMeterProvider(sdk.WithReader(reader)))
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := webhook.NewVerifier(webhook.Config{
		Scheme:  webhook.Standard,
		Secrets: []webhook.Secret{{ID: "4-9", Value: secret.New("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")}},
		Observe: w.Observe("orders"),
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = verifier.Verify(context.Background(), nil, []byte(`{"paid":true}`))
	fmt.Println(err)
	show(reader, "handover.webhook.refusals")
	// Output:
	// webhook: no signature
	// handover.webhook.refusals 1 error.type=unsigned handover.webhook.verifier=orders
}

// show prints the points of a counter.
func show(reader sdk.Reader, name string) {
	var data metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &data); err != nil {
		log.Fatal(err)
	}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			counter, ok := m.Data.(metricdata.Sum[int64])
			if !ok || m.Name != name {
				continue
			}
			for _, point := range counter.DataPoints {
				fmt.Print(name, " ", point.Value)
				for _, attr := range point.Attributes.ToSlice() {
					fmt.Printf(" %s=%s", attr.Key, attr.Value.String())
				}
				fmt.Println()
			}
		}
	}
}
