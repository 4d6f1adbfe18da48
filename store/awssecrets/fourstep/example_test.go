// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package fourstep_test

import (
	"context"
	"database/sql"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store/awssecrets"
	"github.com/handover-go/handover/store/awssecrets/fourstep"
	"github.com/handover-go/handover/verify"
)

// main of a function for Lambda: what comes from Secrets Manager is a step, and what comes from a schedule of EventBridge, without a step,
// sweeps. lambda.Start of github.com/aws/aws-lambda-go takes the function that is returned.
func Example() {
	start := func(db *sql.DB, client *secretsmanager.Client) (func(context.Context, fourstep.Event) error, error) {
		secrets, err := awssecrets.New(awssecrets.Config{Client: client, Prefix: "prod/"})
		if err != nil {
			return nil, err
		}
		r, err := rotation.New(rotation.Config{
			Journal: journal.NewPostgres(db, "handover"),
			Store:   secrets,
			Policy:  rotation.Policy{MaxAge: 120 * 24 * time.Hour}, // AWS's schedule is every 90 days
			Credentials: []rotation.Credential{{
				Name: "payments", Type: rotation.APIKey,
				Issuer:   issuer.REST{URL: "https://gateway.example.com/keys"},
				Verifier: verify.Probe{URL: "https://gateway.example.com/whoami"},
			}},
		})
		if err != nil {
			return nil, err
		}
		steps, err := fourstep.New(fourstep.Config{Rotator: r, Client: client, Prefix: "prod/"})
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, e fourstep.Event) error {
			if e.Step == "" {
				_, err := r.Sweep(ctx)
				return err
			}
			return steps.Handle(ctx, e)
		}, nil
	}
	_ = start
}
