// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package webhook verifies and signs webhooks, with several secrets at a time: a rotation is not a special case.
package webhook
