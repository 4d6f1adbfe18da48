// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package verify has verifiers that need nothing but the standard library.
//
// [Probe] and [Login] present a key to the side that accepts it, for Credential.Verifier. They say rotation.ErrRejected only
// for a definite refusal: a firewall, a proxy, a timeout or a rate limit leaves it open. [Health] asks a service how it is
// and never presents a key, for Binding.Verifier.
package verify
