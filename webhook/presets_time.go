// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

// Presets of senders that sign a time.
var (
	Stripe = mustScheme(SchemeConfig{
		Name: "stripe", Header: "Stripe-Signature", List: Pairs, Tags: []string{"v1"}, TimestampTag: "t",
		Signed: "{timestamp}.{body}",
	})
	Slack = mustScheme(SchemeConfig{
		Name: "slack", Header: "X-Slack-Signature", Prefix: "v0=", Timestamp: "X-Slack-Request-Timestamp",
		Signed: "v0:{timestamp}:{body}",
	})
)
