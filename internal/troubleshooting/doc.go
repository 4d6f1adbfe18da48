// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package troubleshooting holds the troubles that people meet when a credential changes, each provoked by a test with real parts:
// HTTP servers, files, processes, stores and consumers as they are used elsewhere. What the tests saw handover say of each stands
// in docs/troubleshooting.md, word for word:
//
//	go test ./internal/troubleshooting -update
//
// writes it there. There is nothing to import.
package troubleshooting
