// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awssecrets_test

import (
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store/awssecrets"
	"github.com/handover-go/handover/verify"
)

// A service reads the JSON secret prod/payments: the fields key_id and api_key change, whatever else stands there does not. In a program
// of yours the client comes from secretsmanager.NewFromConfig, and the journal is one that outlives the process.
func Example() {
	client := secretsmanager.New(secretsmanager.Options{Region: "eu-west-1", HTTPClient: &http.Client{Timeout: 10 * time.Second}})
	secrets, err := awssecrets.New(awssecrets.Config{
		Client:      client,
		Account:     "123456789012",
		Prefix:      "prod/",
		Field:       "api_key",
		IDField:     "key_id",
		Credentials: []string{"payments"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = rotation.New(rotation.Config{
		Journal: journal.NewMemory(),
		Store:   secrets,
		Credentials: []rotation.Credential{{
			Name:     "payments",
			Type:     rotation.APIKey,
			Issuer:   issuer.REST{URL: "https://gateway.example.com/keys"},
			Verifier: verify.Probe{URL: "https://gateway.example.com/whoami"},
		}},
	})
	fmt.Println(secrets.Identity(), err)
	// Output: aws secrets manager eu-west-1:123456789012:prod/ <nil>
}
