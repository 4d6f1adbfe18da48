// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package redisreplay_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
	"github.com/handover-go/handover/webhook/redisreplay"
)

const ttl = 10 * time.Minute

func TestSeen(t *testing.T) {
	client := startServer(t).client(t)
	s := &redisreplay.Store{Client: client, Timeout: time.Minute}
	require.NoError(t, s.Check(t.Context()))
	require.Empty(t, client.Keys(t.Context(), "*").Val(), "Check leaves nothing behind")

	requireSeen(t, s, "standard:a", false)
	requireSeen(t, s, "standard:a", true)
	requireSeen(t, s, "standard:b", false)
	require.NoError(t, s.Forget(t.Context(), "standard:a"))
	require.NoError(t, s.Forget(t.Context(), "standard:never"))
	requireSeen(t, s, "standard:a", false)

	left := client.PTTL(t.Context(), "handover:replay:standard:a").Val()
	assert.Greater(t, left, ttl/2)
	assert.LessOrEqual(t, left, ttl)

	other := &redisreplay.Store{Client: client, Prefix: "other:", Timeout: time.Minute}
	requireSeen(t, other, "standard:a", false)
	assert.Equal(t, int64(1), client.Exists(t.Context(), "other:standard:a").Val())

	again := &redisreplay.Store{Client: client, Timeout: time.Minute} // a process that starts later
	requireSeen(t, again, "standard:a", true)
}

func requireSeen(t *testing.T, s *redisreplay.Store, id string, want bool) {
	t.Helper()
	seen, err := s.Seen(t.Context(), id, ttl)
	require.NoError(t, err)
	require.Equal(t, want, seen)
}

func TestExpiry(t *testing.T) {
	client := startServer(t).client(t)
	s := &redisreplay.Store{Client: client, Timeout: time.Minute}
	const short = 300 * time.Millisecond
	seen, err := s.Seen(t.Context(), "a", short)
	require.NoError(t, err)
	require.False(t, seen)
	for repetitions := 0; ; repetitions++ {
		left := client.PTTL(t.Context(), "handover:replay:a").Val()
		seen, err := s.Seen(t.Context(), "a", ttl)
		require.NoError(t, err)
		if !seen {
			t.Logf("expired after %d repetitions", repetitions)
			break
		}
		require.LessOrEqual(t, left, short, "a repetition does not make it last longer")
		require.NotEqual(t, time.Duration(-1), left, "it lasts for ever")
	}
	requireSeen(t, s, "a", true)
}

func TestMistakes(t *testing.T) {
	unbounded := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer unbounded.Close()
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}})
	defer cluster.Close()
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	defer ring.Close()
	bounded := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", ContextTimeoutEnabled: true})
	defer bounded.Close()
	for name, c := range map[string]struct {
		store *redisreplay.Store
		want  string
	}{
		"nothing":    {&redisreplay.Store{}, "Store.Client is required"},
		"unbounded":  {&redisreplay.Store{Client: unbounded}, "ContextTimeoutEnabled is not set"},
		"cluster":    {&redisreplay.Store{Client: cluster}, "ContextTimeoutEnabled is not set"},
		"ring":       {&redisreplay.Store{Client: ring}, "ContextTimeoutEnabled is not set"},
		"nil client": {&redisreplay.Store{Client: (*redis.Client)(nil)}, "Store.Client is nil"},
		"timeout":    {&redisreplay.Store{Client: bounded, Timeout: -1}, "Store.Timeout is negative"},
	} {
		t.Run(name, func(t *testing.T) {
			_, seen := c.store.Seen(t.Context(), "a", ttl)
			for _, err := range []error{
				c.store.Validate(), c.store.Check(t.Context()), c.store.Forget(t.Context(), "a"), seen,
			} {
				assert.ErrorContains(t, err, c.want)
			}
		})
	}
	s := &redisreplay.Store{Client: bounded}
	require.NoError(t, s.Validate())
	_, err := s.Seen(t.Context(), "a", time.Microsecond)
	require.ErrorContains(t, err, "too short")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Seen(ctx, "a", ttl)
	require.ErrorIs(t, err, context.Canceled)
}

// endpoint is a receiver that notes its answers.
type endpoint struct {
	handler http.Handler
	signer  *webhook.Signer
	taken   int
	outcome error
}

func newEndpoint(t *testing.T, replay webhook.Replay) *endpoint {
	t.Helper()
	e := &endpoint{}
	secrets := []webhook.Secret{{ID: "1", Value: secret.New("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")}}
	v, err := webhook.NewVerifier(webhook.Config{
		Scheme: webhook.Standard, Secrets: secrets, Replay: replay, Observe: func(_ webhook.Match, err error) { e.outcome = err },
	})
	require.NoError(t, err)
	e.handler = v.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { e.taken++ }))
	e.signer, err = webhook.NewSigner(webhook.Standard, secrets...)
	require.NoError(t, err)
	return e
}

// deliver sends a message, as its sender does when it tries again too.
func (e *endpoint) deliver(t *testing.T, id string) (status int) {
	t.Helper()
	const body = `{"paid":true}`
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://hooks.example.com/", strings.NewReader(body))
	require.NoError(t, e.signer.Sign(r.Header, id, time.Now(), []byte(body)))
	w := httptest.NewRecorder()
	e.handler.ServeHTTP(w, r)
	return w.Code
}

// A server that is killed refuses deliveries, with an error that says what happened, until there is one again.
func TestKilled(t *testing.T) {
	redisServer := startServer(t)
	e := newEndpoint(t, &redisreplay.Store{Client: redisServer.client(t), Timeout: 200 * time.Millisecond})
	require.Equal(t, http.StatusOK, e.deliver(t, "msg_1"))
	require.Equal(t, http.StatusConflict, e.deliver(t, "msg_1"))
	require.ErrorIs(t, e.outcome, webhook.ErrReplayed)

	redisServer.Kill()
	for range 2 {
		require.Equal(t, http.StatusServiceUnavailable, e.deliver(t, "msg_2"))
		require.ErrorIs(t, e.outcome, webhook.ErrReplayStore)
	}
	require.Equal(t, 1, e.taken)

	redisServer.Start()
	require.Equal(t, http.StatusOK, e.deliver(t, "msg_2"))
	require.Equal(t, http.StatusConflict, e.deliver(t, "msg_2"))
	require.Equal(t, 2, e.taken)
}

// What Redis answers may hold anything: its text is in no error.
func TestErrorsHoldNoAnswer(t *testing.T) {
	redisServer := startServer(t)
	client := redisServer.client(t)
	s := &redisreplay.Store{Client: client, Timeout: time.Minute}
	requireSeen(t, s, "a", false)

	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "1").Err())
	_, err := s.Seen(t.Context(), "b", ttl)
	require.EqualError(t, err, "redisreplay: Redis answers OOM")
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "0").Err())
	requireSeen(t, s, "b", false)

	options := redisServer.options()
	options.Password = "another-password"
	stranger := redis.NewClient(options)
	defer stranger.Close()
	_, err = (&redisreplay.Store{Client: stranger, Timeout: time.Minute}).Seen(t.Context(), "c", ttl)
	require.ErrorContains(t, err, "redisreplay: Redis answers ")
	assert.NotContains(t, err.Error(), "password")
}

// lossy loses the next answer, and the connection with it.
type lossy struct {
	net.Conn
	armed *atomic.Bool
	lost  bool
}

func (c *lossy) Read(p []byte) (int, error) {
	if c.lost {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p)
	if err == nil && c.armed.CompareAndSwap(true, false) {
		c.lost = true
		return 0, io.EOF
	}
	return n, err
}

// The client repeats a command whose answer was lost, and finds its own key: that is no repetition.
func TestLostAnswer(t *testing.T) {
	redisServer := startServer(t)
	var armed atomic.Bool
	options := redisServer.options()
	options.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &lossy{Conn: c, armed: &armed}, err
	}
	for name, retries := range map[string]int{"the client tries again": 3, "the client gives up": -1} {
		t.Run(name, func(t *testing.T) {
			options := *options
			options.MaxRetries = retries
			client := redis.NewClient(&options)
			defer client.Close()
			s := &redisreplay.Store{Client: client, Timeout: time.Minute}
			require.NoError(t, s.Check(t.Context()))

			armed.Store(true)
			seen, err := s.Seen(t.Context(), name, ttl)
			require.False(t, armed.Load())
			if retries < 0 {
				require.ErrorIs(t, err, io.EOF)
				require.Equal(t, int64(1), client.Exists(t.Context(), "handover:replay:"+name).Val())
				require.Equal(t, 1, newOnes(t, s, name, 8)) // the sender tries again, and somebody else with it
				require.Zero(t, s.Unsure())
				return
			}
			require.NoError(t, err)
			require.False(t, seen)
			requireSeen(t, s, name, true)
		})
	}
}

// newOnes asks about one delivery from many goroutines at once, and counts those that are told that it is new.
func newOnes(t *testing.T, s *redisreplay.Store, id string, goroutines int) int {
	t.Helper()
	var (
		wg    sync.WaitGroup
		count atomic.Int32
	)
	for range goroutines {
		wg.Go(func() {
			seen, err := s.Seen(t.Context(), id, ttl)
			assert.NoError(t, err)
			if !seen {
				count.Add(1)
			}
		})
	}
	wg.Wait()
	return int(count.Load())
}

// refusing is a hook that lets no command out.
type refusing struct{}

var errRefusing = errors.New("refused")

func (refusing) DialHook(next redis.DialHook) redis.DialHook { return next }

func (refusing) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(context.Context, redis.Cmder) error { return errRefusing }
}

func (refusing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// Many deliveries of which nobody knows are not kept for ever.
func TestUnsureIsBounded(t *testing.T) {
	client := redis.NewClient(&redis.Options{ContextTimeoutEnabled: true})
	defer client.Close()
	client.AddHook(refusing{})
	s := &redisreplay.Store{Client: client, Timeout: time.Minute}
	for i := range redisreplay.MostUnsure + 10 {
		_, err := s.Seen(t.Context(), string(rune(i)), ttl)
		require.ErrorIs(t, err, errRefusing)
	}
	assert.Equal(t, redisreplay.MostUnsure, s.Unsure())
}
