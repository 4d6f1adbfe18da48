// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package gitea_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

func TestWhatAnswersMean(t *testing.T) {
	canary := "canary-77aa01"
	for name, row := range map[string]struct {
		status int
		header http.Header
		is     []error
		not    error
	}{
		"denied":      {403, inJSON, []error{rotation.ErrDenied, rotation.ErrNotIssued}, nil},
		"not found":   {404, inJSON, []error{rotation.ErrNotFound, rotation.ErrNotIssued}, nil},
		"not Gitea":   {404, nil, []error{rotation.ErrNotIssued}, rotation.ErrNotFound},
		"conflict":    {409, inJSON, []error{rotation.ErrConflict}, rotation.ErrNotIssued},
		"rate limit":  {429, http.Header{"Retry-After": {"60"}}, []error{rotation.ErrNotIssued}, nil},
		"unavailable": {503, http.Header{"Retry-After": {"60"}}, nil, rotation.ErrNotIssued},
		"redirect":    {307, http.Header{"Location": {"http://127.0.0.1:1/" + canary}}, nil, rotation.ErrNotIssued},
		"nonsense":    {201, nil, nil, rotation.ErrNotIssued},
		"refused":     {400, inJSON, nil, rotation.ErrNotIssued}, // and nobody can tell whether it is there
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t, gitea.Config{
				URL: "http://127.0.0.1:1", User: "app", Password: secret.New(canary), Scopes: []string{"read:user"},
				Transport: answering(row.status, row.header, `"`+canary),
			})
			_, err := i.Issue(t.Context(), request(rotation.Key{}))
			require.Error(t, err)
			for _, is := range row.is {
				assert.ErrorIs(t, err, is)
			}
			if row.not != nil {
				assert.NotErrorIs(t, err, row.not)
			}
			silent(t, err, secret.New(canary))
		})
	}
	half := gitea.Config{
		URL: "http://127.0.0.1:1", User: "app", Password: secret.New(canary), Scopes: []string{"read:user"},
		Transport: answering(http.StatusCreated, inJSON, `{"id":7,"sha1":""}`),
	}
	key, err := newIssuer(t, half).Issue(t.Context(), request(rotation.Key{}))
	require.Error(t, err)
	assert.Equal(t, "7", key.ID, "so that it can be ended")
	assert.NotErrorIs(t, err, rotation.ErrNotIssued)
}

// A page that is missing is an error and not a shorter list.
func TestListIsWhole(t *testing.T) {
	cfg := gitea.Config{URL: "http://127.0.0.1:1", User: "app", Password: secret.New("x")}
	for name, row := range map[string]struct {
		total string
		pages map[string]string // by limit and page
		want  int               // 0: an error; -1: none
	}{
		"one page":            {"1", map[string]string{"50/1": `[{"id":1}]`}, 1},
		"two pages":           {"2", map[string]string{"50/1": `[{"id":1}]`, "50/2": `[{"id":2}]`}, 2},
		"none":                {"0", nil, -1},
		"fewer than told":     {"2", map[string]string{"50/1": `[{"id":1}]`}, 0},
		"not told":            {"", map[string]string{"50/1": `[{"id":1}]`}, 0},
		"deleted meanwhile":   {"1", map[string]string{"50/1": `[{"id":1},{"id":2}]`}, 0},
		"places were changed": {"2", map[string]string{"50/1": `[{"id":1}]`, "50/2": `[{"id":1}]`, "41/1": `[{"id":2}]`}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Transport = through(func(r *http.Request) (*http.Response, error) {
				body := row.pages[r.FormValue("limit")+"/"+r.FormValue("page")]
				if body == "" {
					body = "[]"
				}
				return answering(http.StatusOK, http.Header{"X-Total-Count": {row.total}}, body)(r)
			})
			infos, err := newIssuer(t, cfg).List(t.Context())
			if row.want == 0 {
				assert.Error(t, err)
				return
			}
			require.NoError(t, err)
			assert.Len(t, infos, max(row.want, 0))
		})
	}
}

func TestConfig(t *testing.T) {
	good := gitea.Config{URL: "https://git.example.com/forge/", User: "app", Password: secret.New("canary-77aa01")}
	i := newIssuer(t, good)
	assert.Equal(t, "https://git.example.com/forge user app", i.Identity())
	assert.Equal(t, rotation.Traits{Propagation: -1, ListLag: -1}, i.Describe())
	for _, shown := range []any{good, i, *i} {
		data, _ := json.Marshal(shown)
		assert.NotContains(t, fmt.Sprintf("%v %+v %#v %s", shown, shown, shown, data), "canary")
	}
	for field, change := range map[string]func(*gitea.Config){
		"URL is required":      func(c *gitea.Config) { c.URL = "" },
		"URL is not":           func(c *gitea.Config) { c.URL = "git.example.com" },
		"URL has more":         func(c *gitea.Config) { c.URL = "https://admin:canary@git.example.com" },
		"User is required":     func(c *gitea.Config) { c.User = "" },
		"Password is required": func(c *gitea.Config) { c.Password = secret.Value{} },
		"Scopes has":           func(c *gitea.Config) { c.Scopes = []string{""} },
	} {
		bad := good
		change(&bad)
		_, err := gitea.New(bad)
		require.ErrorContains(t, err, "gitea: Config."+field)
		assert.NotContains(t, err.Error(), "canary")
	}
}
