// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

// probed is a value that a scheme's secrets can have, the n-th.
func probed(s *webhook.Scheme, n byte) secret.Value {
	raw := []byte(strings.Repeat(string('a'+rune(n)), 32))
	switch c := s.Config(); {
	case c.Algorithm == webhook.Ed25519:
		return secret.New(hex.EncodeToString(ed25519.NewKeyFromSeed(raw)))
	case c.Key == webhook.KeyStandard:
		return secret.New("whsec_" + base64.StdEncoding.EncodeToString(raw))
	case c.Key == webhook.KeyHex:
		return secret.New(hex.EncodeToString(raw))
	default:
		return secret.New(string(raw))
	}
}

type noReplay struct{ asked int }

func (r *noReplay) Seen(context.Context, string, time.Duration) (bool, error) {
	r.asked++
	return false, nil
}

func TestProbeAsksEveryScheme(t *testing.T) {
	for _, s := range []*webhook.Scheme{
		webhook.GitHub, webhook.Shopify, webhook.Adyen, webhook.PagerDuty, webhook.Twilio, webhook.Square, webhook.GitLab,
		webhook.Okta, webhook.Standard, webhook.Svix, webhook.Stripe, webhook.Paddle, webhook.Convoy, webhook.Slack, webhook.Zoom,
		webhook.Zendesk, webhook.Box, webhook.Linear, webhook.Discord,
	} {
		t.Run(s.String(), func(t *testing.T) {
			seen, replay := 0, &noReplay{}
			c := webhook.Config{Scheme: s, Replay: replay, Observe: func(webhook.Match, error) { seen++ }}
			if s.Config().Algorithm == webhook.Token {
				c.Replay = nil
			}
			if strings.Contains(s.Config().Signed, "{url}") {
				c.URL = "https://hooks.example.com/ä"
			}
			v, err := webhook.NewVerifier(c)
			require.NoError(t, err)
			require.ErrorIs(t, v.Probe(webhook.Secret{Value: probed(s, 1)}), webhook.ErrNoSecret)

			require.NoError(t, v.Set(webhook.Secret{ID: "2", Value: probed(s, 2)}, webhook.Secret{ID: "1", Value: probed(s, 1)}))
			require.NoError(t, v.Probe(webhook.Secret{Value: probed(s, 1)}))
			require.NoError(t, v.Probe(webhook.Secret{Value: probed(s, 2)}))
			require.ErrorIs(t, v.Probe(webhook.Secret{Value: probed(s, 3)}), webhook.ErrMismatch)
			require.Error(t, v.Probe(webhook.Secret{}))

			require.NoError(t, v.Set(webhook.Secret{ID: "1", Value: probed(s, 1), NotAfter: time.Now().Add(-time.Second)}))
			require.ErrorIs(t, v.Probe(webhook.Secret{Value: probed(s, 1)}), webhook.ErrNoSecret)
			require.Zero(t, seen)
			require.Zero(t, replay.asked)
			require.Zero(t, v.Usage()[0].Matches)
		})
	}
}

func TestProbeCannotSignWithAPublicKey(t *testing.T) {
	public, _, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	s := webhook.Secret{ID: "1", Value: secret.New(hex.EncodeToString(public))}
	v, err := webhook.NewVerifier(webhook.Config{Scheme: webhook.Discord, Secrets: []webhook.Secret{s}})
	require.NoError(t, err)
	require.ErrorIs(t, v.Probe(s), errors.ErrUnsupported)
	err = v.Probe(webhook.Secret{Value: secret.New("no key")})
	require.Error(t, err)
	require.NotErrorIs(t, err, errors.ErrUnsupported)
	require.NotContains(t, err.Error(), "no key")
}

func TestCheckSetSaysWhatSetWould(t *testing.T) {
	v, err := webhook.NewVerifier(webhook.Config{Scheme: webhook.GitHub})
	require.NoError(t, err)
	one := webhook.Secret{ID: "1", Value: probed(webhook.GitHub, 1)}
	for _, set := range [][]webhook.Secret{
		{},
		{one},
		{{ID: "1", Value: secret.New("short")}},
		{one, one},
		{one, {ID: "2", Value: one.Value}},
		{{ID: "1"}},
	} {
		told := v.CheckSet(set...)
		require.Nil(t, v.Usage())
		require.Equal(t, v.Set(set...), told)
		v.Clear()
	}
}
