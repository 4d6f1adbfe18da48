// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awsiam_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer/awsiam"
	"github.com/handover-go/handover/issuer/awsiam/internal/fakeiam"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

func on(action string, f fakeiam.Failure) func(string, url.Values) *fakeiam.Failure {
	return func(called string, _ url.Values) *fakeiam.Failure {
		if called != action {
			return nil
		}
		return &f
	}
}

func issue(t *testing.T, i *awsiam.Issuer) rotation.Key {
	t.Helper()
	key, err := i.Issue(t.Context(), rotation.IssueRequest{Name: "payments-v2-abc", Token: "unused"})
	require.NoError(t, err)
	return key
}

// The SDK repeats what failed. Of CreateAccessKey that would make a second key, which nobody knows of.
func TestIssueIsNotRepeated(t *testing.T) {
	fake := newFake()
	i, _ := parts(t, fake)
	fake.Hook(on("CreateAccessKey", fakeiam.Failure{Status: http.StatusInternalServerError, Code: "ServiceFailure", After: true}))
	_, err := i.Issue(t.Context(), rotation.IssueRequest{})
	require.Error(t, err)
	require.NotErrorIs(t, err, rotation.ErrNotIssued, "a key was made")
	assert.Len(t, fake.Live(user), 1)
	assert.Equal(t, []string{"CreateAccessKey"}, fake.Calls())
}

// What AWS refuses was not issued. What it failed at may have been.
func TestWasItIssued(t *testing.T) {
	for _, c := range []struct {
		failure   fakeiam.Failure
		issued    bool // perhaps
		is        error
		wantInErr string
	}{
		{fakeiam.Failure{Status: 403, Code: "AccessDenied"}, false, rotation.ErrDenied, "allow iam:CreateAccessKey on the user"},
		{fakeiam.Failure{Status: 409, Code: "LimitExceeded"}, false, rotation.ErrNoSlot, "has two access keys already"},
		{fakeiam.Failure{Status: 404, Code: "NoSuchEntity"}, false, rotation.ErrNotFound, "there is no such user or key"},
		{fakeiam.Failure{Status: 403, Code: "InvalidClientTokenId"}, false, rotation.ErrDenied, "this process's own AWS credentials"},
		{fakeiam.Failure{Status: 403, Code: "SignatureDoesNotMatch", Detail: "Signature expired: x is now earlier than y"}, false, rotation.ErrDenied, "set this machine's clock"},
		{fakeiam.Failure{Status: 400, Code: "Throttling"}, false, nil, "AWS answered Throttling"},
		{fakeiam.Failure{Status: 503, Code: "ServiceUnavailable"}, true, nil, "AWS answered ServiceUnavailable"},
		{fakeiam.Failure{Status: 500, Code: "ServiceFailure"}, true, nil, "AWS answered ServiceFailure"},
		{fakeiam.Failure{Status: 502, Body: "<html>bad gateway</html>"}, true, nil, "is there a proxy between?"},
		{fakeiam.Failure{Status: 200, Body: "<html>" + fakeiam.Canary + "</html>"}, true, nil, "is there a proxy between?"},
	} {
		fake := newFake()
		i, _ := parts(t, fake)
		fake.Hook(on("CreateAccessKey", c.failure))
		key, err := i.Issue(t.Context(), rotation.IssueRequest{})
		require.ErrorContains(t, err, c.wantInErr)
		assert.True(t, key.IsZero())
		assert.Equal(t, !c.issued, errors.Is(err, rotation.ErrNotIssued), c.wantInErr)
		if c.is != nil {
			require.ErrorIs(t, err, c.is)
		}
		assert.NotContains(t, fmt.Sprintf("%+v %#v", err, err), fakeiam.Canary)
	}
	i, _ := parts(t, newFake())
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := i.Issue(over, rotation.IssueRequest{})
	require.ErrorIs(t, err, rotation.ErrNotIssued)
}

// An answer that is broken off behind the secret must not end in an error's text.
func TestBrokenAnswersAreNotQuoted(t *testing.T) {
	const planted = "planted-secret-in-a-broken-answer"
	for _, body := range []string{
		"<CreateAccessKeyResponse><CreateAccessKeyResult><AccessKey><AccessKeyId>AKIAEXAMPLEEXAMPLE00</AccessKeyId><SecretAccessKey>" + planted,
		"<CreateAccessKeyResponse><CreateAccessKeyResult><AccessKey><CreateDate>" + planted + "</CreateDate></AccessKey></CreateAccessKeyResult></CreateAccessKeyResponse>",
	} {
		fake := newFake()
		i, _ := parts(t, fake)
		fake.Hook(on("CreateAccessKey", fakeiam.Failure{Status: http.StatusOK, Body: body}))
		_, err := i.Issue(t.Context(), rotation.IssueRequest{})
		require.Error(t, err)
		require.NotErrorIs(t, err, rotation.ErrNotIssued)
		for ; err != nil; err = errors.Unwrap(err) {
			assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), planted)
		}
	}
	fake := newFake()
	i, _ := parts(t, fake)
	fake.Hook(on("CreateAccessKey", fakeiam.Failure{Status: http.StatusOK, Body: "<CreateAccessKeyResponse><CreateAccessKeyResult><AccessKey><AccessKeyId>AKIAEXAMPLEEXAMPLE00</AccessKeyId></AccessKey></CreateAccessKeyResult></CreateAccessKeyResponse>"}))
	key, err := i.Issue(t.Context(), rotation.IssueRequest{})
	require.ErrorContains(t, err, "no secret in it")
	assert.Equal(t, "AKIAEXAMPLEEXAMPLE00", key.ID, "it can be ended")
}

// Both slots are taken by keys that this library did not make. None of them is touched.
func TestTwoForeignKeys(t *testing.T) {
	fake := newFake()
	i, _ := parts(t, fake)
	first, _ := fake.Mint(user)
	second, _ := fake.Mint(user)
	require.NoError(t, i.Disable(t.Context(), rotation.Key{ID: second}), "a disabled key takes its slot too")
	_, err := i.Issue(t.Context(), rotation.IssueRequest{})
	require.ErrorIs(t, err, rotation.ErrNoSlot)
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	assert.Equal(t, []string{first, second}, fake.Live(user))
	assert.Equal(t, 2, i.Describe().MaxKeys)
	assert.NotContains(t, fake.Calls(), "DeleteAccessKey")
}

// IAM has no names for keys: the engine must not find one by its name, and is told whether anybody else makes keys.
func TestKeysHaveNoNames(t *testing.T) {
	for _, exclusive := range []bool{true, false} {
		fake := newFake()
		i, _ := parts(t, fake, func(cfg *awsiam.Config) { cfg.Exclusive = exclusive })
		fake.Mint(user)
		infos, err := i.List(t.Context())
		require.NoError(t, err)
		assert.Empty(t, infos[0].Key.Name)
		assert.Equal(t, exclusive, i.Describe().Exclusive)
	}
}

func TestRevokeOfWhatIsGone(t *testing.T) {
	fake := newFake()
	i, _ := parts(t, fake)
	key := issue(t, i)
	require.NoError(t, i.Revoke(t.Context(), key))
	require.NoError(t, i.Revoke(t.Context(), key))
	require.ErrorIs(t, i.Disable(t.Context(), key), rotation.ErrNotFound)
	require.ErrorIs(t, i.Enable(t.Context(), key), rotation.ErrNotFound)
	require.ErrorContains(t, i.Revoke(t.Context(), rotation.Key{}), "the key has no id")
	require.ErrorContains(t, i.Disable(t.Context(), rotation.Key{}), "the key has no id")
	fake.Hook(on("DeleteAccessKey", fakeiam.Failure{Status: 403, Code: "AccessDenied"}))
	require.ErrorIs(t, i.Revoke(t.Context(), key), rotation.ErrDenied)
}

// The answer of a deletion is lost, and the SDK asks again: it is gone, which is what was wanted.
func TestRevokeWhoseAnswerIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		i, _ := parts(t, fake)
		key := issue(t, i)
		once := true
		fake.Hook(func(action string, _ url.Values) *fakeiam.Failure {
			if action != "DeleteAccessKey" || !once {
				return nil
			}
			once = false
			return &fakeiam.Failure{Status: http.StatusInternalServerError, Code: "ServiceFailure", After: true}
		})
		require.NoError(t, i.Revoke(t.Context(), key))
		assert.Empty(t, fake.Live(user))
	})
}

// Evidence of use is as old as AWS's figures are: quiet is not proven for the last hours. Never used is not "unknown".
func TestUsageLags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		fake.UsageLag = 3 * time.Hour
		i, v := parts(t, fake, func(cfg *awsiam.Config) { cfg.UsageLag = 0 })
		key := issue(t, i)
		usage := func() rotation.Usage {
			infos, err := i.List(t.Context())
			require.NoError(t, err)
			require.Len(t, infos, 1)
			return infos[0].Usage
		}
		assert.Equal(t, rotation.Usage{AsOf: time.Now().Add(-4 * time.Hour)}, usage(), "never used")
		used := time.Now()
		require.NoError(t, v.Verify(t.Context(), key))
		assert.Zero(t, usage().LastUsed, "not told yet, and not claimed to be known")
		assert.True(t, usage().AsOf.Before(used))
		time.Sleep(3*time.Hour + time.Minute)
		assert.WithinDuration(t, used, usage().LastUsed, time.Second)
		assert.Equal(t, usage().LastUsed, usage().AsOf, "told before its time")
		assert.Equal(t, "sts in eu-west-1", usage().Source)
		fake.Hook(on("GetAccessKeyLastUsed", fakeiam.Failure{Status: 403, Code: "AccessDenied"}))
		assert.Zero(t, usage(), "no evidence")
		fake.Hook(on("GetAccessKeyLastUsed", fakeiam.Failure{Status: 500, Code: "ServiceFailure"}))
		_, err := i.List(t.Context())
		require.ErrorContains(t, err, "GetAccessKeyLastUsed", "half a list is none")
	})
}

// What STS says, and what it does not say.
func TestVerdicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		fake.AddUser("/", "other")
		i, v := parts(t, fake)
		key := issue(t, i)
		require.NoError(t, v.Verify(t.Context(), key))

		require.NoError(t, i.Disable(t.Context(), key))
		require.ErrorIs(t, v.Verify(t.Context(), key), rotation.ErrRejected, "inactive")
		require.NoError(t, i.Enable(t.Context(), key))
		require.NoError(t, v.Verify(t.Context(), key))

		wrong := key
		wrong.Secret = secret.New("another one")
		require.ErrorIs(t, v.Verify(t.Context(), wrong), rotation.ErrRejected)

		id, value := fake.Mint("other")
		err := v.Verify(t.Context(), rotation.Key{ID: id, Secret: secret.New(value)})
		require.ErrorContains(t, err, "is accepted, and is not one of arn:aws:iam::123456789012:user/apps/payments")
		require.NotErrorIs(t, err, rotation.ErrRejected)
		require.Error(t, v.Verify(t.Context(), rotation.Key{ID: key.ID}))

		// A clock that is wrong has the code of a wrong secret. The SDK corrects for it when it may try again.
		for _, text := range []string{"Signature expired: 20260101T000000Z is now earlier than 20260101T010000Z", "Signature not yet current: 20260101T010000Z is still later than 20260101T000000Z"} {
			fake.Hook(on("GetCallerIdentity", fakeiam.Failure{Status: 403, Code: "SignatureDoesNotMatch", Detail: text}))
			err := v.Verify(t.Context(), key)
			require.ErrorContains(t, err, "set this machine's clock")
			require.NotErrorIs(t, err, rotation.ErrRejected)
		}
		for _, code := range []string{"AccessDenied", "ExpiredToken", "RegionDisabledException", "Throttling"} {
			fake.Hook(on("GetCallerIdentity", fakeiam.Failure{Status: 403, Code: code}))
			err := v.Verify(t.Context(), key)
			require.Error(t, err)
			require.NotErrorIs(t, err, rotation.ErrRejected, code)
			require.NotErrorIs(t, err, rotation.ErrDenied, code)
		}
	})
}

// A rate limit's time is told to the engine.
func TestRateLimit(t *testing.T) {
	fake := newFake()
	i, _ := parts(t, fake)
	fake.Hook(on("CreateAccessKey", fakeiam.Failure{Status: 429, Code: "Throttling", Header: http.Header{"Retry-After": {"90"}}}))
	_, err := i.Issue(t.Context(), rotation.IssueRequest{})
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	assert.NotEqual(t, fmt.Sprintf("%T", err), fmt.Sprintf("%T", errors.Unwrap(err)), "wrapped by RetryAt")
}

func TestCheck(t *testing.T) {
	fake := newFake()
	i, _ := parts(t, fake)
	issue(t, i)
	require.NoError(t, i.Check(t.Context()))
	assert.Len(t, fake.Live(user), 1)
	infos, err := i.List(t.Context())
	require.NoError(t, err)
	assert.False(t, infos[0].Disabled)
	assert.False(t, slices.Contains(fake.Calls()[1:], "CreateAccessKey"))

	for _, action := range []string{"GetUser", "ListAccessKeys", "UpdateAccessKey", "DeleteAccessKey"} {
		fake.Hook(on(action, fakeiam.Failure{Status: 403, Code: "AccessDenied", Detail: "not authorized to perform"}))
		err := i.Check(t.Context())
		require.ErrorIs(t, err, rotation.ErrDenied)
		require.EqualError(t, err, "awsiam: "+action+" of arn:aws:iam::123456789012:user/apps/payments: denied: allow iam:"+action+" on the user (request req-1)")
	}
	fake.Hook(nil)
	elsewhere, _ := parts(t, fake, func(cfg *awsiam.Config) { cfg.UserARN = "arn:aws:iam::999999999999:user/payments" })
	require.ErrorContains(t, elsewhere.Check(t.Context()), "is it a client of another account")
	gone, _ := parts(t, fake, func(cfg *awsiam.Config) { cfg.UserARN = "arn:aws:iam::123456789012:user/gone" })
	require.ErrorIs(t, gone.Check(t.Context()), rotation.ErrNotFound)
}

func TestNewNamesTheField(t *testing.T) {
	_, err := awsiam.New(awsiam.Config{})
	require.ErrorContains(t, err, "awsiam: Config.Client is required")
	require.ErrorContains(t, err, "awsiam: Config.UserARN is not the ARN of a user")
	_, err = awsiam.NewVerifier(awsiam.VerifierConfig{UserARN: "arn:aws:iam::123456789012:role/x"})
	require.ErrorContains(t, err, "awsiam: VerifierConfig.UserARN is not the ARN of a user")
	require.ErrorContains(t, err, "awsiam: VerifierConfig.Region is required")
	for _, arn := range []string{"arn:aws:iam::123456789012:user/a", "arn:aws-cn:iam::123456789012:user/x/y/a@b.c"} {
		_, err = awsiam.NewVerifier(awsiam.VerifierConfig{UserARN: arn, Region: region})
		require.NoError(t, err)
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	fake := newFake()
	i, v := parts(t, fake)
	key := issue(t, i)
	texts := []string{i.Identity(), v.Identity()}
	for _, part := range []any{i, v} {
		text, _ := json.Marshal(part)
		texts = append(texts, string(text))
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			texts = append(texts, fmt.Sprintf(verb, part))
		}
	}
	for _, text := range texts {
		assert.NotContains(t, text, key.Secret.Reveal())
		assert.NotContains(t, text, fakeiam.AdminSecret)
	}
}
