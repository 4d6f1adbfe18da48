// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package bench_test

import (
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	stripe "github.com/stripe/stripe-go/v86/webhook"
	svix "github.com/svix/svix-webhooks/go"

	"github.com/handover-go/handover/webhook"
)

// author signs deliveries: the header with the signature goes into the space of dst.
type author struct {
	name   string
	scheme *webhook.Scheme
	with   func(tb testing.TB, body []byte, at time.Time) func(dst *[]byte) error
}

var authors = []author{
	{"webhook.Stripe", webhook.Stripe, appending(webhook.Stripe)},
	{"stripe-go", webhook.Stripe, stripeSign},
	{"webhook.Standard", webhook.Standard, appending(webhook.Standard)},
	{"standard-webhooks", webhook.Standard, standardSign},
	{"svix", webhook.Standard, svixSign},
}

func appending(scheme *webhook.Scheme) func(testing.TB, []byte, time.Time) func(*[]byte) error {
	return func(tb testing.TB, body []byte, at time.Time) func(*[]byte) error {
		signer, err := webhook.NewSigner(scheme, secrets(newest)...)
		require.NoError(tb, err)
		return func(dst *[]byte) (err error) {
			*dst, err = signer.AppendSignature((*dst)[:0], messageID, at, body)
			return err
		}
	}
}

func stripeSign(_ testing.TB, body []byte, at time.Time) func(*[]byte) error {
	return func(dst *[]byte) error {
		signed := stripe.GenerateTestSignedPayload(&stripe.UnsignedPayload{Payload: body, Secret: newest, Timestamp: at})
		*dst = append((*dst)[:0], signed.Header...)
		return nil
	}
}

func standardSign(tb testing.TB, body []byte, at time.Time) func(*[]byte) error {
	wh, err := standardwebhooks.NewWebhook(newest)
	require.NoError(tb, err)
	return func(dst *[]byte) error {
		text, err := wh.Sign(messageID, at, body)
		*dst = append((*dst)[:0], text...)
		return err
	}
}

func svixSign(tb testing.TB, body []byte, at time.Time) func(*[]byte) error {
	wh, err := svix.NewWebhook(newest)
	require.NoError(tb, err)
	return func(dst *[]byte) error {
		text, err := wh.Sign(messageID, at, body)
		*dst = append((*dst)[:0], text...)
		return err
	}
}

// BenchmarkSign makes the header with the signature. Stripe's signer is the one it has for tests.
func BenchmarkSign(b *testing.B) {
	for _, size := range sizes {
		b.Run(size.name, func(b *testing.B) {
			for _, c := range authors {
				b.Run(c.name, func(b *testing.B) {
					d := deliver(b, c.scheme, newest, body(size.bytes))
					room := make([]byte, 0, 512)
					signing := func(f func(*[]byte) error) func() error { return func() error { return f(&room) } }
					f := signing(c.with(b, d.body, time.Now()))
					report(b, f, contest(b, d.floor(), signing(appending(c.scheme)(b, d.body, time.Now())), f))
				})
			}
		})
	}
}

func TestAuthorsAgree(t *testing.T) {
	at := time.Now()
	for _, c := range authors {
		for _, size := range sizes {
			var ours, theirs []byte
			require.NoError(t, appending(c.scheme)(t, body(size.bytes), at)(&ours))
			require.NoError(t, c.with(t, body(size.bytes), at)(&theirs))
			require.Equal(t, string(ours), string(theirs), "%s, %s", c.name, size.name)
		}
	}
}
