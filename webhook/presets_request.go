// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

// Presets of senders that sign the URL. They need Config.URL, and VerifyRequest or Middleware. No time and no id are signed: see
// the presets of senders that sign the body only.
var (
	// Twilio sends base64 of an HMAC-SHA1 over the URL and the form, or over a URL with the hash of the body. The account has
	// a primary and a secondary auth token, and signs with the primary one until they are swapped.
	//
	// The scheme puts names and values in a row without a mark between them, so a form with a=bc has the signature of one with
	// ab=c, and nothing tells whether a value came twice under one name. Read the parameters you expect, once each. URL has
	// to be as Twilio signs it, which leaves out the port in some cases. Source: twilio.com/docs/usage/security.
	Twilio = mustScheme(SchemeConfig{
		Name: "twilio", Header: "X-Twilio-Signature", Encoding: Base64, Algorithm: HMACSHA1, Signed: "{url}{form}",
	})

	// Square sends base64 over the notification URL, as it was configured there, and the body. One key, changed at once.
	// Source: developer.squareup.com, Verify and validate an event notification.
	Square = mustScheme(SchemeConfig{
		Name: "square", Header: "X-Square-Hmacsha256-Signature", Encoding: Base64, Signed: "{url}{body}",
	})
)

// Presets of senders that sign nothing: they send the secret itself. Whoever sees one delivery can make any other, so TLS has to
// end where the Verifier is. There is no time and no id, and Replay is refused.
var (
	// GitLab sends the secret token of the webhook. One token, changed at once. From 19.0 it can have a signing token beside
	// it, which is better: see Standard. Source: docs.gitlab.com, Webhooks.
	GitLab = mustScheme(SchemeConfig{Name: "gitlab", Header: "X-Gitlab-Token", Algorithm: Token})

	// Okta sends the value that the event hook was given for the header Authorization, and asks a new endpoint a question
	// first, which Middleware answers. Change the value of the hook to rotate. Source: developer.okta.com, Event hooks.
	Okta = mustScheme(SchemeConfig{Name: "okta", Header: "Authorization", Algorithm: Token, Handshake: OktaHandshake})
)
