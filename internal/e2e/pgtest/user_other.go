// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package pgtest

import "syscall"

// unprivileged: the server runs as whoever runs the test.
func unprivileged() (as *syscall.SysProcAttr, uid, gid int, err error) { return nil, 0, 0, nil }
