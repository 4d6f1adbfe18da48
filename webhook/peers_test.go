// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/webhook"
)

// What other verifiers have got wrong, and this one must not: each was seen in a library that is in use.

func one(t *testing.T, s *webhook.Scheme) *webhook.Verifier {
	t.Helper()
	return mustVerifier(t, webhook.Config{Scheme: s, Secrets: []webhook.Secret{sec("a", secretText)}})
}

// A delivery signed with the empty key, to a receiver whose secret is not set.
func TestPeersAcceptTheEmptySecret(t *testing.T) {
	for _, s := range []*webhook.Scheme{webhook.GitHub, webhook.Standard, webhook.LINE, webhook.PagerDuty, webhook.Paddle, webhook.Stripe} {
		for _, text := range []string{"", "whsec_"} {
			v, err := webhook.NewVerifier(webhook.Config{Scheme: s, Secrets: []webhook.Secret{sec("a", text)}})
			require.Error(t, err, s)
			require.Nil(t, v)
		}
	}
	v := mustVerifier(t, webhook.Config{Scheme: webhook.GitHub})
	for _, h := range []http.Header{{}, header("X-Hub-Signature-256", "sha256="+macHex("", "body"))} {
		w, seen := serve(v, h, "body")
		assert.Equal(t, http.StatusServiceUnavailable, w.Code)
		assert.Empty(t, seen)
	}
}

// A time far in the future.
func TestPeersAcceptTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stamp := fmt.Sprint(time.Now().Add(time.Hour).Unix())
		_, err := verify(one(t, webhook.Stripe), header("Stripe-Signature", "t="+stamp+",v1="+macHex(secretText, stamp+".body")), "body")
		require.ErrorIs(t, err, webhook.ErrStale)
	})
}

// A time that overflows the subtraction.
func TestPeersOverflow(t *testing.T) {
	for _, stamp := range []string{fmt.Sprint(math.MinInt64), fmt.Sprint(math.MaxInt64), "9223372036854775808", "-1"} {
		_, err := verify(one(t, webhook.Stripe), header("Stripe-Signature", "t="+stamp+",v1="+macHex(secretText, stamp+".body")), "body")
		require.ErrorIs(t, err, webhook.ErrMalformed, stamp)
	}
}

// A time that is read as a number and signed as another text: +N, 0N.
func TestPeersReformatTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := fmt.Sprint(time.Now().Unix())
		for _, stamp := range []string{"+" + now, "0" + now} {
			for _, signed := range []string{now, stamp} {
				_, err := verify(one(t, webhook.Stripe), header("Stripe-Signature", "t="+stamp+",v1="+macHex(secretText, signed+".body")), "body")
				require.ErrorIs(t, err, webhook.ErrMalformed, stamp)
			}
		}
	})
}

// The first, or the last, of what is there twice.
func TestPeersTakeOneOfTwoHeaders(t *testing.T) {
	good, bad := "sha256="+macHex(secretText, "body"), "sha256="+macHex(otherText, "body")
	for _, h := range []http.Header{
		{"X-Hub-Signature-256": {good, bad}}, {"X-Hub-Signature-256": {bad, good}}, {"X-Hub-Signature-256": {good, good}},
	} {
		_, err := verify(one(t, webhook.GitHub), h, "body")
		require.ErrorIs(t, err, webhook.ErrMalformed)
	}
}

// The same signature in another spelling: line ends, bits at the end, capitals.
func TestPeersAcceptMalleableBase64(t *testing.T) {
	mac := macBase64(secretText, "body")
	for _, text := range []string{mac[:20] + "\n" + mac[20:], mac[:20] + "\r" + mac[20:], mac + "\n", strings.TrimRight(mac, "=")} {
		_, err := verify(one(t, webhook.LINE), header("X-Line-Signature", text), "body")
		require.ErrorIs(t, err, webhook.ErrMalformed, text)
	}
}

// A header that is shorter than its prefix.
func TestPeersPanicOnShortHeaders(t *testing.T) {
	for name, s := range presets() {
		c := webhook.Config{Scheme: s, Secrets: []webhook.Secret{goodSecret(s, 1)}}
		if strings.Contains(s.Config().Signed, "{url}") {
			c.URL = "https://example.com"
		}
		v := mustVerifier(t, c)
		for _, text := range []string{"s", "=", ",", ";", " ", "v", "v1", "v1,", "t=", "sha256", "\t", "=,=", ",,", "\x00"} {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("body"))
			for _, h := range append(s.Config().MoreHeaders, s.Config().Header) {
				r.Header.Set(h, text)
			}
			_, _, err := v.VerifyRequest(r)
			require.Error(t, err, "%s %q", name, text)
		}
	}
}

// Two h1, which is what a rotation looks like.
func TestPeersRefuseTheSecondH1(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stamp := fmt.Sprint(time.Now().Unix())
		good, bad := "h1="+macHex(secretText, stamp+":body"), "h1="+macHex(otherText, stamp+":body")
		for _, text := range []string{good + ";" + bad, bad + ";" + good, bad + "; " + good} {
			_, err := verify(one(t, webhook.Paddle), header("Paddle-Signature", "ts="+stamp+";"+text), "body")
			require.NoError(t, err, text)
		}
	})
}

// A space after the comma, which is how a proxy folds two lines.
func TestPeersSkipWhatFollowsASpace(t *testing.T) {
	text := "v1=" + macHex(otherText, "body") + ", v1=" + macHex(secretText, "body")
	_, err := verify(one(t, webhook.PagerDuty), header("X-PagerDuty-Signature", text), "body")
	require.NoError(t, err)
}

// A body that is cut at the limit, and handed on cut.
func TestPeersTruncateSilently(t *testing.T) {
	body := strings.Repeat("x", 2<<20)
	h := header("X-PagerDuty-Signature", "v1="+macHex(secretText, body))
	v := one(t, webhook.PagerDuty)
	for _, r := range []*http.Request{
		httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)),
		httptest.NewRequest(http.MethodPost, "/", io.MultiReader(strings.NewReader(body))), // of a length that nobody said
	} {
		r.Header = h
		_, _, err := v.VerifyRequest(r)
		require.ErrorIs(t, err, webhook.ErrTooLarge)
	}
	v = mustVerifier(t, webhook.Config{Scheme: webhook.PagerDuty, MaxBody: 2 << 20, Secrets: []webhook.Secret{sec("a", secretText)}})
	r := httptest.NewRequest(http.MethodPost, "/", io.MultiReader(strings.NewReader(body)))
	r.Header = h
	got, _, err := v.VerifyRequest(r)
	require.NoError(t, err)
	again, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.True(t, bytes.Equal(got, again) && len(got) == len(body))
}

// A form with a second value under the same name: the first was signed, the handler reads both.
func TestPeersSignOneOfTwoFormValues(t *testing.T) {
	const url = "https://example.com/hook"
	v := mustVerifier(t, webhook.Config{Scheme: webhook.Twilio, URL: url, Secrets: []webhook.Secret{sec("a", secretText)}})
	form := func(signed, sent string) error {
		r := httptest.NewRequest(http.MethodPost, url, strings.NewReader(sent))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		require.NoError(t, mustSigner(t, webhook.Twilio, sec("a", secretText)).SignRequest(r, "", time.Time{}, []byte(signed)))
		_, _, err := v.VerifyRequest(r)
		return err
	}
	require.NoError(t, form("Body=ok", "Body=ok"))
	require.NoError(t, form("Body=ok&Body=fine", "Body=fine&Body=ok"), "all values are signed")
	for _, sent := range []string{"Body=ok&Body=evil", "Body=evil&Body=ok", "Body=evil", "Body=ok&X=", "Body=ok&%zz"} {
		require.Error(t, form("Body=ok", sent), sent)
	}
}

// The hash that the header asks for, or the old header.
func TestPeersLetTheHeaderChooseTheHash(t *testing.T) {
	h := header("X-Hub-Signature", "sha1=7ac0e6eaa4d7d4ab9f7a3a9d2f41c7dd51e4f3c5")
	_, err := verify(one(t, webhook.GitHub), h, "body")
	require.ErrorIs(t, err, webhook.ErrUnsigned)
	_, err = verify(one(t, webhook.Bitbucket), h, "body")
	require.ErrorIs(t, err, webhook.ErrMalformed)
}

// A shorter signature that is a beginning of the right one.
func TestPeersCompareTheShorterLength(t *testing.T) {
	mac := macHex(secretText, "body")
	for _, n := range []int{0, 1, 8, 32, 63} {
		_, err := verify(one(t, webhook.Gitea), header("X-Gitea-Signature", mac[:n]), "body")
		require.Error(t, err)
	}
	_, err := verify(one(t, webhook.Gitea), header("X-Gitea-Signature", mac+"0"), "body")
	require.ErrorIs(t, err, webhook.ErrMalformed)
}

// A signature without its version, or with tabs for spaces.
func TestPeersAcceptASignatureWithoutVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := http.Header{}
		require.NoError(t, mustSigner(t, webhook.Standard, sec("a", whsec)).Sign(h, "m", time.Now(), []byte("body")))
		v := mustVerifier(t, webhook.Config{Scheme: webhook.Standard, Secrets: []webhook.Secret{sec("a", whsec)}})
		for _, text := range []string{
			strings.TrimPrefix(h.Get("Webhook-Signature"), "v1,"), "v2,x\t" + h.Get("Webhook-Signature"),
		} {
			h.Set("Webhook-Signature", text)
			_, err := verify(v, h, "body")
			require.ErrorIs(t, err, webhook.ErrMalformed, text)
		}
	})
}

// Missing headers of one family, made up for by those of another.
func TestPeersMixHeaderFamilies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := http.Header{}
		require.NoError(t, mustSigner(t, webhook.Standard, sec("a", whsec)).Sign(h, "m", time.Now(), []byte("body")))
		h.Set("Svix-Signature", h.Get("Webhook-Signature"))
		v := mustVerifier(t, webhook.Config{Scheme: webhook.Svix, Secrets: []webhook.Secret{sec("a", whsec)}})
		_, err := verify(v, h, "body")
		require.ErrorIs(t, err, webhook.ErrMalformed)
	})
}

// Every reason to refuse under one name, or under none.
func TestPeersDoNotTellReasonsApart(t *testing.T) {
	all := []error{
		webhook.ErrUnsigned, webhook.ErrMalformed, webhook.ErrMismatch, webhook.ErrStale, webhook.ErrReplayed, webhook.ErrTooLarge,
		webhook.ErrNoSecret, webhook.ErrReplayStore,
	}
	for i, a := range all {
		for j, b := range all {
			require.Equal(t, i == j, a == b)
		}
	}
}
