// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package published tests the modules as those see them who are not in this repository: published with a version, without the
// workspace and without replacements. What a program gets that imports one adapter is a golden file in testdata: the modules that
// it links, and those that are only in its graph. After a look at why they changed they are written anew by
//
//	go test ./internal/e2e/published -update
package published
