// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
)

// provider accepts one key, and remembers what it was sent.
type provider struct {
	*httptest.Server
	mu       sync.Mutex
	accepts  string
	seen     []string // Authorization
	bodies   []string
	redirect string
}

func newProvider(t *testing.T, accepts string) *provider {
	p := &provider{accepts: accepts}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, r.Header.Get("Authorization"))
	p.bodies = append(p.bodies, string(body))
	switch {
	case p.redirect != "":
		http.Redirect(w, r, p.redirect, http.StatusTemporaryRedirect)
	case r.Header.Get("Authorization") != "Bearer "+p.accepts:
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, "who are you?")
	}
}

func (p *provider) accept(value string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accepts = value
}

func httpClient(t *testing.T, transport *consumer.Transport) *http.Client {
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	transport.Base = base
	return &http.Client{Transport: transport}
}

func send(t *testing.T, c *http.Client, method, url string, body io.Reader) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	require.NoError(t, err)
	resp, err := c.Do(r)
	require.NoError(t, err)
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestTransportSendsTheLiveKey(t *testing.T) {
	p := newProvider(t, "hush-b")
	c := httpClient(t, &consumer.Transport{Handle: consumer.Static(key(1)), Origin: strings.ToUpper(p.URL) + "/"})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+"/x", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "mine")
	resp, err := c.Do(r)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "mine", r.Header.Get("Authorization"), "the caller's request is the caller's")
	require.Equal(t, "mine", resp.Request.Header.Get("Authorization"), "responses show no key")
}

func TestTransportAuth(t *testing.T) {
	p := newProvider(t, "")
	c := httpClient(t, &consumer.Transport{
		Handle: consumer.Static(key(1)), Origin: p.URL,
		Auth: func(r *http.Request, k rotation.Key) { r.SetBasicAuth(k.ID, k.Secret.Reveal()) },
	})
	send(t, c, http.MethodGet, p.URL, nil)
	require.True(t, strings.HasPrefix(p.seen[0], "Basic "))
}

func TestTransportKeepsTheKeyFromOtherOrigins(t *testing.T) {
	p, other := newProvider(t, "hush-b"), newProvider(t, "")
	h := consumer.Static(key(1))
	c := httpClient(t, &consumer.Transport{Handle: h, Origin: p.URL})
	p.redirect = other.URL // the same host, another port
	send(t, c, http.MethodGet, p.URL, nil)
	send(t, c, http.MethodGet, other.URL, nil)
	send(t, c, http.MethodPost, p.URL, strings.NewReader("x"))
	require.Equal(t, []string{"Bearer hush-b", "Bearer hush-b"}, p.seen)
	require.Equal(t, []string{"", "", ""}, other.seen)
}

func TestTransportOrigins(t *testing.T) {
	for _, c := range []struct {
		origin, url string
		same        bool
	}{
		{"https://api.example.com", "https://api.example.com/v1", true},
		{"https://api.example.com:443", "https://API.example.com/v1", true},
		{"http://api.example.com", "http://api.example.com:80/", true},
		{"http://[::1]", "http://[::1]:80/", true},
		{"https://api.example.com", "http://api.example.com/", false},
		{"https://api.example.com", "https://api.example.com:8443/", false},
		{"https://api.example.com", "https://sub.api.example.com/", false},
		{"https://api.example.com", "https://api.example.com.evil.example/", false},
		{"https://api.example.com", "https://evil.example/api.example.com", false},
		{"https://api.example.com", "https://api.example.com@evil.example/", false},
	} {
		var got string
		tr := &consumer.Transport{Handle: consumer.Static(key(1)), Origin: c.origin, Base: roundTripper(func(r *http.Request) *http.Response {
			got = r.Header.Get("Authorization")
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}
		})}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url, nil)
		require.NoError(t, err)
		_, err = tr.RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, c.same, got != "", "%s and %s", c.origin, c.url)
	}
}

type roundTripper func(*http.Request) *http.Response

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

func TestTransportNamesItsMistakes(t *testing.T) {
	tr := &consumer.Transport{}
	for _, origin := range []string{"", "api.example.com", "ftp://x", "https://x/path", "https://u:hush-b@x", "https://x?q", "https://"} {
		tr.Origin = origin
		assert.ErrorContains(t, tr.Validate(), "Transport.Origin", origin)
		assert.ErrorContains(t, tr.Validate(), "Transport.Handle")
		assert.NotContains(t, tr.Validate().Error(), "hush")
	}
	body := &closeCounter{Reader: strings.NewReader("x")}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://x", body)
	require.NoError(t, err)
	_, err = tr.RoundTrip(r)
	require.ErrorContains(t, err, "Transport.Handle is required")
	require.Equal(t, 1, body.closed)

	tr = &consumer.Transport{Handle: &consumer.Handle{}, Origin: "https://x"}
	_, err = tr.RoundTrip(r)
	require.ErrorContains(t, err, "no key")
}

type closeCounter struct {
	io.Reader
	closed int
}

func (c *closeCounter) Close() error { c.closed++; return nil }

func TestTransportTriesANewerKeyOnce(t *testing.T) {
	for _, c := range []struct {
		name   string
		body   func() io.Reader
		status int
		bodies []string
	}{
		{"no body", func() io.Reader { return nil }, 200, []string{"", ""}},
		{"none to speak of", func() io.Reader { return http.NoBody }, 200, []string{"", ""}},
		{"can be had again", func() io.Reader { return bytes.NewBufferString("pay") }, 200, []string{"pay", "pay"}},
		{"cannot", func() io.Reader { return io.NopCloser(strings.NewReader("pay")) }, 401, []string{"pay"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newProvider(t, "hush-c")
			s := newStore(stored(rotation.RoleCurrent, 1))
			h := follow(t, s)
			s.set(stored(rotation.RoleCurrent, 2))
			client := httpClient(t, &consumer.Transport{Handle: h, Origin: p.URL})
			resp := send(t, client, http.MethodPost, p.URL, c.body())
			require.Equal(t, c.status, resp.StatusCode)
			require.Equal(t, c.bodies, p.bodies)
			requireKey(t, 2, h) // also for what could not be repeated: the next one is right
		})
	}
}

func TestTransportGivesThe401BackWhole(t *testing.T) {
	p := newProvider(t, "nobody's")
	s := newStore(stored(rotation.RoleCurrent, 1))
	h := follow(t, s)
	client := httpClient(t, &consumer.Transport{Handle: h, Origin: p.URL})
	for range 3 {
		resp := send(t, client, http.MethodGet, p.URL, nil)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "who are you?", string(body))
	}
	require.Len(t, p.seen, 3, "no newer key, no second try")

	s.set(stored(rotation.RoleCurrent, 2))
	require.NoError(t, h.Deploy(t.Context(), deploy(rotation.RoleCurrent, 2)))
	s.set(stored(rotation.RoleCurrent, 3))
	resp := send(t, client, http.MethodGet, p.URL, nil)
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	require.Len(t, p.seen, 5, "and never a third try")
}

func TestTransportStormOf401(t *testing.T) {
	p := newProvider(t, "hush-b")
	s := newStore(stored(rotation.RoleCurrent, 1))
	h := follow(t, s)
	client := httpClient(t, &consumer.Transport{Handle: h, Origin: p.URL})
	for n := 2; n < 4; n++ {
		loads := s.count()
		s.set(stored(rotation.RoleCurrent, n))
		p.accept(key(n).Secret.Reveal())
		var ok atomic.Int32
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				r, _ := http.NewRequestWithContext(context.Background(), http.MethodPost, p.URL, strings.NewReader("pay"))
				resp, err := client.Do(r)
				if err == nil {
					resp.Body.Close()
					if resp.StatusCode == http.StatusOK {
						ok.Add(1)
					}
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 100, ok.Load())
		require.Equal(t, 1, s.count()-loads)
	}
}
