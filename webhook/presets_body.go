// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

// Presets of senders that sign the body and nothing else. No time is signed, so a delivery stays valid for as long as its secret
// lives. No id is signed, so Replay knows a delivery by a hash of its body: what the sender repeats with the same body is a
// repetition too. Ids and times in other headers are for whoever delivers to choose.
var (
	// GitHub sends "sha256=" and hexadecimal. It has one secret and changes it at once: the receiver has to know the new one
	// before. X-Hub-Signature, which is SHA-1, is not looked at. Source: docs.github.com, Validating webhook deliveries.
	GitHub = mustScheme(SchemeConfig{Name: "github", Header: "X-Hub-Signature-256", Prefix: "sha256="})

	// Bitbucket Cloud and Jira send "sha256=" and hexadecimal in the header that GitHub uses for SHA-1. One secret, changed at
	// once. Source: support.atlassian.com, Manage webhooks; developer.atlassian.com, Jira webhooks.
	Bitbucket = mustScheme(SchemeConfig{Name: "bitbucket", Header: "X-Hub-Signature", Prefix: "sha256="})

	// Gitea sends bare hexadecimal. One secret, changed at once. Source: docs.gitea.com, Webhooks.
	Gitea = mustScheme(SchemeConfig{Name: "gitea", Header: "X-Gitea-Signature"})

	// Forgejo is Gitea with a header of its own, and sends that of Gitea too. Source: forgejo.org/docs, Webhooks.
	Forgejo = mustScheme(SchemeConfig{Name: "forgejo", Header: "X-Forgejo-Signature"})

	// Gogs sends bare hexadecimal. One secret, changed at once. Source: gogs.io, Webhooks.
	Gogs = mustScheme(SchemeConfig{Name: "gogs", Header: "X-Gogs-Signature"})

	// Shopify sends base64. While two secrets exist the oldest one that is not revoked signs, so no delivery with the new one
	// comes before the old one is revoked, and for up to an hour after: the receiver has to hold both meanwhile.
	// Source: shopify.dev, Verify webhook deliveries; Rotate your app's client secret.
	Shopify = mustScheme(SchemeConfig{Name: "shopify", Header: "X-Shopify-Hmac-Sha256", Encoding: Base64})

	// Razorpay sends bare hexadecimal. One secret, changed at once. Source: razorpay.com/docs, Validate and test webhooks.
	Razorpay = mustScheme(SchemeConfig{Name: "razorpay", Header: "X-Razorpay-Signature"})

	// LINE sends base64, with the channel secret. Source: developers.line.biz, Verify webhook signature.
	LINE = mustScheme(SchemeConfig{Name: "line", Header: "X-Line-Signature", Encoding: Base64})

	// Adyen sends base64 in a header for all webhooks but those of payments, which have it inside the body, over some of its
	// fields: those are not this scheme. The key is what the hexadecimal in the Customer Area stands for.
	// Source: docs.adyen.com, Verify HMAC signatures.
	Adyen = mustScheme(SchemeConfig{Name: "adyen", Header: "HmacSignature", Encoding: Base64, Key: KeyHex})

	// PagerDuty (version 3) sends "v1=" and hexadecimal, one for each secret while they change.
	// Source: developer.pagerduty.com, Verifying webhook signatures.
	PagerDuty = mustScheme(SchemeConfig{Name: "pagerduty", Header: "X-PagerDuty-Signature", List: Pairs, Tags: []string{"v1"}})

	// CircleCI sends "v1=" and hexadecimal, and may add other versions. One secret, changed at once.
	// Source: circleci.com/docs, Outbound webhooks.
	CircleCI = mustScheme(SchemeConfig{Name: "circleci", Header: "Circleci-Signature", List: Pairs, Tags: []string{"v1"}})
)
