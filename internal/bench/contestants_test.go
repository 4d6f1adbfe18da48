// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package bench_test

import (
	"context"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-github/v90/github"
	"github.com/slack-go/slack"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	stripe "github.com/stripe/stripe-go/v86/webhook"
	svix "github.com/svix/svix-webhooks/go"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"
	tinkhmac "github.com/tink-crypto/tink-go/v2/mac/hmac"
	"github.com/tink-crypto/tink-go/v2/secretdata"

	"github.com/handover-go/handover/webhook"
)

// contestant verifies deliveries of one scheme that are in memory.
type contestant struct {
	name   string
	scheme *webhook.Scheme
	// verifier makes what verifies d with the secrets. What can be made before a delivery comes is made before.
	verifier func(tb testing.TB, d *delivery, texts []string) func() error
}

var contestants = []contestant{
	{"webhook.GitHub", webhook.GitHub, ours(webhook.GitHub)},
	{"go-github", webhook.GitHub, each(goGitHub)},
	{"tink", webhook.GitHub, tink},
	{"webhook.Stripe", webhook.Stripe, ours(webhook.Stripe)},
	{"stripe-go", webhook.Stripe, each(stripeGo)},
	{"webhook.Slack", webhook.Slack, ours(webhook.Slack)},
	{"slack-go", webhook.Slack, each(slackGo)},
	{"webhook.Standard", webhook.Standard, ours(webhook.Standard)},
	{"standard-webhooks", webhook.Standard, each(standardWebhooks)},
	{"webhook.Svix", webhook.Svix, ours(webhook.Svix)},
	{"svix", webhook.Svix, each(svixGo)},
}

func ours(scheme *webhook.Scheme) func(testing.TB, *delivery, []string) func() error {
	return func(tb testing.TB, d *delivery, texts []string) func() error {
		v := verifier(tb, scheme, texts)
		ctx := context.Background()
		return func() error {
			_, err := v.Verify(ctx, d.header, d.body)
			return err
		}
	}
}

func verifier(tb testing.TB, scheme *webhook.Scheme, texts []string) *webhook.Verifier {
	tb.Helper()
	v, err := webhook.NewVerifier(webhook.Config{Scheme: scheme, Secrets: secrets(texts...)})
	require.NoError(tb, err)
	return v
}

// each tries one secret after the other, with a library that knows one.
func each(with func(testing.TB, *delivery, string) func() error) func(testing.TB, *delivery, []string) func() error {
	return func(tb testing.TB, d *delivery, texts []string) func() error {
		first := with(tb, d, texts[0])
		if len(texts) == 1 {
			return first
		}
		second := with(tb, d, texts[1])
		return func() error {
			if first() == nil {
				return nil
			}
			return second()
		}
	}
}

func goGitHub(_ testing.TB, d *delivery, text string) func() error {
	key := []byte(text)
	return func() error { return github.ValidateSignature(d.header.Get(github.SHA256SignatureHeader), d.body, key) }
}

func stripeGo(_ testing.TB, d *delivery, text string) func() error {
	return func() error { return stripe.ValidatePayload(d.body, d.header.Get("Stripe-Signature"), text) }
}

func slackGo(_ testing.TB, d *delivery, text string) func() error {
	return func() error {
		v, err := slack.NewSecretsVerifier(d.header, text)
		if err != nil {
			return err
		}
		if _, err := v.Write(d.body); err != nil {
			return err
		}
		return v.Ensure()
	}
}

func standardWebhooks(tb testing.TB, d *delivery, text string) func() error {
	wh, err := standardwebhooks.NewWebhook(text)
	require.NoError(tb, err)
	return func() error { return wh.Verify(d.body, d.header) }
}

func svixGo(tb testing.TB, d *delivery, text string) func() error {
	wh, err := svix.NewWebhook(text)
	require.NoError(tb, err)
	return func() error { return wh.Verify(d.body, d.header) }
}

// tink takes all keys at once. They have no prefix, because no sender writes one.
func tink(tb testing.TB, d *delivery, texts []string) func() error {
	params, err := tinkhmac.NewParameters(tinkhmac.ParametersOpts{
		KeySizeInBytes: len(texts[0]), TagSizeInBytes: 32, HashType: tinkhmac.SHA256, Variant: tinkhmac.VariantNoPrefix,
	})
	require.NoError(tb, err)
	manager := keyset.NewManager()
	for i, text := range texts {
		raw := secretdata.NewBytesFromData([]byte(text), insecuresecretdataaccess.Token{})
		key, err := tinkhmac.NewKey(raw, params, 0)
		require.NoError(tb, err)
		id, err := manager.AddKey(key)
		require.NoError(tb, err)
		if i == 0 {
			require.NoError(tb, manager.SetPrimary(id))
		}
	}
	handle, err := manager.Handle()
	require.NoError(tb, err)
	primitive, err := mac.New(handle)
	require.NoError(tb, err)
	return func() error {
		tag, err := hex.DecodeString(strings.TrimPrefix(d.header.Get("X-Hub-Signature-256"), "sha256="))
		if err != nil {
			return err
		}
		return primitive.VerifyMAC(tag, d.body)
	}
}

// A contestant that refuses everything would be fast.
func TestContestantsVerify(t *testing.T) {
	for _, c := range contestants {
		for _, m := range []mode{one, rotation, forged} {
			for _, size := range sizes {
				d := deliver(t, c.scheme, m.signer, body(size.bytes))
				require.Len(t, d.body, size.bytes)
				require.NoError(t, d.floor()())
				for range 3 {
					require.NoErrorf(t, m.expect(c.verifier(t, d, m.known))(), "%s, %s, %s", c.name, m.name, size.name)
				}
				d.body[size.bytes/2] ^= 1
				require.Errorf(t, c.verifier(t, d, m.known)(), "%s, %s, %s, one bit changed", c.name, m.name, size.name)
			}
		}
	}
}
