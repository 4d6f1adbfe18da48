// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/webhook"
)

// notes is a Replay that keeps what it was asked, and answers what it is told to. It is no Forgetter.
type notes struct {
	ids  []string
	ttls []time.Duration
	seen bool
	err  error
}

func (n *notes) Seen(_ context.Context, id string, ttl time.Duration) (bool, error) {
	n.ids, n.ttls = append(n.ids, id), append(n.ttls, ttl)
	return n.seen, n.err
}

func TestReplayIsAskedAboutWhatVerified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &notes{}
		v := mustVerifier(t, webhook.Config{Scheme: webhook.Standard, Secrets: []webhook.Secret{sec("a", whsec)}, Replay: n})
		for _, by := range []string{otherWhsec, whsec, whsec} {
			_, _, err := v.VerifyRequest(send(t, webhook.Standard, "", "body", sec("x", by)))
			if by == otherWhsec {
				require.ErrorIs(t, err, webhook.ErrMismatch)
				require.Empty(t, n.ids, "an id that nobody signed")
				continue
			}
			require.NoError(t, err)
		}
		require.Equal(t, []string{"standard:msg_1", "standard:msg_1"}, n.ids)
		require.Equal(t, []time.Duration{10 * time.Minute, 10 * time.Minute}, n.ttls, "twice the tolerance")

		_, _, err := v.VerifyRequest(send(t, webhook.Standard, "", "body", sec("x", whsec)))
		require.NoError(t, err)
		n.seen = true
		_, m, err := v.VerifyRequest(send(t, webhook.Standard, "", "body", sec("x", whsec)))
		require.ErrorIs(t, err, webhook.ErrReplayed)
		require.Equal(t, "msg_1", m.MessageID)
		n.err = errors.New("connection refused")
		_, _, err = v.VerifyRequest(send(t, webhook.Standard, "", "body", sec("x", whsec)))
		require.ErrorIs(t, err, webhook.ErrReplayStore)
		require.ErrorIs(t, err, n.err)
		require.NotErrorIs(t, err, webhook.ErrReplayed)
	})
}

func TestReplayFor(t *testing.T) {
	for _, c := range []struct {
		config webhook.Config
		want   time.Duration
	}{
		{webhook.Config{Scheme: webhook.GitHub}, 24 * time.Hour},
		{webhook.Config{Scheme: webhook.GitHub, ReplayFor: time.Hour}, time.Hour},
		{webhook.Config{Scheme: webhook.Stripe}, 10 * time.Minute},
		{webhook.Config{Scheme: webhook.Stripe, Tolerance: time.Hour}, 2 * time.Hour},
		{webhook.Config{Scheme: webhook.Stripe, ReplayFor: time.Hour, Name: "payments"}, time.Hour},
	} {
		n := &notes{}
		c.config.Replay, c.config.Secrets = n, []webhook.Secret{sec("a", secretText)}
		v := mustVerifier(t, c.config)
		_, _, err := v.VerifyRequest(send(t, c.config.Scheme, "", "body", sec("a", secretText)))
		require.NoError(t, err)
		require.Equal(t, []time.Duration{c.want}, n.ttls)
		name := c.config.Scheme.String()
		if c.config.Name != "" {
			name = c.config.Name
		}
		require.Regexp(t, "^"+name+":[0-9a-f]{64}$", n.ids[0])
	}
}

// What is repeated is refused until it is stale by itself, whatever the clocks say.
func TestReplayCoversTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := mustVerifier(t, webhook.Config{
			Scheme: webhook.Stripe, Secrets: []webhook.Secret{sec("a", secretText)}, Replay: webhook.NewReplayCache(10),
		})
		h := http.Header{}
		ahead := time.Now().Add(5 * time.Minute) // by the clock of a sender that is as much ahead as can be
		require.NoError(t, mustSigner(t, webhook.Stripe, sec("a", secretText)).Sign(h, "", ahead, []byte("body")))
		_, err := verify(v, h, "body")
		require.NoError(t, err)
		for range 20 {
			time.Sleep(time.Minute)
			_, err := verify(v, h, "body")
			require.Error(t, err)
		}
	})
}

func TestMiddlewareAndReplay(t *testing.T) {
	v := githubVerifier(t, webhook.Config{Replay: webhook.NewReplayCache(10)})
	status, panics := http.StatusOK, false
	handler := v.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if panics {
			panic("handler")
		}
		if status == http.StatusOK {
			fmt.Fprint(w, "ok")
			assert.NoError(t, http.NewResponseController(w).Flush())
		}
		if status != 0 {
			w.WriteHeader(status)
		}
	}))
	post := func(body string) int {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header = githubHeader(secretText, body)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	for i, next := range []int{http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusFound, http.StatusBadRequest} {
		status = next
		require.Equal(t, next, post("body"), i)
	}
	panics = true
	require.PanicsWithValue(t, "handler", func() { post("body") })
	panics, status = false, http.StatusOK
	require.Equal(t, http.StatusOK, post("body"), "what failed before is welcome again")
	require.Equal(t, http.StatusConflict, post("body"))
	status = http.StatusAccepted
	require.Equal(t, http.StatusAccepted, post("another"))
	require.Equal(t, http.StatusConflict, post("another"))
	status = 0
	post("a third")
	require.Equal(t, http.StatusConflict, post("a third"), "no answer is 200")

	// A Replay that cannot forget: the second try of what failed is a repetition.
	n := &notes{}
	v = githubVerifier(t, webhook.Config{Replay: n})
	handler = v.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	status = http.StatusInternalServerError
	require.Equal(t, http.StatusInternalServerError, post("body"))
	require.NoError(t, v.Forget(context.Background(), webhook.Match{}))
	n.err = errors.New("down")
	require.Equal(t, http.StatusServiceUnavailable, post("body"), "the sender is to try again")
}

// A hint before the answer is not the answer.
func TestEarlyHintsAreNoAnswer(t *testing.T) {
	v := githubVerifier(t, webhook.Config{Replay: webhook.NewReplayCache(10)})
	server := httptest.NewServer(v.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusInternalServerError)
	})))
	defer server.Close()
	for range 2 {
		r, err := http.NewRequest(http.MethodPost, server.URL, strings.NewReader("body"))
		require.NoError(t, err)
		r.Header = githubHeader(secretText, "body")
		resp, err := server.Client().Do(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusInternalServerError, resp.StatusCode, "and so it is forgotten")
	}
}

func TestForget(t *testing.T) {
	ctx := context.Background()
	v := githubVerifier(t, webhook.Config{Replay: webhook.NewReplayCache(10)})
	h := githubHeader(secretText, "body")
	m, err := verify(v, h, "body")
	require.NoError(t, err)
	_, err = verify(v, h, "body")
	require.ErrorIs(t, err, webhook.ErrReplayed)
	require.NoError(t, v.Forget(ctx, m))
	require.NoError(t, v.Forget(ctx, m))
	_, err = verify(v, h, "body")
	require.NoError(t, err)
	require.NoError(t, githubVerifier(t, webhook.Config{}).Forget(ctx, m))
}

func TestReplayCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		c := webhook.NewReplayCache(3)
		seen := func(id string, ttl time.Duration) bool {
			before, err := c.Seen(ctx, id, ttl)
			require.NoError(t, err)
			return before
		}
		require.False(t, seen("a", time.Minute))
		require.True(t, seen("a", time.Minute))
		time.Sleep(time.Minute)
		require.True(t, seen("a", time.Minute), "until the last moment")
		time.Sleep(time.Nanosecond)
		require.False(t, seen("a", time.Minute), "expired, and there again")

		// Full: what has expired goes first, whatever its place, and then the oldest.
		require.False(t, seen("long", time.Hour))
		require.False(t, seen("short", time.Second))
		time.Sleep(2 * time.Second)
		require.False(t, seen("b", time.Hour))
		require.True(t, seen("a", time.Minute))
		require.True(t, seen("long", time.Hour))
		require.False(t, seen("c", time.Hour))
		require.False(t, seen("a", time.Hour), "the oldest had to go")
		require.True(t, seen("b", time.Hour))
		require.True(t, seen("c", time.Hour))
		require.False(t, seen("long", time.Hour))
	})
}

func TestReplayCacheIsBounded(t *testing.T) {
	ctx := context.Background()
	c := webhook.NewReplayCache(100)
	for i := range 10_000 {
		before, err := c.Seen(ctx, fmt.Sprint(i), time.Duration(1+i%7)*time.Hour)
		require.NoError(t, err)
		require.False(t, before)
		if i%3 == 0 {
			require.NoError(t, c.(webhook.Forgetter).Forget(ctx, fmt.Sprint(i)))
			require.NoError(t, c.(webhook.Forgetter).Forget(ctx, "unknown"))
		}
	}
	known := 0
	for i := range 10_000 {
		before, _ := c.Seen(ctx, fmt.Sprint(i), time.Hour)
		if before {
			known++
		}
	}
	require.LessOrEqual(t, known, 100)
}

// Of many that ask about the same id at once, one is told that it is new.
func TestReplayCacheUnderLoad(t *testing.T) {
	c := webhook.NewReplayCache(1000)
	var mu sync.Mutex
	first := map[string]int{}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for i := range 200 {
				id := fmt.Sprint(i)
				before, err := c.Seen(context.Background(), id, time.Hour)
				if err != nil {
					t.Error(err)
				}
				if !before {
					mu.Lock()
					first[id]++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	for id, n := range first {
		require.Equal(t, 1, n, id)
	}
	require.Len(t, first, 200)
}
