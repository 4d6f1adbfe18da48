// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

// The pitfalls of webhook verification, by number.

// 1. An empty or short secret is refused, as the scheme decodes it, and no secret is never "no check".
func TestPitfall1EmptyAndShortSecrets(t *testing.T) {
	for name, s := range presets() {
		for _, text := range []string{"short", "whsec_", "whsec_c2hvcnQ=", "fifteen bytes..", "abcd"} {
			c := webhook.Config{Scheme: s, Secrets: []webhook.Secret{sec("a", text)}}
			if strings.Contains(s.Config().Signed, "{url}") {
				c.URL = "https://example.com"
			}
			_, err := webhook.NewVerifier(c)
			require.ErrorContains(t, err, `secret "a"`, "%s %q", name, text)
			_, err = webhook.NewSigner(s, sec("a", text))
			require.ErrorContains(t, err, `secret "a"`, "%s %q", name, text)
		}
	}
	_, err := webhook.NewVerifierOfVector(webhook.Config{Scheme: webhook.Standard, Secrets: []webhook.Secret{sec("a", "whsec_")}})
	require.Error(t, err, "not even for a vector")

	empty := []webhook.Secret{{ID: "a"}, {ID: "b", Value: secret.New("")}}
	_, err = webhook.NewVerifier(webhook.Config{Scheme: webhook.GitHub, Secrets: empty})
	require.ErrorContains(t, err, "every Value is empty")
	v := mustVerifier(t, webhook.Config{Scheme: webhook.GitHub})
	_, err = verify(v, header("X-Hub-Signature-256", "sha256="+macHex("", "body")), "body")
	require.ErrorIs(t, err, webhook.ErrNoSecret)
	require.ErrorContains(t, v.Set(), "no secrets")
	require.ErrorContains(t, v.Set(empty...), "every Value is empty")
	require.NoError(t, v.Set(append(empty, sec("c", secretText))...), "an empty slot is skipped")
	require.ErrorIs(t, func() error { _, err := verify(v, http.Header{}, "body"); return err }(), webhook.ErrUnsigned)
}

// 2. whsec_ is the scheme's business, and nothing is trimmed.
func TestPitfall2SecretForms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stamp := fmt.Sprint(time.Now().Unix())
		v := mustVerifier(t, webhook.Config{Scheme: webhook.Stripe, Secrets: []webhook.Secret{sec("a", whsec)}})
		_, err := verify(v, header("Stripe-Signature", "t="+stamp+",v1="+macHex(whsec, stamp+".body")), "body")
		require.NoError(t, err, "Stripe keys with the text")

		for _, text := range []string{whsec, strings.TrimPrefix(whsec, "whsec_")} {
			v := mustVerifier(t, webhook.Config{Scheme: webhook.Standard, Secrets: []webhook.Secret{sec("a", text)}})
			h := http.Header{}
			require.NoError(t, mustSigner(t, webhook.Standard, sec("b", whsec)).Sign(h, "m", time.Now(), nil))
			_, err := verify(v, h, "")
			require.NoError(t, err)
		}
	})
	for _, s := range []*webhook.Scheme{webhook.GitHub, webhook.Standard, webhook.Adyen, webhook.GitLab} {
		good := goodSecret(s, 1).Value.Reveal()
		for _, text := range []string{good + "\n", good + " ", "\t" + good, good + "\r\n", good + "\u00a0"} {
			_, err := webhook.NewVerifier(webhook.Config{Scheme: s, Secrets: []webhook.Secret{sec("a", text)}})
			require.ErrorContains(t, err, "white space", "%s %q", s, text)
		}
	}
	for _, text := range []string{"whsec_not base64 at all!!!!!!!!!", whsec + "=", "whsec_MfKQ9r8GKYqr\nTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx=="} {
		_, err := webhook.NewVerifier(webhook.Config{Scheme: webhook.Standard, Secrets: []webhook.Secret{sec("a", text)}})
		require.ErrorContains(t, err, "base64", text)
	}
}

// 3. What was received is what is signed and compared: the text of the time, digits only, in a window to both sides.
func TestPitfall3Time(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		n := now.Unix()
		v := mustVerifier(t, webhook.Config{Scheme: webhook.Slack, Secrets: []webhook.Secret{sec("a", secretText)}})
		check := func(stamp string) error {
			_, err := verify(v, header(
				"X-Slack-Request-Timestamp", stamp, "X-Slack-Signature", "v0="+macHex(secretText, "v0:"+stamp+":body"),
			), "body")
			return err
		}
		for age, want := range map[int64]error{
			0: nil, 300: nil, -300: nil, 301: webhook.ErrStale, -301: webhook.ErrStale, 3600: webhook.ErrStale, -3600: webhook.ErrStale,
		} {
			require.ErrorIs(t, check(fmt.Sprint(n-age)), want, age)
		}
		for _, stamp := range []string{
			fmt.Sprint("+", n), fmt.Sprint("0", n), fmt.Sprint(" ", n), fmt.Sprint(n, " "), fmt.Sprint("-", n), fmt.Sprint(n, ".0"),
			fmt.Sprint(math.MinInt64), fmt.Sprint(math.MaxInt64), fmt.Sprint(n, "e0"), "", "0x1", "１", strings.Repeat("1", 100),
			fmt.Sprint(now.UnixMilli()),
		} {
			require.ErrorIs(t, check(stamp), webhook.ErrMalformed, stamp)
		}
		require.ErrorIs(t, check("99999999999"), webhook.ErrStale, "the last that fits")
		require.ErrorIs(t, check("1"), webhook.ErrStale)

		v = mustVerifier(t, webhook.Config{Scheme: webhook.Slack, Tolerance: time.Second, Secrets: []webhook.Secret{sec("a", secretText)}})
		require.NoError(t, check(fmt.Sprint(n-1)))
		require.ErrorIs(t, check(fmt.Sprint(n-2)), webhook.ErrStale)
		v = mustVerifier(t, webhook.Config{Scheme: webhook.Slack, Tolerance: math.MaxInt64, Secrets: []webhook.Secret{sec("a", secretText)}})
		require.NoError(t, check("1"))
	})
}

func TestPitfall3RFC3339(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := mustVerifier(t, webhook.Config{Scheme: webhook.Zendesk, Secrets: []webhook.Secret{sec("a", secretText)}})
		check := func(stamp string) error {
			_, err := verify(v, header(
				"X-Zendesk-Webhook-Signature-Timestamp", stamp, "X-Zendesk-Webhook-Signature", macBase64(secretText, stamp+"body"),
			), "body")
			return err
		}
		require.NoError(t, check(time.Now().UTC().Format(time.RFC3339Nano)))
		require.NoError(t, check(time.Now().In(time.FixedZone("", -7*3600)).Format(time.RFC3339)), "the text is signed, in any zone")
		require.ErrorIs(t, check("0000-01-01T00:00:00Z"), webhook.ErrStale)
		require.ErrorIs(t, check("9999-12-31T23:59:59Z"), webhook.ErrStale)
		for _, stamp := range []string{"", fmt.Sprint(time.Now().Unix()), "2000-01-01", "2000-01-01T00:00:00.00000000000000000000000000000000000000Z"} {
			require.ErrorIs(t, check(stamp), webhook.ErrMalformed, stamp)
		}
	})
}

// 4. What is there twice is malformed, wherever it is.
func TestPitfall4Duplicates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, s := range presets() {
			c := webhook.Config{Scheme: s, Secrets: []webhook.Secret{goodSecret(s, 1)}}
			url := ""
			if strings.Contains(s.Config().Signed, "{url}") {
				url, c.URL = "https://example.com/", "https://example.com/"
			}
			v := mustVerifier(t, c)
			body := fmt.Sprintf(`{"webhookTimestamp":%d}`, time.Now().UnixMilli())
			good := send(t, s, url, body, goodSecret(s, 1)).Header
			for header := range good {
				r := send(t, s, url, body, goodSecret(s, 1))
				r.Header.Add(header, good.Get(header))
				_, _, err := v.VerifyRequest(r)
				require.ErrorIs(t, err, webhook.ErrMalformed, "%s: two lines of %s", name, header)
			}
		}
		stamp := fmt.Sprint(time.Now().Unix())
		v := mustVerifier(t, webhook.Config{Scheme: webhook.Stripe, Secrets: []webhook.Secret{sec("a", secretText)}})
		v1 := ",v1=" + macHex(secretText, stamp+".body")
		for _, text := range []string{"t=" + stamp + ",t=" + stamp + v1, "t=1,t=" + stamp + v1, "t=,t=" + stamp + v1, "t=" + stamp + v1 + ",t=1"} {
			_, err := verify(v, header("Stripe-Signature", text), "body")
			require.ErrorIs(t, err, webhook.ErrMalformed, text)
		}
	})
}

// 5. Lists: unknown versions are ignored, none is malformed, at least 16 fit, and a bad one hides no good one.
func TestPitfall5Lists(t *testing.T) {
	v := mustVerifier(t, webhook.Config{Scheme: webhook.PagerDuty, Secrets: []webhook.Secret{sec("a", secretText)}})
	good, bad := "v1="+macHex(secretText, "body"), "v1="+macHex(otherText, "body")
	check := func(text string) error {
		_, err := verify(v, header("X-PagerDuty-Signature", text), "body")
		return err
	}
	for _, text := range []string{
		good, bad + "," + good, good + "," + bad, "v0=abc," + good, "v1=zz," + good, "v1=," + good, "v1," + good, good + ",junk",
		"a=b=c," + good, "," + good + ",", bad + ", " + good, bad + ",\t" + good + " ,x=y",
		strings.Repeat(bad+",", 15) + good, strings.Repeat("v2=abc,", 63) + good,
	} {
		require.NoError(t, check(text), text)
	}
	for _, text := range []string{
		"v2=abc", "junk", ",", "v1", "v1=", "v1=zz", "=" + macHex(secretText, "body"), macHex(secretText, "body"),
		"V1=" + macHex(secretText, "body"), "v1 =" + macHex(secretText, "body"), strings.Repeat(bad+",", 16) + good,
		good + "," + strings.Repeat("x", 4<<10), strings.Repeat("v2=abc,", 64) + good, strings.Repeat(",", 64) + good,
	} {
		require.ErrorIs(t, check(text), webhook.ErrMalformed, text)
	}
	require.ErrorIs(t, check(bad), webhook.ErrMismatch)

	synctest.Test(t, func(t *testing.T) {
		h := http.Header{}
		require.NoError(t, mustSigner(t, webhook.Standard, sec("a", whsec)).Sign(h, "m", time.Now(), []byte("body")))
		v := mustVerifier(t, webhook.Config{Scheme: webhook.Standard, Secrets: []webhook.Secret{sec("a", whsec)}})
		one := h.Get("Webhook-Signature")
		for _, text := range []string{one, "v1a,x " + one, "v2,x v1 v1,x " + one, "  " + one + " ", one + " v1,junk"} {
			h.Set("Webhook-Signature", text)
			_, err := verify(v, h, "body")
			require.NoError(t, err, text)
		}
		for _, text := range []string{strings.Repeat(" ", 64) + one, strings.TrimPrefix(one, "v1,"), one + ",junk", "v1a" + one[2:], strings.ReplaceAll(one, ",", "\t")} {
			h.Set("Webhook-Signature", text)
			_, err := verify(v, h, "body")
			require.ErrorIs(t, err, webhook.ErrMalformed, text)
		}
	})
}

// 6. The prefix is mandatory and exact, and the hash is not the header's to choose.
func TestPitfall6Prefix(t *testing.T) {
	v := mustVerifier(t, webhook.Config{Scheme: webhook.GitHub, Secrets: []webhook.Secret{sec("a", secretText)}})
	mac := macHex(secretText, "body")
	for _, text := range []string{mac, "sha1=" + mac, "sha512=" + mac, "SHA256=" + mac, "sha256:" + mac, " sha256=" + mac, "sha256=", "sha256=" + mac + mac} {
		_, err := verify(v, header("X-Hub-Signature-256", text), "body")
		require.ErrorIs(t, err, webhook.ErrMalformed, text)
	}
	_, err := verify(v, header("X-Hub-Signature", "sha256="+mac), "body")
	require.ErrorIs(t, err, webhook.ErrUnsigned, "another header is not looked at")
}

// 7. Lengths first, and no error quotes anything.
func TestPitfall7ShortHeadersAndErrors(t *testing.T) {
	const canary = "canary7f3Kq9ZxW2pLtail0"
	synctest.Test(t, func(t *testing.T) {
		for name, s := range presets() {
			c := webhook.Config{Scheme: s, Secrets: []webhook.Secret{goodSecret(s, 1)}}
			url := ""
			if strings.Contains(s.Config().Signed, "{url}") {
				url, c.URL = "https://example.com/", "https://example.com/"
			}
			v := mustVerifier(t, c)
			good := send(t, s, url, "body", goodSecret(s, 1)).Header
			for header := range good {
				value := good.Get(header)
				for i := range value {
					for _, text := range []string{value[:i], value[:i] + canary, canary + value[i:]} {
						r := send(t, s, url, canary, goodSecret(s, 1))
						r.Header = good.Clone()
						r.Header.Set(header, text)
						_, _, err := v.VerifyRequest(r)
						require.Error(t, err, "%s %s %q", name, header, text)
						require.NotContains(t, err.Error(), canary)
						require.NotContains(t, err.Error(), value)
					}
				}
			}
		}
	})
	for name, s := range presets() {
		for _, text := range []string{canary + "\n", canary[:10], "whsec_" + canary + "!", "whpk_" + canary, "whsk_" + canary} {
			_, err := webhook.NewSigner(s, sec("id", text))
			if err != nil {
				require.NotContains(t, err.Error(), canary[:10], name)
			}
		}
	}
}

// 8. There is one text for a MAC.
func TestPitfall8Malleability(t *testing.T) {
	v := mustVerifier(t, webhook.Config{Scheme: webhook.LINE, Secrets: []webhook.Secret{sec("a", secretText)}})
	mac := macBase64(secretText, "body")
	require.True(t, strings.HasSuffix(mac, "="))
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	i := strings.IndexByte(alphabet, mac[42])
	for _, text := range []string{
		mac[:42] + alphabet[i^1:i^1+1] + "=", mac[:10] + "\r\n" + mac[10:], mac[:43], strings.ReplaceAll(mac, "+", "-") + "\n",
		mac + "=", mac[:10] + "\n" + mac[10:43],
	} {
		_, err := verify(v, header("X-Line-Signature", text), "body")
		require.Error(t, err, text)
	}
	v = mustVerifier(t, webhook.Config{Scheme: webhook.Gitea, Secrets: []webhook.Secret{sec("a", secretText)}})
	_, err := verify(v, header("X-Gitea-Signature", strings.ToUpper(macHex(secretText, "body"))), "body")
	require.ErrorIs(t, err, webhook.ErrMismatch)
}

// 9. Under GODEBUG=fips140=only what crypto/hmac panics about is an error of the constructor.
func TestPitfall9FIPS(t *testing.T) {
	const variable = "HANDOVER_TEST_FIPS"
	if os.Getenv(variable) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestPitfall9FIPS$", "-test.v")
		cmd.Env = append(os.Environ(), variable+"=1", "GODEBUG=fips140=only")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "--- PASS: TestPitfall9FIPS")
		return
	}
	for name, s := range presets() {
		c := webhook.Config{Scheme: s, Secrets: []webhook.Secret{goodSecret(s, 1)}}
		if strings.Contains(s.Config().Signed, "{url}") {
			c.URL = "https://example.com"
		}
		_, err := webhook.NewVerifier(c)
		_, signErr := webhook.NewSigner(s, goodSecret(s, 1))
		if s.Config().Algorithm == webhook.HMACSHA1 {
			require.ErrorContains(t, err, "fips140", name)
			require.ErrorContains(t, signErr, "fips140", name)
			c.Secrets = nil
			_, err = webhook.NewVerifier(c)
			require.ErrorContains(t, err, "fips140", "%s, with no secret yet", name)
			continue
		}
		require.NoError(t, err, name)
		require.NoError(t, signErr, name)
	}
	_, err := webhook.NewVerifierOfVector(webhook.Config{Scheme: webhook.GitHub, Secrets: []webhook.Secret{sec("a", "short")}})
	require.ErrorContains(t, err, "fips140")

	for _, s := range []*webhook.Scheme{webhook.GitHub, webhook.Standard, webhook.Discord} {
		h := http.Header{}
		require.NoError(t, mustSigner(t, s, goodSecret(s, 1)).Sign(h, "m", time.Now(), []byte("body")))
		v := mustVerifier(t, webhook.Config{Scheme: s, Secrets: []webhook.Secret{goodSecret(s, 1)}, Replay: webhook.NewReplayCache(1)})
		_, err := verify(v, h, "body")
		require.NoError(t, err)
	}
}

// 10. The body: raw bytes, a limit before it is read, and the handler gets what was verified.
func TestPitfall10Body(t *testing.T) {
	v := mustVerifier(t, webhook.Config{Scheme: webhook.GitHub, MaxBody: 10, Secrets: []webhook.Secret{sec("a", secretText)}})
	sign := func(body string) http.Header {
		return header("X-Hub-Signature-256", "sha256="+macHex(secretText, body))
	}
	for _, body := range []string{"", "a", "0123456789", "\x00\xff\r\n"} {
		w, seen := serve(v, sign(body), body)
		assert.Equal(t, http.StatusOK, w.Code)
		assert.Equal(t, []string{body}, seen)
	}
	w, seen := serve(v, sign("0123456789a"), "0123456789a")
	assert.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
	assert.Empty(t, seen, "not cut, refused")
	_, err := verify(v, sign("0123456789a"), "0123456789a")
	require.ErrorIs(t, err, webhook.ErrTooLarge)
}

// 11. A repetition is refused where there is a store, by what was signed and not by the signature.
func TestPitfall11Replay(t *testing.T) {
	secrets := []webhook.Secret{sec("a", secretText), sec("b", otherText)}
	v := mustVerifier(t, webhook.Config{Scheme: webhook.PagerDuty, Secrets: secrets, Replay: webhook.NewReplayCache(10)})
	one, two := "v1="+macHex(secretText, "body"), "v1="+macHex(otherText, "body")
	_, err := verify(v, header("X-PagerDuty-Signature", one+","+two), "body")
	require.NoError(t, err)
	for _, text := range []string{one + "," + two, two + "," + one, one, two, "v1=x," + two} {
		_, err := verify(v, header("X-PagerDuty-Signature", text), "body")
		require.ErrorIs(t, err, webhook.ErrReplayed, "a part of its signatures makes no other delivery")
	}
}

// 12. What a success tells is which secret is live, and to nobody but a holder of a valid signature: a refusal costs a pass for
// every live secret.
func TestPitfall12RefusalsCostTheSame(t *testing.T) {
	passes := func(mac string) int64 {
		v := mustVerifier(t, webhook.Config{Scheme: webhook.GitHub, Secrets: []webhook.Secret{
			sec("a", secretText), sec("b", otherText), sec("c", thirdText),
		}})
		n := webhook.CountPasses(v)
		_, _ = verify(v, header("X-Hub-Signature-256", "sha256="+mac), "body")
		return n.Load()
	}
	for i, text := range []string{secretText, otherText, thirdText} {
		require.EqualValues(t, i+1, passes(macHex(text, "body")))
		require.EqualValues(t, 3, passes(flip(macHex(text, "body"), 63)))
		require.EqualValues(t, 3, passes(flip(macHex(text, "body"), 0)))
	}
}

// 13. What cannot be a signature costs no hash, and old secrets end by themselves.
func TestPitfall13ForgeriesAreCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(time.Hour)
		old := webhook.Secret{ID: "old", Value: secret.New(otherText), NotAfter: end}
		v := mustVerifier(t, webhook.Config{Scheme: webhook.GitHub, Secrets: []webhook.Secret{sec("new", secretText), old}})
		h := header("X-Hub-Signature-256", "sha256="+macHex(otherText, "body"))
		time.Sleep(time.Hour)
		m, err := verify(v, h, "body")
		require.NoError(t, err, "until the last moment")
		require.Equal(t, "old", m.SecretID)
		time.Sleep(time.Nanosecond)
		_, err = verify(v, h, "body")
		require.ErrorIs(t, err, webhook.ErrMismatch)

		old.NotAfter = time.Now().Add(time.Minute)
		require.NoError(t, v.Set(old))
		time.Sleep(time.Hour)
		_, err = verify(v, h, "body")
		require.ErrorIs(t, err, webhook.ErrNoSecret, "all have ended")
		_, err = verify(v, http.Header{}, "body")
		require.ErrorIs(t, err, webhook.ErrNoSecret)

		many := make([]webhook.Secret, 17)
		for i := range many {
			many[i] = goodSecret(webhook.GitHub, i)
		}
		require.ErrorContains(t, v.Set(many...), "17 secrets")
		require.NoError(t, v.Set(many[:16]...))
	})
}

// 14. Which secret matched, and when, is told; and what that does not prove is in the documentation of Usage.
func TestPitfall14Signals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		v := mustVerifier(t, webhook.Config{
			Scheme: webhook.GitHub, Secrets: []webhook.Secret{sec("new", secretText), sec("old", otherText)},
			Observe: func(m webhook.Match, err error) { seen = append(seen, fmt.Sprint(m.SecretID, " ", err)) },
		})
		start := time.Now().UTC()
		time.Sleep(time.Hour)
		_, err := verify(v, header("X-Hub-Signature-256", "sha256="+macHex(otherText, "body")), "body")
		require.NoError(t, err)
		_, err = verify(v, http.Header{}, "body")
		require.Error(t, err)
		time.Sleep(time.Hour)
		require.Equal(t, []string{"old <nil>", " " + webhook.ErrUnsigned.Error()}, seen)
		require.Equal(t, []webhook.Usage{
			{SecretID: "new", Since: start},
			{SecretID: "old", Matches: 1, LastMatch: start.Add(time.Hour), Since: start},
		}, v.Usage())
	})
}

// 15. An id does not hold what ends it.
func TestPitfall15DotsInIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stamp := fmt.Sprint(time.Now().Unix())
		s := webhook.Standard.Config()
		s.Key, s.PublicTag = webhook.KeyText, ""
		plain := mustScheme(t, s)
		v := mustVerifier(t, webhook.Config{Scheme: plain, Secrets: []webhook.Secret{sec("a", secretText)}})
		signed := "v1," + macBase64(secretText, "a.1."+stamp+".body")
		for _, id := range []string{"a.1", ".", "a.", ""} {
			_, err := verify(v, header("Webhook-Id", id, "Webhook-Timestamp", stamp, "Webhook-Signature", signed), "body")
			require.ErrorIs(t, err, webhook.ErrMalformed, id)
			require.Error(t, mustSigner(t, plain, sec("a", secretText)).Sign(http.Header{}, id, time.Now(), nil), id)
		}
		_, err := verify(v, header("Webhook-Timestamp", stamp, "Webhook-Signature", signed), "body")
		require.ErrorIs(t, err, webhook.ErrMalformed, "no id")
		signer := mustSigner(t, plain, sec("a", secretText))
		for _, id := range []string{"a b", "a\n", "ä", strings.Repeat("x", 513)} {
			require.Error(t, signer.Sign(http.Header{}, id, time.Now(), nil), id)
		}
		require.Error(t, signer.Sign(http.Header{}, "m", time.Time{}, nil), "before 1970")
		require.Error(t, signer.Sign(http.Header{}, "m", time.Unix(1<<40, 0), nil))
	})
}

// reader fails the test if anybody reads it.
type reader struct{ t *testing.T }

func (r reader) Read([]byte) (int, error) {
	r.t.Error("the body was read")
	return 0, errors.New("read")
}

// A header or a body as long as can be, without a plausible signature, costs no hash at all.
func TestNothingIsHashedForNothing(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	mac := "v1=" + macHex(secretText, big)
	for _, c := range []struct {
		signature, body string
		passes          int64
	}{
		{mac, big, 1},
		{"", big, 0},
		{strings.Repeat("v1=zz,", 600), big, 0},
		{strings.Repeat("v2="+macHex(secretText, big)+",", 60), big, 0},
		{strings.Repeat(mac+",", 17), big, 0},
		{mac + strings.Repeat(",", 4<<10), big, 0},
		{mac, big + "x", 0},
	} {
		v := mustVerifier(t, webhook.Config{Scheme: webhook.PagerDuty, Secrets: []webhook.Secret{sec("a", secretText)}})
		n := webhook.CountPasses(v)
		_, _ = verify(v, header("X-PagerDuty-Signature", c.signature), c.body)
		require.Equal(t, c.passes, n.Load(), "%.40s", c.signature)
	}
	synctest.Test(t, func(t *testing.T) {
		v := mustVerifier(t, webhook.Config{Scheme: webhook.Slack, Secrets: []webhook.Secret{sec("a", secretText)}})
		n := webhook.CountPasses(v)
		h := http.Header{}
		require.NoError(t, mustSigner(t, webhook.Slack, sec("a", secretText)).Sign(h, "", time.Now().Add(-time.Hour), []byte(big)))
		_, err := verify(v, h, big)
		require.ErrorIs(t, err, webhook.ErrStale)
		require.Zero(t, n.Load())
	})
}

// What can be refused without the body is refused before it is read.
func TestRefusedBeforeTheBodyIsRead(t *testing.T) {
	v := mustVerifier(t, webhook.Config{Scheme: webhook.GitHub, MaxBody: 10, Secrets: []webhook.Secret{sec("a", secretText)}})
	for _, c := range []struct {
		header http.Header
		length int64
		want   error
	}{
		{http.Header{}, -1, webhook.ErrUnsigned},
		{header("X-Hub-Signature-256", "sha256=short"), -1, webhook.ErrMalformed},
		{header("X-Hub-Signature-256", "sha256="+macHex(secretText, "body")), 11, webhook.ErrTooLarge},
	} {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/", reader{t})
		r.Header, r.ContentLength = c.header, c.length
		_, _, err := v.VerifyRequest(r)
		require.ErrorIs(t, err, c.want)
	}
}
