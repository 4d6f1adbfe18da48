// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awsiam_test

import (
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/handover-go/handover/issuer/awsiam"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store"
)

// The access key of a service that runs outside AWS. In a program of yours the client comes from iam.NewFromConfig, with a role that may
// change keys of this one user, and journal and store are ones that outlive the process.
func Example() {
	const user = "arn:aws:iam::123456789012:user/apps/payments"
	client := iam.New(iam.Options{Region: "eu-west-1", HTTPClient: &http.Client{Timeout: 10 * time.Second}})
	keys, err := awsiam.New(awsiam.Config{Client: client, UserARN: user, Exclusive: true, Independent: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	accepted, err := awsiam.NewVerifier(awsiam.VerifierConfig{UserARN: user, Region: "eu-west-1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = rotation.New(rotation.Config{
		Journal: journal.NewMemory(),
		Store:   store.NewMemory(),
		Credentials: []rotation.Credential{{
			Name: "payments-aws", Type: rotation.APIKey, Issuer: keys, Verifier: accepted,
		}},
	})
	fmt.Println(keys.Identity(), err)
	// Output: arn:aws:iam::123456789012:user/apps/payments <nil>
}
