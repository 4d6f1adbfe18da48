// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/verify"
)

// canary stands for what must never be seen outside of its Value.
const canary = "canary-0d2e77"

var key = rotation.Key{ID: "k1", Generation: 2, Secret: secret.New(canary)}

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// clean fails if err shows the canary, or if its text may not be recorded.
func clean(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	recorded := &rotation.Error{Err: err}
	data, jsonErr := json.Marshal(recorded)
	require.NoError(t, jsonErr)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		assert.NotContains(t, fmt.Sprintf(verb, err)+fmt.Sprintf(verb, recorded)+string(data), canary)
	}
	var public rotation.PublicError
	assert.ErrorAs(t, err, &public)
}

// unknown fails unless err leaves open whether the key is accepted.
func unknown(t *testing.T, err error) {
	t.Helper()
	clean(t, err)
	assert.NotErrorIs(t, err, rotation.ErrRejected)
}

func TestProbeStatus(t *testing.T) {
	for status := 200; status < 600; status++ {
		if status >= 210 && status < 300 || status > 310 && status < 400 || status > 520 {
			continue
		}
		p := verify.Probe{URL: serve(t, answer(status, canary)) + "/whoami?q=" + canary}
		err := p.Verify(t.Context(), key)
		switch {
		case status < 300:
			require.NoError(t, err, status)
		case status == 401:
			require.ErrorIs(t, err, rotation.ErrRejected)
			clean(t, err)
		default:
			unknown(t, err)
			assert.ErrorContains(t, err, fmt.Sprint(status))
			assert.ErrorContains(t, err, "/whoami")
		}
	}
}

func TestProbeRequest(t *testing.T) {
	var got *http.Request
	var body string
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		got, body = r, string(data)
	})
	require.NoError(t, verify.Probe{URL: url}.Verify(t.Context(), key))
	assert.Equal(t, "GET", got.Method)
	assert.Equal(t, "Bearer "+canary, got.Header.Get("Authorization"))
	assert.Equal(t, "no-cache", got.Header.Get("Cache-Control"))
	assert.Empty(t, got.Header.Get("Content-Type"))

	p := verify.Probe{URL: url, Method: "POST", Body: `{"a":1}`, Auth: func(r *http.Request, k rotation.Key) {
		r.SetBasicAuth(k.ID, k.Secret.Reveal())
	}}
	require.NoError(t, p.Verify(t.Context(), key))
	assert.Equal(t, "POST", got.Method)
	assert.Equal(t, `{"a":1}`, body)
	assert.Equal(t, "application/json", got.Header.Get("Content-Type"))
	user, password, _ := got.BasicAuth()
	assert.Equal(t, "k1 "+canary, user+" "+password)

	p.Auth = func(r *http.Request, _ rotation.Key) { r.Header.Set("Content-Type", "text/xml") }
	require.NoError(t, p.Verify(t.Context(), key))
	assert.Equal(t, "text/xml", got.Header.Get("Content-Type"))
}

func TestProbeRejected(t *testing.T) {
	p := verify.Probe{URL: serve(t, answer(403, canary)), Rejected: []int{401, 403}}
	err := p.Verify(t.Context(), key)
	require.ErrorIs(t, err, rotation.ErrRejected)
	clean(t, err)

	p = verify.Probe{URL: serve(t, answer(401, canary)), Rejected: []int{}}
	unknown(t, p.Verify(t.Context(), key))
}

func TestProbeAnswer(t *testing.T) {
	// Some say yes to everybody, and what they mean in the body.
	p := verify.Probe{Answer: func(r *http.Response) error {
		body, err := io.ReadAll(r.Body)
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(string(body), "ok"):
			return nil
		case strings.HasPrefix(string(body), "dead"):
			return fmt.Errorf("%w: %s", rotation.ErrRejected, body)
		case strings.HasPrefix(string(body), "wait"):
			return fmt.Errorf("%w: %s", rotation.ErrNotYet, body)
		case strings.HasPrefix(string(body), "said"):
			return fmt.Errorf("%s: %w", canary, said("in maintenance"))
		}
		return fmt.Errorf("%d bytes: %.99s", len(body), body)
	}}
	p.URL = serve(t, answer(200, "ok"))
	require.NoError(t, p.Verify(t.Context(), key))

	p.URL = serve(t, answer(200, "dead "+canary))
	err := p.Verify(t.Context(), key)
	require.ErrorIs(t, err, rotation.ErrRejected)
	clean(t, err)

	p.URL = serve(t, answer(200, "wait "+canary))
	err = p.Verify(t.Context(), key)
	require.ErrorIs(t, err, rotation.ErrNotYet)
	unknown(t, err)

	p.URL = serve(t, answer(200, "said "+canary))
	err = p.Verify(t.Context(), key)
	unknown(t, err)
	assert.ErrorContains(t, err, "in maintenance")

	p.URL = serve(t, answer(200, canary))
	unknown(t, p.Verify(t.Context(), key))

	p.URL = serve(t, answer(500, "ok"))
	unknown(t, p.Verify(t.Context(), key))

	var read int64
	p.URL = serve(t, answer(200, strings.Repeat(canary, 1<<18)))
	p.Answer = func(r *http.Response) error {
		read, _ = io.Copy(io.Discard, r.Body)
		return nil
	}
	require.NoError(t, p.Verify(t.Context(), key))
	assert.Equal(t, int64(1<<20), read, "no more than that is read")
}

// said is an error whose text is public.
type said string

func (s said) Error() string  { return string(s) }
func (s said) Public() string { return string(s) }

func TestProbeHalfAnAnswerIsNoRejection(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := verify.Probe{URL: serve(t, answer(200, "")), Answer: func(*http.Response) error {
		cancel()
		return rotation.ErrRejected
	}}
	err := p.Verify(ctx, key)
	unknown(t, err)
	assert.ErrorIs(t, err, context.Canceled)
}

func TestProbeFollowsNoRedirect(t *testing.T) {
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the key went elsewhere") })
	for _, status := range []int{301, 302, 303, 307, 308} {
		url := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere+"/"+canary, status) })
		unknown(t, verify.Probe{URL: url}.Verify(t.Context(), key))
	}
}

func TestProbeKeepsNoSession(t *testing.T) {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := &http.Client{Jar: jar}
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("session"); err != nil && r.Header.Get("Authorization") != "Bearer "+canary {
			w.WriteHeader(401)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "s"})
	})
	p := verify.Probe{URL: url, Client: client}
	require.NoError(t, p.Verify(t.Context(), key))
	err = p.Verify(t.Context(), rotation.Key{Secret: secret.New("dead")})
	require.ErrorIs(t, err, rotation.ErrRejected, "the session of the living key vouches for nothing")
	assert.NotNil(t, client.Jar)
	assert.Nil(t, client.CheckRedirect)
}

func TestProbeRateLimit(t *testing.T) {
	for _, status := range []int{429, 503} {
		p := verify.Probe{URL: serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "5")
			w.WriteHeader(status)
		})}
		err := p.Verify(t.Context(), key)
		unknown(t, err)
		assert.IsType(t, rotation.RetryAt(io.EOF, time.Now()), err)
	}
	unknown(t, verify.Probe{URL: serve(t, answer(429, canary))}.Verify(t.Context(), key))
}

func TestProbeTransport(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		conn.Close()
	})
	inURL := func(r *http.Request, k rotation.Key) { r.URL.Path = "/bot" + k.Secret.Reveal() + "/me" }
	err := verify.Probe{URL: url + "/bot/me", Auth: inURL}.Verify(t.Context(), key)
	unknown(t, err)
	assert.ErrorContains(t, err, url+"/bot/me", "the URL as configured")

	quoting := &http.Client{Transport: tripper(func(*http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("%w: %s", rotation.ErrRejected, canary)
	})}
	unknown(t, verify.Probe{URL: "http://example.com", Client: quoting}.Verify(t.Context(), key))

	badHeader := func(r *http.Request, k rotation.Key) { r.Header.Set("X-Key", k.Secret.Reveal()+"\n") }
	unknown(t, verify.Probe{URL: url, Auth: badHeader}.Verify(t.Context(), key))
	unknown(t, verify.Probe{URL: url, Method: "G ET"}.Verify(t.Context(), key))

	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		slow := &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, errors.New(canary)
		})}
		err := verify.Probe{URL: "http://example.com", Client: slow}.Verify(ctx, key)
		unknown(t, err)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestProbeValidate(t *testing.T) {
	silent := &http.Client{Transport: tripper(func(*http.Request) (*http.Response, error) {
		t.Error("something was sent")
		return nil, io.EOF
	})}
	p := verify.Probe{Client: silent}
	for _, err := range []error{p.Validate(), p.Check(t.Context()), p.Verify(t.Context(), key)} {
		assert.EqualError(t, err, "verify: Probe.URL is required")
	}
	p.URL = "http://example.com"
	unknown(t, p.Verify(t.Context(), rotation.Key{ID: "k1"}))
	p.Rejected = []int{200}
	assert.ErrorContains(t, p.Validate(), "Probe.Rejected")
	p.URL = "https://u:" + canary + "@example.com/me?k=" + canary
	assert.Equal(t, "https://example.com/me", p.Identity())
}
