// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package minio_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	s3 "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer/minio"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// MinIO drops the policy of a key whose status is changed: it then may do whatever its user may.
func TestDisableKeepsThePolicy(t *testing.T) {
	s := start(t)
	cfg := s.config(t)
	cfg.Policy = getObject
	i := newIssuer(t, cfg)
	key := issue(t, i, rotation.Key{})

	for range 2 {
		require.NoError(t, i.Disable(t.Context(), key))
		assert.Equal(t, "InvalidAccessKeyId", buckets(t, s.URL, key), "at once")
		require.NoError(t, i.Enable(t.Context(), key))
		assert.Equal(t, "AccessDenied", buckets(t, s.URL, key), "it may still only read objects")
	}
	policy, implied, err := minio.PolicyOf(t.Context(), i, key.ID)
	require.NoError(t, err)
	assert.False(t, implied)
	assert.JSONEq(t, getObject, policy)

	assert.ErrorIs(t, i.Disable(t.Context(), rotation.Key{ID: "gone"}), rotation.ErrNotFound)
	assert.Error(t, i.Disable(t.Context(), rotation.Key{}))
}

func TestThePolicyIsCopied(t *testing.T) {
	s := start(t)
	cfg := s.config(t)
	cfg.Policy = getObject
	narrow := issue(t, newIssuer(t, cfg), rotation.Key{})
	cfg.Policy = ""
	i := newIssuer(t, cfg)
	narrow.Attributes = nil // as a key that this library did not make

	next := issue(t, i, narrow)
	assert.Equal(t, "AccessDenied", buckets(t, s.URL, next))
	require.NoError(t, i.Verify(t.Context(), next), "it is accepted all the same")
	wide := issue(t, i, rotation.Key{})
	assert.Empty(t, buckets(t, s.URL, issue(t, i, wide)))

	for _, key := range []rotation.Key{narrow, next, wide} {
		require.NoError(t, i.Revoke(t.Context(), key))
	}
	assert.Equal(t, "AccessDenied", buckets(t, s.URL, issue(t, i, next)), "the key is gone, and its policy was kept")
	assert.Empty(t, buckets(t, s.URL, issue(t, i, wide)))

	before := ids(t, i)
	for _, current := range []rotation.Key{narrow, {Secret: narrow.Secret}} {
		_, err := i.Choose(t.Context(), rotation.IssueRequest{Name: "files-v3", Current: current})
		require.ErrorIs(t, err, rotation.ErrNotIssued, "nobody knows it: it must not become the user's")
		assert.ErrorContains(t, err, "Config.Policy")
	}
	assert.Equal(t, before, ids(t, i))
}

// The answer to the creation is lost. The same attempt, repeated, finds the key; the client repeats nothing by itself.
func TestAnswerLost(t *testing.T) {
	s := start(t)
	cfg := s.config(t)
	i := newIssuer(t, cfg)
	var requests int
	cfg.Transport = through(func(r *http.Request) (*http.Response, error) {
		requests++
		resp, err := shared.RoundTrip(r)
		if err == nil {
			_ = resp.Body.Close()
		}
		return nil, errors.New("connection reset")
	})
	req := request(t, i, rotation.Key{})
	_, err := newIssuer(t, cfg).Issue(t.Context(), req)
	require.Error(t, err)
	assert.NotErrorIs(t, err, rotation.ErrNotIssued)
	assert.Equal(t, 1, requests)
	require.Equal(t, []string{req.Chosen.ID}, ids(t, i))
	require.NoError(t, i.Verify(t.Context(), req.Chosen))

	key, err := i.Issue(t.Context(), req)
	require.NoError(t, err)
	assert.True(t, key.Secret.Equal(req.Chosen.Secret))
	assert.Equal(t, []string{key.ID}, ids(t, i))

	req.Name = "another-attempt"
	_, err = i.Issue(t.Context(), req)
	require.Error(t, err, "it is not this attempt's")
	assert.NotErrorIs(t, err, rotation.ErrNotIssued)
}

// A list for a user who is not there is empty, as if every key were gone.
func TestCheckSeesTheUser(t *testing.T) {
	s := start(t)
	cfg := s.config(t)
	require.NoError(t, newIssuer(t, cfg).Check(t.Context()))
	cfg.User = "nobody"
	i := newIssuer(t, cfg)
	assert.Empty(t, ids(t, i))
	assert.ErrorContains(t, i.Check(t.Context()), "there is no such user")
	_, err := i.Issue(t.Context(), request(t, i, rotation.Key{}))
	assert.ErrorIs(t, err, rotation.ErrNotIssued)

	cfg = s.config(t)
	cfg.User = issue(t, newIssuer(t, cfg), rotation.Key{}).ID
	i = newIssuer(t, cfg)
	assert.ErrorContains(t, i.Check(t.Context()), "is an access key")
	_, err = i.Issue(t.Context(), request(t, i, rotation.Key{}))
	assert.Error(t, err)
}

func TestCheckNamesThePermission(t *testing.T) {
	s := start(t)
	cfg := s.config(t)
	other, password := s.user(t), secret.Random(16).Reveal()
	s.password(t, other, password)
	cfg.Credentials = credentials.NewStaticV4(other, password, "")
	i := newIssuer(t, cfg)
	grant := func(actions string) {
		t.Helper()
		policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":[` + actions + `]}]}`
		s.administer(t, http.MethodPut, "add-canned-policy", url.Values{"name": {other}}, json.RawMessage(policy))
	}
	root := cfg
	root.Credentials = s.root()
	key := issue(t, newIssuer(t, root), rotation.Key{})

	err := i.Check(t.Context())
	require.ErrorIs(t, err, rotation.ErrDenied)
	assert.ErrorContains(t, err, "admin:ListServiceAccounts")
	grant(`"admin:ListServiceAccounts"`)
	s.attach(t, other, other)
	err = i.Check(t.Context())
	require.ErrorIs(t, err, rotation.ErrDenied)
	assert.ErrorContains(t, err, "admin:CreateServiceAccount")
	grant(`"admin:ListServiceAccounts","admin:CreateServiceAccount"`)
	require.NoError(t, i.Check(t.Context()))
	assert.Equal(t, []string{key.ID}, ids(t, i), "asking made no key")
	assert.ErrorContains(t, i.Disable(t.Context(), key), "admin:UpdateServiceAccount")

	require.NoError(t, i.Revoke(t.Context(), key), "MinIO says that it is not there")
	assert.NoError(t, i.Verify(t.Context(), key), "and it is: nil proves nothing")

	// The policy of doc.go is enough, and its last two actions cannot be asked about.
	grant(`"admin:ListServiceAccounts","admin:CreateServiceAccount","admin:UpdateServiceAccount","admin:RemoveServiceAccount"`)
	require.NoError(t, i.Check(t.Context()))
	next := issue(t, i, key)
	require.NoError(t, i.Disable(t.Context(), key))
	require.NoError(t, i.Enable(t.Context(), key))
	require.NoError(t, i.Revoke(t.Context(), key))
	require.ErrorIs(t, i.Verify(t.Context(), key), rotation.ErrRejected)
	require.NoError(t, i.Verify(t.Context(), next))

	cfg.Credentials = credentials.NewStaticV4(other, "a wrong secret", "")
	err = newIssuer(t, cfg).Check(t.Context())
	require.ErrorIs(t, err, rotation.ErrDenied)
	assert.ErrorContains(t, err, "Config.Credentials")
}

// The administrator may end the keys of every user, and so may a wrong id.
func TestAnotherUsersKeyIsLeftAlone(t *testing.T) {
	s := start(t)
	ours, theirs := newIssuer(t, s.config(t)), newIssuer(t, s.config(t))
	key := issue(t, theirs, rotation.Key{})
	for what, call := range map[string]func(context.Context, rotation.Key) error{
		"Revoke": ours.Revoke, "Disable": ours.Disable, "Enable": ours.Enable,
	} {
		err := call(t.Context(), rotation.Key{ID: key.ID})
		require.ErrorContains(t, err, "another user", what)
		assert.NotErrorIs(t, err, rotation.ErrNotFound, what)
		silent(t, err, key.Secret)
		require.NoError(t, theirs.Verify(t.Context(), key), what)
	}
	require.NoError(t, theirs.Disable(t.Context(), key))
	require.Error(t, ours.Enable(t.Context(), key))
	require.ErrorIs(t, theirs.Verify(t.Context(), key), rotation.ErrRejected)
	require.NoError(t, theirs.Revoke(t.Context(), key))
	require.NoError(t, ours.Revoke(t.Context(), key), "it is gone, whosesoever it was")
}

// S3 itself agrees with Verify, at once.
func TestVerifyAgreesWithS3(t *testing.T) {
	s := start(t)
	i := newIssuer(t, s.config(t))
	key := issue(t, i, rotation.Key{})
	wrong := key
	wrong.Secret = secret.Random(20)
	agree := func(key rotation.Key, code string) {
		t.Helper()
		assert.Equal(t, code, buckets(t, s.URL, key))
		assert.Equal(t, code != "", errors.Is(i.Verify(t.Context(), key), rotation.ErrRejected))
	}
	agree(key, "")
	agree(wrong, "SignatureDoesNotMatch")
	require.NoError(t, i.Disable(t.Context(), key))
	agree(key, "InvalidAccessKeyId")
	require.NoError(t, i.Enable(t.Context(), key))
	agree(key, "")
	require.NoError(t, i.Revoke(t.Context(), key))
	agree(key, "InvalidAccessKeyId")
}

// A link that was signed beforehand is accepted as long as its key is, and no longer.
func TestALinkEndsWithItsKey(t *testing.T) {
	s := start(t)
	i := newIssuer(t, s.config(t))
	key := issue(t, i, rotation.Key{})
	c, err := s3.New(s.Addr, &s3.Options{Creds: credentials.NewStaticV4(key.ID, key.Secret.Reveal(), ""), Region: "us-east-1"})
	require.NoError(t, err)
	link, err := c.PresignedGetObject(t.Context(), "no-such-bucket", "file", 7*24*time.Hour, nil)
	require.NoError(t, err)
	status := func() int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, link.String(), nil)
		require.NoError(t, err)
		resp, err := shared.RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	assert.Equal(t, http.StatusNotFound, status(), "accepted")
	require.NoError(t, i.Disable(t.Context(), key))
	assert.Equal(t, http.StatusForbidden, status())
	require.NoError(t, i.Enable(t.Context(), key))
	assert.Equal(t, http.StatusNotFound, status())
	require.NoError(t, i.Revoke(t.Context(), key))
	assert.Equal(t, http.StatusForbidden, status())
}

func TestLifetime(t *testing.T) {
	s := start(t)
	cfg := s.config(t)
	cfg.Lifetime = 16 * time.Minute
	i := newIssuer(t, cfg)
	key := issue(t, i, rotation.Key{})
	assert.WithinDuration(t, key.IssuedAt.Add(cfg.Lifetime), key.ExpiresAt, time.Second)
	infos, err := i.List(t.Context())
	require.NoError(t, err)
	require.Len(t, infos, 1)
	assert.True(t, infos[0].Key.ExpiresAt.Equal(key.ExpiresAt), "%v %v", infos[0].Key.ExpiresAt, key.ExpiresAt)
	assert.False(t, infos[0].Disabled)
}

func TestTheServerStops(t *testing.T) {
	s := start(t)
	cfg := s.config(t)
	i := newIssuer(t, cfg)
	key := issue(t, i, rotation.Key{})
	s.Stop()
	defer s.Start()
	req := request(t, i, rotation.Key{})
	for what, call := range map[string]func(context.Context) error{
		"Issue":   func(ctx context.Context) error { _, err := i.Issue(ctx, req); return err },
		"Revoke":  func(ctx context.Context) error { return i.Revoke(ctx, key) },
		"Disable": func(ctx context.Context) error { return i.Disable(ctx, key) },
		"List":    func(ctx context.Context) error { _, err := i.List(ctx); return err },
		"Verify":  func(ctx context.Context) error { return i.Verify(ctx, key) },
	} {
		err := call(t.Context())
		require.Error(t, err, what)
		for _, is := range []error{rotation.ErrNotIssued, rotation.ErrRejected, rotation.ErrNotFound, rotation.ErrDenied} {
			assert.NotErrorIs(t, err, is, what)
		}
		silent(t, err, key.Secret, req.Chosen.Secret)
	}
	s.Start()
	require.Eventually(t, func() bool { // it answers, and does not know its keys yet
		err := i.Verify(t.Context(), key)
		assert.NotErrorIs(t, err, rotation.ErrRejected)
		return err == nil
	}, time.Minute, 50*time.Millisecond)
	require.Equal(t, []string{key.ID}, ids(t, i))
}
