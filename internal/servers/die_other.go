// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package servers

import "syscall"

func dieWithParent(as *syscall.SysProcAttr) *syscall.SysProcAttr { return as }
