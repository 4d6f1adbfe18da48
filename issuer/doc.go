// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package issuer has issuers that need nothing but the standard library, and what writers of others need.
//
// [REST] is for the common shape of a provider, [Manual] for a provider that only people can operate and [Local] for
// secrets that are chosen here. For everything else, a [rotation.Issuer] of one's own is two methods with one [Call] each.
//
// The senders of webhooks, whose secrets go the other way, are told to sign with a secret when every receiver accepts it: [Webhook]
// is one whose secret is set by a request, [Subscriptions] one whose secrets belong to a subscription each, and [ManualWebhook] one
// that a person operates. A sender that signs with a new secret as soon as it is made is an Issuer without Activate, [Manual] for
// one, that states Traits.Grace or Traits.KillsOld.
package issuer
