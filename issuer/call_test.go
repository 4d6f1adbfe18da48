// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

func TestCall(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		assert.Equal(t, "POST", r.Method)
		assert.Equal(t, "application/json", r.Header.Get("Content-Type"))
		assert.Equal(t, "application/json", r.Header.Get("Accept"))
		assert.JSONEq(t, `{"label":"n"}`, string(body))
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, `{"id":"k1","token":"`+canary+`"}`)
	})
	var out struct {
		ID    string       `json:"id"`
		Token secret.Value `json:"token"`
	}
	require.NoError(t, issuer.Call(t.Context(), nil, http.MethodPost, url, map[string]string{"label": "n"}, &out))
	assert.Equal(t, "k1", out.ID)
	assert.Equal(t, canary, out.Token.Reveal())
}

func TestCallWithoutBodies(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		assert.Empty(t, r.Header.Get("Content-Type"))
		assert.Zero(t, r.ContentLength)
		io.WriteString(w, "not JSON, and nobody asks")
	})
	require.NoError(t, issuer.Call(t.Context(), http.DefaultClient, http.MethodDelete, url, nil, nil))
}

func TestCallStatus(t *testing.T) {
	refused, ambiguous := []error{rotation.ErrNotIssued}, []error(nil)
	rows := map[int][]error{
		301: ambiguous, 302: ambiguous, 303: ambiguous, 304: ambiguous, 307: ambiguous, 308: ambiguous,
		400: refused,
		401: {rotation.ErrDenied, rotation.ErrNotIssued},
		402: refused,
		403: {rotation.ErrDenied, rotation.ErrNotIssued},
		404: {rotation.ErrNotFound, rotation.ErrNotIssued},
		405: refused,
		407: refused,
		408: ambiguous,
		409: {rotation.ErrConflict},
		410: {rotation.ErrNotFound, rotation.ErrNotIssued},
		418: refused,
		422: refused,
		425: ambiguous,
		429: refused,
		500: ambiguous, 501: ambiguous, 502: ambiguous, 503: ambiguous, 504: ambiguous, 599: ambiguous,
	}
	for status, want := range rows {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Request-Id", "req-1")
				w.WriteHeader(status)
				if status != 304 {
					io.WriteString(w, `{"message":"`+canary+`"}`)
				}
			})
			withQuery := strings.Replace(url, "http://", "http://admin:"+canary+"@", 1) + "/keys?token=" + canary
			err := issuer.Call(t.Context(), nil, http.MethodPost, withQuery, nil, nil)
			clean(t, err)
			matches(t, err, want...)
			var e *issuer.Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, status, e.Status)
			assert.Equal(t, http.MethodPost, e.Method)
			assert.Equal(t, url+"/keys", e.URL)
			assert.Equal(t, "req-1", e.RequestID)
			assert.Equal(t, e.Error(), e.Public())
			assert.Contains(t, e.Public(), fmt.Sprint(status))
		})
	}
}

func TestCallRateLimit(t *testing.T) {
	for _, row := range []struct {
		status        int
		header, value string
		retryAt       bool
	}{
		{429, "Retry-After", "30", true},
		{429, "X-RateLimit-Reset", "30", true},
		{429, "RateLimit-Reset", "30", true},
		{429, "Retry-After", canary, false},
		{503, "Retry-After", "30", true},
		{500, "Retry-After", "30", false},
		{403, "Retry-After", "30", false},
	} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(row.header, row.value)
			w.WriteHeader(row.status)
		})
		err := issuer.Call(t.Context(), nil, http.MethodPost, url, nil, nil)
		clean(t, err)
		// rotation.RetryAt shows its time to the engine only: its type is what can be seen from here.
		assert.Equal(t, row.retryAt, fmt.Sprintf("%T", err) == fmt.Sprintf("%T", rotation.RetryAt(io.EOF, time.Now())), "%v", row)
		assert.Equal(t, row.status < 500, errors.Is(err, rotation.ErrNotIssued))
	}
}

func TestCallFollowsNoRedirect(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the authority went elsewhere") })
		url := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, status) })
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			err := issuer.Call(t.Context(), nil, method, url, map[string]string{"a": "b"}, nil)
			matches(t, err)
			assert.ErrorContains(t, err, "redirect")
		}
	}
}

func TestCallAmbiguousAnswers(t *testing.T) {
	var out struct {
		ID      string    `json:"id"`
		Size    int       `json:"size"`
		Created time.Time `json:"created"`
	}
	for name, row := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"empty":       {answer(200, ""), "the answer is empty"},
		"blank":       {answer(200, " \n"), "the answer is empty"},
		"no content":  {answer(204, ""), "the answer is empty"},
		"html":        {answer(200, "<html>"+canary), "does not decode"},
		"wrong type":  {answer(200, `{"id":"k1","size":"`+canary+`"}`), "does not decode"},
		"bad time":    {answer(200, `{"created":"`+canary+`"}`), "does not decode"}, // its error quotes the input
		"two values":  {answer(200, `{} "`+canary+`"`), "does not decode"},
		"too large":   {answer(200, `{"id":"`+strings.Repeat(canary, 1<<17)+`"}`), "larger than 1 MiB"},
		"bad number":  {answer(200, `{"size":1e400}`), "does not decode"},
		"cut short":   {cutShort, "the answer is incomplete"},
		"no answer":   {hangUp(false), "the connection ended before the answer did"},
		"reset":       {hangUp(true), "issuer: POST http://127.0.0.1"}, // the system says why, in its own words
		"informative": {answer(999, canary), "999"},
	} {
		t.Run(name, func(t *testing.T) {
			err := issuer.Call(t.Context(), nil, http.MethodPost, serve(t, row.handler), nil, &out)
			clean(t, err)
			matches(t, err)
			assert.ErrorContains(t, err, row.want)
		})
	}
	assert.Equal(t, "k1", out.ID, "what was decoded before the mistake is there")
}

// endless is an answer without an end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return copy(p, strings.Repeat("[", len(p))), nil
}
func (*endless) Close() error { return nil }

func TestCallReadsNoMoreThanItNeeds(t *testing.T) {
	for _, status := range []int{200, 500} {
		var body endless
		client := &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Body: &body, Request: r}, nil
		})}
		var out any
		require.Error(t, issuer.Call(t.Context(), client, http.MethodGet, "http://example.com", nil, &out))
		assert.Less(t, body.read, 2<<20)
	}
}

// cutShort promises more than it sends.
func cutShort(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	io.WriteString(w, `{"id":"`+canary)
}

// hangUp reads the request and ends the connection.
func hangUp(reset bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		if tcp, ok := conn.(*net.TCPConn); ok && reset {
			tcp.SetLinger(0)
		}
		conn.Close()
	}
}

func TestCallTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return nil, errors.New(canary)
		})}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := issuer.Call(ctx, client, http.MethodPost, "http://example.com/?"+canary, map[string]string{}, nil)
		clean(t, err)
		matches(t, err)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "timed out")

		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		err = issuer.Call(ctx, client, http.MethodPost, "http://example.com/", map[string]string{}, nil)
		matches(t, err)
		assert.ErrorIs(t, err, context.Canceled)
	})
}

func TestCallTransportSentinelsAreNotOurs(t *testing.T) {
	// A transport that repeats a request can fail with a refusal after the first one had its effect.
	client := &http.Client{Transport: tripper(func(*http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("%w: %w: %s", rotation.ErrDenied, rotation.ErrNotIssued, canary)
	})}
	err := issuer.Call(t.Context(), client, http.MethodPost, "http://example.com/", nil, nil)
	clean(t, err)
	matches(t, err)
}

func TestCallNeverSent(t *testing.T) {
	client := &http.Client{Transport: tripper(func(*http.Request) (*http.Response, error) {
		t.Error("something was sent")
		return nil, io.EOF
	})}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, row := range map[string]struct {
		ctx         context.Context
		method, url string
		in          any
	}{
		"context":      {ended, "POST", "http://example.com/", nil},
		"URL":          {t.Context(), "POST", "http://%zz" + canary, nil},
		"no host":      {t.Context(), "POST", "/" + canary, nil},
		"method":       {t.Context(), "PO ST", "http://example.com/", nil},
		"secret":       {t.Context(), "POST", "http://example.com/", map[string]any{"s": secret.New(canary)}},
		"unmarshaller": {t.Context(), "POST", "http://example.com/", loud{}},
	} {
		t.Run(name, func(t *testing.T) {
			err := issuer.Call(row.ctx, client, row.method, row.url, row.in, nil)
			clean(t, err)
			matches(t, err, rotation.ErrNotIssued)
			assert.ErrorContains(t, err, "not sent")
		})
	}
}

// loud quotes a secret when it does not marshal.
type loud struct{}

func (loud) MarshalJSON() ([]byte, error) { return nil, errors.New(canary) }
