// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"errors"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// serverUser says as whom PostgreSQL runs, which refuses to be root: as this user, or for root as one of two that most
// machines have. Zero ids mean this user. The server gets a process group of its own, so that a Ctrl-C does not reach it.
func serverUser() (as *syscall.SysProcAttr, uid, gid int, err error) {
	if os.Getuid() != 0 {
		return &syscall.SysProcAttr{Setpgid: true}, 0, 0, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 31)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 31)
		if uidErr == nil && gidErr == nil {
			credential := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
			return &syscall.SysProcAttr{Setpgid: true, Credential: credential}, int(uid), int(gid), nil
		}
	}
	return nil, 0, 0, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody")
}
