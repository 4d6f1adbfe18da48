// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/webhook"
)

func githubHeader(text, body string) http.Header {
	return header("X-Hub-Signature-256", "sha256="+macHex(text, body))
}

func githubVerifier(t testing.TB, c webhook.Config) *webhook.Verifier {
	t.Helper()
	c.Scheme = webhook.GitHub
	if c.Secrets == nil {
		c.Secrets = []webhook.Secret{sec("a", secretText)}
	}
	return mustVerifier(t, c)
}

func TestMiddleware(t *testing.T) {
	var observed []error
	v := githubVerifier(t, webhook.Config{MaxBody: 100, Observe: func(_ webhook.Match, err error) { observed = append(observed, err) }})
	for _, c := range []struct {
		header http.Header
		body   string
		status int
		err    error
	}{
		{githubHeader(secretText, "body"), "body", http.StatusOK, nil},
		{githubHeader(secretText, ""), "", http.StatusOK, nil},
		{http.Header{}, "body", http.StatusUnauthorized, webhook.ErrUnsigned},
		{header("X-Hub-Signature-256", "x"), "body", http.StatusUnauthorized, webhook.ErrMalformed},
		{githubHeader(otherText, "body"), "body", http.StatusUnauthorized, webhook.ErrMismatch},
		{githubHeader(secretText, "body"), strings.Repeat("x", 101), http.StatusRequestEntityTooLarge, webhook.ErrTooLarge},
	} {
		observed = nil
		w, seen := serve(v, c.header, c.body)
		assert.Equal(t, c.status, w.Code)
		require.Len(t, observed, 1, "once for each delivery")
		assert.ErrorIs(t, observed[0], c.err)
		if c.err == nil {
			assert.Equal(t, []string{c.body}, seen)
			continue
		}
		assert.Empty(t, seen)
		assert.Equal(t, http.StatusText(c.status)+"\n", w.Body.String(), "the answer does not say why")
	}
}

func TestFromContext(t *testing.T) {
	_, ok := webhook.FromContext(context.Background())
	require.False(t, ok)
	synctest.Test(t, func(t *testing.T) {
		v := mustVerifier(t, webhook.Config{Scheme: webhook.Standard, Secrets: []webhook.Secret{sec("a", whsec)}})
		r := send(t, webhook.Standard, "", "body", sec("a", whsec))
		called := false
		v.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			m, ok := webhook.FromContext(r.Context())
			assert.True(t, ok)
			assert.Equal(t, webhook.Match{SecretID: "a", MessageID: "msg_1", SignedAt: time.Now().UTC()}, m)
			assert.EqualValues(t, 4, r.ContentLength)
			called = true
		})).ServeHTTP(httptest.NewRecorder(), r)
		require.True(t, called)
	})
}

// Every way in which a body can come in pieces.
func TestBodiesInPieces(t *testing.T) {
	for _, size := range []int{1, 2, 511, 512, 513, 64<<10 - 1, 64 << 10, 64<<10 + 1, 300_000} {
		body := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"at once": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader, "data with the end": iotest.DataErrReader,
		} {
			for _, claimed := range []int64{int64(size), -1} {
				v := githubVerifier(t, webhook.Config{MaxBody: int64(size)})
				r := httptest.NewRequest(http.MethodPost, "/", wrap(strings.NewReader(body)))
				r.ContentLength, r.Header = claimed, githubHeader(secretText, body)
				got, _, err := v.VerifyRequest(r)
				require.NoError(t, err, "%s %d", name, size)
				require.Equal(t, body, string(got))
				again, err := io.ReadAll(r.Body)
				require.NoError(t, err)
				require.Equal(t, body, string(again))
				require.NoError(t, r.Body.Close())

				if size > 1 {
					v := githubVerifier(t, webhook.Config{MaxBody: int64(size) - 1})
					r := httptest.NewRequest(http.MethodPost, "/", wrap(strings.NewReader(body)))
					r.ContentLength, r.Header = claimed, githubHeader(secretText, body)
					_, _, err := v.VerifyRequest(r)
					require.ErrorIs(t, err, webhook.ErrTooLarge, "one byte more than the limit")
				}
			}
		}
	}
}

func TestBodyThatBreaksOff(t *testing.T) {
	broken := errors.New("connection reset")
	v := githubVerifier(t, webhook.Config{})
	r := httptest.NewRequest(http.MethodPost, "/", io.MultiReader(strings.NewReader("bo"), iotest.ErrReader(broken)))
	r.Header = githubHeader(secretText, "bo")
	_, _, err := v.VerifyRequest(r)
	require.ErrorIs(t, err, broken)

	r = httptest.NewRequest(http.MethodPost, "/", iotest.ErrReader(broken))
	r.Header = githubHeader(secretText, "")
	w := httptest.NewRecorder()
	v.Middleware(nil).ServeHTTP(w, r)
	require.Equal(t, http.StatusBadRequest, w.Code)

	r = httptest.NewRequest(http.MethodPost, "/", nil)
	r.Body, r.Header = nil, githubHeader(secretText, "")
	_, _, err = v.VerifyRequest(r)
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
}

// hook runs when its reader is read.
type hook func()

func (h hook) Read([]byte) (int, error) { h(); return 0, io.EOF }

// A body can be held back until a secret was taken away, or until Replay has forgotten: neither helps.
func TestSlowBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := mustVerifier(t, webhook.Config{Scheme: webhook.Slack, Secrets: []webhook.Secret{sec("a", secretText)}})
		slow := func(meanwhile func()) error {
			r := send(t, webhook.Slack, "", "body", sec("a", secretText))
			r.Body = io.NopCloser(io.MultiReader(hook(meanwhile), r.Body))
			_, _, err := v.VerifyRequest(r)
			return err
		}
		require.NoError(t, slow(func() { time.Sleep(5 * time.Minute) }))
		require.ErrorIs(t, slow(func() { time.Sleep(5*time.Minute + time.Second) }), webhook.ErrStale)
		require.ErrorIs(t, slow(func() { require.NoError(t, v.Set(sec("b", otherText))) }), webhook.ErrMismatch)
		require.NoError(t, slow(func() { require.NoError(t, v.Set(sec("a", secretText))) }))
		ends := sec("a", secretText)
		ends.NotAfter = time.Now().Add(time.Minute)
		require.NoError(t, v.Set(ends))
		require.ErrorIs(t, slow(func() { time.Sleep(2 * time.Minute) }), webhook.ErrNoSecret)
	})
}

// The bytes belong to the next request when the handler has returned.
func TestBodyEndsWithTheHandler(t *testing.T) {
	v := githubVerifier(t, webhook.Config{})
	var kept io.ReadCloser
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("body"))
	r.Header = githubHeader(secretText, "body")
	v.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		kept = r.Body
		one := make([]byte, 1)
		n, err := r.Body.Read(one)
		assert.NoError(t, err)
		assert.Equal(t, "b", string(one[:n]))
	})).ServeHTTP(httptest.NewRecorder(), r)
	n, err := kept.Read(make([]byte, 10))
	require.Zero(t, n)
	require.ErrorIs(t, err, http.ErrBodyReadAfterClose)

	r = httptest.NewRequest(http.MethodPost, "/", strings.NewReader("body"))
	r.Header = githubHeader(secretText, "body")
	v.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		assert.NoError(t, r.Body.Close())
		_, err := r.Body.Read(make([]byte, 10))
		assert.ErrorIs(t, err, http.ErrBodyReadAfterClose)
	})).ServeHTTP(httptest.NewRecorder(), r)
}

// Pooled buffers, under load, through a real server: no handler sees bytes of another request.
func TestBuffersAreNotShared(t *testing.T) {
	v := githubVerifier(t, webhook.Config{})
	server := httptest.NewServer(v.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Write(body)
	})))
	defer server.Close()
	errs := make(chan error, 8)
	for g := range 8 {
		go func() {
			for i := range 50 {
				body := strings.Repeat(fmt.Sprint(g, i, ";"), 1+i*40)
				r, err := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(body))
				if err != nil {
					errs <- err
					return
				}
				r.Header = githubHeader(secretText, body)
				resp, err := server.Client().Do(r)
				if err != nil {
					errs <- err
					return
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(got) != body {
					errs <- fmt.Errorf("%d bytes came back as %d: %v", len(body), len(got), err)
					return
				}
			}
			errs <- nil
		}()
	}
	for range 8 {
		require.NoError(t, <-errs)
	}
}

func TestZoomHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, current := sec("old", otherText), sec("new", secretText)
		v := mustVerifier(t, webhook.Config{Scheme: webhook.Zoom, Secrets: []webhook.Secret{current, old}})
		ask := func(body string, by webhook.Secret) (*httptest.ResponseRecorder, bool) {
			called := false
			w := httptest.NewRecorder()
			v.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true })).
				ServeHTTP(w, send(t, webhook.Zoom, "", body, by))
			return w, called
		}
		question := func(token string) string {
			data, err := json.Marshal(map[string]any{"event": "endpoint.url_validation", "payload": map[string]string{"plainToken": token}})
			require.NoError(t, err)
			return string(data)
		}
		for _, by := range []webhook.Secret{current, old} {
			w, called := ask(question("qgg8vlvZRS6UYooatFL8Aw"), by)
			require.False(t, called)
			require.Equal(t, http.StatusOK, w.Code)
			require.JSONEq(t, fmt.Sprintf(`{"plainToken":"qgg8vlvZRS6UYooatFL8Aw","encryptedToken":%q}`,
				macHex(by.Value.Reveal(), "qgg8vlvZRS6UYooatFL8Aw")), w.Body.String(), "made with the secret that Zoom has")
		}
		w, called := ask(question("x"), sec("wrong", thirdText))
		require.False(t, called)
		require.Equal(t, http.StatusUnauthorized, w.Code)
		for _, token := range []string{"", "v0:946684800:{}", "a b", strings.Repeat("x", 513)} {
			w, called := ask(question(token), current)
			require.False(t, called)
			require.Equal(t, http.StatusBadRequest, w.Code, "it would sign anything: %.20s", token)
		}
		for _, body := range []string{`{"event":"meeting.started"}`, `no json`, `[]`} {
			_, called := ask(body, current)
			require.True(t, called)
		}
	})
	_, seen := serve(githubVerifier(t, webhook.Config{}), githubHeader(secretText, `{"event":"endpoint.url_validation"}`), `{"event":"endpoint.url_validation"}`)
	require.Len(t, seen, 1, "of another sender it is an event")
}

func TestOktaHandshake(t *testing.T) {
	v := mustVerifier(t, webhook.Config{Scheme: webhook.Okta, Secrets: []webhook.Secret{goodSecret(webhook.Okta, 1)}})
	ask := func(v *webhook.Verifier, method string, values ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/", nil)
		r.Header["X-Okta-Verification-Challenge"] = values
		w := httptest.NewRecorder()
		v.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })).ServeHTTP(w, r)
		return w
	}
	w := ask(v, http.MethodGet, `x</script>"`)
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	require.JSONEq(t, `{"verification":"x</script>\""}`, w.Body.String())
	require.NotContains(t, w.Body.String(), "<")
	for _, w := range []*httptest.ResponseRecorder{
		ask(v, http.MethodPost, "x"), ask(v, http.MethodGet), ask(v, http.MethodGet, ""), ask(v, http.MethodGet, "x", "y"),
		ask(v, http.MethodGet, strings.Repeat("x", 513)), ask(githubVerifier(t, webhook.Config{}), http.MethodGet, "x"),
	} {
		require.Equal(t, http.StatusUnauthorized, w.Code)
	}
}

// A Content-Length is a claim: a sender that says a megabyte and sends a byte gets no megabyte.
func TestClaimedLengthReservesLittle(t *testing.T) {
	v := githubVerifier(t, webhook.Config{})
	body := &greedy{}
	r := httptest.NewRequest(http.MethodPost, "/", body)
	r.ContentLength, r.Header = 1<<20, githubHeader(secretText, "x")
	_, _, err := v.VerifyRequest(r)
	require.NoError(t, err)
	require.LessOrEqual(t, body.room, 64<<10+1)
	require.GreaterOrEqual(t, body.room, 64<<10)
}

// greedy has one byte, and keeps how much room it was offered.
type greedy struct{ room int }

func (g *greedy) Read(p []byte) (int, error) {
	if g.room > 0 {
		return 0, io.EOF
	}
	g.room = len(p)
	p[0] = 'x'
	return 1, nil
}
