// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package browser holds the test of the status page in a real browser, and no code. It is a module of its own because of the
// library that drives the browser.
//
// With -update the test writes the pictures in docs:
//
//	go test ./internal/e2e/browser -update
package browser
