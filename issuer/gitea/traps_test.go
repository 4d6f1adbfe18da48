// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package gitea_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer/gitea"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

func TestScopesAreKept(t *testing.T) {
	s := start(t)
	cfg := s.config(t)
	first := issue(t, newIssuer(t, cfg), rotation.Key{})
	cfg.Scopes = nil
	i := newIssuer(t, cfg)
	byHand := rotation.Key{ID: first.ID}
	next := issue(t, i, byHand)
	assert.ElementsMatch(t, []string{"read:user", "write:repository"}, find(t, i, next).Scopes)

	for _, key := range []rotation.Key{first, next} {
		require.NoError(t, i.Revoke(t.Context(), key))
	}
	last := issue(t, i, next)
	assert.ElementsMatch(t, []string{"read:user", "write:repository"}, find(t, i, last).Scopes, "as it was made with")
	for _, current := range []rotation.Key{byHand, {}} {
		_, err := i.Issue(t.Context(), request(current))
		require.ErrorIs(t, err, rotation.ErrNotIssued)
		assert.ErrorContains(t, err, "Config.Scopes")
	}
	assert.Len(t, list(t, i), 1)
}

// The answer to the creation is lost: the token is found by its name, and deleted. A repetition is not taken for a refusal.
func TestAnswerLost(t *testing.T) {
	s := start(t)
	cfg := s.config(t)
	i := newIssuer(t, cfg)
	cfg.Transport = through(func(r *http.Request) (*http.Response, error) {
		resp, err := shared.RoundTrip(r)
		if err == nil && r.Method == http.MethodPost {
			_ = resp.Body.Close()
			return nil, errors.New("connection reset")
		}
		return resp, err
	})
	req := request(rotation.Key{})
	for range 2 {
		_, err := newIssuer(t, cfg).Issue(t.Context(), req)
		require.Error(t, err)
		assert.NotErrorIs(t, err, rotation.ErrNotIssued)
	}
	_, err := i.Issue(t.Context(), req)
	require.Error(t, err, "there is one")
	assert.NotErrorIs(t, err, rotation.ErrNotIssued)
	infos := list(t, i)
	require.Len(t, infos, 1)
	assert.Equal(t, req.Name, infos[0].Key.Name)
	require.NoError(t, i.Revoke(t.Context(), infos[0].Key))
	assert.Empty(t, list(t, i))
}

// A pass of the container registry outlives the token that it was given for.
func TestARegistryPassOutlivesTheToken(t *testing.T) {
	s := start(t)
	cfg := s.config(t)
	cfg.Scopes = []string{"read:user", "write:package"}
	i := newIssuer(t, cfg)
	key := issue(t, i, rotation.Key{})
	call := func(method, path, authorization string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", authorization)
		resp, err := shared.RoundTrip(req)
		require.NoError(t, err)
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(cfg.User+":"+key.Secret.Reveal()))
	upload := "/v2/" + cfg.User + "/image/blobs/uploads"
	require.Equal(t, http.StatusAccepted, call(http.MethodPost, upload, basic).StatusCode)
	var pass struct{ Token string }
	require.NoError(t, json.NewDecoder(call(http.MethodGet, "/v2/token", basic).Body).Decode(&pass))
	require.NoError(t, i.Revoke(t.Context(), key))
	require.Equal(t, http.StatusUnauthorized, call(http.MethodPost, upload, basic).StatusCode)
	require.ErrorIs(t, i.Verify(t.Context(), key), rotation.ErrRejected)
	assert.Equal(t, http.StatusAccepted, call(http.MethodPost, upload, "Bearer "+pass.Token).StatusCode)
}

// Gitea says 401 of a living token while its database is away, and so it does of the administrator.
func TestTheDatabaseIsAway(t *testing.T) {
	s := start(t)
	i := newIssuer(t, s.config(t))
	live, dead := issue(t, i, rotation.Key{}), issue(t, i, rotation.Key{})
	require.NoError(t, i.Revoke(t.Context(), dead))
	s.DB.Stop()
	defer s.DB.Start()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/api/v1/user", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "token "+live.Secret.Reveal())
	resp, err := shared.RoundTrip(req)
	require.NoError(t, err)
	_ = resp.Body.Close()
	assert.Equal(t, http.StatusUnauthorized, resp.StatusCode, "the trap")
	for _, key := range []rotation.Key{live, dead} {
		err = i.Verify(t.Context(), key)
		require.Error(t, err)
		assert.NotErrorIs(t, err, rotation.ErrRejected)
	}
	_, err = i.List(t.Context())
	require.Error(t, err)
	s.DB.Start()
	require.Eventually(t, func() bool {
		return i.Verify(t.Context(), live) == nil && errors.Is(i.Verify(t.Context(), dead), rotation.ErrRejected)
	}, time.Minute, 100*time.Millisecond)
}

// A token that is listed is not dead, whatever the answer.
func TestListedIsNotRejected(t *testing.T) {
	s := start(t)
	cfg := s.config(t)
	live := issue(t, newIssuer(t, cfg), rotation.Key{})
	var asked int
	cfg.Transport = through(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/user") {
			asked++
			return answering(http.StatusUnauthorized, inJSON, `{}`)(r)
		}
		return shared.RoundTrip(r)
	})
	i := newIssuer(t, cfg)
	err := i.Verify(t.Context(), live)
	require.Error(t, err)
	assert.NotErrorIs(t, err, rotation.ErrRejected)
	assert.Equal(t, 1, asked)
	live.Secret = secret.Random(20)
	assert.ErrorIs(t, i.Verify(t.Context(), live), rotation.ErrRejected)
	assert.Equal(t, 3, asked, "refused twice")
}

func TestVerifyKnowsWhoseItIs(t *testing.T) {
	s := start(t)
	cfg := s.config(t)
	i := newIssuer(t, cfg)
	err := i.Verify(t.Context(), rotation.Key{Secret: s.token})
	require.ErrorContains(t, err, "another user")
	assert.NotErrorIs(t, err, rotation.ErrRejected)

	cfg.Scopes = []string{"write:repository"}
	narrow := issue(t, newIssuer(t, cfg), rotation.Key{})
	err = i.Verify(t.Context(), narrow)
	require.ErrorContains(t, err, "read:user")
	assert.NotErrorIs(t, err, rotation.ErrRejected)

	cfg.User = strings.ToUpper(cfg.User)
	assert.NoError(t, newIssuer(t, cfg).Verify(t.Context(), issue(t, i, rotation.Key{})), "logins have no case")
}

// How late is last_used_at? Not at all, in whole seconds; a use in the second of the creation is not seen.
func TestUsage(t *testing.T) {
	s := start(t)
	i := newIssuer(t, s.config(t))
	key := issue(t, i, rotation.Key{})
	info := find(t, i, key)
	assert.Zero(t, info.Usage.LastUsed, "never")
	made := info.Key.IssuedAt
	assert.WithinDuration(t, key.IssuedAt, made, 30*time.Second)

	require.Eventually(t, func() bool { return time.Now().After(made.Add(2 * time.Second)) }, time.Minute, 50*time.Millisecond)
	before := time.Now()
	require.NoError(t, i.Verify(t.Context(), key))
	after := time.Now()
	u := find(t, i, key).Usage // asked at once
	assert.False(t, u.LastUsed.Before(before.Truncate(time.Second)), "%v is before %v", u.LastUsed, before)
	assert.False(t, u.LastUsed.After(after), "%v is after %v", u.LastUsed, after)
	assert.Zero(t, u.LastUsed.Nanosecond())
	assert.False(t, u.AsOf.Before(after))
	assert.True(t, u.Since.Equal(made.Add(time.Second)))
}

func TestCheckNamesWhatIsMissing(t *testing.T) {
	s := start(t)
	cfg := s.config(t)
	require.NoError(t, newIssuer(t, cfg).Check(t.Context()))
	assert.Empty(t, list(t, newIssuer(t, cfg)), "asking made no token")
	enough := cfg
	enough.Password = s.mint(t, s.User, s.Password, "write:user")
	i := newIssuer(t, enough)
	require.NoError(t, i.Check(t.Context()))
	require.NoError(t, i.Revoke(t.Context(), issue(t, i, rotation.Key{})))

	other := userName()
	password := s.CreateUser(other)
	for name, row := range map[string]struct {
		change func(*gitea.Config)
		want   string
	}{
		"wrong password":            {func(c *gitea.Config) { c.Password = secret.New("wrong") }, "Config.Password"},
		"somebody else's":           {func(c *gitea.Config) { c.Admin, c.Password = other, secret.New(password) }, "site administrator"},
		"a token that cannot read":  {func(c *gitea.Config) { c.Password = s.mint(t, s.User, s.Password, "write:repository") }, "write:user"},
		"a token that cannot write": {func(c *gitea.Config) { c.Password = s.mint(t, s.User, s.Password, "read:user") }, "write:user"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := cfg
			row.change(&bad)
			err := newIssuer(t, bad).Check(t.Context())
			require.ErrorIs(t, err, rotation.ErrDenied)
			assert.ErrorContains(t, err, row.want)
			silent(t, err, bad.Password)
		})
	}
	cfg.User = "nobody-" + other
	assert.ErrorIs(t, newIssuer(t, cfg).Check(t.Context()), rotation.ErrNotFound)
}

func TestRevokeTakesNumbersOnly(t *testing.T) {
	s := start(t)
	i := newIssuer(t, s.config(t))
	key := issue(t, i, rotation.Key{})
	name := find(t, i, key).Key.Name
	for _, id := range []string{"", "0", "-1", "0x1", name, "../tokens"} {
		require.Error(t, i.Revoke(t.Context(), rotation.Key{ID: id}), "%q", id)
	}
	require.NoError(t, i.Verify(t.Context(), key))
	other := newIssuer(t, s.config(t))
	require.NoError(t, other.Revoke(t.Context(), key), "it is not among his")
	require.NoError(t, i.Verify(t.Context(), key))
}

func TestTheServerStops(t *testing.T) {
	s := start(t)
	i := newIssuer(t, s.config(t))
	key := issue(t, i, rotation.Key{})
	s.Stop()
	defer s.Start()
	for what, call := range map[string]func(context.Context) error{
		"Issue":  func(ctx context.Context) error { _, err := i.Issue(ctx, request(rotation.Key{})); return err },
		"Revoke": func(ctx context.Context) error { return i.Revoke(ctx, key) },
		"List":   func(ctx context.Context) error { _, err := i.List(ctx); return err },
		"Verify": func(ctx context.Context) error { return i.Verify(ctx, key) },
	} {
		err := call(t.Context())
		require.Error(t, err, what)
		for _, is := range []error{rotation.ErrNotIssued, rotation.ErrRejected, rotation.ErrNotFound, rotation.ErrDenied} {
			assert.NotErrorIs(t, err, is, what)
		}
		silent(t, err, key.Secret, s.token)
	}
	s.Start()
	require.NoError(t, i.Verify(t.Context(), key))
}
