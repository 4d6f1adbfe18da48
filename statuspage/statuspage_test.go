// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package statuspage_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/statuspage"
)

var _ statuspage.Source = (*rotation.Rotator)(nil)

// source is an inventory that says what it is told to.
type source struct {
	credentials []rotation.Credential
	statuses    []rotation.Status
	err         error
	during      func(ctx context.Context) // in every reading
	reads       atomic.Int64
}

func (s *source) Credentials() []rotation.Credential { return s.credentials }

func (s *source) List(ctx context.Context) ([]rotation.Status, error) {
	s.reads.Add(1)
	if s.during != nil {
		s.during(ctx)
	}
	return s.statuses, s.err
}

// part is an issuer, a store and a consumer that only tells who it is.
type part struct {
	rotation.Issuer
	rotation.SecretStore
	rotation.Consumer
	identity string
}

func (p part) Identity() string { return p.identity }

// add puts a credential and its status into the source.
func (s *source) add(st rotation.Status, change ...func(*rotation.Credential)) {
	c := rotation.Credential{Name: st.Credential, Type: rotation.APIKey, Issuer: part{identity: "https://api.example.com/keys"}}
	for _, f := range change {
		f(&c)
	}
	s.credentials = append(s.credentials, c)
	s.statuses = append(s.statuses, st)
}

func newPage(t testing.TB, cfg statuspage.Config) *statuspage.Handler {
	t.Helper()
	h, err := statuspage.New(cfg)
	require.NoError(t, err)
	return h
}

// get asks the page. A target that begins with ? is asked under a path.
func get(t testing.TB, h http.Handler, target string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	if strings.HasPrefix(target, "?") || target == "" {
		target = "/ops/rotations" + target
	}
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func document(t testing.TB, h http.Handler, target string) statuspage.Document {
	t.Helper()
	if !strings.Contains(target, "format=json") {
		target += "&format=json"
	}
	if !strings.HasPrefix(target, "?") {
		target = "?" + target
	}
	w := get(t, h, target)
	require.Equal(t, http.StatusOK, w.Code, "%s", w.Body)
	var doc statuspage.Document
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &doc))
	return doc
}

func names(doc statuspage.Document) []string {
	out := []string{}
	for _, c := range doc.Credentials {
		out = append(out, c.Name)
	}
	return out
}

func TestNewNamesEveryMistake(t *testing.T) {
	_, err := statuspage.New(statuspage.Config{Timeout: -1, Refresh: time.Second})
	for _, field := range []string{"Rotator", "Timeout", "Refresh"} {
		require.ErrorContains(t, err, "Config."+field)
	}
	var none *rotation.Rotator
	_, err = statuspage.New(statuspage.Config{Rotator: none})
	require.ErrorContains(t, err, "Config.Rotator is required")
}

func TestOnlyGetAndHead(t *testing.T) {
	s := &source{}
	h := newPage(t, statuspage.Config{Rotator: s})
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, "BREW"} {
		w := get(t, h, "", func(r *http.Request) { r.Method = method })
		assert.Equal(t, http.StatusMethodNotAllowed, w.Code, method)
		assert.Equal(t, "GET, HEAD", w.Header().Get("Allow"), method)
	}
	require.Zero(t, s.reads.Load())

	server := httptest.NewServer(h)
	defer server.Close()
	resp, err := http.Head(server.URL)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Empty(t, body)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Positive(t, resp.ContentLength)
}

func TestHeaders(t *testing.T) {
	h := newPage(t, statuspage.Config{Rotator: &source{}})
	for _, target := range []string{"", "?format=json", "?credential=none", "?state=none"} {
		header := get(t, h, target).Header()
		assert.Equal(t, "no-store", header.Get("Cache-Control"), target)
		assert.Equal(t, "nosniff", header.Get("X-Content-Type-Options"), target)
		assert.Equal(t, "no-referrer", header.Get("Referrer-Policy"), target)
		assert.Contains(t, header.Get("Content-Security-Policy"), "default-src 'none'", target)
		assert.Contains(t, header.Get("Content-Security-Policy"), "frame-ancestors 'none'", target)
		assert.NotContains(t, header.Get("Content-Security-Policy"), "unsafe", target)
	}
}

func TestFormOfTheAnswer(t *testing.T) {
	h := newPage(t, statuspage.Config{Rotator: &source{}})
	for _, c := range []struct{ target, accept, want string }{
		{"", "", "text/html"},
		{"", "*/*", "text/html"},
		{"", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"},
		{"", "application/json", "application/json"},
		{"", "application/json, text/plain, */*", "application/json"},
		{"", "text/html;q=0.5, application/json", "application/json"},
		{"", "text/html, application/json;q=0.5", "text/html"},
		{"", "application/json;q=0", "text/html"},
		{"", "application/json;q=much, ;;", "text/html"},
		{"?format=json", "text/html", "application/json"},
		{"?format=html", "application/json", "text/html"},
		{"?state=none", "application/json", "application/json"},
		{"?credential=none&format=json", "", "application/json"},
	} {
		w := get(t, h, c.target, func(r *http.Request) { r.Header.Set("Accept", c.accept) })
		assert.Contains(t, w.Header().Get("Content-Type"), c.want, "%+v", c)
	}
}

func TestBadQueries(t *testing.T) {
	s := &source{}
	h := newPage(t, statuspage.Config{Rotator: s})
	for query, word := range map[string]string{
		"state=closed": "state", "sort=colour": "sort", "page=0": "page", "page=x": "page", "limit=1001": "limit", "limit=-1": "limit",
		"format=xml": "format", "%zz": "query", "a;b": "query", "q=%ff": "q", "q=" + strings.Repeat("x", 300): "q",
		"credential=" + strings.Repeat("x", 300): "credential",
	} {
		w := get(t, h, "?"+query)
		assert.Equal(t, http.StatusBadRequest, w.Code, query)
		assert.Contains(t, w.Body.String(), word, query)
	}
	require.Zero(t, s.reads.Load())
}

func TestUnknownCredential(t *testing.T) {
	s := &source{}
	s.add(rotation.Status{Credential: "b"})
	h := newPage(t, statuspage.Config{Rotator: s})
	for _, name := range []string{"a", "c", "B"} {
		require.Equal(t, http.StatusNotFound, get(t, h, "?credential="+name).Code)
	}
	require.Equal(t, http.StatusOK, get(t, h, "?credential=b").Code)
}

// Whatever the path is that the page is mounted under, its links lead to itself.
func TestEveryLinkIsRelative(t *testing.T) {
	s := inventory(time.Now())
	h := newPage(t, statuspage.Config{Rotator: s})
	for _, target := range []string{"/", "/a/b/", "/a?state=open", "?credential=soaking", "?page=2&limit=2", "?state=nonsense"} {
		body := get(t, h, target).Body.String()
		links := attributes(body, "href")
		require.NotEmpty(t, links, target)
		for _, link := range links {
			if !strings.HasPrefix(link, "#") {
				assert.True(t, strings.HasPrefix(link, "?"), "%s: %s", target, link)
			}
		}
	}
}

func TestStormReadsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{during: func(context.Context) { time.Sleep(2 * time.Second) }}
		h := newPage(t, statuspage.Config{Rotator: s})
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() { assert.Equal(t, http.StatusOK, get(t, h, "").Code) })
		}
		wg.Wait()
		require.EqualValues(t, 1, s.reads.Load())
		time.Sleep(2900 * time.Millisecond) // it is as old as when its reading began
		get(t, h, "?q=other")
		require.EqualValues(t, 1, s.reads.Load())
		time.Sleep(100 * time.Millisecond)
		get(t, h, "")
		require.EqualValues(t, 2, s.reads.Load())
	})
}

func TestWithoutACacheEveryViewReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		h := newPage(t, statuspage.Config{Rotator: s, Fresh: -1})
		for i := range 3 {
			time.Sleep(time.Millisecond)
			get(t, h, "")
			require.EqualValues(t, i+1, s.reads.Load())
		}
	})
}

// The first of many leaves; its reading is the others'.
func TestReadingOutlivesItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{during: func(ctx context.Context) {
			select {
			case <-ctx.Done():
				assert.Fail(t, "the reading ended with its reader")
			case <-time.After(10 * time.Second):
			}
		}}
		h := newPage(t, statuspage.Config{Rotator: s})
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		go get(t, h, "", func(r *http.Request) { *r = *r.WithContext(ctx) })
		synctest.Wait()
		var codes [2]int
		var wg sync.WaitGroup
		wg.Go(func() { codes[0] = get(t, h, "").Code })
		wg.Go(func() { codes[1] = get(t, h, "", func(r *http.Request) { *r = *r.WithContext(ctx) }).Code })
		wg.Wait()
		require.Equal(t, [2]int{http.StatusOK, http.StatusServiceUnavailable}, codes, "who leaves gets nothing, who stays the page")
		require.EqualValues(t, 1, s.reads.Load())
	})
}

func TestReadingEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{err: errors.New("down"), during: func(ctx context.Context) { <-ctx.Done() }}
		s.add(rotation.Status{Credential: "a"})
		h := newPage(t, statuspage.Config{Rotator: s, Timeout: 3 * time.Second})
		began := time.Now()
		w := get(t, h, "")
		require.Equal(t, 3*time.Second, time.Since(began))
		require.Equal(t, http.StatusServiceUnavailable, w.Code, "nothing could be read")
		require.Contains(t, w.Body.String(), "Not read")
	})
}

func TestPanickingSourceBlocksNobody(t *testing.T) {
	s := &source{during: func(context.Context) { panic("oops") }}
	h := newPage(t, statuspage.Config{Rotator: s})
	require.Panics(t, func() { get(t, h, "") })
	s.during = nil
	require.Equal(t, http.StatusOK, get(t, h, "").Code)
}

func TestWhatCouldNotBeRead(t *testing.T) {
	now := time.Now()
	s := &source{err: errors.Join(
		&rotation.Error{Credential: "b", Evidence: "the journal does not answer", Err: errors.New("password=hunter2")},
		fmt.Errorf("reading: %w", errors.New("password=hunter2")),
	)}
	s.add(rotation.Status{Credential: "a", Generation: 1, IssuedAt: now, Due: now.Add(90 * 24 * time.Hour)})
	s.add(rotation.Status{Credential: "b"})
	s.credentials = append(s.credentials, rotation.Credential{Name: "c", Type: rotation.APIKey})
	doc := document(t, newPage(t, statuspage.Config{Rotator: s}), "")
	require.Equal(t, 2, doc.Summary.Unread)
	require.Equal(t, []string{"b: the journal does not answer: failed (*errors.errorString)", "where some credentials stand could not be read"}, doc.Problems)
	require.Equal(t, []statuspage.State{statuspage.StateOK}, doc.Credentials[0].States)
	for _, c := range doc.Credentials[1:] {
		require.Equal(t, []statuspage.State{statuspage.StateUnread}, c.States, c.Name)
	}
	body := get(t, newPage(t, statuspage.Config{Rotator: s}), "").Body.String()
	require.Contains(t, body, "the journal does not answer")
	require.NotContains(t, body, "hunter2")

	s.err = nil
	for range 30 {
		s.err = errors.Join(s.err, &rotation.Error{Credential: "b", Evidence: "no"})
	}
	doc = document(t, newPage(t, statuspage.Config{Rotator: s}), "")
	require.Len(t, doc.Problems, 11)
	require.Equal(t, "and 20 more", doc.Problems[10])
}

func TestRefreshIsOff(t *testing.T) {
	require.NotContains(t, get(t, newPage(t, statuspage.Config{Rotator: &source{}}), "").Body.String(), "http-equiv")
	w := get(t, newPage(t, statuspage.Config{Rotator: &source{}, Refresh: time.Minute}), "")
	require.Contains(t, w.Body.String(), `<meta http-equiv="refresh" content="60">`)
}

// attributes are the values of an attribute in a page.
func attributes(body, name string) []string {
	var out []string
	for _, part := range strings.Split(body, " "+name+`="`)[1:] {
		value, _, _ := strings.Cut(part, `"`)
		out = append(out, html.UnescapeString(value))
	}
	return out
}

func escaped(name string) string { return url.QueryEscape(name) }

// A key that is refused while nothing rotates is seen, and so is when it was last found good.
func TestARefusedKeyIsFailing(t *testing.T) {
	s, now := &source{}, time.Now()
	s.add(rotation.Status{
		Credential: "crm", Generation: 3, IssuedAt: now.Add(-day), Due: now.Add(80 * day), CheckedAt: now.Add(-2 * time.Hour),
		Problem: &rotation.Error{Credential: "crm", Diagnosis: rotation.CurrentRejected, Evidence: "the current key is refused", Action: "rotate it now"},
	})
	h := newPage(t, statuspage.Config{Rotator: s})
	c := document(t, h, "/?credential=crm").Credentials[0]
	require.True(t, c.Has(statuspage.StateFailing))
	require.Equal(t, "rotate it now", c.Problem.Action)
	body := get(t, h, "/?credential=crm").Body.String()
	require.Contains(t, body, "the current key is refused")
	require.Contains(t, body, "Last check")
	require.Contains(t, body, "2 h ago")
}
