// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package filelock takes advisory locks on open files (flock), between processes as between the open files of one process.
// The system gives a lock back when the file is closed, however the process ends. Where there is no flock, Supported is false
// and Try fails with errors.ErrUnsupported.
package filelock
