// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package node has tests only: package webhook agrees with the senders and receivers that people run on Node.js. Their packages
// are those of package-lock.json; no scripts of theirs are run to install them.
package node
