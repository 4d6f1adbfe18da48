// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"fmt"

	"github.com/handover-go/handover/webhook"
)

// senders are schemes of senders without a preset, as their documentation describes them. Where a line says nothing else, nothing
// but the body is signed. Those of the second part sign a time.
var senders = []webhook.SchemeConfig{
	{Name: "dropbox", Header: "X-Dropbox-Signature"},
	{Name: "launchdarkly", Header: "X-LD-Signature"},
	{Name: "lemonsqueezy", Header: "X-Signature"},
	{Name: "nylas", Header: "X-Nylas-Signature"},
	{Name: "pusher", Header: "X-Pusher-Signature"},
	{Name: "sentry", Header: "Sentry-Hook-Signature"}, // Sentry-Hook-Timestamp is not signed
	{Name: "coinbase-commerce", Header: "X-CC-Webhook-Signature"},
	{Name: "meta", Header: "X-Hub-Signature-256", Prefix: "sha256="},
	{Name: "notion", Header: "X-Notion-Signature", Prefix: "sha256="},
	{Name: "typeform", Header: "Typeform-Signature", Prefix: "sha256=", Encoding: webhook.Base64},
	{Name: "docusign", Header: "X-DocuSign-Signature-1", MoreHeaders: []string{"X-DocuSign-Signature-2"}, Encoding: webhook.Base64},
	{Name: "woocommerce", Header: "X-WC-Webhook-Signature", Encoding: webhook.Base64},
	{Name: "xero", Header: "X-Xero-Signature", Encoding: webhook.Base64},
	{Name: "paystack", Header: "X-Paystack-Signature", Algorithm: webhook.HMACSHA512},
	{Name: "vercel", Header: "X-Vercel-Signature", Algorithm: webhook.HMACSHA1},
	{Name: "intercom", Header: "X-Hub-Signature", Prefix: "sha1=", Algorithm: webhook.HMACSHA1},
	{Name: "expo", Header: "Expo-Signature", Prefix: "sha1=", Algorithm: webhook.HMACSHA1},
	{ // a second header while the secret changes
		Name: "hookdeck", Header: "X-Hookdeck-Signature", MoreHeaders: []string{"X-Hookdeck-Signature-2"}, Encoding: webhook.Base64,
	},
	{ // v0=new,old while it changes; whsec_ belongs to the key
		Name: "outpost", Header: "X-Outpost-Signature", List: webhook.Continued, Tags: []string{"v0"},
	},
	{Name: "mandrill", Header: "X-Mandrill-Signature", Encoding: webhook.Base64, Algorithm: webhook.HMACSHA1, Signed: "{url}{form}"},

	stripeLike("calendly", "Calendly-Webhook-Signature", "t", "v1"),
	stripeLike("fintoc", "Fintoc-Signature", "t", "v1"),
	stripeLike("cloudflare-stream", "Webhook-Signature", "time", "sig1"),
	stripeLike("coinbase-cdp", "X-Hook0-Signature", "t", "v0"),
	{ // as Stripe, in milliseconds
		Name: "workos", Header: "WorkOS-Signature", List: webhook.Pairs, Tags: []string{"v1"}, TimestampTag: "t",
		TimeFormat: webhook.Milliseconds, Signed: "{timestamp}.{body}",
	},
	{ // the id is signed: Replay knows it
		Name: "twitch", Header: "Twitch-Eventsub-Message-Signature", Prefix: "sha256=", ID: "Twitch-Eventsub-Message-Id",
		Timestamp: "Twitch-Eventsub-Message-Timestamp", TimeFormat: webhook.RFC3339, Signed: "{id}{timestamp}{body}",
	},
	{ // version 3; HubSpot signs some characters of the URL decoded, which this does not do
		Name: "hubspot", Header: "X-HubSpot-Signature-v3", Encoding: webhook.Base64, Timestamp: "X-HubSpot-Request-Timestamp",
		TimeFormat: webhook.Milliseconds, Signed: "{method}{url}{body}{timestamp}",
	},
}

func stripeLike(name, header, timestamp, signature string) webhook.SchemeConfig {
	return webhook.SchemeConfig{
		Name: name, Header: header, List: webhook.Pairs, Tags: []string{signature}, TimestampTag: timestamp,
		Signed: "{timestamp}.{body}",
	}
}

// Senders that have no preset: most of them are a line.
func ExampleNewScheme_senders() {
	for _, c := range senders {
		if _, err := webhook.NewScheme(c); err != nil {
			fmt.Println(c.Name, err)
		}
	}
	fmt.Println("all of them are schemes")
	// Output: all of them are schemes
}
