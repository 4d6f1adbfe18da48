// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package awssecrets keeps credentials in AWS Secrets Manager, on the official SDK for Go.
package awssecrets
