// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/verify"
)

const provider = "https://api.provider.example.com"

var (
	ctx      = context.Background()
	secrets  = store.NewMemory()   // a program takes store.OpenFile, or the store that it has
	progress = journal.NewMemory() // a program takes journal.NewSQLite or journal.NewPostgres
)

// A service that rotates its own key.
func Example() {
	key, err := consumer.Follow(ctx, consumer.Source{Store: secrets, Credential: "payment-gateway-api"})
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: &consumer.Transport{Handle: key, Origin: provider}} // always the live key
	rotator, err := rotation.New(rotation.Config{Journal: progress, Store: secrets, Credentials: []rotation.Credential{{
		Name: "payment-gateway-api", Type: rotation.APIKey, Risk: rotation.HighRisk, // every 30 days
		Issuer:    issuer.REST{URL: provider + "/v1/api-keys", Client: client},
		Verifier:  verify.Probe{URL: provider + "/v1/test"},
		Consumers: []rotation.Binding{{Name: "payments", Consumer: key}},
	}}})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(rotator.Run(ctx))
}

// One rotation, from a fake provider, with a policy that waits for nothing.
func ExampleRotator_Rotate() {
	provider, secrets := rotationtest.NewProvider(), store.NewMemory()
	if err := store.Seed(ctx, secrets, "crm", provider.Mint()); err != nil {
		log.Fatal(err)
	}
	rotator, err := rotation.New(rotation.Config{
		Journal: journal.NewMemory(), Store: secrets, ClockSkew: -1,
		Policy: rotation.Policy{Overlap: -1, Quiet: -1},
		Credentials: []rotation.Credential{{
			Name: "crm", Type: rotation.APIKey, Issuer: provider,
			Consumers: []rotation.Binding{{Name: "web", Consumer: rotationtest.NewConsumer(provider)}},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	st, err := rotator.Rotate(ctx, "crm", rotation.Trigger{Reason: "an employee left"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(st.Last.Outcome, st.Last.OldID, "->", st.Last.NewID, "live:", provider.Live())
	// Output: rotated key-001 -> key-002 live: [key-002]
}

// A leaked key dies without waiting for anybody; the report is for the ticket.
func ExampleRotator_Emergency() {
	provider, secrets := rotationtest.NewProvider(), store.NewMemory()
	if err := store.Seed(ctx, secrets, "crm", provider.Mint()); err != nil {
		log.Fatal(err)
	}
	rotator, err := rotation.New(rotation.Config{
		Journal: journal.NewMemory(), Store: secrets, Actor: "responder",
		Credentials: []rotation.Credential{{
			Name: "crm", Type: rotation.APIKey, Issuer: provider,
			Consumers: []rotation.Binding{{Name: "web", Consumer: rotationtest.NewConsumer(provider)}},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	report, err := rotator.Emergency(ctx, rotation.Incident{
		Reference: "INC-2024-0042", Credentials: []string{"crm"}, Reason: "pushed to a public repository", ConfirmedAt: time.Now(),
	})
	if err != nil {
		log.Fatal(err)
	}
	rec := report.Records[0]
	fmt.Println(report.Done(), rec.Outcome, rec.OldID, "->", rec.NewID, "deadline met:", rec.DeadlineMet)
	// Output: true rotated key-001 -> key-002 deadline met: true
}
