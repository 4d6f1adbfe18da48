// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package gitea names Gitea, so that its go.mod and go.sum pin what the server is built of.
package gitea

import _ "code.gitea.io/gitea"
