// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package bench_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"testing"

	playground "github.com/go-playground/webhooks/v6/github"
	"github.com/google/go-github/v90/github"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/webhook"
)

// receiver reads a delivery of GitHub from a request and verifies it.
type receiver struct {
	name string
	with func(tb testing.TB, request func() *http.Request, texts []string) func() error
}

var receivers = []receiver{
	{"webhook.Middleware", middleware(webhook.GitHub)},
	{"webhook.VerifyRequest", verifyRequest},
	{"go-github", eachRequest(goGitHubRequest)},
	{"go-playground", eachRequest(goPlayground)},
}

// taken is a handler that notes that it was called.
type taken bool

func (t *taken) ServeHTTP(http.ResponseWriter, *http.Request) { *t = true }

// nowhere is a response that nobody reads.
type nowhere struct{ header http.Header }

func (w nowhere) Header() http.Header         { return w.header }
func (w nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (w nowhere) WriteHeader(int)             {}

func middleware(scheme *webhook.Scheme) func(testing.TB, func() *http.Request, []string) func() error {
	return func(tb testing.TB, request func() *http.Request, texts []string) func() error {
		next, w := new(taken), nowhere{http.Header{}}
		h := verifier(tb, scheme, texts).Middleware(next)
		return func() error {
			*next = false
			h.ServeHTTP(w, request())
			if !*next {
				return errRefused
			}
			return nil
		}
	}
}

func verifyRequest(tb testing.TB, request func() *http.Request, texts []string) func() error {
	v := verifier(tb, webhook.GitHub, texts)
	return func() error {
		_, _, err := v.VerifyRequest(request())
		return err
	}
}

// eachRequest tries one secret after the other, with a library that knows one and reads the body itself: the caller has to read
// it first and hand it over twice.
func eachRequest(with func(testing.TB, string) func(*http.Request) error) func(testing.TB, func() *http.Request, []string) func() error {
	return func(tb testing.TB, request func() *http.Request, texts []string) func() error {
		first := with(tb, texts[0])
		if len(texts) == 1 {
			return func() error { return first(request()) }
		}
		second := with(tb, texts[1])
		return func() error {
			r := request()
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			if first(r) == nil {
				return nil
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			return second(r)
		}
	}
}

func goGitHubRequest(_ testing.TB, text string) func(*http.Request) error {
	key := []byte(text)
	return func(r *http.Request) error {
		_, err := github.ValidatePayload(r, key)
		return err
	}
}

func goPlayground(tb testing.TB, text string) func(*http.Request) error {
	hook, err := playground.New(playground.Options.Secret(text))
	require.NoError(tb, err)
	return func(r *http.Request) error {
		_, err := hook.Parse(r, playground.PushEvent)
		return err
	}
}

// BenchmarkRequest reads and verifies a request of GitHub.
func BenchmarkRequest(b *testing.B) {
	for _, m := range []mode{one, rotation} {
		b.Run(m.name, func(b *testing.B) {
			for _, size := range sizes {
				b.Run(size.name, func(b *testing.B) {
					for _, c := range receivers {
						b.Run(c.name, func(b *testing.B) {
							d := deliver(b, webhook.GitHub, m.signer, body(size.bytes))
							f := c.with(b, d.request(), m.known)
							report(b, f, contest(b, d.floor(), middleware(webhook.GitHub)(b, d.request(), m.known), f))
						})
					}
				})
			}
		})
	}
}

// pool is what a careful receiver writes: no more than a limit, into a buffer that is used again.
var pool = sync.Pool{New: func() any { return new(bytes.Buffer) }}

type matchKey struct{}

// next takes a request. The compiler does not know what it does, as in a real receiver, so what it is given is allocated.
var next http.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

// pooled reads into a pooled buffer, checks what it has read and calls next, with the Match in its context or without.
func pooled(tb testing.TB, scheme *webhook.Scheme, request func() *http.Request, texts []string, withMatch bool) func() error {
	const most = 1 << 20
	v, w := verifier(tb, scheme, texts), nowhere{http.Header{}}
	return func() error {
		r := request()
		buf := pool.Get().(*bytes.Buffer)
		defer pool.Put(buf)
		buf.Reset()
		if n, err := buf.ReadFrom(io.LimitReader(r.Body, most+1)); err != nil || n > most {
			return errRefused
		}
		m, err := v.Verify(r.Context(), r.Header, buf.Bytes())
		if err != nil {
			return err
		}
		if withMatch {
			r = r.WithContext(context.WithValue(r.Context(), matchKey{}, m))
		}
		r.Body = io.NopCloser(bytes.NewReader(buf.Bytes()))
		next.ServeHTTP(w, r)
		return nil
	}
}

func readAll(tb testing.TB, scheme *webhook.Scheme, request func() *http.Request, texts []string) func() error {
	v, w := verifier(tb, scheme, texts), nowhere{http.Header{}}
	return func() error {
		r := request()
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			return err
		}
		if _, err := v.Verify(r.Context(), r.Header, body); err != nil {
			return err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
		return nil
	}
}

// BenchmarkBody compares Middleware with a handler that reads into a pooled buffer and calls Verify. GitLab's token is the
// scheme: its check costs the same for every body, so what is left is the reading and what Middleware gives its handler beside
// it, the Match in the context of the request and a body that ends with the handler. In pooled+Match the handler that reads by
// itself gives the first of these too. In GitHub the hash is there.
func BenchmarkBody(b *testing.B) {
	for _, scheme := range []*webhook.Scheme{webhook.GitLab, webhook.GitHub} {
		b.Run(scheme.String(), func(b *testing.B) {
			for _, size := range sizes {
				d := deliver(b, webhook.GitHub, newest, body(size.bytes))
				d.header.Set("X-Gitlab-Token", newest)
				b.Run(size.name+"/webhook.Middleware", func(b *testing.B) {
					reading(b, d, scheme, middleware(scheme)(b, d.request(), one.known))
				})
				b.Run(size.name+"/pooled+Match", func(b *testing.B) {
					reading(b, d, scheme, pooled(b, scheme, d.request(), one.known, true))
				})
				b.Run(size.name+"/ReadAll", func(b *testing.B) {
					reading(b, d, scheme, readAll(b, scheme, d.request(), one.known))
				})
			}
		})
	}
}

// reading reports f beside the pooled read: how many times its time, and how much more.
func reading(b *testing.B, d *delivery, scheme *webhook.Scheme, f func() error) {
	ns := contest(b, pooled(b, scheme, d.request(), one.known, false), f)
	b.ReportMetric(ns[1], "cpu-ns/op")
	b.ReportMetric(ns[1]/ns[0], "xpooled")
	b.ReportMetric(ns[1]-ns[0], "ns-more")
	reportGarbage(b, f)
}

func TestReceiversVerify(t *testing.T) {
	for _, c := range receivers {
		for _, m := range []mode{one, rotation, forged} {
			d := deliver(t, webhook.GitHub, m.signer, body(1<<10))
			f := m.expect(c.with(t, d.request(), m.known))
			for range 3 {
				require.NoErrorf(t, f(), "%s, %s", c.name, m.name)
			}
		}
	}
	d := deliver(t, webhook.GitHub, newest, body(1<<10))
	for _, known := range [][]string{one.known, {foreign}} {
		for name, f := range map[string]func() error{
			"pooled":       pooled(t, webhook.GitHub, d.request(), known, false),
			"pooled+Match": pooled(t, webhook.GitHub, d.request(), known, true),
			"ReadAll":      readAll(t, webhook.GitHub, d.request(), known),
		} {
			require.Equal(t, known[0] == newest, f() == nil, name)
		}
	}
}
