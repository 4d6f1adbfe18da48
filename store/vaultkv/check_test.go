// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package vaultkv_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store/vaultkv"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// With the policy of the documentation everything works but the listing of names.
func TestDocumentedPolicy(t *testing.T) {
	p := newPlace(t)
	c := p.limited("1h", p.rule("data/api-credentials/*", "create", "read", "update"), p.rule("destroy/api-credentials/*", "update"))
	s := p.store(func(config *vaultkv.Config) { config.Client, config.Prefix = c, "api-credentials" })
	require.NoError(t, s.Check(t.Context()))
	_, err := s.Load(t.Context(), "absent")
	require.NoError(t, err)
	save(t, s, stored(1, "one", rotation.RoleCurrent))
	save(t, s, stored(2, "two", rotation.RoleCurrent))
	assert.Len(t, load(t, s).Keys, 1)
	_, err = s.Names(t.Context())
	require.ErrorIs(t, err, rotation.ErrDenied)
	require.ErrorContains(t, err, `has to allow "list"`)
}

func TestCheckNamesWhatIsMissing(t *testing.T) {
	p := newPlace(t)
	c := p.limited("1h", p.rule("data/*", "read", "update"))
	s := p.store(func(config *vaultkv.Config) { config.Client, config.CheckName = c, name })
	err := s.Check(t.Context())
	require.ErrorIs(t, err, rotation.ErrDenied)
	want := fmt.Sprintf("vaultkv: the token's policy lacks create on %[1]s/data/%[2]s, update on %[1]s/destroy/%[2]s: permission denied", p.mount, name)
	assert.EqualError(t, err, want)

	save(t, p.store(), stored(1, "one", rotation.RoleCurrent))
	v := load(t, s)
	v.Keys = []rotation.StoredKey{stored(2, "two", rotation.RoleCurrent)}
	err = s.Save(t.Context(), name, v)
	require.ErrorIs(t, err, rotation.ErrDenied)
	require.ErrorContains(t, err, p.mount+"/destroy/"+name)
	assert.Equal(t, rotation.RoleRetiring, roleOf(load(t, s), 1), "a value that could not be destroyed has left")

	blind := p.store(func(config *vaultkv.Config) { config.Client = p.limited("1h", p.rule("data/other", "read")) })
	_, err = blind.Load(t.Context(), name)
	require.ErrorIs(t, err, rotation.ErrDenied)
	require.ErrorContains(t, err, `has to allow "read" there`)
	require.ErrorIs(t, blind.Save(t.Context(), name, v), rotation.ErrDenied)
}

// Versions that end by themselves would take the keys with them.
func TestCheckRefusesVersionsThatEnd(t *testing.T) {
	p := newPlace(t)
	_, err := p.admin.Logical().WriteWithContext(t.Context(), p.mount+"/config", map[string]any{"delete_version_after": "720h"})
	require.NoError(t, err)
	require.ErrorContains(t, p.store().Check(t.Context()), "deletes versions after 720h0m0s")
}

func TestConfig(t *testing.T) {
	_, err := vaultkv.New(vaultkv.Config{})
	require.EqualError(t, err, "vaultkv: Config.Client is required")
	c := client(t, "http://127.0.0.1:1", "token")
	_, err = vaultkv.New(vaultkv.Config{
		Client: c, Mount: "a//b", Prefix: "../x", CheckName: "x\n", Current: "handover", Previous: "p", Attributes: map[string]string{"user": "p", "x": ""},
	})
	for _, text := range []string{
		"Config.Mount has an empty part", "Config.Prefix has an empty part, or . or ..", "Config.CheckName is not printable",
		`the field "handover" is given two meanings`, `the field "p" is given two meanings`, "the name of a field is empty",
	} {
		require.ErrorContains(t, err, text)
	}
	s, err := vaultkv.New(vaultkv.Config{Client: c, Prefix: "api-credentials"})
	require.NoError(t, err)
	assert.Equal(t, "vault http://127.0.0.1:1 secret/api-credentials", s.Identity())
	assert.True(t, s.Conditional())
}

// Nothing that can be printed or logged has a value, a token or a word of the server in it.
func TestSecrecy(t *testing.T) {
	const token, value, told = "hvs.the-token", "the-value", "what the server tells"
	front := inFront(t, "http://127.0.0.1:1", func(w http.ResponseWriter, r *http.Request) bool {
		http.Error(w, `{"errors":["`+told+" "+token+" "+value+`"]}`, map[string]int{http.MethodGet: 500, http.MethodPut: 400}[r.Method])
		return true
	})
	config := vaultkv.Config{Client: client(t, front, token), AnyNode: true, Token: func() secret.Value { return secret.New(token) }}
	s, err := vaultkv.New(config)
	require.NoError(t, err)
	var seen []string
	for what, err := range failures(t, s) {
		require.Error(t, err, what)
		var public rotation.PublicError
		require.True(t, errors.As(err, &public), what)
		seen = append(seen, err.Error(), fmt.Sprintf("%+v %#v", err, err))
	}
	for _, v := range []any{config, &config, s} {
		seen = append(seen, fmt.Sprintf("%v %+v %#v", v, v, v))
	}
	for _, text := range seen {
		for _, secret := range []string{token, value, told} {
			require.NotContains(t, text, secret)
		}
	}
}
