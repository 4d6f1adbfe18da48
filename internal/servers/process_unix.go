// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package servers

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
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

func pause(pid int) error {
	// The parent first, else it goes on starting others.
	for _, id := range family(pid) {
		if err := syscall.Kill(id, syscall.SIGSTOP); err != nil && id == pid {
			return err
		}
	}
	for _, id := range family(pid) {
		for until := time.Now().Add(grace); !stopped(id) && time.Now().Before(until); {
			time.Sleep(time.Millisecond) // the signal was sent: what a thread is in the middle of, it may still do
		}
	}
	return nil
}

// stopped reports whether every thread of a process stands still. Without /proc it is believed.
func stopped(pid int) bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) > 0 && (fields[0] == "R" || fields[0] == "S" || fields[0] == "D") {
			return false
		}
	}
	return true
}

func resume(pid int) {
	for _, id := range family(pid) {
		_ = syscall.Kill(id, syscall.SIGCONT)
	}
}

// kill returns when what the process had started is gone too: what is left of a PostgreSQL keeps the next one from starting.
func kill(p *os.Process) {
	_ = syscall.Kill(p.Pid, syscall.SIGSTOP) // from here on it starts nothing
	others := family(p.Pid)[1:]
	_ = p.Kill()
	for _, id := range others {
		_ = syscall.Kill(id, syscall.SIGKILL)
	}
	for end := time.Now().Add(grace); time.Now().Before(end) && slices.ContainsFunc(others, alive); {
		time.Sleep(look)
	}
}

// alive reports whether a process runs. One that has ended stays a zombie until its parent asks for it.
func alive(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	return err == nil && len(fields) > 0 && fields[0] != "Z"
}

// family is a process and what it started, and what that started; a server's processes do not always share a group. Without
// /proc it is the process alone.
func family(pid int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		id, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		// "pid (name) state parent ...", where a name may have spaces and parentheses.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) > 1 {
			parent, _ := strconv.Atoi(fields[1])
			children[parent] = append(children[parent], id)
		}
	}
	out := []int{pid}
	for i := 0; i < len(out); i++ {
		out = append(out, children[out[i]]...)
	}
	return out
}
