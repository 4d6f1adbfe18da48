// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awssecrets_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store/awssecrets"
	"github.com/handover-go/handover/store/awssecrets/internal/fakesm"
)

const region = "eu-west-1"

// keys signs requests that nobody checks.
func keys(id, value string) aws.CredentialsProviderFunc {
	return func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: id, SecretAccessKey: value, SessionToken: os.Getenv("AWS_SESSION_TOKEN")}, nil
	}
}

// clientOf is a client of the SDK whose requests go to a fake, or to base where that is set.
func clientOf(c secretsmanager.HTTPClient, base string) *secretsmanager.Client {
	o := secretsmanager.Options{Region: region, Credentials: keys("AKIAEXAMPLE", "never checked"), HTTPClient: c}
	if base != "" {
		o.BaseEndpoint = &base
	}
	return secretsmanager.New(o)
}

func open(t testing.TB, fake *fakesm.Server, change ...func(*awssecrets.Config)) *awssecrets.Store {
	cfg := awssecrets.Config{Client: clientOf(fake, "")}
	for _, f := range change {
		f(&cfg)
	}
	s, err := awssecrets.New(cfg)
	require.NoError(t, err)
	return s
}

// inJSON keeps a key as its readers at AWS are used to.
func inJSON(cfg *awssecrets.Config) {
	cfg.Field, cfg.IDField, cfg.Fields = "password", "key_id", map[string]string{"user": "username"}
}

func key(serial int64, value string) rotation.Key {
	return rotation.Key{
		ID: fmt.Sprintf("key-%d", serial), Serial: serial, Generation: int(serial), Secret: secret.New(value),
		Attributes: map[string]string{"user": fmt.Sprintf("user-%d", serial)}, IssuedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

// put saves keys with their roles at the stored revision, and returns the error of Save.
func put(t testing.TB, s *awssecrets.Store, name string, keys ...rotation.StoredKey) error {
	t.Helper()
	v, err := s.Load(t.Context(), name)
	require.NoError(t, err)
	return s.Save(t.Context(), name, rotation.Versions{Keys: keys, Stamp: "stamp", Revision: v.Revision})
}

func as(role rotation.Role, k rotation.Key) rotation.StoredKey {
	return rotation.StoredKey{Key: k, Role: role}
}

// live is a client of a real endpoint, or the test is skipped.
func live(t *testing.T) *secretsmanager.Client {
	if os.Getenv("HANDOVER_AWS") == "" {
		t.Skip("needs Secrets Manager: set HANDOVER_AWS=1, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL for what is not AWS")
	}
	o := secretsmanager.Options{
		Region: os.Getenv("AWS_REGION"), HTTPClient: &http.Client{Timeout: 20 * time.Second},
		Credentials: keys(os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")),
	}
	if base := os.Getenv("AWS_ENDPOINT_URL"); base != "" {
		o.BaseEndpoint = &base
	}
	return secretsmanager.New(o)
}

// once is a client that asks one time only.
func once(fake *fakesm.Server) *secretsmanager.Client {
	return secretsmanager.New(secretsmanager.Options{
		Region: region, Credentials: keys("AKIAEXAMPLE", "never checked"), HTTPClient: fake, Retryer: aws.NopRetryer{},
	})
}
