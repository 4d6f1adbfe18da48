// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import "errors"

// Reasons to refuse a delivery. None of them quotes it: no header, body, signature or secret is in an error of this package.
var (
	// ErrUnsigned: there is no signature.
	ErrUnsigned = errors.New("webhook: no signature")
	// ErrMalformed: the signature, the time or the id cannot be what the scheme's sender writes, or is there twice.
	ErrMalformed = errors.New("webhook: malformed signature")
	// ErrMismatch: no live secret made the signature.
	ErrMismatch = errors.New("webhook: no secret matches")
	// ErrStale: the signed time is further from now than the tolerance, in the past or in the future.
	ErrStale = errors.New("webhook: signed too long ago, or in the future")
	// ErrReplayed: the delivery verifies, and so did the same one before.
	ErrReplayed = errors.New("webhook: delivered before")
	// ErrTooLarge: the body is longer than Config.MaxBody.
	ErrTooLarge = errors.New("webhook: body too large")
	// ErrNoSecret: the verifier, or the signer, has no secret yet, or all of them have ended. Nothing is wrong with the delivery.
	ErrNoSecret = errors.New("webhook: no live secret")
	// ErrReplayStore: the delivery verifies, but Config.Replay could not tell whether it came before. It wraps what Replay said.
	ErrReplayStore = errors.New("webhook: the replay store failed")
)
