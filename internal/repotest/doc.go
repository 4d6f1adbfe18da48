// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package repotest holds tests about the repository itself and no code: what the core links and requires, that every
// exported name is documented, that the exported API is the one written down in the folder api, that code in the Markdown
// pages is code that was compiled, and a few habits of files.
//
// After a change of the exported API that is meant, write the goldens anew and read the difference:
//
//	go test ./internal/repotest -update
//	git diff api
package repotest
