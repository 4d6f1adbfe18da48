// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/webhook"
)

// fuzzed are schemes with one of everything.
func fuzzed(t testing.TB) []*webhook.Scheme {
	all := []*webhook.Scheme{
		webhook.GitHub, webhook.Stripe, webhook.Paddle, webhook.Slack, webhook.Zendesk, webhook.Standard, webhook.Box, webhook.PagerDuty,
		webhook.Discord, webhook.GitLab, webhook.Linear,
	}
	return append(all, mustScheme(t, webhook.SchemeConfig{Header: "X-S", List: webhook.Continued, Tags: []string{"v0"}}))
}

// FuzzHeaders gives any headers to the parsers: nothing panics, nothing verifies that the secret did not sign, and no error quotes
// anything.
func FuzzHeaders(f *testing.F) {
	schemes := fuzzed(f)
	verifiers := map[*webhook.Scheme]*webhook.Verifier{}
	for _, s := range schemes {
		verifiers[s] = mustVerifier(f, webhook.Config{
			Scheme: s, Secrets: []webhook.Secret{goodSecret(s, 1), goodSecret(s, 2)}, Replay: replayOf(s),
		})
	}
	f.Fuzz(func(t *testing.T, which uint8, signature, second, id, stamp, body string) {
		s := schemes[int(which)%len(schemes)]
		c := s.Config()
		h := http.Header{c.Header: nil}
		for _, pair := range [][2]string{{c.Header, signature}, {c.ID, id}, {c.Timestamp, stamp}} {
			if pair[0] != "" && pair[1] != "" {
				h[http.CanonicalHeaderKey(pair[0])] = []string{pair[1]}
			}
		}
		if len(c.MoreHeaders) > 0 && second != "" {
			h[http.CanonicalHeaderKey(c.MoreHeaders[0])] = []string{second}
		}
		m, err := verifiers[s].Verify(context.Background(), h, []byte(body))
		if err == nil {
			t.Fatalf("%s: a forgery verified: %q %v", s, h, m) // 2^-256, or a secret in the corpus
		}
		for _, text := range []string{signature, second, id, stamp, body} {
			if len(text) > 12 {
				require.NotContains(t, err.Error(), text)
			}
		}
	})
}

func replayOf(s *webhook.Scheme) webhook.Replay {
	if s.Config().Algorithm == webhook.Token {
		return nil
	}
	return webhook.NewReplayCache(10)
}

// FuzzSigned signs any delivery and verifies it: what was signed verifies with the right secret, in any set and once, and nothing
// verifies that was changed.
func FuzzSigned(f *testing.F) {
	schemes := fuzzed(f)
	f.Fuzz(func(t *testing.T, which uint8, id, body string, change uint16) {
		s := schemes[int(which)%len(schemes)]
		if s == webhook.Linear {
			body = fmt.Sprintf(`{"webhookTimestamp":%d,"x":%q}`, time.Now().UnixMilli(), body)
		}
		h := http.Header{}
		signer := mustSigner(t, s, goodSecret(s, 1), goodSecret(s, 2))
		if err := signer.Sign(h, id, time.Now(), []byte(body)); err != nil {
			require.NotEmpty(t, s.Config().ID)
			require.True(t, id == "" || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '.' }) || len(id) > 512)
			return
		}
		v := mustVerifier(t, webhook.Config{
			Scheme: s, Secrets: []webhook.Secret{goodSecret(s, 3), goodSecret(s, 1)}, Replay: replayOf(s), MaxBody: 1 << 30,
		})
		m, err := v.Verify(context.Background(), h, []byte(body))
		require.NoError(t, err)
		require.Equal(t, "n1", m.SecretID)
		if s.Config().Algorithm == webhook.Token {
			return
		}
		_, err = v.Verify(context.Background(), h, []byte(body))
		require.ErrorIs(t, err, webhook.ErrReplayed)

		changed := []byte(body)
		if len(changed) == 0 {
			changed = []byte{byte(change)}
		} else {
			changed[int(change)%len(changed)] ^= 1 << (change % 8)
		}
		_, err = v.Verify(context.Background(), h, changed)
		require.ErrorIs(t, err, webhook.ErrMismatch)
	})
}

// FuzzMember compares what reads the time in a body with encoding/json, for bodies that are JSON objects.
func FuzzMember(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		got, ok := webhook.Member(body, "at")
		var all map[string]json.RawMessage
		if json.Unmarshal(body, &all) != nil || all == nil {
			return
		}
		if !ok {
			return // refused, which is always safe: a name twice, too long, no number
		}
		raw, there := all["at"]
		require.True(t, there, "%s", body)
		if text := string(raw); text != got && text != `"`+got+`"` {
			require.True(t, twice(t, body), "%s is %s, not %s", body, raw, got)
		}
	})
}

// twice reports whether the object has the name at twice by another spelling, which only a sender can write that wants to.
func twice(t *testing.T, body []byte) bool {
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.UseNumber()
	var names []string
	_, err := dec.Token()
	require.NoError(t, err)
	for dec.More() {
		name, err := dec.Token()
		require.NoError(t, err)
		names = append(names, name.(string))
		var skip json.RawMessage
		require.NoError(t, dec.Decode(&skip))
	}
	return len(slices.DeleteFunc(names, func(name string) bool { return name != "at" })) > 1
}
