// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package redisreplay_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/handover-go/handover/internal/servers"
)

// server is a Redis of the test's own.
type server struct{ *servers.RedisServer }

// startServer starts a server that ends with the test, or skips the test with one line where there is none.
func startServer(t *testing.T) server {
	t.Helper()
	return server{servers.Redis(t)}
}

// options of a client that gives up at the deadline it is given and at no other.
func (s server) options() *redis.Options {
	return &redis.Options{Addr: s.Addr, Username: s.User, Password: s.Password, ContextTimeoutEnabled: true, ReadTimeout: -1}
}

func (s server) client(t *testing.T) *redis.Client {
	c := redis.NewClient(s.options())
	t.Cleanup(func() { c.Close() })
	return c
}
