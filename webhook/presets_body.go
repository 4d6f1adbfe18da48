// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

// Presets of senders that sign the body and nothing else. No time is signed, so a delivery stays valid for as long as its secret
// lives, and no id is, so Replay knows it by a hash of the body: a delivery that the sender repeats with the same body is a
// repetition too. These senders have one secret and change it at once: the receiver has to know the new one before.
var (
	// GitHub: X-Hub-Signature-256, "sha256=" and hexadecimal. X-GitHub-Delivery is not signed, and X-Hub-Signature, which is
	// SHA-1, is not looked at. docs.github.com, Validating webhook deliveries.
	GitHub = mustScheme(SchemeConfig{Name: "github", Header: "X-Hub-Signature-256", Prefix: "sha256="})
)
