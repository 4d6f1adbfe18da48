// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package minio names MinIO, so that its go.mod and go.sum pin what the server is built of.
package minio

import _ "github.com/minio/minio"
