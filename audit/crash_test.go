// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package audit_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/audit"
	"github.com/handover-go/handover/secret"
)

const childEnv = "HANDOVER_AUDIT_TEST_CHILD"

// TestMain lets the tests run this program as a process that is killed.
func TestMain(m *testing.M) {
	role, ok := os.LookupEnv(childEnv)
	if !ok {
		os.Exit(m.Run())
	}
	if err := map[string]func(args []string) error{"writer": childWriter, "limited": childLimited}[role](os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func child(t *testing.T, role string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), childEnv+"="+role)
	cmd.Stderr = os.Stderr
	return cmd
}

// childWriter delivers events from a number on, for ever, and says which the trail has taken.
func childWriter(args []string) error {
	trail, err := audit.Open(audit.Config{Dir: args[0], Key: secret.New(args[1]), Every: 7, MaxBytes: 5000})
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[2])
	for ; err == nil; n++ {
		if err = trail.Deliver(context.Background(), event(n)); err == nil {
			_, err = fmt.Println(n)
		}
	}
	return err
}

// A process is killed while it writes, again and again. The next one goes on, and is given again what was not acknowledged.
func TestKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "trail")
	key, public := newKey(t)
	want := audit.Expect{Keys: []ed25519.PublicKey{public}, Every: 7}
	r := rand.New(rand.NewPCG(7, 8))
	acknowledged := 0
	for range 8 {
		cmd := child(t, "writer", dir, key.Reveal(), strconv.Itoa(acknowledged+1))
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for left := r.IntN(60); lines.Scan(); left-- {
			n, err := strconv.Atoi(lines.Text())
			require.NoError(t, err)
			require.Equal(t, acknowledged+1, n)
			acknowledged = n
			if left == 0 {
				require.NoError(t, cmd.Process.Kill()) // what it printed before it died is read all the same
			}
		}
		require.Error(t, cmd.Wait())
		require.Equal(t, syscall.SIGKILL, cmd.ProcessState.Sys().(syscall.WaitStatus).Signal())
	}
	require.Greater(t, acknowledged, 8)

	trail := open(t, audit.Config{Dir: dir, Key: key, Every: 7, MaxBytes: 5000})
	deliver(t, trail, acknowledged+1, acknowledged+1)
	require.NoError(t, trail.Close())
	ids := eventsOf(t, dir, want)
	require.Equal(t, idsOf(1, acknowledged+1), ids, "each of them, once, in order")
}

// A second process may not write.
func TestOneWriterOfAllProcesses(t *testing.T) {
	dir := t.TempDir()
	trail := open(t, audit.Config{Dir: dir})
	cmd := child(t, "writer", dir, secret.Random(32).Reveal(), "1")
	var said strings.Builder
	cmd.Stderr = &said
	require.Error(t, cmd.Run())
	require.Contains(t, said.String(), "has a writer already")
	deliver(t, trail, 1, 3)
}

// childLimited meets the end of its disk: the largest file that the system lets it write.
func childLimited(args []string) error {
	trail, err := audit.Open(audit.Config{Dir: args[0], MaxBytes: -1})
	if err != nil {
		return err
	}
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		return err
	}
	tight := was
	tight.Cur = 6000
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &tight); err != nil {
		return err
	}
	for n := 1; n <= 40; n++ {
		err := trail.Deliver(context.Background(), event(n))
		if err == nil {
			continue
		}
		if !errors.Is(err, syscall.EFBIG) {
			return fmt.Errorf("event %d: %w", n, err)
		}
		if err := trail.Deliver(context.Background(), event(n)); !errors.Is(err, syscall.EFBIG) {
			return fmt.Errorf("event %d again: %v", n, err)
		}
		fmt.Println(n)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
			return err
		}
		n-- // it is asked again
	}
	return trail.Close()
}

func TestDiskLimit(t *testing.T) {
	dir := t.TempDir()
	out, err := child(t, "limited", dir).Output()
	require.NoError(t, err)
	require.Regexp(t, `^1\d\n$`, string(out), "one event met the limit")
	require.Equal(t, idsOf(1, 40), eventsOf(t, dir, audit.Expect{}))
	r, err := audit.Check(os.DirFS(dir), audit.Expect{})
	require.NoError(t, err)
	require.Zero(t, r.Healed)
}

// The power fails at every byte of the end of a trail, which is a line, a checkpoint, or the first lines of a file; and again at
// every byte of what the next Open writes.
func TestPowerCuts(t *testing.T) {
	base := t.TempDir()
	key, public := newKey(t)
	cfg := audit.Config{Dir: base, Key: key, Every: 3, MaxBytes: 2000}
	trail := open(t, cfg)
	deliver(t, trail, 1, 4)
	p := readPages(t, base)
	require.Equal(t, []string{"begin", "event"}, kindsOf(t, p[p.last()]))
	want := audit.Expect{Keys: []ed25519.PublicKey{public}, Every: 3}
	cfg.SkipSync = true // the power does not fail after that

	cuts, healed := 0, 0
	for at, left := range cutsOf(p) {
		if at%17 != 0 && at > 30 { // all places near the end of the lines, and some of the others
			continue
		}
		cuts++
		known, err := left.check(audit.Expect{})
		if err != nil { // what was acknowledged before the line that is cut
			known, err = wholeOf(left).check(audit.Expect{})
		}
		if err != nil {
			known = audit.Report{} // not even the first line
		}
		dir := t.TempDir()
		left.write(t, dir)
		cfg.Dir = dir
		trail := open(t, cfg)
		if at%51 == 0 { // and again
			require.NoError(t, trail.Close())
			info, err := os.Stat(filepath.Join(dir, left.last()))
			require.NoError(t, err)
			size := int64(len(strings.Join(left[left.last()], "")))
			if more := info.Size() - size; more > 1 {
				require.NoError(t, os.Truncate(filepath.Join(dir, left.last()), size+rand.Int64N(more)))
			}
			trail = open(t, cfg)
		}
		deliver(t, trail, 1, 5)
		require.NoError(t, trail.Close())
		want.Known = known.Head
		ids := eventsOf(t, dir, want)
		require.Equal(t, idsOf(1, 5), ids, at)
		report, err := audit.Check(os.DirFS(dir), want)
		require.NoError(t, err)
		if report.Healed > 0 {
			healed++
		}
	}
	require.Greater(t, cuts, 100)
	require.Greater(t, healed, 50)
}

// cutsOf yields the trail without its last byte, without its last two, and so on to the first.
func cutsOf(p pages) func(yield func(int, pages) bool) {
	return func(yield func(int, pages) bool) {
		n := 0
		for _, name := range slices.Backward(p.names()) {
			text := strings.Join(p[name], "")
			for size := len(text) - 1; size >= 0; size-- {
				n++
				q := p.clone()
				for other := range q {
					if other > name {
						delete(q, other)
					}
				}
				q[name] = slices.Collect(strings.Lines(text[:size]))
				if !yield(n, q) {
					return
				}
			}
		}
	}
}

// wholeOf leaves out a last line without a newline.
func wholeOf(p pages) pages {
	q := p.clone()
	lines := q[q.last()]
	if n := len(lines) - 1; n >= 0 && !strings.HasSuffix(lines[n], "\n") {
		q[q.last()] = lines[:n]
	}
	return q
}

// Blocks that never reached the disk read as zeros, newlines and all.
func TestLostBlocks(t *testing.T) {
	for name, tail := range map[string]string{
		"zeros": strings.Repeat("\x00", 8192), "lines of zeros": "\x00\x00\n\x00\n", "half a line and zeros": "{\"v\":1,\"seq\":\x00\x00\n",
		"newlines": "\n\n\n",
	} {
		dir := t.TempDir()
		trail := open(t, audit.Config{Dir: dir})
		deliver(t, trail, 1, 5)
		require.NoError(t, trail.Close())
		p := readPages(t, dir)
		p[p.last()] = append(p[p.last()], tail)
		p.write(t, dir)
		_, err := p.check(audit.Expect{})
		brokenAt(t, err, p.last(), 7, name)
		trail = open(t, audit.Config{Dir: dir})
		deliver(t, trail, 5, 7)
		require.Equal(t, idsOf(1, 7), eventsOf(t, dir, audit.Expect{Known: trail.Head()}))
		require.Contains(t, string(joined(readPages(t, dir))), tail, "nothing is thrown away")
	}
}
