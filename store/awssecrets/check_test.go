// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awssecrets_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store/awssecrets"
	"github.com/handover-go/handover/store/awssecrets/internal/fakesm"
)

func TestNewNamesTheField(t *testing.T) {
	client := clientOf(&fakesm.Server{}, "")
	for want, cfg := range map[string]awssecrets.Config{
		"Config.Client is required":                       {},
		"Config.Account is not a number of 12 digits":     {Client: client, Account: "12"},
		"Config.Prefix cannot be part":                    {Client: client, Prefix: "a b"},
		"Config.IDField and Config.Fields need":           {Client: client, IDField: "id"},
		`name the field "a" twice`:                        {Client: client, Field: "a", Fields: map[string]string{"user": "a"}},
		`the field "handover" is this package's own`:      {Client: client, Field: "handover"},
		`Config.Credentials: "a b" with the prefix is no`: {Client: client, Credentials: []string{"a b"}},
	} {
		_, err := awssecrets.New(cfg)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "awssecrets: ")
	}
}

func checking(cfg *awssecrets.Config) {
	cfg.Credentials, cfg.Account = []string{name}, "123456789012"
}

func TestCheckChangesNothing(t *testing.T) {
	fake := &fakesm.Server{}
	s := open(t, fake, checking)
	require.NoError(t, s.Check(t.Context()), "no secret yet")
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, key(1, "value-one")), as(rotation.RolePending, key(2, "value-two"))))
	before, err := s.Load(t.Context(), name)
	require.NoError(t, err)
	n := fake.Count(name)
	_, draft := fake.Read(name, "handover-draft")
	require.NoError(t, s.Check(t.Context()))
	after, err := s.Load(t.Context(), name)
	require.NoError(t, err)
	assert.Equal(t, before.Revision, after.Revision)
	assert.Equal(t, n, fake.Count(name))
	_, still := fake.Read(name, "handover-draft")
	assert.Equal(t, draft, still)
}

// What stands in the way is named before anything is minted.
func TestCheckNamesWhatIsWrong(t *testing.T) {
	for want, change := range map[string]func(*fakesm.Secret){
		"RestoreSecret brings it back": func(s *fakesm.Secret) { s.Deleted = true },
		"is a replica in eu-west-1, which cannot be written: use a client of its primary region us-east-1": func(s *fakesm.Secret) { s.PrimaryRegion = "us-east-1" },
		"is managed by another service of AWS (rds)":                                                       func(s *fakesm.Secret) { s.Owner = "rds" },
	} {
		fake := &fakesm.Server{}
		s := open(t, fake, checking)
		require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, key(1, "value-one"))))
		v, err := s.Load(t.Context(), name)
		require.NoError(t, err)
		fake.Change(name, change)
		require.ErrorContains(t, s.Check(t.Context()), want)
		require.ErrorContains(t, s.Save(t.Context(), name, v), want)
	}
	fake := &fakesm.Server{}
	require.NoError(t, put(t, open(t, fake), name, as(rotation.RoleCurrent, key(1, "value-one"))))
	elsewhere := open(t, fake, checking, func(cfg *awssecrets.Config) { cfg.Account = "999999999999" })
	require.ErrorContains(t, elsewhere.Check(t.Context()), "is in the account 123456789012, not in 999999999999")
}

func TestDeniedActionsAreNamed(t *testing.T) {
	for op, want := range map[string]string{
		"DescribeSecret":           "allow secretsmanager:DescribeSecret",
		"GetSecretValue":           "allow secretsmanager:GetSecretValue",
		"PutSecretValue":           "allow secretsmanager:PutSecretValue",
		"UpdateSecretVersionStage": "allow secretsmanager:UpdateSecretVersionStage",
	} {
		for _, detail := range []string{
			"User is not authorized to perform: secretsmanager:" + op + " on resource: prod/kms-db because no policy allows it",
			"Access to KMS is not allowed",
			"User is not authorized to perform: kms:Decrypt on this resource",
		} {
			fake := &fakesm.Server{}
			s := open(t, fake, checking)
			require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, key(1, "value-one"))))
			if !strings.Contains(detail, "secretsmanager:") {
				want = "allow kms:Decrypt and kms:GenerateDataKey"
			}
			fake.Hook(func(called string, _ map[string]any) *fakesm.Failure {
				if called == op {
					return &fakesm.Failure{Code: "AccessDeniedException", Detail: detail}
				}
				return nil
			})
			err := s.Check(t.Context())
			require.ErrorIs(t, err, rotation.ErrDenied)
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), fakesm.Canary)
		}
	}
	fake := &fakesm.Server{}
	fake.Hook(func(called string, _ map[string]any) *fakesm.Failure {
		if called == "CreateSecret" {
			return &fakesm.Failure{Code: "AccessDeniedException"}
		}
		return nil
	})
	require.ErrorContains(t, put(t, open(t, fake), name, as(rotation.RoleCurrent, key(1, "value-one"))), "allow secretsmanager:CreateSecret")
}

// Each error of AWS has its own words, and no word of AWS's message.
func TestErrors(t *testing.T) {
	for code, c := range map[string]struct {
		want string
		is   error
	}{
		"DecryptionFailure":           {"its KMS key cannot be used", rotation.ErrDenied},
		"UnrecognizedClientException": {"own AWS credentials are not accepted", rotation.ErrDenied},
		"InvalidSignatureException":   {"is this machine's clock right?", rotation.ErrDenied},
		"LimitExceededException":      {"AWS keeps every version of the last day", nil},
		"InvalidRequestException":     {"its state forbids it", nil},
		"SomethingNew":                {"AWS answered SomethingNew (request req-1)", nil},
		"<html> what is this":         {"AWS answered an error", nil},
	} {
		fake := &fakesm.Server{}
		s := open(t, fake, func(cfg *awssecrets.Config) { cfg.Client = once(fake) })
		fake.Hook(func(string, map[string]any) *fakesm.Failure { return &fakesm.Failure{Code: code} })
		_, err := s.Load(t.Context(), name)
		require.ErrorContains(t, err, `awssecrets: DescribeSecret of secret "db": `)
		require.ErrorContains(t, err, c.want)
		assert.NotContains(t, fmt.Sprintf("%+v %#v", err, err), fakesm.Canary)
		if c.is != nil {
			require.ErrorIs(t, err, c.is)
		}
		var public rotation.PublicError
		require.ErrorAs(t, err, &public)
		assert.Equal(t, err.Error(), public.Public())
	}
}

// A label whose version cannot be read yet, as AWS is eventually consistent, does not look like a secret that is not there.
func TestVersionIsNotReadableYet(t *testing.T) {
	for _, label := range []string{"handover", "AWSCURRENT"} {
		fake := &fakesm.Server{}
		s := open(t, fake)
		require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, key(1, "value-one"))))
		_, id := fake.Read(name, label)
		fake.Hook(func(op string, in map[string]any) *fakesm.Failure {
			if op == "GetSecretValue" && in["VersionId"] == id {
				return &fakesm.Failure{Code: "ResourceNotFoundException"}
			}
			return nil
		})
		v, err := s.Load(t.Context(), name)
		require.ErrorContains(t, err, "cannot be read yet")
		require.NotErrorIs(t, err, rotation.ErrNotFound)
		require.Empty(t, v.Keys)
	}
}

func TestContextEnds(t *testing.T) {
	s := open(t, &fakesm.Server{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Load(ctx, name)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "cancelled")
}

// A rate limit's time is told to the engine. The SDK has tried again by then.
func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &fakesm.Server{}
		s := open(t, fake)
		fake.Hook(func(string, map[string]any) *fakesm.Failure {
			return &fakesm.Failure{Code: "ThrottlingException", Header: http.Header{"Retry-After": {"90"}}}
		})
		_, err := s.Load(t.Context(), name)
		require.ErrorContains(t, err, "AWS answered ThrottlingException")
		problem := &rotation.Error{Err: err}
		assert.NotContains(t, problem.Error(), fakesm.Canary)
		assert.Equal(t, 3, len(fake.Calls()))
	})
}

// Secrets Manager stops taking versions of a secret that is written too often.
func TestQuotaOfVersions(t *testing.T) {
	fake := &fakesm.Server{Versions: 4}
	s := open(t, fake, func(cfg *awssecrets.Config) { cfg.Client = once(fake) })
	var err error
	for i := int64(1); err == nil && i < 10; i++ {
		err = put(t, s, name, as(rotation.RoleCurrent, key(i, fmt.Sprintf("value-%d", i))))
	}
	require.ErrorContains(t, err, "wait a day or write less often")
	v, loadErr := s.Load(t.Context(), name)
	require.NoError(t, loadErr)
	require.NotEmpty(t, v.Keys)
}

func TestWhatSecretStringDoesNotTake(t *testing.T) {
	fake := &fakesm.Server{}
	s := open(t, fake)
	require.ErrorContains(t, put(t, s, name, as(rotation.RoleCurrent, key(1, "\xff\xfe binary"))), "not valid UTF-8")
	require.ErrorContains(t, put(t, s, name, as(rotation.RoleCurrent, key(1, strings.Repeat("x", 65536)))), "and a secret of AWS takes 65536")
	require.Zero(t, fake.Count(name), "nothing was written")

	fake.EditBinary(name, strings.Repeat("b", 32), []byte{1, 2, 3})
	_, err := s.Load(t.Context(), name)
	require.ErrorContains(t, err, `secret "db" holds SecretBinary`)
	_, err = s.Load(t.Context(), "no such name?")
	require.ErrorContains(t, err, "is no name of a secret")

	fake.Edit("broken", strings.Repeat("c", 32), "value")
	fake.Label("broken", "handover", strings.Repeat("c", 32))
	_, err = s.Load(t.Context(), "broken")
	require.NoError(t, err, "a bare value is a document of one key")
	fake.Edit("broken", strings.Repeat("d", 32), `{"handover":99,"keys":[]}`)
	fake.Label("broken", "handover", strings.Repeat("d", 32))
	_, err = s.Load(t.Context(), "broken")
	require.ErrorContains(t, err, `the version with the label "handover" is no document`)
}

func TestNamesFollowsPages(t *testing.T) {
	fake := &fakesm.Server{}
	s := open(t, fake, func(cfg *awssecrets.Config) { cfg.Prefix = "prod/" })
	for i := range int64(5) {
		require.NoError(t, put(t, s, fmt.Sprintf("db-%d", i), as(rotation.RoleCurrent, key(1, "value"))))
	}
	fake.Edit("PROD/other", strings.Repeat("d", 32), "ListSecrets does not tell capitals apart")
	names, err := s.Names(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"db-0", "db-1", "db-2", "db-3", "db-4"}, names)
	fake.Hook(func(string, map[string]any) *fakesm.Failure { return &fakesm.Failure{Code: "AccessDeniedException"} })
	_, err = s.Names(t.Context())
	require.ErrorContains(t, err, "allow secretsmanager:ListSecrets")
}

// Nothing that a Store or its errors print shows a value, nor the credentials of its client.
func TestNothingPrintsASecret(t *testing.T) {
	const value = "planted-value-0001"
	fake := &fakesm.Server{}
	s := open(t, fake, inJSON, func(cfg *awssecrets.Config) { cfg.Client = once(fake) })
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, key(1, value))))
	var texts []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		texts = append(texts, fmt.Sprintf(verb, s))
	}
	text, _ := json.Marshal(struct{ Store any }{s})
	texts = append(texts, string(text))
	for _, code := range []string{"ResourceExistsException", "InvalidParameterException", "AccessDeniedException", "InternalServiceError"} {
		fake.Hook(func(op string, in map[string]any) *fakesm.Failure {
			if op == "PutSecretValue" {
				return &fakesm.Failure{Code: code, Detail: fmt.Sprint(in)}
			}
			return nil
		})
		err := put(t, s, name, as(rotation.RoleCurrent, key(2, value+"-two")))
		for ; err != nil; err = errors.Unwrap(err) {
			texts = append(texts, fmt.Sprintf("%v %+v %#v", err, err, err))
		}
	}
	for _, text := range texts {
		assert.NotContains(t, text, value)
		assert.NotContains(t, text, "never checked")
	}
	assert.NotContains(t, s.Identity(), value)
}
