// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

// Presets of Standard Webhooks and of Svix, where it comes from. Id, time and body are signed, so a repetition is stale after the
// tolerance, and Replay knows a delivery by its id, which stays when the sender tries again.
//
// The list of signatures has one for each secret while they change: Svix signs with up to ten old ones, for 24 hours as a rule.
// Secrets begin with whsec_ (HMAC, v1), whpk_ (ed25519 public key, v1a) or whsk_ (ed25519 private key, v1a); without one of
// these they are base64 of an HMAC key. A set may have all kinds.
var (
	// Standard has the headers webhook-id, webhook-timestamp and webhook-signature. GitLab's signing tokens (from 19.0) are
	// Standard too, and many senders that Svix delivers for. Source: standardwebhooks.com, the specification.
	Standard = mustScheme(standard("standard", "Webhook"))

	// Svix has the headers svix-id, svix-timestamp and svix-signature. Source: docs.svix.com, Verifying payloads manually.
	Svix = mustScheme(standard("svix", "Svix"))
)

func standard(name, header string) SchemeConfig {
	return SchemeConfig{
		Name: name, Header: header + "-Signature", List: Spaced, Tags: []string{"v1"}, PublicTag: "v1a",
		Encoding: Base64, Key: KeyStandard, ID: header + "-Id", Timestamp: header + "-Timestamp",
		Signed: "{id}.{timestamp}.{body}",
	}
}
