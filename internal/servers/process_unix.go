// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// unprivileged returns the first of users that there is, for a server to run as, or nil if this is not root or none is given.
func unprivileged(users []string) (as *syscall.SysProcAttr, uid, gid int, err error) {
	if os.Getuid() != 0 || len(users) == 0 {
		return nil, 0, 0, nil
	}
	for _, name := range users {
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
	return nil, 0, 0, fmt.Errorf("none of the users %s is there to run as", strings.Join(users, ", "))
}

// own gives a file to the user that a server runs as.
func own(path string, as *syscall.SysProcAttr) error {
	if as == nil {
		return nil
	}
	return os.Chown(path, int(as.Credential.Uid), int(as.Credential.Gid))
}

// pause returns when all of them stand still: on a busy machine a process goes on for a while after the signal was sent, and may
// start others.
func pause(pid int) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return poll(ctx, func() error {
		moving := 0
		for _, id := range family(pid) {
			if err := syscall.Kill(id, syscall.SIGSTOP); err != nil && id == pid {
				return err
			}
			if moves(id) {
				moving++
			}
		}
		if moving > 0 {
			return fmt.Errorf("%d of its processes do not stand still", moving)
		}
		return nil
	})
}

// moves reports whether a thread of a process is neither stopped (T) nor at its end (Z, X). Without /proc nobody knows.
func moves(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	return slices.ContainsFunc(threads, func(name string) bool {
		state, _ := stat(name)
		return !strings.Contains("TZX", state)
	})
}

// stat reads the state of a process or a thread, and its parent; "" if it has ended.
func stat(name string) (state string, parent int) {
	text, err := os.ReadFile(name)
	if err != nil {
		return "", 0
	}
	// "pid (name) state parent ...", where a name may have spaces and parentheses.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 2 {
		return "", 0
	}
	parent, _ = strconv.Atoi(fields[1])
	return fields[0], parent
}

func resume(pid int) {
	for _, id := range family(pid) {
		_ = syscall.Kill(id, syscall.SIGCONT)
	}
}

// kill returns when all of them have ended: what is left of them, a port or shared memory, is in the way of the next start.
func kill(p *os.Process) {
	_ = pause(p.Pid) // so that none of them starts another meanwhile
	others := family(p.Pid)[1:]
	_ = p.Kill()
	for _, id := range others {
		_ = syscall.Kill(id, syscall.SIGKILL)
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	_ = poll(ctx, func() error {
		if slices.ContainsFunc(others, lives) {
			return errors.New("not all of them have ended")
		}
		return nil
	})
}

// lives reports whether a process has not ended. Nobody may have asked for the exit code of one that has (Z).
func lives(pid int) bool {
	state, _ := stat(fmt.Sprintf("/proc/%d/stat", pid))
	return !strings.Contains("ZX", state)
}

// family is a process and what it started, and what that started; a server's processes do not always share a group. Without
// /proc it is the process alone.
func family(pid int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		id, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if state, parent := stat(name); state != "" {
			children[parent] = append(children[parent], id)
		}
	}
	out := []int{pid}
	for i := 0; i < len(out); i++ {
		out = append(out, children[out[i]]...)
	}
	return out
}
