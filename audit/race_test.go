// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build race

package audit_test

// The race detector makes reading twenty times slower, and finds nothing in what one goroutine does.
const changesOfBigTrail = 12
