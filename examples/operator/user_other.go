// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package main

import "syscall"

// serverUser: the server runs as whoever runs this program.
func serverUser() (as *syscall.SysProcAttr, uid, gid int, err error) { return nil, 0, 0, nil }
