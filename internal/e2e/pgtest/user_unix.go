// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package pgtest

import (
	"errors"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// unprivileged returns somebody for the server to run as, or nil if this is not root.
func unprivileged() (as *syscall.SysProcAttr, uid, gid int, err error) {
	if os.Getuid() != 0 {
		return nil, 0, 0, nil
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
			return &syscall.SysProcAttr{Credential: credential}, int(uid), int(gid), nil
		}
	}
	return nil, 0, 0, errors.New("neither user postgres nor user nobody to run as")
}
