// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package ldap_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer/ldap"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

func TestNew(t *testing.T) {
	good := ldap.Config{
		URL: "ldaps://ldap.example.com", Replicas: []string{"ldap://replica.example.com:1389"},
		DN: app, AdminDN: admin, AdminPassword: secret.New("canary-1"), Propagation: -1,
	}
	for name, row := range map[string]struct {
		change func(*ldap.Config)
		want   string
	}{
		"no URL":          {func(c *ldap.Config) { c.URL = "" }, "ldap: Config.URL is not ldaps://host"},
		"another scheme":  {func(c *ldap.Config) { c.URL = "https://canary-1.example.com" }, "Config.URL is not"},
		"user in the URL": {func(c *ldap.Config) { c.URL = "ldaps://me:canary-1@example.com" }, "Config.URL is not"},
		"replica":         {func(c *ldap.Config) { c.Replicas = []string{"canary-1"} }, "Config.Replicas is not"},
		"no DN":           {func(c *ldap.Config) { c.DN = "" }, "Config.DN is not a distinguished name"},
		"no admin":        {func(c *ldap.Config) { c.AdminDN = "admin" }, "Config.AdminDN is not a distinguished name"},
		"itself":          {func(c *ldap.Config) { c.AdminDN = "UID=App,dc=example,dc=org" }, "Config.AdminDN is the entry that is rotated"},
		"no password":     {func(c *ldap.Config) { c.AdminPassword = secret.Value{} }, "Config.AdminPassword is required"},
		"hash":            {func(c *ldap.Config) { c.Hash = "MD5" }, "Config.Hash is none of"},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			row.change(&c)
			i, err := ldap.New(c)
			assert.Nil(t, i)
			require.ErrorContains(t, err, row.want)
			silent(t, err, "canary-1")
		})
	}
	i, err := ldap.New(good)
	require.NoError(t, err)
	silent(t, good, "canary-1")
	silent(t, i, "canary-1")
	silent(t, *i, "canary-1")
	assert.Equal(t, "ldap entry "+app+" at ldaps://ldap.example.com, ldap://replica.example.com:1389", i.Identity())
	assert.Equal(t, rotation.Traits{Propagation: -1, ListLag: -1, Independent: true}, i.Describe())

	_, err = ldap.New(ldap.Config{})
	for _, field := range []string{"Config.URL", "Config.DN", "Config.AdminDN", "Config.AdminPassword"} {
		require.ErrorContains(t, err, field)
	}
}

// A key of which only the identity is known is revoked by its id, and an id of somebody else's revokes nothing.
func TestRevokeByID(t *testing.T) {
	d := start(t)
	i := newIssuer(t, d.config())
	key := issue(t, i)
	before := d.stored(t)
	for _, bad := range []rotation.Key{
		{},
		{ID: "app-v1"},
		{ID: "0123456789ax"},
		{ID: key.ID, Attributes: map[string]string{"dn": admin}},
	} {
		require.Error(t, i.Revoke(t.Context(), bad))
	}
	require.NoError(t, i.Revoke(t.Context(), rotation.Key{ID: "0123456789ab"}), "it is not there")
	assert.Equal(t, before, d.stored(t))
	require.NoError(t, i.Revoke(t.Context(), rotation.Key{ID: key.ID, Attributes: key.Attributes}))
	require.ErrorIs(t, i.Verify(t.Context(), key), rotation.ErrRejected)
	require.NoError(t, i.Verify(t.Context(), rotation.Key{Secret: secret.New(first)}))
}

func TestIssueNeedsAValue(t *testing.T) {
	i := newIssuer(t, start(t).config())
	_, err := i.Issue(t.Context(), rotation.IssueRequest{Name: "app-v2"})
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = i.Issue(over, rotation.IssueRequest{Chosen: choose(t, i)})
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	require.ErrorIs(t, err, context.Canceled)
}

// The last password of an entry that has to have one stays, and the error says why.
func TestLastPassword(t *testing.T) {
	d := start(t)
	c := d.config()
	c.DN = "uid=simple," + base
	require.NoError(t, d.addSimple(c.DN, first))
	i := newIssuer(t, c)
	old, err := i.Find(t.Context(), secret.New(first))
	require.NoError(t, err)
	require.ErrorContains(t, i.Revoke(t.Context(), old), "this is its last one")
	key := issue(t, i)
	require.NoError(t, i.Revoke(t.Context(), old))
	require.NoError(t, i.Verify(t.Context(), key))
}
