// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package issuer has issuers that need nothing but the standard library, and what writers of others need.
//
// [REST] is for the common shape of a provider, [Manual] for a provider that only people can operate and [Local] for
// secrets that are chosen here. For everything else, a [rotation.Issuer] of one's own is two methods with one [Call] each.
package issuer
