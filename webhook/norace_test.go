// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package webhook_test

const raceEnabled = false
