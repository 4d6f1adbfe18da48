// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import "time"

// Presets of senders that sign a time with the body. A repetition is stale after the tolerance. No id is signed, so Replay knows
// a delivery by a hash of time and body, and the same event that is sent again later is another delivery.
var (
	// Stripe sends t=seconds and a v1=hexadecimal for each secret: two while a secret is rolled, for as long as was chosen
	// then. v0 is for tests and not looked at. The key is the whole text with whsec_. Source: docs.stripe.com/webhooks.
	Stripe = mustScheme(SchemeConfig{
		Name: "stripe", Header: "Stripe-Signature", List: Pairs, Tags: []string{"v1"}, TimestampTag: "t",
		Signed: "{timestamp}.{body}",
	})

	// Mux signs as Stripe does. Source: mux.com/docs, Verify webhook signatures.
	Mux = mustScheme(SchemeConfig{
		Name: "mux", Header: "Mux-Signature", List: Pairs, Tags: []string{"v1"}, TimestampTag: "t",
		Signed: "{timestamp}.{body}",
	})

	// Paddle sends ts=seconds;h1=hexadecimal, with more than one h1 while secrets change.
	// Source: developer.paddle.com, Verify webhook signatures.
	Paddle = mustScheme(SchemeConfig{
		Name: "paddle", Header: "Paddle-Signature", List: Pairs, Separator: ';', Tags: []string{"h1"}, TimestampTag: "ts",
		Signed: "{timestamp}:{body}",
	})

	// Convoy, with its advanced signatures in hexadecimal SHA-256, sends t=seconds and a v1 for each secret, and signs a comma
	// between time and body. Its simple signatures are a SchemeConfig with nothing but Header, which can be chosen there.
	// Source: docs.getconvoy.io, Signatures.
	Convoy = mustScheme(SchemeConfig{
		Name: "convoy", Header: "X-Convoy-Signature", List: Pairs, Tags: []string{"v1"}, TimestampTag: "t",
		Signed: "{timestamp},{body}",
	})

	// Slack sends "v0=" and hexadecimal. One secret, changed at once. Source: api.slack.com, Verifying requests from Slack.
	Slack = mustScheme(SchemeConfig{
		Name: "slack", Header: "X-Slack-Signature", Prefix: "v0=", Timestamp: "X-Slack-Request-Timestamp",
		Signed: "v0:{timestamp}:{body}",
	})

	// Zoom signs as Slack does, and asks a new endpoint a question first, which Middleware answers. One secret token, changed
	// at once. Source: developers.zoom.us, Using webhooks.
	Zoom = mustScheme(SchemeConfig{
		Name: "zoom", Header: "X-Zm-Signature", Prefix: "v0=", Timestamp: "X-Zm-Request-Timestamp",
		Signed: "v0:{timestamp}:{body}", Handshake: ZoomHandshake,
	})

	// Zendesk sends base64 and the time as RFC 3339. The key is the text of the secret, although it looks like base64. One
	// secret, which can only be reset. Source: developer.zendesk.com, Verifying webhook authenticity.
	Zendesk = mustScheme(SchemeConfig{
		Name: "zendesk", Header: "X-Zendesk-Webhook-Signature", Encoding: Base64,
		Timestamp: "X-Zendesk-Webhook-Signature-Timestamp", TimeFormat: RFC3339, Signed: "{timestamp}{body}",
	})

	// Box sends two signatures in base64, one for each of its two keys, and the time as RFC 3339: a key is replaced while the
	// other one signs. Source: developer.box.com, Signature verification.
	Box = mustScheme(SchemeConfig{
		Name: "box", Header: "Box-Signature-Primary", MoreHeaders: []string{"Box-Signature-Secondary"}, Encoding: Base64,
		Timestamp: "Box-Delivery-Timestamp", TimeFormat: RFC3339, Signed: "{body}{timestamp}", Tolerance: 10 * time.Minute,
	})

	// Linear sends bare hexadecimal of a body that has the time in milliseconds as webhookTimestamp: it is checked after the
	// signature. One secret, changed at once. Source: linear.app/developers/webhooks.
	Linear = mustScheme(SchemeConfig{
		Name: "linear", Header: "Linear-Signature", TimestampJSON: "webhookTimestamp", TimeFormat: Milliseconds,
		Tolerance: time.Minute,
	})

	// Discord signs time and body with ed25519: the secret of a Verifier is the application's public key in hexadecimal.
	// Source: docs.discord.com, Interactions overview.
	Discord = mustScheme(SchemeConfig{
		Name: "discord", Header: "X-Signature-Ed25519", Timestamp: "X-Signature-Timestamp", Signed: "{timestamp}{body}",
		Algorithm: Ed25519, Key: KeyHex,
	})
)
