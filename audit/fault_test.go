// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/audit"
	"github.com/handover-go/handover/rotation"
)

// faulty is the file of a disk with troubles. Each of the functions may be nil.
type faulty struct {
	audit.Handle
	onWrite    func(b []byte) (int, error) // how much reaches the disk, and what is said; -1: all of it, -2: all but a byte
	onSync     func() error
	onTruncate func() error
}

func (f *faulty) Write(b []byte) (int, error) {
	if f.onWrite == nil {
		return f.Handle.Write(b)
	}
	n, err := f.onWrite(b)
	if n < 0 {
		n += len(b) + 1
	}
	n = min(n, len(b))
	if _, werr := f.Handle.Write(b[:n]); werr != nil {
		return 0, werr
	}
	return n, err
}

func (f *faulty) Sync() error {
	if f.onSync != nil {
		if err := f.onSync(); err != nil {
			return err
		}
	}
	return f.Handle.Sync()
}

func (f *faulty) Truncate(size int64) error {
	if f.onTruncate != nil {
		if err := f.onTruncate(); err != nil {
			return err
		}
	}
	return f.Handle.Truncate(size)
}

// trouble is a disk that fails in the ways that are set.
type trouble struct {
	write, sync, truncate error
	keep                  int // bytes of a failed write that reach the disk all the same
}

func (tr *trouble) wrap(h audit.Handle) audit.Handle {
	return &faulty{
		Handle: h,
		onWrite: func([]byte) (int, error) {
			if tr.write != nil {
				return tr.keep, tr.write
			}
			return -1, nil
		},
		onSync:     func() error { return tr.sync },
		onTruncate: func() error { return tr.truncate },
	}
}

func TestDiskTroubles(t *testing.T) {
	full, broken := syscall.ENOSPC, syscall.EIO
	for name, c := range map[string]struct {
		trouble
		healed int64
	}{
		"full":                                  {trouble{write: full}, 0},
		"full after some bytes":                 {trouble{write: full, keep: 100}, 0},
		"full after all but the newline":        {trouble{write: full, keep: -2}, 0},
		"sync":                                  {trouble{sync: broken}, 0},
		"full, and nothing can be removed":      {trouble{write: full, keep: 100, truncate: broken}, 1},
		"a whole line that cannot be removed":   {trouble{write: full, keep: -1, truncate: broken}, 0},
		"sync fails, nothing can be removed":    {trouble{sync: broken, truncate: broken}, 0},
		"nothing written and nothing to remove": {trouble{write: full, truncate: broken}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			key, public := newKey(t)
			trail := open(t, audit.Config{Dir: dir, Key: key, Every: 3})
			var now trouble
			trail.Wrap(now.wrap)
			deliver(t, trail, 1, 4)
			before := trail.Head()
			now = c.trouble
			for i := range 3 {
				err := trail.Deliver(context.Background(), event(5))
				if err == nil && i > 0 && c.keep < 0 {
					continue // it is there, and was synced since
				}
				require.Error(t, err)
				require.True(t, errors.Is(err, full) || errors.Is(err, broken), err)
				require.Equal(t, before, trail.Head())
			}
			now = trouble{}
			deliver(t, trail, 5, 12)
			require.NoError(t, trail.Close())
			want := audit.Expect{Keys: []ed25519.PublicKey{public}, Every: 3, Known: trail.Head()}
			require.Equal(t, idsOf(1, 12), eventsOf(t, dir, want))
			r, err := audit.Check(os.DirFS(dir), want)
			require.NoError(t, err)
			if c.healed == 0 {
				require.Zero(t, r.Healed)
			} else {
				require.NotZero(t, r.Healed)
			}
		})
	}
}

func TestTroubleAtTheEndOfAFile(t *testing.T) {
	for keep := range 12 {
		dir := t.TempDir()
		trail := open(t, audit.Config{Dir: dir, MaxBytes: 2000})
		var now trouble
		trail.Wrap(now.wrap)
		deliver(t, trail, 1, 5)
		for n := 6; n < 20; n++ { // each of these meets a full disk first
			now = trouble{write: syscall.ENOSPC, keep: keep * 30}
			if keep%2 == 1 {
				now.truncate = syscall.EIO
			}
			require.ErrorIs(t, trail.Deliver(context.Background(), event(n)), syscall.ENOSPC)
			now = trouble{}
			deliver(t, trail, n, n)
		}
		require.NoError(t, trail.Close())
		require.Equal(t, idsOf(1, 19), eventsOf(t, dir, audit.Expect{Known: trail.Head()}))
	}
}

func TestSomebodyElseWrites(t *testing.T) {
	for name, meddle := range map[string]struct {
		do     func(t *testing.T, path string)
		want   string // in the error of Deliver; empty: it goes on
		healed int64
	}{
		"puts a copy in its place": {func(t *testing.T, path string) {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path+".new", data, 0o600))
			require.NoError(t, os.Rename(path+".new", path))
		}, "", 0},
		"cuts the end off": {func(t *testing.T, path string) {
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.NoError(t, os.Truncate(path, info.Size()-100))
		}, "somebody cut off the end", 0},
		"cuts lines off": {func(t *testing.T, path string) {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			lines := strings.SplitAfter(string(data), "\n")
			require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines[:3], "")), 0o600))
		}, "somebody cut off the end", 0},
		"removes the file": {func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }, "no such file", 0},
		"moves the file":   {func(t *testing.T, path string) { require.NoError(t, os.Rename(path, path+".1")) }, "no such file", 0},
		"repeats a line": {func(t *testing.T, path string) {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			lines := strings.SplitAfter(string(data), "\n")
			require.NoError(t, os.WriteFile(path, []byte(string(data)+lines[2]), 0o600))
		}, ":7: its sequence is 3", 0},
		"writes what is no line": {func(t *testing.T, path string) {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, append(data, "hello\n"...), 0o600))
		}, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			trail := open(t, audit.Config{Dir: dir})
			deliver(t, trail, 1, 5)
			meddle.do(t, filepath.Join(dir, "trail-000000001.jsonl"))
			err := trail.Deliver(context.Background(), event(6))
			if meddle.want != "" {
				require.ErrorContains(t, err, meddle.want)
				require.ErrorContains(t, trail.Deliver(context.Background(), event(6)), meddle.want, "and again")
				require.Error(t, trail.Close())
				return
			}
			require.NoError(t, err)
			r, err := audit.Check(os.DirFS(dir), audit.Expect{Known: trail.Head()})
			require.NoError(t, err)
			require.Equal(t, meddle.healed, r.Healed, "it is there to be seen")
		})
	}
}

func TestAFileThatIsThereAlready(t *testing.T) {
	dir := t.TempDir()
	trail := open(t, audit.Config{Dir: dir, MaxBytes: 1000})
	deliver(t, trail, 1, 2)
	second := filepath.Join(dir, "trail-000000002.jsonl")
	require.NoError(t, os.WriteFile(second, joined(readPages(t, dir)), 0o600))
	for range 2 {
		err := trail.Deliver(context.Background(), event(3))
		require.Error(t, err)
	}
	require.NoError(t, os.Remove(second))
	deliver(t, trail, 3, 3)
	require.Equal(t, idsOf(1, 3), eventsOf(t, dir, audit.Expect{Known: trail.Head()}))

	link := t.TempDir()
	require.NoError(t, os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(link, "trail-000000001.jsonl")))
	_, err := audit.Open(audit.Config{Dir: link})
	require.ErrorContains(t, err, "is not a regular file")
}

func TestAChangedTrailIsNotContinued(t *testing.T) {
	dir := t.TempDir()
	trail := open(t, audit.Config{Dir: dir, MaxBytes: 4000})
	deliver(t, trail, 1, 15)
	require.NoError(t, trail.Close())
	p := readPages(t, dir)
	for _, name := range p.names() {
		q := p.clone()
		q[name][2] = strings.Replace(q[name][2], "checkout", "checkin", 1)
		bad := t.TempDir()
		q.write(t, bad)
		_, err := audit.Open(audit.Config{Dir: bad})
		brokenAt(t, err, name, 3)
	}
	alone := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(alone, "trail-000000004.jsonl"), nil, 0o600))
	_, err := audit.Open(audit.Config{Dir: alone})
	brokenAt(t, err, "trail-000000004.jsonl", 0)
}

func TestAFolderThatMayNotBeWritten(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("nothing is denied to the superuser")
	}
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o500))
	_, err := audit.Open(audit.Config{Dir: dir})
	require.ErrorIs(t, err, rotation.ErrDenied, fmt.Sprint(err))
}
