// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
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

// goodSecret is one that s takes, different for each n.
func goodSecret(s *webhook.Scheme, n int) webhook.Secret {
	seed := fmt.Sprintf("secret number %d of the tests....", n)[:32]
	text := seed
	switch c := s.Config(); {
	case c.Algorithm == webhook.Ed25519:
		text = hex.EncodeToString(ed25519.NewKeyFromSeed([]byte(seed)))
	case c.Key == webhook.KeyStandard:
		text = "whsec_" + base64.StdEncoding.EncodeToString([]byte(seed))
	case c.Key == webhook.KeyHex:
		text = hex.EncodeToString([]byte(seed))
	case c.Algorithm == webhook.Token:
		text = strings.ReplaceAll(seed, " ", "-")
	}
	return sec(fmt.Sprintf("n%d", n), text)
}

// send signs a delivery and returns it as its receiver gets it.
func send(t testing.TB, s *webhook.Scheme, url, body string, secrets ...webhook.Secret) *http.Request {
	t.Helper()
	signer, err := webhook.NewSigner(s, secrets...)
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	if url != "" {
		u := *r.URL
		r.URL = &u
		require.NoError(t, r.URL.UnmarshalBinary([]byte(url)))
	}
	require.NoError(t, signer.SignRequest(r, "msg_1", time.Now(), []byte(body)))
	r.RequestURI = r.URL.RequestURI()
	return r
}

func TestEveryPresetVerifiesWhatItSigns(t *testing.T) {
	for name, s := range presets() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := webhook.Config{Scheme: s, Secrets: []webhook.Secret{goodSecret(s, 1), goodSecret(s, 2)}}
				url := ""
				if strings.Contains(s.Config().Signed, "{url}") {
					c.URL, url = "https://example.com/hook", "https://example.com/hook"
				}
				v := mustVerifier(t, c)
				body := fmt.Sprintf(`{"webhookTimestamp":%d,"type":"event"}`, time.Now().UnixMilli())
				for n := 1; n <= 2; n++ {
					r := send(t, s, url, body, goodSecret(s, n))
					got, m, err := v.VerifyRequest(r)
					require.NoError(t, err)
					assert.Equal(t, body, string(got))
					assert.Equal(t, fmt.Sprintf("n%d", n), m.SecretID)
					if s.Config().ID != "" {
						assert.Equal(t, "msg_1", m.MessageID)
					}
				}
				_, _, err := v.VerifyRequest(send(t, s, url, body, goodSecret(s, 3)))
				require.ErrorIs(t, err, webhook.ErrMismatch)

				if s.Config().Algorithm != webhook.Token {
					r := send(t, s, url, body, goodSecret(s, 1))
					r.Body = http.NoBody
					r.ContentLength = 0
					_, _, err = v.VerifyRequest(r)
					require.Error(t, err)
				}
			})
		})
	}
}

// The recipes of the senders' documentation, written down once more without the package.
func TestPresetsSignAsDocumented(t *testing.T) {
	const body = `{"webhookTimestamp":946684800000}`
	synctest.Test(t, func(t *testing.T) {
		stamp := fmt.Sprint(time.Now().Unix())
		rfc := time.Now().UTC().Format(time.RFC3339)
		text := goodSecret(webhook.GitHub, 1).Value.Reveal()
		key := ed25519.NewKeyFromSeed([]byte(text))
		tagged := "t=" + stamp + ",v1="
		mac1 := hmac.New(sha1.New, []byte(text))
		mac1.Write([]byte("https://example.com/hook?bodySHA256=x"))
		for _, c := range []struct {
			scheme *webhook.Scheme
			want   []string
		}{
			{webhook.GitHub, []string{"X-Hub-Signature-256", "sha256=" + macHex(text, body)}},
			{webhook.Bitbucket, []string{"X-Hub-Signature", "sha256=" + macHex(text, body)}},
			{webhook.Gitea, []string{"X-Gitea-Signature", macHex(text, body)}},
			{webhook.Forgejo, []string{"X-Forgejo-Signature", macHex(text, body)}},
			{webhook.Gogs, []string{"X-Gogs-Signature", macHex(text, body)}},
			{webhook.Shopify, []string{"X-Shopify-Hmac-Sha256", macBase64(text, body)}},
			{webhook.Razorpay, []string{"X-Razorpay-Signature", macHex(text, body)}},
			{webhook.LINE, []string{"X-Line-Signature", macBase64(text, body)}},
			{webhook.Adyen, []string{"HmacSignature", macBase64(text, body)}},
			{webhook.PagerDuty, []string{"X-PagerDuty-Signature", "v1=" + macHex(text, body)}},
			{webhook.CircleCI, []string{"Circleci-Signature", "v1=" + macHex(text, body)}},
			{webhook.Stripe, []string{"Stripe-Signature", tagged + macHex(text, stamp+"."+body)}},
			{webhook.Mux, []string{"Mux-Signature", tagged + macHex(text, stamp+"."+body)}},
			{webhook.Convoy, []string{"X-Convoy-Signature", tagged + macHex(text, stamp+","+body)}},
			{webhook.Paddle, []string{"Paddle-Signature", "ts=" + stamp + ";h1=" + macHex(text, stamp+":"+body)}},
			{webhook.Slack, []string{
				"X-Slack-Signature", "v0=" + macHex(text, "v0:"+stamp+":"+body), "X-Slack-Request-Timestamp", stamp,
			}},
			{webhook.Zoom, []string{"X-Zm-Signature", "v0=" + macHex(text, "v0:"+stamp+":"+body), "X-Zm-Request-Timestamp", stamp}},
			{webhook.Zendesk, []string{
				"X-Zendesk-Webhook-Signature", macBase64(text, rfc+body), "X-Zendesk-Webhook-Signature-Timestamp", rfc,
			}},
			{webhook.Box, []string{"Box-Signature-Primary", macBase64(text, body+rfc), "Box-Delivery-Timestamp", rfc}},
			{webhook.Linear, []string{"Linear-Signature", macHex(text, body)}},
			{webhook.Discord, []string{
				"X-Signature-Ed25519", hex.EncodeToString(ed25519.Sign(key, []byte(stamp+body))), "X-Signature-Timestamp", stamp,
			}},
			{webhook.Standard, []string{
				"Webhook-Id", "m", "Webhook-Timestamp", stamp, "Webhook-Signature", "v1," + macBase64(text, "m."+stamp+"."+body),
			}},
			{webhook.Svix, []string{
				"Svix-Id", "m", "Svix-Timestamp", stamp, "Svix-Signature", "v1," + macBase64(text, "m."+stamp+"."+body),
			}},
			{webhook.GitLab, []string{"X-Gitlab-Token", goodSecret(webhook.GitLab, 1).Value.Reveal()}},
			{webhook.Okta, []string{"Authorization", goodSecret(webhook.Okta, 1).Value.Reveal()}},
		} {
			h := http.Header{}
			require.NoError(t, mustSigner(t, c.scheme, goodSecret(c.scheme, 1)).Sign(h, "m", time.Now(), []byte(body)))
			assert.Equal(t, header(c.want...), h, c.scheme)
		}
	})
}

// The senders of the example: each verifies what it signs, with all its secrets if it is a list.
func TestSendersVerifyWhatTheySign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range senders {
			s := mustScheme(t, c)
			config := webhook.Config{Scheme: s, Secrets: []webhook.Secret{goodSecret(s, 1)}}
			url := ""
			if strings.Contains(c.Signed, "{url}") {
				url, config.URL = "https://example.com/hook", "https://example.com/hook"
			}
			v := mustVerifier(t, config)
			r := send(t, s, url, "body", goodSecret(s, 1), goodSecret(s, 2))
			_, _, err := v.VerifyRequest(r)
			require.NoError(t, err, c.Name)
			r = send(t, s, url, "body", goodSecret(s, 2), goodSecret(s, 1))
			_, _, err = v.VerifyRequest(r)
			require.Equal(t, c.List != webhook.Single || len(c.MoreHeaders) > 0, err == nil, c.Name)
			r = send(t, s, url, "body", goodSecret(s, 3))
			_, _, err = v.VerifyRequest(r)
			require.ErrorIs(t, err, webhook.ErrMismatch, c.Name)
		}
	})
}

func TestPresetsAreMadeOfTheirConfig(t *testing.T) {
	for name, s := range presets() {
		again := mustScheme(t, s.Config())
		assert.Equal(t, s.Config(), again.Config(), name)
		c := s.Config()
		for i := range c.Tags {
			c.Tags[i] = "changed"
		}
		assert.NotContains(t, s.Config().Tags, "changed", "a scheme is immutable")
	}
}

func TestNewSchemeNamesTheField(t *testing.T) {
	list := func(c webhook.SchemeConfig) webhook.SchemeConfig {
		c.Header, c.List, c.Tags = "X-S", webhook.Pairs, []string{"v1"}
		return c
	}
	for _, c := range []struct {
		field string
		bad   webhook.SchemeConfig
	}{
		{"Header", webhook.SchemeConfig{}},
		{"Header", webhook.SchemeConfig{Header: "X Sig"}},
		{"MoreHeaders", webhook.SchemeConfig{Header: "X-S", MoreHeaders: []string{""}}},
		{"MoreHeaders", webhook.SchemeConfig{Header: "X-S", MoreHeaders: []string{"x-s"}}},
		{"List", webhook.SchemeConfig{Header: "X-S", List: 99, Tags: []string{"v1"}}},
		{"List", webhook.SchemeConfig{Header: "X-S", List: webhook.Continued, Tags: []string{"v1"}, Encoding: webhook.Base64}},
		{"Separator", list(webhook.SchemeConfig{Separator: 'x'})},
		{"Separator", webhook.SchemeConfig{Header: "X-S", Separator: ';'}},
		{"Tags", webhook.SchemeConfig{Header: "X-S", List: webhook.Pairs}},
		{"Tags", webhook.SchemeConfig{Header: "X-S", Tags: []string{"v1"}}},
		{"Tags", webhook.SchemeConfig{Header: "X-S", List: webhook.Pairs, Tags: []string{"v1", "v1"}}},
		{"Tags", webhook.SchemeConfig{Header: "X-S", List: webhook.Pairs, Tags: []string{"v=1"}}},
		{"Tags", list(webhook.SchemeConfig{TimestampTag: "v1", Signed: "{timestamp}{body}"})},
		{"PublicTag", list(webhook.SchemeConfig{PublicTag: "v1a"})},
		{"PublicTag", webhook.SchemeConfig{Header: "X-S", PublicTag: "v1a", Key: webhook.KeyStandard}},
		{"Prefix", list(webhook.SchemeConfig{Prefix: "sha256="})},
		{"Prefix", webhook.SchemeConfig{Header: "X-S", Prefix: "a\nb"}},
		{"Encoding", webhook.SchemeConfig{Header: "X-S", Encoding: 9}},
		{"Algorithm", webhook.SchemeConfig{Header: "X-S", Algorithm: 9}},
		{"Key", webhook.SchemeConfig{Header: "X-S", Key: 9}},
		{"Key", webhook.SchemeConfig{Header: "X-S", Algorithm: webhook.Token, Key: webhook.KeyHex}},
		{"List", webhook.SchemeConfig{Header: "X-S", Algorithm: webhook.Token, MoreHeaders: []string{"X-T"}}},
		{"Signed", webhook.SchemeConfig{Header: "X-S", Algorithm: webhook.Token, Signed: "{body}"}},
		{"Signed", webhook.SchemeConfig{Header: "X-S", Signed: "{nothing}{body}"}},
		{"Signed", webhook.SchemeConfig{Header: "X-S", Signed: "{body"}},
		{"Signed", webhook.SchemeConfig{Header: "X-S", Signed: "{body}{body}"}},
		{"Signed", webhook.SchemeConfig{Header: "X-S", Signed: "{url}"}},
		{"ID", webhook.SchemeConfig{Header: "X-S", ID: "X-Id"}},
		{"ID", webhook.SchemeConfig{Header: "X-S", Signed: "{id}.{body}"}},
		{"ID", webhook.SchemeConfig{Header: "X-S", ID: "x-s", Signed: "{id}.{body}"}},
		{"Timestamp", webhook.SchemeConfig{Header: "X-S", Timestamp: "X-T"}},
		{"Timestamp", webhook.SchemeConfig{Header: "X-S", Signed: "{timestamp}.{body}"}},
		{"Timestamp", list(webhook.SchemeConfig{TimestampTag: "t"})},
		{"Timestamp", list(webhook.SchemeConfig{TimestampTag: "t", Timestamp: "X-T", Signed: "{timestamp}{body}"})},
		{"Timestamp", webhook.SchemeConfig{Header: "X-S", TimestampJSON: "at", Timestamp: "X-T", Signed: "{timestamp}{body}"}},
		{"TimestampTag", webhook.SchemeConfig{Header: "X-S", TimestampTag: "t", Signed: "{timestamp}{body}"}},
		{"TimestampTag", webhook.SchemeConfig{
			Header: "X-S", List: webhook.Spaced, Tags: []string{"v1"}, TimestampTag: "t", Signed: "{timestamp}{body}",
		}},
		{"TimestampJSON", webhook.SchemeConfig{Header: "X-S", TimestampJSON: "at", Signed: "{url}{form}"}},
		{"TimeFormat", webhook.SchemeConfig{Header: "X-S", TimeFormat: webhook.RFC3339}},
		{"TimeFormat", webhook.SchemeConfig{Header: "X-S", Timestamp: "X-T", Signed: "{timestamp}{body}", TimeFormat: 9}},
		{"Tolerance", webhook.SchemeConfig{Header: "X-S", Tolerance: time.Minute}},
		{"Tolerance", webhook.SchemeConfig{Header: "X-S", Timestamp: "X-T", Signed: "{timestamp}{body}", Tolerance: -1}},
		{"Handshake", webhook.SchemeConfig{Header: "X-S", Handshake: 9}},
		{"Handshake", webhook.SchemeConfig{Header: "X-S", Handshake: webhook.OktaHandshake}},
		{"Handshake", webhook.SchemeConfig{Header: "X-S", Algorithm: webhook.Token, Handshake: webhook.ZoomHandshake}},
	} {
		_, err := webhook.NewScheme(c.bad)
		assert.ErrorContains(t, err, "SchemeConfig."+c.field+": ", "%+v", c.bad)
	}
}

func TestNewSchemeReportsAllMistakes(t *testing.T) {
	_, err := webhook.NewScheme(webhook.SchemeConfig{Prefix: "\n", Encoding: 9, ID: "X-Id"})
	for _, field := range []string{"Header", "Prefix", "Encoding", "ID"} {
		assert.ErrorContains(t, err, "SchemeConfig."+field)
	}
}

func TestSecondHeader(t *testing.T) {
	s := mustScheme(t, webhook.SchemeConfig{
		Header: "X-Hookdeck-Signature", MoreHeaders: []string{"X-Hookdeck-Signature-2"}, Encoding: webhook.Base64,
	})
	v := mustVerifier(t, webhook.Config{Scheme: s, Secrets: []webhook.Secret{sec("a", secretText)}})
	good, bad := macBase64(secretText, "body"), macBase64(otherText, "body")
	for _, h := range []http.Header{
		header("X-Hookdeck-Signature", good), header("X-Hookdeck-Signature-2", good),
		header("X-Hookdeck-Signature", bad, "X-Hookdeck-Signature-2", good),
		header("X-Hookdeck-Signature", "short", "X-Hookdeck-Signature-2", good),
	} {
		_, err := verify(v, h, "body")
		require.NoError(t, err, h)
	}
	_, err := verify(v, header("X-Hookdeck-Signature", bad, "X-Hookdeck-Signature-2", bad), "body")
	require.ErrorIs(t, err, webhook.ErrMismatch)

	h := http.Header{}
	signer := mustSigner(t, s, sec("b", otherText), sec("a", secretText), sec("c", thirdText))
	require.NoError(t, signer.Sign(h, "", time.Time{}, []byte("body")))
	assert.Equal(t, header("X-Hookdeck-Signature", bad, "X-Hookdeck-Signature-2", good), h, "newest first, as many as there is room for")

	require.NoError(t, mustSigner(t, s, sec("a", secretText)).Sign(h, "", time.Time{}, []byte("body")))
	assert.Equal(t, header("X-Hookdeck-Signature", good), h, "what an earlier signature left is gone")
}

func TestContinuedList(t *testing.T) {
	s := mustScheme(t, webhook.SchemeConfig{Header: "X-Outpost-Signature", List: webhook.Continued, Tags: []string{"v0"}})
	h := http.Header{}
	signer := mustSigner(t, s, sec("b", otherText), sec("a", secretText))
	require.NoError(t, signer.Sign(h, "", time.Time{}, []byte("body")))
	require.Equal(t, "v0="+macHex(otherText, "body")+","+macHex(secretText, "body"), h.Get("X-Outpost-Signature"))
	v := mustVerifier(t, webhook.Config{Scheme: s, Secrets: []webhook.Secret{sec("a", secretText)}})
	_, err := verify(v, h, "body")
	require.NoError(t, err)

	h.Set("X-Outpost-Signature", "v9=abc,"+macHex(secretText, "body"))
	_, err = verify(v, h, "body")
	require.ErrorIs(t, err, webhook.ErrMalformed, "what follows another tag belongs to it")
}

func TestTimeInTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := mustVerifier(t, webhook.Config{Scheme: webhook.Linear, Secrets: []webhook.Secret{sec("a", secretText)}})
		check := func(body string) (webhook.Match, error) {
			return verify(v, header("Linear-Signature", macHex(secretText, body)), body)
		}
		now := time.Now()
		m, err := check(fmt.Sprintf(`{"data":{"webhookTimestamp":1,"x":"}\""}, "webhookTimestamp" : %d }`, now.UnixMilli()))
		require.NoError(t, err)
		assert.True(t, now.Equal(m.SignedAt))
		for body, want := range map[string]error{
			fmt.Sprintf(`{"webhookTimestamp":%d}`, now.Add(-61*time.Second).UnixMilli()):     webhook.ErrStale,
			fmt.Sprintf(`{"webhookTimestamp":%d}`, now.Add(61*time.Second).UnixMilli()):      webhook.ErrStale,
			fmt.Sprintf(`{"webhookTimestamp":%d,"webhookTimestamp":%[1]d}`, now.UnixMilli()): webhook.ErrMalformed,
			fmt.Sprintf(`{"data":{"webhookTimestamp":%d}}`, now.UnixMilli()):                 webhook.ErrMalformed,
			fmt.Sprintf(`{"webhookTimestamp":-%d}`, now.UnixMilli()):                         webhook.ErrMalformed,
			fmt.Sprintf(`{"webhookTimestamp":%d.5}`, now.UnixMilli()):                        webhook.ErrMalformed,
			fmt.Sprintf(`{"webhookTimestamp":%de3}`, now.Unix()):                             webhook.ErrMalformed,
			`{"webhookTimestamp":"`: webhook.ErrMalformed, `{"webhookTimestamp":}`: webhook.ErrMalformed,
			`{"webhookTimestamp":{}}`: webhook.ErrMalformed, `{}`: webhook.ErrMalformed, ``: webhook.ErrMalformed,
		} {
			_, err := check(body)
			require.ErrorIs(t, err, want, body)
		}
		_, err = verify(v, header("Linear-Signature", macHex(otherText, "{}")), "{}")
		require.ErrorIs(t, err, webhook.ErrMismatch, "what nobody signed is not read")
	})
}

// A set may have keys of both kinds, and a list signatures of both.
func TestStandardWithBothKinds(t *testing.T) {
	const (
		public  = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
		private = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
	)
	synctest.Test(t, func(t *testing.T) {
		h := http.Header{}
		signer := mustSigner(t, webhook.Standard, sec("new", private), sec("old", whsec))
		require.NoError(t, signer.Sign(h, "m1", time.Now(), []byte("body")))
		require.Regexp(t, `^v1a,\S{88} v1,\S{44}$`, h.Get("Webhook-Signature"))
		for id, text := range map[string]string{"public": public, "private": private, "shared": whsec} {
			v := mustVerifier(t, webhook.Config{Scheme: webhook.Standard, Secrets: []webhook.Secret{
				sec("wrong", otherWhsec), sec(id, text),
			}})
			m, err := verify(v, h, "body")
			require.NoError(t, err)
			assert.Equal(t, id, m.SecretID)
			_, err = verify(v, h, "bodY")
			require.ErrorIs(t, err, webhook.ErrMismatch)
		}
		_, err := webhook.NewSigner(webhook.Standard, sec("public", public))
		require.ErrorContains(t, err, `secret "public" is a public key`)
		for _, bad := range []string{"whpk_", "whpk_AAAA", "whsk_AAAA", public + "A", "whsk_" + strings.Repeat("A", 86) + "==", "whpk_%"} {
			_, err := webhook.NewVerifier(webhook.Config{Scheme: webhook.Standard, Secrets: []webhook.Secret{sec("bad", bad)}})
			require.Error(t, err, bad)
		}
	})
}

func TestEd25519IsNotMalleable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := goodSecret(webhook.Discord, 1)
		h := http.Header{}
		require.NoError(t, mustSigner(t, webhook.Discord, key).Sign(h, "", time.Now(), []byte("body")))
		public := sec("public", key.Value.Reveal()[64:])
		v := mustVerifier(t, webhook.Config{Scheme: webhook.Discord, Secrets: []webhook.Secret{public}})
		_, err := verify(v, h, "body")
		require.NoError(t, err)
		h.Set("X-Signature-Ed25519", strings.ToUpper(h.Get("X-Signature-Ed25519")))
		_, err = verify(v, h, "body")
		require.ErrorIs(t, err, webhook.ErrMismatch)
	})
}

func TestURLSchemes(t *testing.T) {
	twilio := func(url, secretText string, r *http.Request) error {
		v := mustVerifier(t, webhook.Config{Scheme: webhook.Twilio, URL: url, Secrets: []webhook.Secret{sec("a", secretText)}})
		_, _, err := v.VerifyRequest(r)
		return err
	}
	form := func(url, body string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, url, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
		signed := r.Clone(context.Background())
		require.NoError(t, mustSigner(t, webhook.Twilio, sec("a", secretText)).SignRequest(signed, "", time.Time{}, []byte(body)))
		r.Header.Set("X-Twilio-Signature", signed.Header.Get("X-Twilio-Signature"))
		return r
	}
	const url = "https://example.com/hook"
	require.NoError(t, twilio(url, secretText, form(url+"?a=1", "A=1&B=2")))
	require.NoError(t, twilio("https://example.com", secretText, form(url+"?a=1", "A=1&B=2")), "the path of the request")
	require.NoError(t, twilio(url, secretText, form(url, "")), "no form")

	r := form(url, "A=1")
	r.Host = "evil.example"
	require.NoError(t, twilio(url, secretText, r), "what the request says about its host does not count")
	require.Error(t, twilio("https://evil.example/hook", secretText, form(url, "A=1")))

	r = form(url, "A=1")
	r.Header.Set("Content-Type", "application/json")
	require.ErrorIs(t, twilio(url, secretText, r), webhook.ErrMalformed, "no form, and no hash")
	r = form(url, "A=1")
	r.Header.Add("Content-Type", "application/x-www-form-urlencoded")
	require.ErrorIs(t, twilio(url, secretText, r), webhook.ErrMalformed)
	r = form(url, "")
	r.URL.RawQuery = "bodySHA256=0&bodySHA256=1"
	require.ErrorIs(t, twilio(url, secretText, r), webhook.ErrMalformed)

	// A body that is no form is signed through its hash in the URL.
	r = httptest.NewRequest(http.MethodPost, url+"?x=1", strings.NewReader("{}"))
	signer := mustSigner(t, webhook.Twilio, sec("a", secretText))
	before := *r.URL
	require.NoError(t, signer.SignRequest(r, "", time.Time{}, []byte("{}")))
	require.Contains(t, r.URL.RawQuery, "x=1&bodySHA256=")
	require.Equal(t, "x=1", before.RawQuery)
	require.NoError(t, twilio(url, secretText, r))
	r.Body = http.NoBody
	require.Error(t, twilio(url, secretText, r), "the body of that hash")

	v := mustVerifier(t, webhook.Config{Scheme: webhook.Square, URL: url, Secrets: []webhook.Secret{sec("a", secretText)}})
	_, err := verify(v, header("X-Square-Hmacsha256-Signature", macBase64(secretText, url+"body")), "body")
	require.ErrorContains(t, err, "VerifyRequest")
	require.ErrorContains(t, signer.Sign(http.Header{}, "", time.Time{}, nil), "SignRequest")
	_, err = signer.AppendSignature(nil, "", time.Time{}, nil)
	require.ErrorContains(t, err, "SignRequest")
}

// HubSpot version 3: a method in what is signed.
func TestMethodIsSigned(t *testing.T) {
	s := mustScheme(t, webhook.SchemeConfig{
		Header: "X-HubSpot-Signature-V3", Encoding: webhook.Base64, Signed: "{method}{url}{body}{timestamp}",
		Timestamp: "X-HubSpot-Request-Timestamp", TimeFormat: webhook.Milliseconds,
	})
	const url = "https://example.com/hook"
	synctest.Test(t, func(t *testing.T) {
		v := mustVerifier(t, webhook.Config{Scheme: s, URL: url, Secrets: []webhook.Secret{sec("a", secretText)}})
		stamp := fmt.Sprint(time.Now().UnixMilli())
		request := func(method string) *http.Request {
			r := httptest.NewRequest(method, "/internal", strings.NewReader("body"))
			r.Header = header("X-HubSpot-Signature-V3", macBase64(secretText, "POST"+url+"body"+stamp), "X-HubSpot-Request-Timestamp", stamp)
			return r
		}
		_, _, err := v.VerifyRequest(request(http.MethodPost))
		require.NoError(t, err)
		_, _, err = v.VerifyRequest(request(http.MethodPut))
		require.ErrorIs(t, err, webhook.ErrMismatch)
	})
}

func TestConfigNamesTheField(t *testing.T) {
	replay := webhook.NewReplayCache(1)
	for _, c := range []struct {
		field string
		bad   webhook.Config
	}{
		{"Scheme", webhook.Config{}},
		{"URL", webhook.Config{Scheme: webhook.Square}},
		{"URL", webhook.Config{Scheme: webhook.GitHub, URL: "https://example.com"}},
		{"URL", webhook.Config{Scheme: webhook.Square, URL: "/hook"}},
		{"URL", webhook.Config{Scheme: webhook.Square, URL: "ftp://example.com"}},
		{"URL", webhook.Config{Scheme: webhook.Square, URL: "https://example.com?a=b"}},
		{"URL", webhook.Config{Scheme: webhook.Square, URL: "https://example.com/%zz"}},
		{"Tolerance", webhook.Config{Scheme: webhook.GitHub, Tolerance: time.Minute}},
		{"Tolerance", webhook.Config{Scheme: webhook.Stripe, Tolerance: -time.Minute}},
		{"MaxBody", webhook.Config{Scheme: webhook.GitHub, MaxBody: -1}},
		{"Replay", webhook.Config{Scheme: webhook.GitLab, Replay: replay}},
		{"ReplayFor", webhook.Config{Scheme: webhook.Stripe, ReplayFor: time.Hour}},
		{"ReplayFor", webhook.Config{Scheme: webhook.Stripe, Replay: replay, ReplayFor: 9 * time.Minute}},
		{"ReplayFor", webhook.Config{Scheme: webhook.GitHub, Replay: replay, ReplayFor: -1}},
	} {
		_, err := webhook.NewVerifier(c.bad)
		assert.ErrorContains(t, err, "Config."+c.field, "%+v", c.bad)
	}
	_, err := webhook.NewSigner(nil)
	require.ErrorContains(t, err, "scheme")
	assert.Panics(t, func() { webhook.NewReplayCache(0) })
}
