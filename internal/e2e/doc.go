// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package e2e has the tests that need real drivers and servers: a module of its own keeps them out of the library's module
// graph. It exports nothing.
package e2e
