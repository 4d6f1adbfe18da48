// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/handover-go/handover/audit"
	"github.com/handover-go/handover/notify"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/statuspage"
)

// The essence of this program. These stand for what yours has.
var (
	dir            string
	postgres       rotation.Journal
	vault          rotation.SecretStore
	managed        []rotation.Credential
	rotator        *rotation.Rotator
	signing        secret.Value
	chat, payments rotation.Sink
	pager          rotation.Sink
	admins         = func(h http.Handler) http.Handler { return h }
)

// One replica.
func serve(ctx context.Context) error {
	trail, err := audit.Open(audit.Config{Dir: dir, Name: "rotator", Key: signing})
	if err != nil {
		return err
	}
	defer trail.Close()
	sinks, err := notify.Router{
		Sinks: map[string]rotation.Sink{"everything": trail, "payments": payments, "chat": notify.Quiet(chat, 4*time.Hour), "pager": pager},
		Routes: []notify.Route{
			{Level: slog.LevelInfo, To: []string{"everything"}},
			{Level: slog.LevelError, To: []string{"pager"}},
			{Contact: "payments-team", Level: slog.LevelWarn, To: []string{"payments"}},
		},
		Default: notify.Route{Level: slog.LevelWarn, To: []string{"chat"}}, // nobody's contact: somebody reads it
	}.All()
	if err != nil {
		return err
	}
	rotator, err := rotation.New(rotation.Config{
		Journal: postgres, Store: vault, Credentials: managed, Sinks: sinks,
		Policy: rotation.Policy{
			Windows:   []rotation.Window{"Mon-Thu 09:00-16:00 Europe/Berlin"},
			Blackouts: []rotation.Blackout{"2026-12-18..2027-01-06 Europe/Berlin"},
			Jitter:    72 * time.Hour, // what was issued on one day is not due on one day
		},
	})
	if err != nil {
		return err
	}
	page, err := statuspage.New(statuspage.Config{Rotator: rotator})
	if err != nil {
		return err
	}
	http.Handle("GET /rotations", admins(page)) // beside what your service serves
	return rotator.Run(ctx)
}

// What an auditor, and a person before a change, asks.
func ask(ctx context.Context) error {
	plan, err := rotator.Plan(ctx, "payment-gateway-api", rotation.Standard) // writes nothing
	if err != nil {
		return err
	}
	items, err := rotator.Inventory(ctx)
	if err != nil {
		return err
	}
	census, err := rotator.Census(ctx)
	if err != nil {
		return err
	}
	fmt.Println(plan)                                                       // every step with its time, what it waits for, and what stands in the way
	fmt.Println(rotation.RotatedWithin(items, 90*24*time.Hour, time.Now())) // and which were not, with the evidence
	fmt.Println(census.Findings())                                          // keys named like ours that no record has, keys that should be dead, users that no binding names
	return nil
}

// What a person on call does: what Status.Needs asks for, or an incident.
func answer(ctx context.Context) error {
	st, err := rotator.Status(ctx, "payment-gateway-api")
	if err != nil {
		return err
	}
	fmt.Println(st) // what it waits for, and under which id
	for _, need := range st.Needs {
		if slices.Contains(need.Verbs, rotation.VerbRollBack) {
			_, err = rotator.Resolve(ctx, "payment-gateway-api", rotation.Answer{Need: need.ID, Verb: rotation.VerbRollBack, Reason: "the new key may do less"})
		}
	}
	if err != nil {
		return err
	}
	report, err := rotator.Emergency(ctx, rotation.Incident{
		Reference: "INC-2041", Reason: "found in a public repository", Credentials: []string{"payment-gateway-api", "billing-webhook"},
	})
	fmt.Println(report.Markdown()) // what is revoked, and what is still open; later: rotator.Incident
	return err
}
