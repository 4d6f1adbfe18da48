// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

func TestSetTakesAllOrNone(t *testing.T) {
	v := mustVerifier(t, webhook.Config{Scheme: webhook.GitHub, Secrets: []webhook.Secret{sec("a", secretText)}})
	for name, bad := range map[string][]webhook.Secret{
		"short":             {sec("b", otherText), sec("c", "short")},
		"no id":             {sec("b", otherText), sec("", thirdText)},
		"an id twice":       {sec("b", otherText), sec("b", thirdText)},
		"a value twice":     {sec("b", otherText), sec("c", otherText)},
		"nothing but empty": {{ID: "b"}},
		"nothing":           {},
	} {
		require.Error(t, v.Set(bad...), name)
		m, err := verify(v, header("X-Hub-Signature-256", "sha256="+macHex(secretText, "body")), "body")
		require.NoError(t, err, "the set before stays: %s", name)
		require.Equal(t, "a", m.SecretID)
	}
	err := v.Set(sec("", "short"), sec("b", "short"), sec("b", otherText+"\n"))
	for _, part := range []string{"Secret.ID is required", `secret "b" is 5 bytes long, at least 16 are required`, "white space"} {
		require.ErrorContains(t, err, part)
	}
	require.NoError(t, v.Set(sec("b", otherText)))
	_, err = verify(v, header("X-Hub-Signature-256", "sha256="+macHex(secretText, "body")), "body")
	require.ErrorIs(t, err, webhook.ErrMismatch)
}

func TestUsageSurvivesSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now().UTC()
		v := mustVerifier(t, webhook.Config{Scheme: webhook.GitHub})
		require.Empty(t, v.Usage())
		require.NoError(t, v.Set(sec("a", secretText)))
		match := func(text string) {
			_, err := verify(v, header("X-Hub-Signature-256", "sha256="+macHex(text, "body")), "body")
			require.NoError(t, err)
		}
		time.Sleep(time.Minute)
		match(secretText)
		time.Sleep(time.Minute)
		require.NoError(t, v.Set(sec("b", otherText), webhook.Secret{ID: "a", Value: secret.New(secretText), NotAfter: start.Add(time.Hour)}))
		match(otherText)
		match(secretText)
		time.Sleep(time.Minute)
		assert.Equal(t, []webhook.Usage{
			{SecretID: "b", Matches: 1, LastMatch: start.Add(2 * time.Minute), Since: start.Add(2 * time.Minute)},
			{SecretID: "a", Matches: 2, LastMatch: start.Add(2 * time.Minute), Since: start},
		}, v.Usage())

		require.Error(t, v.Set(sec("b", "short")))
		require.NoError(t, v.Set(sec("a", otherText), sec("b", secretText)), "another value is another secret, whatever its id")
		for _, u := range v.Usage() {
			assert.Zero(t, u.Matches)
			assert.Equal(t, start.Add(3*time.Minute), u.Since)
		}
	})
}

func TestUsageCountsNoRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := mustVerifier(t, webhook.Config{
			Scheme: webhook.Linear, Secrets: []webhook.Secret{sec("a", secretText)}, Replay: webhook.NewReplayCache(10),
		})
		stale := fmt.Sprintf(`{"webhookTimestamp":%d}`, time.Now().Add(-time.Hour).UnixMilli())
		_, err := verify(v, header("Linear-Signature", macHex(secretText, stale)), stale)
		require.ErrorIs(t, err, webhook.ErrStale)
		require.Zero(t, v.Usage()[0].Matches)
		fresh := fmt.Sprintf(`{"webhookTimestamp":%d}`, time.Now().UnixMilli())
		for _, want := range []error{nil, webhook.ErrReplayed} {
			_, err := verify(v, header("Linear-Signature", macHex(secretText, fresh)), fresh)
			require.ErrorIs(t, err, want)
			require.EqualValues(t, 1, v.Usage()[0].Matches)
		}
	})
}

// The secret that matched last is tried first, in the next set too.
func TestMostRecentFirst(t *testing.T) {
	secrets := []webhook.Secret{sec("a", secretText), sec("b", otherText), sec("c", thirdText)}
	v := githubVerifier(t, webhook.Config{Secrets: secrets})
	passes := func(text string) int64 {
		n := webhook.CountPasses(v)
		_, err := verify(v, githubHeader(text, "body"), "body")
		require.NoError(t, err)
		return n.Load()
	}
	require.EqualValues(t, 3, passes(thirdText))
	require.EqualValues(t, 1, passes(thirdText))
	require.EqualValues(t, 2, passes(secretText))
	require.EqualValues(t, 1, passes(secretText))
	require.EqualValues(t, 3, passes(thirdText))
	require.NoError(t, v.Set(sec("d", "a new one, and the newest of all"), secrets[2], secrets[0]))
	require.EqualValues(t, 1, passes(thirdText))
	require.NoError(t, v.Set(secrets[0], secrets[1]))
	require.EqualValues(t, 1, passes(secretText), "it is gone: the newest first")
}

// A hundred goroutines verify while the secrets are swapped: no genuine delivery is refused, no forged one accepted, and every
// match is one of the set.
func TestSwapUnderLoad(t *testing.T) {
	swaps := 10_000
	if testing.Short() {
		swaps = 100
	}
	texts := make([]string, 8)
	for i := range texts {
		texts[i] = rand.Text()
	}
	v := githubVerifier(t, webhook.Config{Secrets: []webhook.Secret{sec("signs", secretText)}})
	good, forged := githubHeader(secretText, "body"), githubHeader("nobody has this secret", "body")
	var stop atomic.Bool
	var verified atomic.Uint64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			for first := true; first || !stop.Load(); first = false {
				if m, err := verify(v, good, "body"); err != nil || m.SecretID != "signs" {
					t.Errorf("a genuine delivery: %v, %v", m, err)
					return
				}
				verified.Add(1)
				if _, err := verify(v, forged, "body"); err != webhook.ErrMismatch {
					t.Errorf("a forged delivery: %v", err)
					return
				}
				if n := len(v.Usage()); n != 1 && n != 3 {
					t.Errorf("a torn set of %d", n)
					return
				}
				runtime.Gosched()
			}
		})
	}
	for i := range swaps {
		// The secret that signs, alone or in another place among two that come and go.
		set := []webhook.Secret{sec("x", texts[i%8]), sec("y", texts[(i+1)%8]), sec("signs", secretText)}
		set[2], set[i%3] = set[i%3], set[2]
		require.NoError(t, v.Set(set...))
		if i%20 == 0 {
			require.NoError(t, v.Set(sec("signs", secretText)))
			runtime.Gosched()
		}
	}
	stop.Store(true)
	wg.Wait()
	for _, u := range v.Usage() {
		if u.SecretID == "signs" {
			assert.Equal(t, verified.Load(), u.Matches, "counted over all sets")
		}
	}
	t.Logf("%d deliveries while %d sets were swapped", verified.Load(), swaps)
}

func TestVerifyAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // as the collector does, sometimes
	for _, s := range []*webhook.Scheme{
		webhook.GitHub, webhook.Shopify, webhook.PagerDuty, webhook.Stripe, webhook.Slack, webhook.Zendesk, webhook.Paddle,
		webhook.Standard, webhook.Svix, webhook.GitLab,
	} {
		for _, size := range []int{0, 1, 100, 512, 513, 16 << 10, 256 << 10} {
			body := make([]byte, size)
			h := header("Content-Type", "application/json")
			end := webhook.Secret{ID: "end", Value: goodSecret(s, 2).Value, NotAfter: time.Now().Add(time.Hour)}
			require.NoError(t, mustSigner(t, s, goodSecret(s, 1)).Sign(h, "msg_1", time.Now(), body))
			observed := 0
			v := mustVerifier(t, webhook.Config{
				Scheme: s, Secrets: []webhook.Secret{end, goodSecret(s, 1)},
				Observe: func(m webhook.Match, err error) {
					if m.SecretID == "n1" && err == nil {
						observed++
					}
				},
			})
			ctx := context.Background()
			assert.Zero(t, testing.AllocsPerRun(10, func() { _, _ = v.Verify(ctx, h, body) }), "%s %d", s, size)
			assert.Equal(t, 11, observed)

			body = append(body, 'x')
			if s != webhook.GitLab {
				assert.Zero(t, testing.AllocsPerRun(10, func() { _, _ = v.Verify(ctx, h, body) }), "refused, %s %d", s, size)
			}
		}
	}
}

func TestSignAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // as the collector does, sometimes
	for name, s := range presets() {
		if strings.Contains(s.Config().Signed, "{url}") || s.Config().Algorithm == webhook.Ed25519 {
			continue
		}
		for _, size := range []int{0, 100, 513, 256 << 10} {
			body := make([]byte, size)
			signer := mustSigner(t, s, goodSecret(s, 1), goodSecret(s, 2))
			dst, when := make([]byte, 0, 1024), time.Now()
			assert.Zero(t, testing.AllocsPerRun(10, func() {
				out, err := signer.AppendSignature(dst, "msg_1", when, body)
				if err != nil || len(out) == 0 {
					t.Error(err)
				}
				signer.AppendTimestamp(dst, when)
			}), "%s %d", name, size)
		}
	}
}

// Neither printing nor reflection finds a secret in what the package makes of it.
func TestNothingPrintsASecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, s := range presets() {
			good := goodSecret(s, 1)
			c := webhook.Config{Scheme: s, Secrets: []webhook.Secret{good}}
			url := ""
			if strings.Contains(s.Config().Signed, "{url}") {
				url, c.URL = "https://example.com", "https://example.com"
			}
			v := mustVerifier(t, c)
			signer := mustSigner(t, s, good)
			_, _, _ = v.VerifyRequest(send(t, s, url, "body", good))
			text := good.Value.Reveal()
			var out strings.Builder
			for _, value := range []any{v, signer, c, good, &good, []webhook.Secret{good}} {
				for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
					fmt.Fprintf(&out, format, value)
				}
				walk(&out, reflect.ValueOf(value), 0)
			}
			for _, needle := range []string{text, text[len(text)-20:], hex.EncodeToString([]byte(text))[:40], fmt.Sprint([]byte(text))[1:60]} {
				assert.NotContains(t, out.String(), needle, name)
			}
		}
	})
}

// walk writes all bytes and strings that reflection can reach.
func walk(b *strings.Builder, v reflect.Value, depth int) {
	if depth > 12 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			walk(b, v.Elem(), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			walk(b, v.Field(i), depth+1)
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			fmt.Fprintf(b, "%x ", v)
			return
		}
		for i := range v.Len() {
			walk(b, v.Index(i), depth+1)
		}
	case reflect.String:
		b.WriteString(v.String() + " ")
	}
}

func TestErrorsOfVerifyKeepTheirMatch(t *testing.T) {
	v := githubVerifier(t, webhook.Config{Replay: webhook.NewReplayCache(1)})
	for _, want := range []error{nil, webhook.ErrReplayed} {
		m, err := verify(v, githubHeader(secretText, "body"), "body")
		require.ErrorIs(t, err, want)
		require.Equal(t, "a", m.SecretID)
	}
	m, err := verify(v, githubHeader(otherText, "body"), "body")
	require.ErrorIs(t, err, webhook.ErrMismatch)
	require.Zero(t, m)
}

func TestSameAndSameHex(t *testing.T) {
	for n := range 70 {
		b := make([]byte, n)
		_, _ = rand.Read(b)
		text := hex.EncodeToString(b)
		require.True(t, webhook.Same(b, string(b)))
		require.Equal(t, n%4 == 0, webhook.SameHex(b, text), n)
		require.False(t, webhook.Same(b, string(b)+"x"))
		require.False(t, webhook.SameHex(b, text+"0"))
		for i := range b {
			require.False(t, webhook.Same(b, flip(string(b), i)))
			require.False(t, webhook.SameHex(b, flip(text, 2*i)))
			require.False(t, webhook.SameHex(b, flip(text, 2*i+1)))
		}
	}
	for i := range 1 << 16 {
		b := []byte{0, byte(i >> 8), byte(i), 0xff}
		require.True(t, webhook.SameHex(b, hex.EncodeToString(b)))
	}
}
