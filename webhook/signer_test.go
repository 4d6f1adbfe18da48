// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"bytes"
	"errors"
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

	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

// Every live secret signs where the scheme has room, newest first, and otherwise the newest.
func TestSignerSignsWithEveryLiveSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, s := range presets() {
			if strings.Contains(s.Config().Signed, "{url}") {
				continue
			}
			old := goodSecret(s, 2)
			old.NotAfter = time.Now().Add(time.Hour)
			signer := mustSigner(t, s, goodSecret(s, 1), old, webhook.Secret{ID: "empty"})
			verifies := func(secret webhook.Secret) bool {
				h := http.Header{}
				require.NoError(t, signer.Sign(h, "m", time.Now(), []byte("body")))
				c := webhook.Config{Scheme: s, Secrets: []webhook.Secret{{ID: "r", Value: secret.Value}}}
				_, err := verify(mustVerifier(t, c), h, "body")
				return err == nil || errors.Is(err, webhook.ErrMalformed) && s == webhook.Linear // no time in the body
			}
			list := s.Config().List != webhook.Single || len(s.Config().MoreHeaders) > 0
			assert.True(t, verifies(goodSecret(s, 1)), name)
			assert.Equal(t, list, verifies(goodSecret(s, 2)), name)
			time.Sleep(time.Hour + 1)
			assert.True(t, verifies(goodSecret(s, 1)), name)
			assert.False(t, verifies(goodSecret(s, 2)), "%s: it has ended", name)
		}
	})
}

func TestSignerWithoutSecrets(t *testing.T) {
	signer := mustSigner(t, webhook.Stripe)
	h := http.Header{}
	require.ErrorIs(t, signer.Sign(h, "", time.Now(), nil), webhook.ErrNoSecret)
	require.Empty(t, h)
	dst, err := signer.AppendSignature([]byte("x"), "", time.Now(), nil)
	require.ErrorIs(t, err, webhook.ErrNoSecret)
	require.Equal(t, "x", string(dst))

	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, signer.Set(webhook.Secret{ID: "a", Value: secret.New(secretText), NotAfter: time.Now()}))
		require.NoError(t, signer.Sign(h, "", time.Now(), nil))
		time.Sleep(time.Nanosecond)
		require.ErrorIs(t, signer.Sign(h, "", time.Now(), nil), webhook.ErrNoSecret)
		require.Error(t, signer.Set(sec("b", otherText), sec("c", "short")), "all or none")
		require.ErrorIs(t, signer.Sign(h, "", time.Now(), nil), webhook.ErrNoSecret)
		require.NoError(t, signer.Set(sec("b", otherText)))
		require.NoError(t, signer.Sign(h, "", time.Now(), nil))
	})
}

func TestAppendSignatureIsWhatSignSets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, s := range presets() {
			if strings.Contains(s.Config().Signed, "{url}") {
				continue
			}
			signer := mustSigner(t, s, goodSecret(s, 1), goodSecret(s, 2))
			for _, size := range []int{0, 1, 64, 511, 512, 513, 600, 2000, 100_000} {
				body := bytes.Repeat([]byte("x"), size)
				h := http.Header{}
				require.NoError(t, signer.Sign(h, "m", time.Now(), body))
				got, err := signer.AppendSignature([]byte("kept "), "m", time.Now(), body)
				require.NoError(t, err)
				require.Equal(t, "kept "+h.Get(s.Config().Header), string(got), name)
				if c := s.Config(); c.Timestamp != "" {
					require.Equal(t, h.Get(c.Timestamp), string(signer.AppendTimestamp(nil, time.Now())))
				}
			}
		}
		require.Empty(t, mustSigner(t, webhook.GitHub).AppendTimestamp(nil, time.Now()))
	})
}

// record is a transport that keeps what it was given, reads the body twice, and lets a Verifier judge it.
type record struct {
	t        *testing.T
	verifier *webhook.Verifier
	match    webhook.Match
	request  *http.Request
	body     string
}

func (r *record) RoundTrip(req *http.Request) (*http.Response, error) {
	first, err := io.ReadAll(req.Body)
	require.NoError(r.t, err)
	require.NoError(r.t, req.Body.Close())
	if req.GetBody != nil {
		again, err := req.GetBody()
		require.NoError(r.t, err)
		second, err := io.ReadAll(again)
		require.NoError(r.t, err)
		require.Equal(r.t, first, second)
	}
	require.EqualValues(r.t, len(first), req.ContentLength)
	r.request, r.body = req, string(first)
	arrived := req.Clone(req.Context())
	arrived.Body, arrived.RequestURI = io.NopCloser(bytes.NewReader(first)), req.URL.RequestURI()
	_, r.match, err = r.verifier.VerifyRequest(arrived)
	require.NoError(r.t, err)
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
}

func TestTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, s := range presets() {
			if s == webhook.Linear {
				continue // the time is the body's
			}
			c := webhook.Config{Scheme: s, Secrets: []webhook.Secret{goodSecret(s, 1)}}
			if strings.Contains(s.Config().Signed, "{url}") {
				c.URL = "https://example.com"
			}
			base := &record{t: t, verifier: mustVerifier(t, c)}
			client := &http.Client{Transport: &webhook.Transport{Signer: mustSigner(t, s, goodSecret(s, 1)), Base: base}}
			for _, body := range []string{"", `{"a":1}`, strings.Repeat("x", 100_000)} {
				for _, reader := range []io.Reader{strings.NewReader(body), iotest.HalfReader(strings.NewReader(body))} {
					req, err := http.NewRequest(http.MethodPost, "https://example.com/hook?a=b", reader)
					require.NoError(t, err)
					req.Header.Set("Content-Type", "application/json")
					before := req.Header.Clone()
					resp, err := client.Do(req)
					require.NoError(t, err, name)
					require.Equal(t, http.StatusOK, resp.StatusCode)
					require.Equal(t, body, base.body)
					require.Equal(t, before, req.Header, "the caller's request is not changed")
					require.Equal(t, "a=b", req.URL.RawQuery)
				}
			}
		}
	})
}

func TestTransportMessageIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := webhook.Standard
		base := &record{t: t, verifier: mustVerifier(t, webhook.Config{Scheme: s, Secrets: []webhook.Secret{sec("a", whsec)}})}
		transport := &webhook.Transport{Signer: mustSigner(t, s, sec("a", whsec)), Base: base}
		send := func(id string) webhook.Match {
			req, err := http.NewRequest(http.MethodPost, "https://example.com", strings.NewReader("body"))
			require.NoError(t, err)
			if id != "" {
				req.Header.Set("webhook-id", id)
			}
			resp, err := transport.RoundTrip(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			return base.match
		}
		one, two := send(""), send("")
		require.Regexp(t, `^msg_[A-Z2-7]{26}$`, one.MessageID)
		require.NotEqual(t, one.MessageID, two.MessageID)

		first := send("mine")
		require.Equal(t, "mine", first.MessageID)
		time.Sleep(time.Minute)
		again := send("mine")
		require.Equal(t, "mine", again.MessageID)
		require.Equal(t, first.SignedAt.Add(time.Minute), again.SignedAt, "another try has the same id and its own time")

		transport.NewID = func() string { return "n1" }
		require.Equal(t, "n1", send("").MessageID)

		req, err := http.NewRequest(http.MethodPost, "https://example.com", nil)
		require.NoError(t, err)
		req.Header.Set("webhook-id", "a.b")
		_, err = transport.RoundTrip(req)
		require.Error(t, err)
	})
}

// closes notes that a body was closed.
type closes struct {
	io.Reader
	closed bool
}

func (c *closes) Close() error { c.closed = true; return nil }

func TestTransportClosesTheBodyWhateverHappens(t *testing.T) {
	never := roundTripper(func(*http.Request) (*http.Response, error) {
		t.Error("it was sent")
		return nil, errors.New("sent")
	})
	good := mustSigner(t, webhook.GitHub, sec("a", secretText))
	broken := errors.New("disk")
	for _, c := range []struct {
		transport *webhook.Transport
		body      io.Reader
		length    int64
		want      string
	}{
		{&webhook.Transport{Base: never}, strings.NewReader("x"), 1, "Transport.Signer is required"},
		{&webhook.Transport{Base: never, Signer: mustSigner(t, webhook.GitHub)}, strings.NewReader("x"), 1, webhook.ErrNoSecret.Error()},
		{&webhook.Transport{Base: never, Signer: good, MaxBody: 3}, strings.NewReader("four"), 4, webhook.ErrTooLarge.Error()},
		{&webhook.Transport{Base: never, Signer: good, MaxBody: 3}, strings.NewReader("four"), 0, webhook.ErrTooLarge.Error()},
		{&webhook.Transport{Base: never, Signer: good}, iotest.ErrReader(broken), 0, "disk"},
	} {
		body := &closes{Reader: c.body}
		r := httptest.NewRequest(http.MethodPost, "https://example.com", nil)
		r.Body, r.ContentLength = body, c.length
		_, err := c.transport.RoundTrip(r)
		require.ErrorContains(t, err, c.want)
		require.True(t, body.closed)
	}
	r := &http.Request{Method: http.MethodPost, URL: httptest.NewRequest(http.MethodGet, "https://example.com", nil).URL}
	sent := false
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		sent = r.Header.Get("X-Hub-Signature-256") != ""
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})
	_, err := (&webhook.Transport{Base: base, Signer: good}).RoundTrip(r)
	require.NoError(t, err)
	require.True(t, sent)
	require.Nil(t, r.Header)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTransportUsesTheDefaultTransport(t *testing.T) {
	v := githubVerifier(t, webhook.Config{})
	server := httptest.NewServer(v.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	defer server.Close()
	client := &http.Client{Transport: &webhook.Transport{Signer: mustSigner(t, webhook.GitHub, sec("a", secretText))}}
	resp, err := client.Post(server.URL, "application/json", strings.NewReader("{}"))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
}
