// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package servers

import (
	"errors"
	"os"
	"syscall"
)

// unprivileged: the server runs as whoever runs the test.
func unprivileged([]string) (as *syscall.SysProcAttr, uid, gid int, err error) { return nil, 0, 0, nil }

func own(string, *syscall.SysProcAttr) error { return nil }

func pause(int) error { return errors.New("a process cannot be paused on this system") }

func resume(int) {}

func kill(p *os.Process) { _ = p.Kill() }

// family: nobody knows what a process started.
func family(pid int) []int { return []int{pid} }
