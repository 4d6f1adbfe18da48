// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/notify"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

const hookPath = "/services/T0/B0/" + canary

// chat is a server that takes messages, or answers with a status.
type chat struct {
	*httptest.Server
	mu     sync.Mutex
	texts  []string
	status int
	header http.Header
}

func newChat(t testing.TB) *chat {
	c := &chat{status: http.StatusOK}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *chat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var message map[string]string
	body, err := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, values := range c.header {
		w.Header()[name] = values
	}
	switch {
	case err != nil || json.Unmarshal(body, &message) != nil || r.Method != http.MethodPost || r.URL.Path != hookPath ||
		r.Header.Get("Content-Type") != "application/json" || len(message) != 1:
		w.WriteHeader(http.StatusBadRequest)
	case c.status != http.StatusOK:
		w.WriteHeader(c.status)
		_, _ = io.WriteString(w, "the answer says "+canary)
	default:
		c.texts = append(c.texts, message["text"])
		_, _ = io.WriteString(w, "ok")
	}
}

func (c *chat) slack() notify.Slack { return notify.Slack{URL: secret.New(c.URL + hookPath)} }

func TestSlack(t *testing.T) {
	c := newChat(t)
	require.NoError(t, c.slack().Deliver(t.Context(), event()))
	assert.Equal(t, []string{`payments.api: in trouble, checkout
What happened: payments.api: checkout: soak: old-key-in-use: last used at 11:58

What to do: find out who uses it

Credential: payments.api
Consumer: checkout
Diagnosis: old-key-in-use
Rotation: r7k2 (standard, soak, generation 4)
Contact: payments
Actor: ana
Time: 2026-03-01T12:00:00Z
Event: payments.api/w1/3/17 (failed, WARN)`}, c.texts)
	assert.Equal(t, "slack "+c.URL, c.slack().Identity())
	s := c.slack()
	s.Name = "#payments"
	assert.Equal(t, "slack "+c.URL+" #payments", s.Identity())
}

func TestSlackMentionsNobody(t *testing.T) {
	c := newChat(t)
	require.NoError(t, c.slack().Deliver(t.Context(), hostileEvent()))
	text := c.texts[0]
	requireHarmless(t, text)
	assert.LessOrEqual(t, utf8.RuneCountInString(text), 2000)
	assert.Contains(t, text, "\nWhat to do: a")
	assert.Equal(t, 1, strings.Count(text, "\nWhat to do:"), "no text passes for another line")
	assert.LessOrEqual(t, strings.Count(text, "\nCredential:"), 1)
}

// requireHarmless looks for what a chat would act on.
func requireHarmless(t *testing.T, text string) {
	t.Helper()
	require.True(t, utf8.ValidString(text))
	require.NotContains(t, text, "<")
	require.NotContains(t, text, ">")
	require.NotContains(t, text, "`")
	require.NotContains(t, text, "](")
	require.NotContains(t, text, "\u202e")
	for i, c := range text {
		rest := text[i:]
		switch {
		case c == '&' && !begins(rest, "&amp;", "&lt;\u200b", "&gt;", "&lt;…"):
			require.Fail(t, "no entity", "%.20q", rest)
		case c == '@' && !begins(rest, "@\u200b", "@…"):
			require.Fail(t, "a mention", "%.20q", rest)
		case c < ' ' && c != '\n':
			require.Fail(t, "a control character", "%.20q", rest)
		}
	}
}

func begins(text string, any ...string) bool {
	return slices.ContainsFunc(any, func(begin string) bool { return strings.HasPrefix(text, begin) })
}

func FuzzSlackText(f *testing.F) {
	c := newChat(f)
	s := c.slack()
	s.Client = &http.Client{Transport: c}
	for _, text := range []string{"", hostile, "&amp;", "@", "<", strings.Repeat("<", 3000), strings.Repeat("\n", 99), "a\xff", strings.Repeat("&", 399)} {
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		e := rotation.Event{Kind: rotation.EventKind(b), Credential: a, Consumer: b, Text: a, Problem: &rotation.Error{Evidence: b, Action: a}}
		require.NoError(t, s.Deliver(context.Background(), e))
		c.mu.Lock()
		text := c.texts[0]
		c.texts = nil
		c.mu.Unlock()
		requireHarmless(t, text)
		require.LessOrEqual(t, utf8.RuneCountInString(text), 2000)
		require.LessOrEqual(t, strings.Count(text, "\nWhat to do:"), 1)
	})
}

// RoundTrip serves without a connection, which is quicker.
func (c *chat) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w.Result(), nil
}

func TestSlackIsRefused(t *testing.T) {
	c := newChat(t)
	for status, is := range map[int]error{
		401: rotation.ErrDenied, 403: rotation.ErrDenied, 404: rotation.ErrNotFound, 410: rotation.ErrNotFound, 400: nil, 429: nil, 500: nil, 503: nil,
	} {
		c.status = status
		err := c.slack().Deliver(t.Context(), event())
		requireSilent(t, err)
		require.EqualError(t, err, fmt.Sprintf("notify: Slack %s: %d %s", c.URL, status, http.StatusText(status)))
		if is != nil {
			require.ErrorIs(t, err, is)
		}
	}
}

func TestSlackFollowsNoRedirect(t *testing.T) {
	c := newChat(t)
	away := newChat(t)
	c.status, c.header = http.StatusTemporaryRedirect, http.Header{"Location": {away.URL + hookPath}}
	err := c.slack().Deliver(t.Context(), event())
	requireSilent(t, err)
	require.ErrorContains(t, err, "a redirect, which is not followed")
	require.Empty(t, away.texts)
}

func TestSlackGetsNoAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := "http://" + l.Addr().String()
	s := notify.Slack{URL: secret.New(addr + hookPath)}

	go func() { // closes each connection at once
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	requireSilent(t, s.Deliver(t.Context(), event()))
	require.NoError(t, l.Close())

	err = s.Deliver(t.Context(), event())
	requireSilent(t, err)
	require.ErrorContains(t, err, "connection refused")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = s.Deliver(ctx, event())
	requireSilent(t, err)
	require.ErrorIs(t, err, context.Canceled)
}

// A destination that hangs costs its timeout.
func TestSlackHangs(t *testing.T) {
	for _, timeout := range []time.Duration{0, 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			client := pipeClient(t, func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
			})
			begin := time.Now()
			err := notify.Slack{URL: secret.New("http://chat.example" + hookPath), Client: client, Timeout: timeout}.Deliver(t.Context(), event())
			requireSilent(t, err)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.EqualError(t, err, "notify: Slack http://chat.example: timed out")
			want := timeout
			if want == 0 {
				want = 5 * time.Second
			}
			require.Equal(t, want, time.Since(begin))
		})
	}
}

func TestSlackIsTooFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := pipeClient(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusTooManyRequests)
		})
		err := notify.Slack{URL: secret.New("http://chat.example" + hookPath), Client: client}.Deliver(t.Context(), event())
		requireSilent(t, err)
		want := wire.Problem("notify: Slack http://chat.example: 429 Too Many Requests")
		require.Equal(t, rotation.RetryAt(want, time.Now().Add(30*time.Second)), err)
	})
}

func TestSlackValidate(t *testing.T) {
	hook := secret.New("https://hooks.example.com" + hookPath)
	for want, s := range map[string]notify.Slack{
		"notify: Slack.URL is required":                            {},
		"notify: Slack.URL is not an absolute http or https URL":   {URL: secret.New("hooks.example.com/" + canary)},
		"notify: Slack.URL is not an absolute http or https URL\n": {URL: secret.New("https://%zz" + canary), Timeout: -1},
		"notify: Slack.Timeout is negative":                        {URL: hook, Timeout: -1},
		"notify: Slack.Limit is less than 200":                     {URL: hook, Limit: 199},
	} {
		requireSilent(t, s.Validate())
		require.ErrorContains(t, s.Validate(), want)
		require.Equal(t, s.Validate(), s.Check(t.Context()))
		require.Equal(t, s.Validate(), s.Deliver(t.Context(), event()))
		require.NotContains(t, s.Identity(), "CANARY")
	}
	require.NoError(t, notify.Slack{URL: hook}.Check(t.Context()))
	require.NotContains(t, notify.Slack{URL: hook}.Identity(), "services")
}
