// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awsiam_test

import (
	"context"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer/awsiam"
	"github.com/handover-go/handover/issuer/awsiam/internal/fakeiam"
)

const (
	user   = "payments"
	region = "eu-west-1"
)

// admin is a client of the SDK whose requests go to a fake, or to base where that is set.
func admin(c iam.HTTPClient, base string) *iam.Client {
	o := iam.Options{
		Region: region, HTTPClient: c, Credentials: credentials.NewStaticCredentialsProvider(fakeiam.AdminID, fakeiam.AdminSecret, ""),
	}
	if base != "" {
		o.BaseEndpoint = &base
	}
	return iam.New(o)
}

// newFake has one user.
func newFake() *fakeiam.Server {
	fake := &fakeiam.Server{}
	fake.AddUser("/apps/", user)
	return fake
}

// parts are an Issuer and a Verifier of the user; at AWS nothing is at once, at the fake everything is.
func parts(t testing.TB, fake *fakeiam.Server, change ...func(*awsiam.Config)) (*awsiam.Issuer, *awsiam.Verifier) {
	cfg := awsiam.Config{
		Client: admin(fake, ""), UserARN: fake.ARN(user), Exclusive: true, Propagation: -1, ListLag: -1, UsageLag: -1,
	}
	for _, f := range change {
		f(&cfg)
	}
	i, err := awsiam.New(cfg)
	require.NoError(t, err)
	v, err := awsiam.NewVerifier(awsiam.VerifierConfig{UserARN: cfg.UserARN, Region: region, Client: fake})
	require.NoError(t, err)
	return i, v
}

// live are the parts of a real endpoint, or the test is skipped.
func live(t *testing.T) (*awsiam.Issuer, *awsiam.Verifier) {
	arn := os.Getenv("HANDOVER_AWS_USER")
	if os.Getenv("HANDOVER_AWS") == "" || arn == "" {
		t.Skip("needs IAM: set HANDOVER_AWS=1, HANDOVER_AWS_USER to the ARN of a user without keys, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL for what is not AWS")
	}
	o := iam.Options{
		Region: os.Getenv("AWS_REGION"), HTTPClient: &http.Client{Timeout: 20 * time.Second},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{
				AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
				SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
			}, nil
		}),
	}
	base := os.Getenv("AWS_ENDPOINT_URL")
	if base != "" {
		o.BaseEndpoint = &base
	}
	i, err := awsiam.New(awsiam.Config{Client: iam.New(o), UserARN: arn, Exclusive: true})
	require.NoError(t, err)
	v, err := awsiam.NewVerifier(awsiam.VerifierConfig{UserARN: arn, Region: os.Getenv("AWS_REGION"), Endpoint: base})
	require.NoError(t, err)
	return i, v
}
