// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

// Secrets of the tests. That of standard is base64 of 24 bytes.
const (
	secretText = "It's a Secret to Everybody"
	otherText  = "Everybody keeps this one secret"
	thirdText  = "nobody ever signs with this one"
	whsec      = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	otherWhsec = "whsec_plJ3nmyCDGBKInavdOK15jslwTrqYKG8"
)

func sec(id, text string) webhook.Secret { return webhook.Secret{ID: id, Value: secret.New(text)} }

// presets are all schemes of the package, by name.
func presets() map[string]*webhook.Scheme {
	all := map[string]*webhook.Scheme{}
	for _, s := range []*webhook.Scheme{
		webhook.GitHub, webhook.Bitbucket, webhook.Gitea, webhook.Forgejo, webhook.Gogs, webhook.Shopify, webhook.Razorpay,
		webhook.LINE, webhook.Adyen, webhook.PagerDuty, webhook.CircleCI, webhook.Stripe, webhook.Mux, webhook.Paddle,
		webhook.Convoy, webhook.Slack, webhook.Zoom, webhook.Zendesk, webhook.Box, webhook.Linear, webhook.Discord,
		webhook.Standard, webhook.Svix, webhook.Twilio, webhook.Square, webhook.GitLab, webhook.Okta,
	} {
		all[s.String()] = s
	}
	return all
}

func mustScheme(t testing.TB, c webhook.SchemeConfig) *webhook.Scheme {
	t.Helper()
	s, err := webhook.NewScheme(c)
	require.NoError(t, err)
	return s
}

// at runs f in a bubble whose clock shows the time.
func at(t *testing.T, when time.Time, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(when))
		f(t)
	})
}

func macHex(key, signed string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(signed))
	return hex.EncodeToString(mac.Sum(nil))
}

func macBase64(key, signed string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(signed))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func verify(v *webhook.Verifier, h http.Header, body string) (webhook.Match, error) {
	return v.Verify(context.Background(), h, []byte(body))
}

// serve sends a delivery through the middleware and returns the answer, and what the handler saw: nothing if it was not called.
func serve(v *webhook.Verifier, h http.Header, body string) (*httptest.ResponseRecorder, []string) {
	var seen []string
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(body))
	r.Header = h
	v.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		_, err := b.ReadFrom(r.Body)
		if err != nil {
			panic(err)
		}
		seen = append(seen, b.String())
	})).ServeHTTP(w, r)
	return w, seen
}
