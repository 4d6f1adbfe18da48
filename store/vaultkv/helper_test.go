// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package vaultkv_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store/vaultkv"
	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { servers.Main(m) }

const name = "payment-gateway-api"

// place is a mount of its own on a server, and an administrator.
type place struct {
	*testing.T
	address string
	admin   *api.Client
	mount   string
}

// newPlace mounts KV version 2 on the server that the tests share.
func newPlace(t *testing.T) *place {
	t.Helper()
	s := servers.Shared(t, servers.Vault)
	return mountOn(t, s.URL, s.Token, map[string]string{"version": "2"})
}

func mountOn(t *testing.T, address, token string, options map[string]string) *place {
	t.Helper()
	p := &place{T: t, address: address, admin: client(t, address, token), mount: "kv-" + strings.ToLower(rand.Text()[:10])}
	require.NoError(t, p.admin.Sys().MountWithContext(t.Context(), p.mount, &api.MountInput{Type: "kv", Options: options}))
	t.Cleanup(func() { require.NoError(t, p.admin.Sys().UnmountWithContext(context.Background(), p.mount)) })
	if options["version"] == "2" {
		require.Eventually(t, func() bool { // while a new mount is made ready, it refuses
			_, err := p.admin.Logical().ListWithContext(t.Context(), p.mount+"/metadata/")
			return err == nil
		}, 30*time.Second, 20*time.Millisecond)
	}
	return p
}

func client(t *testing.T, address, token string) *api.Client {
	t.Helper()
	config := api.DefaultConfig()
	require.NoError(t, config.Error)
	config.Address = address
	c, err := api.NewClient(config)
	require.NoError(t, err)
	c.SetToken(token)
	c.ClearNamespace()
	return c
}

// store is a Store with the administrator's token, changed by change.
func (p *place) store(change ...func(*vaultkv.Config)) *vaultkv.Store {
	p.Helper()
	c := vaultkv.Config{Client: p.admin, Mount: p.mount}
	for _, f := range change {
		f(&c)
	}
	s, err := vaultkv.New(c)
	require.NoError(p, err)
	return s
}

// limited is a client whose token has only these rules.
func (p *place) limited(ttl string, rules ...string) *api.Client {
	p.Helper()
	policy := p.mount + "-" + strings.ToLower(rand.Text()[:6])
	require.NoError(p, p.admin.Sys().PutPolicyWithContext(p.Context(), policy, strings.Join(rules, "\n")))
	made, err := p.admin.Auth().Token().CreateWithContext(p.Context(), &api.TokenCreateRequest{Policies: []string{policy}, TTL: ttl, ExplicitMaxTTL: ttl})
	require.NoError(p, err)
	return client(p.T, p.address, made.Auth.ClientToken)
}

func (p *place) rule(path string, capabilities ...string) string {
	quoted, err := json.Marshal(capabilities)
	require.NoError(p, err)
	return fmt.Sprintf("path %q { capabilities = %s }", p.mount+"/"+path, quoted)
}

// put is what a person does with vault kv put.
func (p *place) put(name string, fields map[string]any) {
	p.Helper()
	_, err := p.admin.KVv2(p.mount).Put(p.Context(), name, fields)
	require.NoError(p, err)
}

// patch is vault kv patch.
func (p *place) patch(name string, fields map[string]any) {
	p.Helper()
	_, err := p.admin.KVv2(p.mount).Patch(p.Context(), name, fields)
	require.NoError(p, err)
}

// fields is what readers see.
func (p *place) fields(name string) map[string]any {
	p.Helper()
	got, err := p.admin.KVv2(p.mount).Get(p.Context(), name)
	require.NoError(p, err)
	return got.Data
}

// readable are the versions that hold something, by number.
func (p *place) readable(name string) map[int]map[string]any {
	p.Helper()
	metadata, err := p.admin.KVv2(p.mount).GetMetadata(p.Context(), name)
	require.NoError(p, err)
	out := map[int]map[string]any{}
	for number := range metadata.Versions {
		n, err := strconv.Atoi(number)
		require.NoError(p, err)
		v, err := p.admin.KVv2(p.mount).GetVersion(p.Context(), name, n)
		require.NoError(p, err)
		if v.Data != nil {
			out[n] = v.Data
		}
	}
	return out
}

// current is what a reader without this library takes the key from.
func (p *place) current(ctx context.Context, name string) (secret.Value, error) {
	got, err := p.admin.KVv2(p.mount).Get(ctx, name)
	if err != nil {
		return secret.Value{}, err
	}
	value, _ := got.Data["api_key"].(string)
	return secret.New(value), nil
}

func load(t *testing.T, s rotation.SecretStore) rotation.Versions {
	t.Helper()
	v, err := s.Load(t.Context(), name)
	require.NoError(t, err)
	return v
}

// save saves keys over what is there.
func save(t *testing.T, s rotation.SecretStore, keys ...rotation.StoredKey) {
	t.Helper()
	v := load(t, s)
	v.Keys, v.Stamp = keys, "stamp"
	require.NoError(t, s.Save(t.Context(), name, v))
}

func stored(serial int64, value string, role rotation.Role) rotation.StoredKey {
	return rotation.StoredKey{Role: role, Key: rotation.Key{ID: fmt.Sprintf("AK%d", serial), Serial: serial, Generation: int(serial), Secret: secret.New(value)}}
}

// value is the value of the key with role r.
func value(v rotation.Versions, r rotation.Role) string { return v.Key(r).Secret.Reveal() }

// inFront is a server in front of the real one: meet may answer a request itself and return true, or change what comes back.
func inFront(t *testing.T, address string, meet func(w http.ResponseWriter, r *http.Request) bool) string {
	t.Helper()
	target, err := url.Parse(address)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !meet(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// undestroyed is a store that can write, and cannot destroy while down is true, as it is at first. Version 1 holds the values one and two.
func (p *place) undestroyed() (s *vaultkv.Store, down *atomic.Bool) {
	p.Helper()
	save(p.T, p.store(), stored(2, "two", rotation.RoleCurrent), stored(1, "one", rotation.RolePrevious))
	down = &atomic.Bool{}
	down.Store(true)
	front := inFront(p.T, p.address, func(w http.ResponseWriter, r *http.Request) bool {
		if down.Load() && strings.Contains(r.URL.Path, "/destroy/") {
			hangUp(w)
			return true
		}
		return false
	})
	return p.store(func(c *vaultkv.Config) { c.Client = client(p.T, front, p.admin.Token()) }), down
}

// hangUp ends the connection without an answer.
func hangUp(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		c.Close()
	}
}
