// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

// Presets of Standard Webhooks and of what it grew from.
var (
	Standard = mustScheme(SchemeConfig{
		Name: "standard", Header: "Webhook-Signature", List: Spaced, Tags: []string{"v1"}, PublicTag: "v1a", Encoding: Base64,
		Key: KeyStandard, ID: "Webhook-Id", Timestamp: "Webhook-Timestamp", Signed: "{id}.{timestamp}.{body}",
	})
	Svix = mustScheme(SchemeConfig{
		Name: "svix", Header: "Svix-Signature", List: Spaced, Tags: []string{"v1"}, PublicTag: "v1a", Encoding: Base64,
		Key: KeyStandard, ID: "Svix-Id", Timestamp: "Svix-Timestamp", Signed: "{id}.{timestamp}.{body}",
	})
)
