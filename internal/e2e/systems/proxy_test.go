// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package systems

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy stands before an HTTP server on loopback, and does to requests what the test says. All else it passes on.
type proxy struct {
	URL string

	mu     sync.Mutex
	faults []*fault // guarded by mu
}

// fault is what happens to some requests.
type fault struct {
	method string // empty: any
	path   string // a part of it; empty: any
	times  int    // to how many of them

	drop   bool        // the server does what it is asked and its answer is dropped: the connection is closed
	status int         // without drop: the answer, in place of the server, which is not asked
	header http.Header // of that answer

	met int // guarded by proxy.mu: requests that it has happened to
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	to, err := url.Parse(target)
	require.NoError(t, err)
	transport := &http.Transport{}
	p := &proxy{}
	onward := httputil.NewSingleHostReverseProxy(to)
	onward.Transport = transport
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := p.next(r)
		switch {
		case f == nil:
			onward.ServeHTTP(w, r)
		case f.drop:
			onward.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler) // which closes the connection
		default:
			for name := range f.header {
				w.Header().Set(name, f.header.Get(name))
			}
			w.WriteHeader(f.status)
		}
	}))
	t.Cleanup(func() { server.Close(); transport.CloseIdleConnections() })
	p.URL = server.URL
	return p
}

// next is what happens to a request; nil: nothing.
func (p *proxy) next(r *http.Request) *fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.faults {
		if f.met < f.times && (f.method == "" || f.method == r.Method) && strings.Contains(r.URL.Path, f.path) {
			f.met++
			return f
		}
	}
	return nil
}

// arm has f happen from now on.
func (p *proxy) arm(f *fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, f)
}

// met is how many requests f has happened to.
func (p *proxy) met(f *fault) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return f.met
}
