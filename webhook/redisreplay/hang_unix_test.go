// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package redisreplay_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/webhook"
	"github.com/handover-go/handover/webhook/redisreplay"
)

// A server that hangs refuses deliveries when their time is up. What it was told meanwhile it does when it goes on, and still
// the sender's next try is welcome, once.
func TestHangs(t *testing.T) {
	redisServer := startServer(t)
	client := redisServer.client(t)
	s := &redisreplay.Store{Client: client, Timeout: 100 * time.Millisecond}
	e := newEndpoint(t, s)
	require.Equal(t, http.StatusOK, e.deliver(t, "msg_1")) // now there is a connection, and what is sent arrives

	redisServer.Pause()
	ends(t, redisServer, func() { require.Equal(t, http.StatusServiceUnavailable, e.deliver(t, "msg_2")) })
	require.ErrorIs(t, e.outcome, webhook.ErrReplayStore)
	require.ErrorIs(t, e.outcome, context.DeadlineExceeded)
	require.Equal(t, 1, e.taken)

	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	long := &redisreplay.Store{Client: client, Timeout: time.Hour}
	ends(t, redisServer, func() {
		_, err := long.Seen(short, "msg_3", ttl)
		require.ErrorIs(t, err, context.DeadlineExceeded, "the deadline of the call holds")
	})

	redisServer.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for client.Exists(ctx, "handover:replay:standard:msg_2").Val() == 0 {
		require.NoError(t, ctx.Err(), "it was sent, so it comes")
	}
	s.Timeout = time.Minute
	require.Equal(t, http.StatusOK, e.deliver(t, "msg_2"))
	require.Equal(t, http.StatusConflict, e.deliver(t, "msg_2"))
	require.Equal(t, 2, e.taken)
}

// ends fails the test if f hangs as long as the server does, and ends both.
func ends(t *testing.T, s server, f func()) {
	t.Helper()
	timer := time.AfterFunc(30*time.Second, func() {
		t.Error("it hangs as long as the server")
		s.Kill()
	})
	defer timer.Stop()
	f()
}
