// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package servers

import "syscall"

// dieWithParent makes the system kill the server when the test ends without its cleanup, as after a panic or a timeout.
func dieWithParent(as *syscall.SysProcAttr) *syscall.SysProcAttr {
	attr := syscall.SysProcAttr{}
	if as != nil {
		attr = *as
	}
	attr.Pdeathsig = syscall.SIGKILL
	return &attr
}
