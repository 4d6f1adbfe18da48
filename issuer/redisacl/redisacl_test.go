// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package redisacl_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer/redisacl"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

func TestNew(t *testing.T) {
	client := func(o redis.Options) *redis.Client {
		c := redis.NewClient(&o)
		t.Cleanup(func() { assert.NoError(t, c.Close()) })
		return c
	}
	good := client(redis.Options{Addr: "a:1", Username: "handover", Password: "canary-1", ContextTimeoutEnabled: true})
	for name, row := range map[string]struct {
		config redisacl.Config
		want   []string
	}{
		"nothing": {redisacl.Config{}, []string{"redisacl: Config.User is required", "redisacl: Config.Nodes is required"}},
		"spaces":  {redisacl.Config{User: "app on nopass", Nodes: []*redis.Client{good}}, []string{"Config.User is required, and has no spaces"}},
		"nil":     {redisacl.Config{User: app, Nodes: []*redis.Client{good, nil}}, []string{"Config.Nodes[1] is nil"}},
		"no deadline": {
			redisacl.Config{User: app, Nodes: []*redis.Client{client(redis.Options{Addr: "b:1", Username: "handover"})}},
			[]string{"Config.Nodes[0]: its Options need ContextTimeoutEnabled: true"},
		},
		"itself": {
			redisacl.Config{User: "default", Nodes: []*redis.Client{client(redis.Options{Addr: "b:1", Password: "canary-1", ContextTimeoutEnabled: true})}},
			[]string{`Config.Nodes[0] logs in as "default", the user that is rotated`},
		},
		"twice": {redisacl.Config{User: app, Nodes: []*redis.Client{good, good}}, []string{"Config.Nodes[1] is a:1 once more"}},
	} {
		t.Run(name, func(t *testing.T) {
			i, err := redisacl.New(row.config)
			assert.Nil(t, i)
			for _, want := range row.want {
				require.ErrorContains(t, err, want)
			}
			silent(t, err, "canary-1")
		})
	}
	config := redisacl.Config{User: app, Nodes: []*redis.Client{good}}
	i, err := redisacl.New(config)
	require.NoError(t, err)
	silent(t, config, "canary-1")
	silent(t, i, "canary-1")
	silent(t, *i, "canary-1")
	assert.Equal(t, "redis user app at a:1", i.Identity())
	assert.Equal(t, rotation.Traits{Propagation: -1, ListLag: -1, Independent: true}, i.Describe())
}

func TestID(t *testing.T) {
	value := secret.New("newpass")
	assert.Equal(t, "253c2e786c24", redisacl.ID(value), "the beginning of its SHA-256")
	assert.Empty(t, redisacl.ID(secret.Value{}))
}

// A key of which only the identity is known is revoked by its id, and an id of somebody else's revokes nothing.
func TestRevokeByID(t *testing.T) {
	p := start(t)
	i := newIssuer(t, p)
	key := issue(t, i)
	before := p.hashes(t)
	for _, bad := range []rotation.Key{
		{},
		{ID: "app-v1"},
		{ID: "253c2e"},
		{ID: strings.Repeat("x", 12)},
		{ID: key.ID, Attributes: map[string]string{"user": "another"}},
		{ID: "app-v1", Secret: key.Secret, Attributes: map[string]string{"user": "another"}},
	} {
		require.Error(t, i.Revoke(t.Context(), bad))
	}
	require.NoError(t, i.Revoke(t.Context(), rotation.Key{ID: "253c2e786c24"}), "it is not there")
	assert.Equal(t, before, p.hashes(t))
	require.NoError(t, i.Revoke(t.Context(), rotation.Key{ID: key.ID, Attributes: key.Attributes}))
	require.ErrorIs(t, i.Verify(t.Context(), key), rotation.ErrRejected)
	require.NoError(t, i.Verify(t.Context(), p.first()))
	require.NoError(t, i.Revoke(t.Context(), rotation.Key{ID: "seeded under another id", Secret: p.first().Secret}))
	require.ErrorIs(t, i.Verify(t.Context(), p.first()), rotation.ErrRejected)
}

// Each permission that is missing is named, and nothing else is needed: the tests run with those of the documentation.
func TestCheckNamesThePermission(t *testing.T) {
	p := start(t)
	i := newIssuer(t, p)
	require.NoError(t, i.Check(t.Context()))
	for _, permission := range strings.Fields(permissions) {
		name := strings.TrimPrefix(permission, "+")
		if name == "config|rewrite" || name == "info" { // of a server without an aclfile
			continue
		}
		t.Run(name, func(t *testing.T) {
			p.do(t, "ACL SETUSER handover -"+name)
			defer p.do(t, "ACL SETUSER handover "+permission)
			err := i.Check(t.Context())
			require.ErrorIs(t, err, rotation.ErrDenied)
			require.ErrorContains(t, err, permission)
			require.ErrorContains(t, err, p.Addr)
		})
	}
	p.do(t, "ACL SETUSER app off")
	require.ErrorContains(t, i.Check(t.Context()), "switched off")
	p.do(t, "ACL SETUSER handover >another <"+p.passes)
	p.do(t, "CLIENT KILL USER handover")
	err := i.Check(t.Context())
	require.ErrorIs(t, err, rotation.ErrDenied)
	require.ErrorContains(t, err, "does not know the administrator")
	require.NotErrorIs(t, err, rotation.ErrRejected)
}

// A login that is refused for another reason than the password says nothing of it.
func TestVerifyKnowsOnlyRefusedPasswords(t *testing.T) {
	p := start(t)
	i := newIssuer(t, p)
	require.NoError(t, i.Check(t.Context()), "its connection stays")
	clients := strings.Count(p.do(t, "CLIENT LIST").(string), "id=")
	p.do(t, fmt.Sprintf("CONFIG SET maxclients %d", clients))
	for _, key := range []rotation.Key{p.first(), choose(t, i)} {
		err := i.Verify(t.Context(), key)
		require.Error(t, err, "too many clients")
		require.NotErrorIs(t, err, rotation.ErrRejected)
		silent(t, err, key.Secret.Reveal())
	}
}

func TestIssueNeedsAValue(t *testing.T) {
	p := start(t)
	i := newIssuer(t, p)
	_, err := i.Issue(t.Context(), rotation.IssueRequest{Name: "app-v2"})
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = i.Issue(over, rotation.IssueRequest{Chosen: choose(t, i)})
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	require.ErrorIs(t, err, context.Canceled)
}
