// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/internal/wire"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestReset(t *testing.T) {
	cases := []struct {
		name, value string
		want        time.Duration // from now; negative: nothing understood
	}{
		{"Retry-After", "120", 2 * time.Minute},
		{"Retry-After", " 1.5 ", 1500 * time.Millisecond},
		{"Retry-After", "0", 0},
		{"Retry-After", "Sun, 01 Mar 2026 12:05:00 GMT", 5 * time.Minute},
		{"Retry-After", "Sun, 01 Mar 2026 11:00:00 GMT", 0},
		{"Retry-After", "99999999", 24 * time.Hour},
		{"Retry-After", "-5", -1},
		{"Retry-After", "NaN", -1},
		{"Retry-After", "Inf", -1},
		{"Retry-After", "1e400", -1},
		{"Retry-After", "soon", -1},
		{"Retry-After", "", -1},
		{"X-RateLimit-Reset", "1772366460", time.Minute},
		{"X-RateLimit-Reset", "1772366460000", time.Minute},
		{"X-RateLimit-Reset", "1e300", 24 * time.Hour},
		{"X-RateLimit-Reset", "30", 30 * time.Second},
		{"X-RateLimit-Reset", "2026-03-01T12:01:00Z", time.Minute},
		{"RateLimit-Reset", "45", 45 * time.Second},
	}
	for _, c := range cases {
		t.Run(c.name+" "+c.value, func(t *testing.T) {
			h := http.Header{}
			h.Set(c.name, c.value)
			got, ok := wire.Reset(h, now)
			require.Equal(t, c.want >= 0, ok)
			if ok {
				assert.Equal(t, c.want, got.Sub(now))
			}
		})
	}
}

func TestResetPrefersRetryAfter(t *testing.T) {
	h := http.Header{}
	h.Set("RateLimit-Reset", "1")
	h.Set("X-RateLimit-Reset", "2")
	h.Set("Retry-After", "3")
	got, ok := wire.Reset(h, now)
	require.True(t, ok)
	assert.Equal(t, 3*time.Second, got.Sub(now))

	h.Set("Retry-After", "later")
	got, _ = wire.Reset(h, now)
	assert.Equal(t, 2*time.Second, got.Sub(now), "what is not understood is passed over")
}

func FuzzReset(f *testing.F) {
	for _, s := range []string{"1", "-1", "1e999", "1772366460", "Sun, 01 Mar 2026 12:05:00 GMT", "0x1p-2", "2026-03-01T12:01:00Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := wire.Reset(http.Header{"Retry-After": {s}, "X-Ratelimit-Reset": {s}, "Ratelimit-Reset": {s}}, now)
		if ok && (got.Before(now) || got.After(now.Add(24*time.Hour))) {
			t.Fatalf("%q: %s is not within a day", s, got)
		}
		if !ok && !got.IsZero() {
			t.Fatalf("%q: a time that is none: %s", s, got)
		}
	})
}

func TestEpoch(t *testing.T) {
	assert.Equal(t, time.Date(2026, 6, 4, 14, 42, 9, 500e6, time.UTC), wire.Epoch(1780584129.5))
	assert.Equal(t, wire.Epoch(1780584129), wire.Epoch(1780584129000))
	assert.Equal(t, 9999, wire.Epoch(1e300).Year())
}

func TestRedact(t *testing.T) {
	for raw, want := range map[string]string{
		"https://user:canary@example.com/a/b?token=canary#canary": "https://example.com/a/b",
		"https://example.com:8443/a%2Fb":                          "https://example.com:8443/a%2Fb",
		"http://[::1]:80/":                                        "http://[::1]:80/",
		"/only/canary":                                            "(not a URL)",
		"https://example.com/%zz?canary":                          "(not a URL)",
		"":                                                        "(not a URL)",
	} {
		assert.Equal(t, want, wire.Redact(raw))
	}
}

// FuzzRedact: what is shown of an address is an address of the same place, without what may be secret; and an address that
// passes as one can be shown.
func FuzzRedact(f *testing.F) {
	f.Fuzz(func(t *testing.T, raw string) {
		shown, problem := wire.Redact(raw), wire.URLProblem("x: Y.URL", raw)
		u, err := url.Parse(raw)
		if problem != nil {
			require.Contains(t, []string{"x: Y.URL is required", "x: Y.URL is not an absolute http or https URL"}, problem.Error())
		} else {
			require.NoError(t, err)
			require.Contains(t, []string{"http", "https"}, u.Scheme)
			require.NotEmpty(t, u.Host)
		}
		require.Equal(t, shown, wire.Redact(shown), "of %q", raw)
		if shown == "(not a URL)" {
			require.Error(t, problem)
			return
		}
		again, err := url.Parse(shown)
		require.NoError(t, err)
		require.Equal(t, u.Scheme, again.Scheme)
		require.Equal(t, u.Host, again.Host)
		require.Equal(t, strings.TrimPrefix(u.EscapedPath(), "/"), strings.TrimPrefix(again.EscapedPath(), "/"))
		require.Nil(t, again.User)
		require.Empty(t, again.RawQuery+again.RawFragment+again.Fragment)
		require.NotContains(t, shown, "?")
		require.NotContains(t, shown, "#")
	})
}

func TestURLProblem(t *testing.T) {
	require.NoError(t, wire.URLProblem("x: Y.URL", "http://127.0.0.1:80/a?b=c"))
	assert.EqualError(t, wire.URLProblem("x: Y.URL", ""), "x: Y.URL is required")
	for _, raw := range []string{"/a", "ftp://example.com", "https://", "https://%zz", "mailto:a@b"} {
		assert.EqualError(t, wire.URLProblem("x: Y.URL", raw), "x: Y.URL is not an absolute http or https URL")
	}
}

func TestReason(t *testing.T) {
	live := t.Context()
	cancelled, cancel := context.WithCancel(live)
	cancel()
	for _, c := range []struct {
		ctx  context.Context
		err  error
		want string
		is   error
	}{
		{cancelled, errors.New("canary"), "cancelled", context.Canceled},
		{live, context.DeadlineExceeded, "timed out", context.DeadlineExceeded},
		{live, &net.OpError{Op: "read", Err: &net.DNSError{IsTimeout: true, Err: "canary"}}, "timed out", context.DeadlineExceeded},
		{live, &net.OpError{Op: "read", Err: syscall.ECONNRESET}, syscall.ECONNRESET.Error(), nil},
		{live, &net.DNSError{Err: "canary", Name: "canary"}, "host not found", nil},
		{live, &tls.CertificateVerificationError{Err: errors.New("canary")}, "the certificate is not trusted", nil},
		{live, &url.Error{Op: "Get", URL: "canary", Err: io.EOF}, "the connection ended before the answer did", nil},
		{live, errors.New("canary"), "no answer", nil},
	} {
		text, is := wire.Reason(c.ctx, c.err)
		assert.Equal(t, c.want, text)
		if c.is == nil {
			assert.Empty(t, is)
		} else {
			assert.Equal(t, []error{c.is}, is)
		}
	}
}

func TestRequestID(t *testing.T) {
	for value, want := range map[string]string{
		"req_01-A.b:c/d=":        "req_01-A.b:c/d=",
		"two words":              "",
		"<script>":               "",
		strings.Repeat("a", 129): "",
		strings.Repeat("a", 128): strings.Repeat("a", 128),
	} {
		h := http.Header{}
		h.Set("X-Request-Id", value)
		assert.Equal(t, want, wire.RequestID(h))
	}
	assert.Equal(t, "second", wire.RequestID(http.Header{"Request-Id": {"second"}}))
}

func TestClientLeavesTheOriginalAlone(t *testing.T) {
	original := &http.Client{Timeout: time.Second}
	quiet := wire.Client(original)
	assert.Nil(t, original.CheckRedirect)
	assert.Equal(t, http.ErrUseLastResponse, quiet.CheckRedirect(nil, nil))
	assert.Equal(t, time.Second, quiet.Timeout)
	wire.Client(nil)
	assert.Nil(t, http.DefaultClient.CheckRedirect)
}

func TestProblem(t *testing.T) {
	err := wire.Problem("x: y", io.EOF, context.Canceled)
	assert.EqualError(t, err, "x: y")
	assert.ErrorIs(t, err, io.EOF)
	assert.ErrorIs(t, err, context.Canceled)
	assert.NotErrorIs(t, err, io.ErrUnexpectedEOF)
}
