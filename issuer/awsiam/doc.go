// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package awsiam makes, ends and verifies access keys of a user of AWS IAM, on the official SDK for Go.
package awsiam
