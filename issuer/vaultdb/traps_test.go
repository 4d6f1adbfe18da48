// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package vaultdb_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/issuer/vaultdb"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The answer of Issue is lost on a connection that was used before: net/http would send the GET again, and a second lease would be
// taken that nobody knows of. One lease is there, the list has it, and its ID is enough to end it.
func TestLostAnswer(t *testing.T) {
	p := newPlace(t)
	p.role("app", "1h")
	asked, down := atomic.Int64{}, atomic.Bool{}
	front := inFront(t, p.vault.URL, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/creds/app") || !down.Load() || strings.Contains(r.URL.Path, "/sys/") {
			return false
		}
		asked.Add(1)
		req, err := http.NewRequestWithContext(r.Context(), r.Method, p.vault.URL+r.URL.Path, nil)
		if err == nil {
			req.Header = r.Header
			if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			c.Close()
		}
		return true
	})
	i := p.issuer("app", func(c *vaultdb.Config) { c.Client = client(t, front, p.vault.Token) })
	first := issue(t, i)
	down.Store(true)
	_, err := i.Issue(t.Context(), rotation.IssueRequest{})
	require.Error(t, err)
	for _, definite := range []error{rotation.ErrNotIssued, rotation.ErrDenied, rotation.ErrNoSlot} {
		require.NotErrorIs(t, err, definite)
	}
	assert.EqualValues(t, 1, asked.Load(), "the request was repeated")
	leases := list(t, i)
	require.Len(t, leases, 2)
	for _, id := range leases {
		if id != first.ID {
			require.NoError(t, i.Revoke(t.Context(), rotation.Key{ID: id}))
		}
	}
	assert.Equal(t, []string{first.ID}, list(t, i))
	require.NoError(t, p.login().Verify(t.Context(), first))
}

// A lease ends by itself, and says when.
func TestLeaseEnds(t *testing.T) {
	p := newPlace(t)
	p.role("brief", "2s")
	i := p.issuer("brief")
	key := issue(t, i)
	assert.WithinDuration(t, key.IssuedAt.Add(2*time.Second), key.ExpiresAt, time.Millisecond)
	require.Eventually(t, func() bool { return errors.Is(p.login().Verify(t.Context(), key), rotation.ErrRejected) }, time.Minute, 50*time.Millisecond)
	require.Eventually(t, func() bool { return len(list(t, i)) == 0 }, time.Minute, 50*time.Millisecond)
	require.NoError(t, i.Revoke(t.Context(), key), "it is gone")
}

// A lease ends with the token that took it, which is why Check looks at the token.
func TestLeaseEndsWithItsToken(t *testing.T) {
	p := newPlace(t)
	p.role("app", "1h")
	token := p.token(api.TokenCreateRequest{Period: "1h"}, p.rules("app")...)
	i := p.issuer("app", func(c *vaultdb.Config) { c.Client = client(t, p.vault.URL, token) })
	require.NoError(t, i.Check(t.Context()))
	key := issue(t, i)
	require.NoError(t, p.login().Verify(t.Context(), key))
	require.NoError(t, p.admin.Auth().Token().RevokeTreeWithContext(t.Context(), token))
	require.Eventually(t, func() bool { return errors.Is(p.login().Verify(t.Context(), key), rotation.ErrRejected) }, time.Minute, 50*time.Millisecond)
	_, err := i.Issue(t.Context(), rotation.IssueRequest{})
	require.ErrorIs(t, err, rotation.ErrDenied)
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	require.ErrorContains(t, i.Check(t.Context()), "the token has ended")
}

func TestCheckRefusesATokenThatEnds(t *testing.T) {
	p := newPlace(t)
	p.role("app", "1h")
	no := false
	for what, request := range map[string]api.TokenCreateRequest{
		"cannot be renewed": {TTL: "1h", Renewable: &no},
		"explicit_max_ttl":  {Period: "1h", ExplicitMaxTTL: "2h"},
	} {
		i := p.issuer("app", func(c *vaultdb.Config) { c.Client = client(t, p.vault.URL, p.token(request, p.rules("app")...)) })
		require.ErrorContains(t, i.Check(t.Context()), what)
	}
}

// Vault cannot drop a user who owns something. Revoke says so, the lease stays listed, and a later Revoke ends it.
func TestUserOwnsSomething(t *testing.T) {
	p := newPlace(t)
	p.role("app", "1h")
	i := p.issuer("app")
	key := issue(t, i)
	table := "t_" + strings.ReplaceAll(p.mount, "-", "_")
	p.run(key, "CREATE TABLE "+table+" (n int)")
	err := i.Revoke(t.Context(), key)
	require.ErrorContains(t, err, "or the user owns something")
	assert.Equal(t, []string{key.ID}, list(t, i))
	require.NoError(t, p.login().Verify(t.Context(), key), "a revocation that failed is none")
	p.run(key, "DROP TABLE "+table)
	require.NoError(t, i.Revoke(t.Context(), key))
	assert.Empty(t, list(t, i))
	require.ErrorIs(t, p.login().Verify(t.Context(), key), rotation.ErrRejected)
}

// Only leases of the role are ended: not those of other roles, and not what has no lease.
func TestRevokeOnlyOurs(t *testing.T) {
	p := newPlace(t)
	p.role("app", "1h")
	p.role("application", "1h")
	other := issue(t, p.issuer("application"))
	for _, key := range []rotation.Key{
		other, {ID: "", Attributes: map[string]string{"user": "app_a"}}, {ID: "app_a"}, {ID: p.mount + "/creds/app/"}, {ID: p.mount + "/creds/app"},
	} {
		err := p.issuer("app").Revoke(t.Context(), key)
		require.ErrorIs(t, err, rotation.ErrManual, key.ID)
		require.ErrorContains(t, err, "by hand")
	}
	require.NoError(t, p.login().Verify(t.Context(), other))
	require.NoError(t, p.issuer("app").Revoke(t.Context(), rotation.Key{ID: p.mount + "/creds/app/no-such-lease"}))
	assert.Empty(t, list(t, p.issuer("app")))
	assert.Equal(t, []string{other.ID}, list(t, p.issuer("application")))
}

// While the database is down nobody knows whether a user was made.
func TestDatabaseDown(t *testing.T) {
	p := newPlace(t)
	p.role("app", "1h")
	i := p.issuer("app")
	key := issue(t, i)
	p.database.Stop()
	defer p.database.Start()
	_, err := i.Issue(t.Context(), rotation.IssueRequest{})
	require.ErrorContains(t, err, "failed at the database")
	require.NotErrorIs(t, err, rotation.ErrNotIssued)
	require.Error(t, i.Revoke(t.Context(), key))
	p.database.Start()
	require.Eventually(t, func() bool { return i.Revoke(t.Context(), key) == nil }, time.Minute, 50*time.Millisecond)
	require.ErrorIs(t, p.login().Verify(t.Context(), key), rotation.ErrRejected)
}

func TestSealed(t *testing.T) {
	vault := servers.Vault(t)
	p := newPlaceOn(t, vault)
	p.role("app", "1h")
	i := p.issuer("app")
	key := issue(t, i)
	vault.Seal()
	_, err := i.Issue(t.Context(), rotation.IssueRequest{})
	require.ErrorContains(t, err, "sealed")
	require.NotErrorIs(t, err, rotation.ErrNotIssued)
	require.ErrorContains(t, i.Revoke(t.Context(), key), "sealed")
	_, err = i.List(t.Context())
	require.ErrorContains(t, err, "sealed")
	require.ErrorContains(t, i.Check(t.Context()), "sealed")
	vault.Unseal()
	require.Eventually(t, func() bool { return i.Revoke(t.Context(), key) == nil }, time.Minute, 50*time.Millisecond)
	vault.Kill()
	_, err = i.Issue(t.Context(), rotation.IssueRequest{})
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	require.ErrorContains(t, err, "no connection")
	vault.Start()
	assert.Empty(t, list(t, i))
}

// What cannot have made anything says so.
func TestRefusals(t *testing.T) {
	p := newPlace(t)
	p.role("app", "1h")
	for what, i := range map[string]*vaultdb.Issuer{
		"no such role":  p.issuer("nobody"),
		"no such mount": p.issuer("app", func(c *vaultdb.Config) { c.Mount = p.mount + "-no" }),
	} {
		_, err := i.Issue(t.Context(), rotation.IssueRequest{})
		require.ErrorIs(t, err, rotation.ErrNotIssued, what)
		require.Error(t, i.Check(t.Context()), what)
	}
	require.ErrorIs(t, p.issuer("nobody").Check(t.Context()), rotation.ErrNotFound)

	p.write("sys/quotas/config", map[string]any{"enable_rate_limit_response_headers": true})
	quota := "sys/quotas/rate-limit/" + p.mount
	p.write(quota, map[string]any{"path": p.mount + "/", "rate": 1, "interval": "10s"})
	var err error
	require.Eventually(t, func() bool {
		_, err = p.issuer("app").Issue(t.Context(), rotation.IssueRequest{})
		return err != nil
	}, time.Minute, time.Millisecond)
	_, deleteErr := p.admin.Logical().DeleteWithContext(t.Context(), quota)
	require.NoError(t, deleteErr)
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	assert.IsType(t, rotation.RetryAt(io.EOF, time.Now()), err)
}

// An answer without a password: the lease is told beside the error, so that it can be ended.
func TestAnswersWithoutAPassword(t *testing.T) {
	answer := ""
	front := inFront(t, "http://127.0.0.1:1", func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = io.WriteString(w, answer)
		return true
	})
	i, err := vaultdb.New(vaultdb.Config{Client: client(t, front, "t"), Role: "app"})
	require.NoError(t, err)
	answer = `{"lease_id":"database/creds/app/x","lease_duration":60,"data":{"username":"u","rsa_private_key":"the-value"}}`
	key, err := i.Issue(t.Context(), rotation.IssueRequest{})
	require.ErrorContains(t, err, "credential_type has to be password")
	require.NotContains(t, err.Error(), "the-value")
	assert.True(t, key.Equal(rotation.Key{ID: "database/creds/app/x"}))
	answer = `{"data":{"username":"u","password":"the-value"}}`
	key, err = i.Issue(t.Context(), rotation.IssueRequest{})
	require.ErrorContains(t, err, "static role")
	assert.True(t, key.IsZero())
	answer = `{"data":`
	_, err = i.Issue(t.Context(), rotation.IssueRequest{})
	require.Error(t, err)
	require.NotErrorIs(t, err, rotation.ErrNotIssued)
}

func TestStandby(t *testing.T) {
	p := newPlace(t)
	p.role("app", "1h")
	front := inFront(t, p.vault.URL, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/v1/sys/health" {
			return false
		}
		w.WriteHeader(299) // what the client asks for
		_, _ = io.WriteString(w, `{"initialized":true,"sealed":false,"standby":true}`)
		return true
	})
	i := p.issuer("app", func(c *vaultdb.Config) { c.Client = client(t, front, p.vault.Token) })
	_, err := i.List(t.Context())
	require.ErrorContains(t, err, "this node is a standby")
	require.ErrorContains(t, i.Check(t.Context()), "this node is a standby")
	any := p.issuer("app", func(c *vaultdb.Config) { c.Client, c.AnyNode = client(t, front, p.vault.Token), true })
	require.NoError(t, any.Check(t.Context()))
	assert.Empty(t, list(t, any))
}

// With the policy of the documentation everything works; without, Check says what is missing.
func TestPolicy(t *testing.T) {
	p := newPlace(t)
	p.role("app", "1h")
	rules := p.rules("app")
	i := p.issuer("app", func(c *vaultdb.Config) {
		c.Client = client(t, p.vault.URL, p.token(api.TokenCreateRequest{Period: "1h"}, rules...))
	})
	require.NoError(t, i.Check(t.Context()))
	key := issue(t, i)
	assert.Equal(t, []string{key.ID}, list(t, i))
	require.NoError(t, i.Revoke(t.Context(), key))

	short := p.issuer("app", func(c *vaultdb.Config) {
		c.Client = client(t, p.vault.URL, p.token(api.TokenCreateRequest{Period: "1h"}, rules[0]))
	})
	err := short.Check(t.Context())
	require.ErrorIs(t, err, rotation.ErrDenied)
	path := "sys/leases/lookup/" + p.mount + "/creds/app/"
	assert.EqualError(t, err, fmt.Sprintf("vaultdb: the token's policy lacks update on sys/leases/revoke, list on %[1]s, sudo on %[1]s: permission denied", path))
	key = issue(t, short)
	err = short.Revoke(t.Context(), key)
	require.ErrorIs(t, err, rotation.ErrDenied)
	require.ErrorContains(t, err, "update on sys/leases/revoke")
	_, err = short.List(t.Context())
	require.ErrorIs(t, err, rotation.ErrDenied)
}

func TestConfig(t *testing.T) {
	_, err := vaultdb.New(vaultdb.Config{Mount: "a//b"})
	for _, text := range []string{"Config.Client is required", "Config.Role is required", "Config.Mount has an empty part"} {
		require.ErrorContains(t, err, text)
	}
	c := client(t, "http://127.0.0.1:1", "t")
	_, err = vaultdb.New(vaultdb.Config{Client: c, Role: "a/b"})
	require.ErrorContains(t, err, "Config.Role is not the name of a role")
	c.SetNamespace("team-a")
	i, err := vaultdb.New(vaultdb.Config{Client: c, Role: "app"})
	require.NoError(t, err)
	assert.Equal(t, "vault http://127.0.0.1:1 team-a database/creds/app", i.Identity())
	assert.False(t, i.Describe().Exclusive)

	config := api.DefaultConfig()
	config.HttpClient = &http.Client{Transport: wrapped{}}
	c, err = api.NewClient(config)
	require.NoError(t, err)
	_, err = vaultdb.New(vaultdb.Config{Client: c, Role: "app"})
	require.ErrorContains(t, err, "its transport is no *http.Transport")
}

type wrapped struct{ http.RoundTripper }

// Nothing that can be printed or logged has a password, a token or a word of the server in it.
func TestSecrecy(t *testing.T) {
	const token, value, told = "hvs.the-token", "the-value", "what the server tells"
	front := inFront(t, "http://127.0.0.1:1", func(w http.ResponseWriter, r *http.Request) bool {
		http.Error(w, `{"errors":["`+told+" "+token+" "+value+`"]}`, map[string]int{http.MethodGet: 500, http.MethodPut: 400}[r.Method])
		return true
	})
	config := vaultdb.Config{Client: client(t, front, token), Role: "app", AnyNode: true}
	i, err := vaultdb.New(config)
	require.NoError(t, err)
	_, issueErr := i.Issue(t.Context(), rotation.IssueRequest{Current: rotation.Key{Secret: secret.New(value)}})
	_, listErr := i.List(t.Context())
	revokeErr := i.Revoke(t.Context(), rotation.Key{ID: "database/creds/app/x", Secret: secret.New(value)})
	seen := []string{}
	for _, err := range []error{issueErr, listErr, revokeErr, i.Check(t.Context())} {
		require.Error(t, err)
		var public rotation.PublicError
		require.True(t, errors.As(err, &public))
		seen = append(seen, err.Error(), fmt.Sprintf("%+v %#v", err, err))
	}
	for _, v := range []any{config, &config, i} {
		seen = append(seen, fmt.Sprintf("%v %+v %#v", v, v, v))
	}
	for _, text := range seen {
		for _, secret := range []string{token, value, told} {
			require.NotContains(t, text, secret)
		}
	}
}
