// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package webhook verifies and signs webhooks, with several secrets at a time: a rotation is not a special case. It imports the
// standard library and package secret only.
//
// # Receiving
//
// A [Verifier] has a [Scheme], which is how the sender signs, and a set of secrets, any of which may have signed. Its Middleware
// answers what does not verify; the handler gets the very bytes that were verified, and [FromContext] says which secret signed
// them. Set replaces the secrets while deliveries arrive: no genuine one is refused and no lock is taken. Usage says when each
// secret last matched.
//
// During a rotation the set has the new secret and the old one. The old one can be given an end (Secret.NotAfter), so that it
// goes even if nobody removes it. See Usage for what its silence proves, and what not.
//
// # Sending
//
// A [Signer] signs with every live secret, where the scheme has room for more than one signature: then receivers move from the
// old secret to the new one whenever they like. [Transport] signs what a http.Client sends.
//
// # Schemes
//
// There are presets for senders that have published an example of a signed delivery, or whose scheme can be checked in another
// way: [GitHub], [Bitbucket] (and Jira), [Gitea], [Forgejo], [Gogs], [Shopify], [Razorpay], [LINE], [Adyen], [PagerDuty] and
// [CircleCI] sign the body only; [Stripe], [Mux], [Paddle], [Convoy], [Slack], [Zoom], [Zendesk], [Box], [Linear] and [Discord] a
// time too; [Standard] (and GitLab's signing tokens, and whoever follows the specification) and [Svix] a time and an id; [Twilio]
// and [Square] the URL; [GitLab] and [Okta] sign nothing and send the secret itself.
//
// A preset is a [SchemeConfig] and no code, so any other sender is a few lines: see the example of NewScheme, which has
// Dropbox, Sentry, Meta, Notion, Typeform, DocuSign, Xero, Paystack, Vercel, Intercom, Hookdeck, Outpost, Calendly, Cloudflare,
// WorkOS, Twitch, HubSpot and more. Not covered are senders that sign fields picked from the body (Adyen's payments), a list of
// headers that comes with the request (RFC 9421), or with a certificate (PayPal, SNS).
//
// What a sender does not sign costs something, and each preset says what. No time: an old delivery verifies for as long as its
// secret lives. No id: what Replay takes for the same delivery is the same signed content.
//
// # Strictness
//
// What is ambiguous is refused. A header that is there twice, a number with a sign or a leading zero, a time outside the window
// to either side, another spelling of the same signature, an unknown prefix, an id that holds what ends it, a body one byte too
// long: none of them verifies. Lists are read as senders mean them: versions that are not known are passed over, a bad signature
// hides no good one, and a space after the comma is what proxies leave there.
//
// A secret of less than 16 bytes as decoded is an error, and so is white space around one: nothing is trimmed. No secret is
// never no check: a Verifier without secrets refuses everything, with [ErrNoSecret].
//
// # Cost
//
// Verify and AppendSignature allocate nothing, whatever the size of the body, where the scheme is an HMAC of body, time and id.
// A success costs one pass over the body, with any number of secrets, because the one that matched last is tried first. A forgery
// costs a pass for each live secret, and none at all if it has no plausible signature: shape, size and time are checked before
// anything is hashed, and before the body is read.
package webhook
