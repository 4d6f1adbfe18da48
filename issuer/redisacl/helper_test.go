// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package redisacl_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/issuer/redisacl"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

const (
	app         = "app"
	permissions = "+acl|getuser +acl|setuser +acl|save +acl|whoami +acl|dryrun +client|kill +config|get +config|rewrite +info"
)

// place is a Redis with the user to rotate, and the administrator that the package's documentation describes.
type place struct {
	*servers.RedisServer
	root   *redis.Client // may do everything
	admin  *redis.Client // may do what is documented
	passes string        // of admin
}

func startAt(t *testing.T, where servers.RedisUsers) *place {
	t.Helper()
	p := &place{RedisServer: servers.RedisKeeping(t, where), passes: secret.Random(16).Reveal()}
	p.root = p.client(t, p.User, p.Password)
	p.do(t, "ACL SETUSER app on >first-"+p.passes+" ~app:* +@all -@dangerous -@admin")
	p.do(t, "ACL SETUSER handover on >"+p.passes+" "+permissions)
	switch where {
	case servers.RedisACLFile:
		p.do(t, "ACL SAVE")
	case servers.RedisConfig:
		p.do(t, "CONFIG REWRITE")
	}
	p.admin = p.client(t, "handover", p.passes)
	return p
}

func start(t *testing.T) *place {
	t.Helper()
	return startAt(t, servers.RedisACLFile)
}

func (p *place) client(t *testing.T, user, password string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: p.Addr, Username: user, Password: password, ContextTimeoutEnabled: true})
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c
}

// do runs a command as root.
func (p *place) do(t *testing.T, command string) any {
	t.Helper()
	var args []any
	for _, a := range strings.Fields(command) {
		args = append(args, a)
	}
	answer, err := p.root.Do(t.Context(), args...).Result()
	require.NoErrorf(t, err, "%s %s", args[0], args[1])
	return answer
}

// first is the key in use at the beginning.
func (p *place) first() rotation.Key {
	value := secret.New("first-" + p.passes)
	return rotation.Key{ID: redisacl.ID(value), Secret: value}
}

func newIssuer(t *testing.T, places ...*place) *redisacl.Issuer {
	t.Helper()
	c := redisacl.Config{User: app}
	for _, p := range places {
		c.Nodes = append(c.Nodes, p.admin)
	}
	i, err := redisacl.New(c)
	require.NoError(t, err)
	return i
}

func choose(t *testing.T, i *redisacl.Issuer) rotation.Key {
	t.Helper()
	key, err := i.Choose(t.Context(), rotation.IssueRequest{Name: "app-v2"})
	require.NoError(t, err)
	return key
}

func issue(t *testing.T, i *redisacl.Issuer) rotation.Key {
	t.Helper()
	key, err := i.Issue(t.Context(), rotation.IssueRequest{Name: "app-v2", Chosen: choose(t, i)})
	require.NoError(t, err)
	return key
}

// hashes are those that a server shows for the user.
func (p *place) hashes(t *testing.T) string {
	t.Helper()
	return fmt.Sprint(p.do(t, "ACL GETUSER "+app))
}

// soon bounds a call that is meant to fail.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// silent fails the test if what is printed shows one of the values.
func silent(t *testing.T, v any, values ...string) {
	t.Helper()
	data, _ := json.Marshal(v)
	text := fmt.Sprintf("%v %+v %#v %s", v, v, v, data)
	if err, ok := v.(error); ok {
		data, _ = json.Marshal(&rotation.Error{Err: err})
		text += string(data)
	}
	for _, value := range values {
		assert.NotContains(t, text, value)
	}
}
