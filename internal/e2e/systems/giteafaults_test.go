// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package systems

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/secret"
)

// Gitea makes the new token and dies before it can say so, and stays away until the rotating process has asked for it in vain. Nobody
// knows the value of that token: it is found by its name, and ended, and another one is made.
func TestGiteaDiesBeforeItAnswers(t *testing.T) {
	s := startForge(t)
	t.Cleanup(s.Start) // it is everybody's
	m := meddle(t, s.URL)
	died := make(chan struct{})
	m.on("POST", "/tokens", trouble{done: true, then: func() { s.Kill(); close(died) }})
	loads, processes := s.twoServices(t, m)

	began := time.Now()
	processes.start(t)
	select {
	case <-died:
	case <-time.After(patience):
		require.Fail(t, "no token was made")
	}
	asked := m.count("GET", "/tokens")
	require.Eventually(t, func() bool { return m.count("GET", "/tokens") > asked+1 }, patience, 20*time.Millisecond, "it asks what became of it")
	away := time.Since(m.times("POST", "/tokens")[0])
	s.Start()
	st := processes.await(t, giteaName, "the end", ended)
	t.Logf("the rotation took %.1f s, with %.1f s without Gitea", time.Since(began).Seconds(), away.Seconds())

	for _, l := range loads {
		l.counted(t, 5)
	}
	s.rotated(t, st)
	orphans := m.lostTokens(t)
	require.Len(t, orphans, 1)
	require.ErrorIs(t, s.ask(t.Context(), orphans[0]), errUnauthorized)
	assert.Equal(t, 2, m.count("POST", "/tokens"))
	s.seen.all[orphans[0].Reveal()] = true
	s.silent(t, processes)
}

// Every call that changes something is answered once with a 500 before it is done, once with a 500 afterwards, and once with a
// 429 that says when to come back; and so are questions.
func TestGiteaAnswers500And429(t *testing.T) {
	s := startForge(t)
	m := meddle(t, s.URL)
	m.on("GET", "/tokens", trouble{status: 429, after: 2})
	m.on("GET", "/user", trouble{status: 500}, trouble{status: 429, after: 2})
	m.on("POST", "/tokens", trouble{status: 500}, trouble{status: 500, done: true}, trouble{status: 429, after: 4})
	m.on("DELETE", "/tokens/"+s.first.ID, trouble{status: 429, after: 3}, trouble{status: 500}, trouble{status: 500, done: true})
	m.on("DELETE", "/tokens/", trouble{status: 429, after: 3}, trouble{status: 500}, trouble{status: 500, done: true})
	loads, processes := s.twoServices(t, m)

	began := time.Now()
	processes.start(t)
	st := processes.await(t, giteaName, "the end", ended)
	t.Logf("the rotation took %.1f s; Gitea's proxy saw %s", time.Since(began).Seconds(), m)

	for _, l := range loads {
		l.worked(t, 20)
	}
	s.rotated(t, st)
	m.all(t)
	m.patient(t)
	orphans := m.lostTokens(t)
	require.Len(t, orphans, 1)
	require.ErrorIs(t, s.ask(t.Context(), orphans[0]), errUnauthorized)
	s.seen.all[orphans[0].Reveal()] = true
	s.silent(t, processes)
}

// twoServices use the token under load, and are the consumers of a rotation that reaches Gitea through m.
func (s *forge) twoServices(t *testing.T, m *meddler) ([]*load, *stage) {
	t.Helper()
	portal, release := s.service(t, "portal"), s.service(t, "release")
	s.world.Portal, s.world.Release, s.world.URL = addresses(portal), addresses(release), m.url
	loads := []*load{
		startLoad(t, "portal", 8, isUnauthorized, s.getRepo(portal)),
		startLoad(t, "release", 8, isUnauthorized, s.listReleases(t, release)),
	}
	return loads, newStage(t, "gitea", s.world)
}

// trouble is what comes of one request in place of its answer.
type trouble struct {
	done   bool   // Gitea does what it is asked before
	then   func() // and then this happens
	status int    // zero: the connection is closed without an answer
	after  int    // seconds, for the header Retry-After; zero: there is none
}

// meddler is a proxy before Gitea. It passes everything on that it was not told to meddle with.
type meddler struct {
	url string

	mu       sync.Mutex
	troubles []*rule  // guarded by mu
	hits     []hit    // guarded by mu
	lost     [][]byte // guarded by mu: answers of Gitea that nobody got
}

// rule is what becomes of the next requests of one kind.
type rule struct {
	method, path string
	next         []trouble
}

// hit is a request that has come.
type hit struct {
	at           time.Time
	method, path string
	trouble      *trouble // nil: it was passed on
}

func (h hit) is(method, path string) bool {
	return h.method == method && (strings.HasSuffix(h.path, path) || strings.HasSuffix(path, "/") && strings.Contains(h.path, path))
}

func meddle(t *testing.T, target string) *meddler {
	t.Helper()
	to, err := url.Parse(target)
	require.NoError(t, err)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	onward := httputil.NewSingleHostReverseProxy(to)
	onward.Transport = transport
	onward.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) } // as if there were no proxy
	m := &meddler{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		var f *trouble
		if !bytes.Contains(body, []byte("no:such:scope")) { // it asks whether it may make tokens, and makes none
			f = m.meet(r)
		}
		if f == nil {
			onward.ServeHTTP(w, r)
			return
		}
		if f.done {
			answer := httptest.NewRecorder()
			onward.ServeHTTP(answer, r)
			m.lose(r, answer.Body.Bytes())
		}
		if f.then != nil {
			f.then()
		}
		if f.status == 0 {
			panic(http.ErrAbortHandler)
		}
		if f.after > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(f.after))
		}
		w.WriteHeader(f.status)
		_, _ = io.WriteString(w, "<html>of the proxy</html>")
	}))
	t.Cleanup(func() { server.Close(); transport.CloseIdleConnections() })
	m.url = server.URL
	return m
}

// on has the next requests of a kind meet troubles, one each. A path that ends with a slash may be followed by more.
func (m *meddler) on(method, path string, next ...trouble) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.troubles = append(m.troubles, &rule{method, path, next})
}

func (m *meddler) meet(r *http.Request) *trouble {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := hit{at: time.Now(), method: r.Method, path: r.URL.Path}
	for _, rule := range m.troubles {
		if h.is(rule.method, rule.path) {
			if len(rule.next) > 0 {
				h.trouble, rule.next = &rule.next[0], rule.next[1:]
			}
			break
		}
	}
	m.hits = append(m.hits, h)
	return h.trouble
}

func (m *meddler) lose(r *http.Request, answer []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.Method == http.MethodPost {
		m.lost = append(m.lost, answer)
	}
}

// times are when requests of a kind have come.
func (m *meddler) times(method, path string) (all []time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.hits {
		if h.is(method, path) {
			all = append(all, h.at)
		}
	}
	return all
}

func (m *meddler) count(method, path string) int { return len(m.times(method, path)) }

// lostTokens are the values of tokens that were made and that nobody was told.
func (m *meddler) lostTokens(t *testing.T) (all []secret.Value) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, answer := range m.lost {
		var token struct {
			Value secret.Value `json:"sha1"`
		}
		require.NoError(t, json.Unmarshal(answer, &token))
		require.False(t, token.Value.IsZero())
		all = append(all, token.Value)
	}
	return all
}

// all fails the test if a trouble was not met.
func (m *meddler) all(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, rule := range m.troubles {
		assert.Empty(t, rule.next, "%s %s", rule.method, rule.path)
	}
}

// patient fails the test if a token was asked for, or a list, or an end, sooner than a Retry-After said. Whether a token is accepted is
// asked by the way, too.
func (m *meddler) patient(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for n, h := range m.hits {
		if h.trouble == nil || h.trouble.after == 0 || h.is("GET", "/user") {
			continue
		}
		again := slices.IndexFunc(m.hits[n+1:], func(next hit) bool { return next.is(h.method, h.path) })
		require.GreaterOrEqual(t, again, 0, "%s %s", h.method, h.path)
		waited := m.hits[n+1+again].at.Sub(h.at)
		assert.GreaterOrEqual(t, waited.Seconds(), float64(h.trouble.after), "%s %s", h.method, h.path)
	}
}

// String counts the requests.
func (m *meddler) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts := map[string]int{}
	for _, h := range m.hits {
		kind := h.method
		if h.trouble != nil {
			kind += fmt.Sprintf(" answered %d", h.trouble.status)
		}
		counts[kind]++
	}
	var all []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, fmt.Sprintf("%d %s", counts[kind], kind))
	}
	return strings.Join(all, ", ")
}
