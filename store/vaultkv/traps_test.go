// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package vaultkv_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store/vaultkv"
	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Where something is, nothing is created over it.
func TestCreateOverExisting(t *testing.T) {
	p := newPlace(t)
	s := p.store()
	p.put(name, map[string]any{"owner": "payments"})
	err := s.Save(t.Context(), name, rotation.Versions{Keys: []rotation.StoredKey{stored(1, "one", rotation.RoleCurrent)}})
	require.ErrorIs(t, err, rotation.ErrConflict)
	assert.Equal(t, map[string]any{"owner": "payments"}, p.fields(name))
}

// Somebody writes between the reading and the writing of a Save: check-and-set tells.
func TestChangedInTheMiddle(t *testing.T) {
	p := newPlace(t)
	save(t, p.store(), stored(1, "one", rotation.RoleCurrent))
	once := atomic.Bool{}
	front := inFront(t, p.address, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/data/") && once.CompareAndSwap(false, true) {
			p.patch(name, map[string]any{"owner": "payments"})
		}
		return false
	})
	s := p.store(func(c *vaultkv.Config) { c.Client = client(t, front, p.admin.Token()) })
	v := load(t, s)
	require.ErrorIs(t, s.Save(t.Context(), name, v), rotation.ErrConflict)
	assert.True(t, once.Load())
	assert.Equal(t, "payments", p.fields(name)["owner"])
}

func TestCASRequired(t *testing.T) {
	p := newPlace(t)
	_, err := p.admin.Logical().WriteWithContext(t.Context(), p.mount+"/config", map[string]any{"cas_required": true})
	require.NoError(t, err)
	s := p.store()
	require.NoError(t, s.Check(t.Context()))
	save(t, s, stored(1, "one", rotation.RoleCurrent))
	save(t, s, stored(2, "two", rotation.RoleCurrent))
	assert.Equal(t, "two", p.fields(name)["api_key"])
}

func TestVersion1Mount(t *testing.T) {
	shared := servers.Shared(t, servers.Vault)
	p := mountOn(t, shared.URL, shared.Token, map[string]string{"version": "1"})
	s := p.store()
	for what, err := range failures(t, s) {
		require.ErrorContains(t, err, "KV version", what)
		require.ErrorContains(t, err, "enable-versioning", what)
	}
	left, err := p.admin.Logical().ListWithContext(t.Context(), p.mount)
	require.NoError(t, err)
	assert.Nil(t, left, "something was written to a mount of version 1")
}

func TestWrongMount(t *testing.T) {
	p := newPlace(t)
	s := p.store(func(c *vaultkv.Config) { c.Mount = p.mount + "-no" })
	for what, err := range failures(t, s) {
		require.ErrorContains(t, err, `there is no mount "`+p.mount+`-no/"`, what)
	}
	below := p.store(func(c *vaultkv.Config) { c.Mount = p.mount + "/team" }) // what belongs into Prefix
	_, err := below.Load(t.Context(), name)
	require.ErrorContains(t, err, "see Config.Mount and Config.Prefix")
	stranger := p.store(func(c *vaultkv.Config) { c.Client = p.limited("1h", `path "elsewhere/*" { capabilities = ["read"] }`) })
	require.ErrorIs(t, stranger.Check(t.Context()), rotation.ErrDenied)
}

// failures are the errors of every method.
func failures(t *testing.T, s *vaultkv.Store) map[string]error {
	t.Helper()
	_, load := s.Load(t.Context(), name)
	_, names := s.Names(t.Context())
	save := s.Save(t.Context(), name, rotation.Versions{Keys: []rotation.StoredKey{stored(1, "one", rotation.RoleCurrent)}})
	return map[string]error{"Load": load, "Save": save, "Names": names, "Check": s.Check(t.Context())}
}

func TestDeletedLatestVersion(t *testing.T) {
	p := newPlace(t)
	s := p.store()
	save(t, s, stored(1, "one", rotation.RoleCurrent))
	v := load(t, s)
	require.NoError(t, p.admin.KVv2(p.mount).Delete(t.Context(), name))
	_, err := s.Load(t.Context(), name)
	require.ErrorContains(t, err, "vault kv undelete -mount="+p.mount+" -versions=1 "+name)
	require.ErrorContains(t, s.Save(t.Context(), name, rotation.Versions{}), "undelete") // it is no new secret either
	require.NoError(t, p.admin.KVv2(p.mount).Undelete(t.Context(), name, []int{1}))
	assert.Equal(t, v.Revision, load(t, s).Revision)
	assert.Equal(t, "one", value(load(t, s), rotation.RoleCurrent))
}

func TestDestroyedLatestVersion(t *testing.T) {
	p := newPlace(t)
	s := p.store()
	save(t, s, stored(1, "one", rotation.RoleCurrent))
	old := load(t, s)
	require.NoError(t, p.admin.KVv2(p.mount).Destroy(t.Context(), name, []int{1}))
	_, err := s.Load(t.Context(), name)
	require.ErrorContains(t, err, "is destroyed")
	require.ErrorContains(t, err, "vault kv metadata delete -mount="+p.mount+" "+name)
	require.NoError(t, p.admin.KVv2(p.mount).DeleteMetadata(t.Context(), name))
	assert.Empty(t, load(t, s).Revision)

	// The numbers of versions begin anew, and a revision of before is none.
	save(t, s, stored(2, "two", rotation.RoleCurrent))
	require.ErrorIs(t, s.Save(t.Context(), name, old), rotation.ErrConflict)
}

// With max_versions 1 Vault itself drops what was before.
func TestOneVersionOnly(t *testing.T) {
	p := newPlace(t)
	s := p.store()
	require.NoError(t, p.admin.KVv2(p.mount).PutMetadata(t.Context(), name, api.KVMetadataPutInput{MaxVersions: 1}))
	save(t, s, stored(1, "one", rotation.RoleCurrent))
	save(t, s, stored(1, "one", rotation.RolePrevious), stored(2, "two", rotation.RoleCurrent))
	save(t, s, stored(2, "two", rotation.RoleCurrent))
	assert.Equal(t, "two", value(load(t, s), rotation.RoleCurrent))
	assert.Len(t, load(t, p.store()).Keys, 1)
	assert.Len(t, p.readable(name), 1)
}

// The answer of a write is lost, and the write has landed.
func TestLostAnswer(t *testing.T) {
	p := newPlace(t)
	save(t, p.store(), stored(1, "one", rotation.RoleCurrent))
	writes := atomic.Int64{}
	front := inFront(t, p.address, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		writes.Add(1)
		req, err := http.NewRequestWithContext(r.Context(), r.Method, p.address+r.URL.Path, r.Body)
		if err == nil {
			req.Header = r.Header
			if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}
		hangUp(w)
		return true
	})
	s := p.store(func(c *vaultkv.Config) { c.Client = client(t, front, p.admin.Token()) })
	v := load(t, s)
	v.Keys = append(v.Keys, stored(2, "two", rotation.RolePending))
	err := s.Save(t.Context(), name, v)
	require.Error(t, err)
	require.NotErrorIs(t, err, rotation.ErrConflict) // it says that nothing was written
	assert.EqualValues(t, 1, writes.Load(), "a write was repeated")
	assert.Equal(t, "two", value(load(t, s), rotation.RolePending))
}

func TestSealedInTheMiddle(t *testing.T) {
	server := servers.Vault(t)
	p := mountOn(t, server.URL, server.Token, map[string]string{"version": "2"})
	for what, s := range map[string]*vaultkv.Store{"one node": p.store(), "any node": p.store(func(c *vaultkv.Config) { c.AnyNode = true })} {
		save(t, s, stored(1, "one", rotation.RoleCurrent))
		v := load(t, s)
		server.Seal()
		_, err := s.Load(t.Context(), name)
		require.ErrorContains(t, err, "sealed", what)
		require.ErrorContains(t, s.Save(t.Context(), name, v), "sealed", what)
		require.ErrorContains(t, s.Check(t.Context()), "sealed", what)
		server.Unseal()
		require.Eventually(t, func() bool { // it makes its mounts ready
			got, err := s.Load(t.Context(), name)
			return err == nil && got.Revision == v.Revision
		}, time.Minute, 50*time.Millisecond, what)
		require.NoError(t, s.Save(t.Context(), name, v))
	}
	server.Kill()
	_, err := p.store().Load(t.Context(), name)
	require.ErrorContains(t, err, "no connection")
	server.Start()
}

// A token ends, and the store goes on with the next one: through the Client, and through Config.Token.
func TestTokenEnds(t *testing.T) {
	p := newPlace(t)
	all := p.rule("*", "create", "read", "update", "list")
	first := p.limited("2s", all)
	next := p.limited("1h", all).Token()
	token := atomic.Pointer[string]{}
	short := first.Token()
	token.Store(&short)
	s := p.store(func(c *vaultkv.Config) { c.Client = first })
	live := p.store(func(c *vaultkv.Config) {
		c.Client, c.Token = client(t, p.address, ""), func() secret.Value { return secret.New(*token.Load()) }
	})
	save(t, s, stored(1, "one", rotation.RoleCurrent))
	assert.Equal(t, "one", value(load(t, live), rotation.RoleCurrent))
	require.Eventually(t, func() bool {
		_, err := s.Load(t.Context(), name)
		return err != nil
	}, time.Minute, 50*time.Millisecond)
	_, err := s.Load(t.Context(), name)
	require.ErrorIs(t, err, rotation.ErrDenied)
	require.ErrorContains(t, err, "or the token has ended")
	_, err = live.Load(t.Context(), name)
	require.ErrorIs(t, err, rotation.ErrDenied)
	require.ErrorContains(t, s.Check(t.Context()), "the token") // it has ended, or may not use anything

	first.SetToken(next)
	token.Store(&next)
	save(t, s, stored(2, "two", rotation.RoleCurrent))
	assert.Equal(t, "two", value(load(t, live), rotation.RoleCurrent))
}

// Everything is asked in the namespace, but for the state of the node, which only the root namespace tells.
func TestNamespace(t *testing.T) {
	asked := map[string]string{}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path] = r.Header.Get("X-Vault-Namespace")
		http.Error(w, `{"errors":[]}`, http.StatusNotFound)
	}))
	defer front.Close()
	c := client(t, front.URL, "t")
	c.SetNamespace("team-a")
	s, err := vaultkv.New(vaultkv.Config{Client: c, AnyNode: true})
	require.NoError(t, err)
	_, _ = s.Load(t.Context(), name)
	_ = s.Save(t.Context(), name, rotation.Versions{})
	_, _ = s.Names(t.Context())
	require.Len(t, asked, 3)
	for path, namespace := range asked {
		assert.Equal(t, "team-a", strings.Trim(namespace, "/"), path)
	}
	s, err = vaultkv.New(vaultkv.Config{Client: c})
	require.NoError(t, err)
	_, _ = s.Load(t.Context(), name)
	assert.Empty(t, asked["/v1/sys/health"])
	assert.Len(t, asked, 4)
	assert.Equal(t, "vault "+front.URL+" team-a secret", s.Identity())
}

// A standby of Vault Enterprise, and one of OpenBao since 2.5, answers reads by itself, and late.
func TestStandby(t *testing.T) {
	p := newPlace(t)
	save(t, p.store(), stored(1, "one", rotation.RoleCurrent))
	for what, health := range map[string]string{
		"Vault's performance standby": `{"initialized":true,"sealed":false,"standby":true,"performance_standby":true}`,
		"OpenBao's standby":           `{"initialized":true,"sealed":false,"standby":true,"performance_standby":false}`,
	} {
		front := inFront(t, p.address, func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/v1/sys/health" {
				return false
			}
			w.WriteHeader(299) // what the client asks for
			_, _ = io.WriteString(w, health)
			return true
		})
		s := p.store(func(c *vaultkv.Config) { c.Client = client(t, front, p.admin.Token()) })
		_, err := s.Load(t.Context(), name)
		require.ErrorContains(t, err, "this node is a standby", what)
		require.ErrorContains(t, s.Check(t.Context()), "this node is a standby", what)
		forwarded := p.store(func(c *vaultkv.Config) { c.Client, c.AnyNode = client(t, front, p.admin.Token()), true })
		assert.Equal(t, "one", value(load(t, forwarded), rotation.RoleCurrent), what)
	}
}

// A quota of the real server: it says when to come back.
func TestRateLimit(t *testing.T) {
	p := newPlace(t)
	_, err := p.admin.Logical().WriteWithContext(t.Context(), "sys/quotas/config", map[string]any{"enable_rate_limit_response_headers": true})
	require.NoError(t, err)
	quota := "sys/quotas/rate-limit/" + p.mount
	_, err = p.admin.Logical().WriteWithContext(t.Context(), quota, map[string]any{"path": p.mount + "/", "rate": 1, "interval": "10s"})
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := p.admin.Logical().DeleteWithContext(context.Background(), quota)
		require.NoError(t, err)
	})
	s := p.store()
	require.Eventually(t, func() bool {
		_, err = s.Load(t.Context(), name)
		return err != nil
	}, time.Minute, time.Millisecond)
	require.ErrorContains(t, err, "status 429: a rate limit")
	assert.IsType(t, rotation.RetryAt(io.EOF, time.Now()), err)
}
