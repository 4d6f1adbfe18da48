// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build darwin || linux

package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/stretchr/testify/require"
)

var testFileKey = secret.New(strings.Repeat("5a", 32))

func versionsOf(value string) rotation.Versions {
	key := rotation.Key{ID: "AK", Secret: secret.New(value)}
	return rotation.Versions{Keys: []rotation.StoredKey{{Key: key, Role: rotation.RoleCurrent}}}
}

func openTest(t *testing.T, path string) *File {
	t.Helper()
	s, err := OpenFile(path, testFileKey)
	require.NoError(t, err)
	return s
}

func saveOver(t *testing.T, s *File, value string) error {
	t.Helper()
	old, err := s.Load(t.Context(), "name")
	require.NoError(t, err)
	v := versionsOf(value)
	v.Revision = old.Revision
	return s.Save(t.Context(), "name", v)
}

func valueIn(t *testing.T, path string) string {
	t.Helper()
	v, err := openTest(t, path).Load(t.Context(), "name")
	require.NoError(t, err)
	return v.Key(rotation.RoleCurrent).Secret.Reveal()
}

func filesBeside(t *testing.T, path string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimPrefix(e.Name(), filepath.Base(path)))
	}
	return names
}

// child runs the named test of this binary in another process, where playing says that it is the child.
func child(test, path string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), "HANDOVER_TEST_CHILD="+path+"\n"+strings.Join(args, "\n"))
	return cmd
}

func playing() (path string, args []string) {
	parts := strings.Split(os.Getenv("HANDOVER_TEST_CHILD"), "\n")
	return parts[0], parts[1:]
}

func die() {
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// hookedWriter runs before and after its operations.
type hookedWriter struct {
	syncWriter
	at func(point string)
}

func (w hookedWriter) Write(b []byte) (int, error) {
	half := len(b) / 2
	n, err := w.syncWriter.Write(b[:half])
	if err != nil {
		return n, err
	}
	w.at("half written")
	m, err := w.syncWriter.Write(b[half:])
	return n + m, err
}

func (w hookedWriter) Sync() error {
	w.at("written")
	return w.syncWriter.Sync()
}

func (w hookedWriter) Close() error {
	w.at("synced")
	return w.syncWriter.Close()
}

// hookedDisk is d with a function that is called between any two things that it does.
func hookedDisk(d disk, at func(point string)) disk {
	return disk{
		create: func(path string) (syncWriter, error) {
			at("before create")
			f, err := d.create(path)
			at("created")
			return hookedWriter{f, at}, err
		},
		rename: func(from, to string) error {
			at("before rename")
			err := d.rename(from, to)
			at("renamed")
			return err
		},
		syncDir: func(dir string) error {
			err := d.syncDir(dir)
			at("folder synced")
			return err
		},
	}
}

func TestKilledAtEveryPointOfSave(t *testing.T) {
	if path, args := playing(); path != "" {
		s := openTest(t, path)
		s.disk = hookedDisk(s.disk, func(point string) {
			if point == args[0] {
				die()
			}
		})
		t.Fatal("survived", saveOver(t, s, "after"))
	}
	for point, want := range map[string]string{
		"before create": "before", "created": "before", "half written": "before", "written": "before", "synced": "before",
		"before rename": "before", "renamed": "after", "folder synced": "after",
	} {
		t.Run(point, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store")
			require.NoError(t, saveOver(t, openTest(t, path), "before"))
			requireKilled(t, child("TestKilledAtEveryPointOfSave", path, point))
			require.Equal(t, want, valueIn(t, path))
			require.NoError(t, saveOver(t, openTest(t, path), "next"))
			require.Equal(t, []string{"", ".lock"}, filesBeside(t, path))
			require.Equal(t, "next", valueIn(t, path))
		})
	}
}

func TestKilledWhileOpening(t *testing.T) {
	if path, args := playing(); path != "" {
		sealer, err := newSealer(testFileKey)
		require.NoError(t, err)
		s := &File{path: path, sealer: sealer, busy: make(chan struct{}, 1), disk: hookedDisk(realDisk(), func(point string) {
			if point == args[0] {
				die()
			}
		})}
		t.Fatal("survived", s.write(content{}))
	}
	for _, point := range []string{"before create", "half written", "before rename", "renamed"} {
		path := filepath.Join(t.TempDir(), "store")
		requireKilled(t, child("TestKilledWhileOpening", path, point))
		require.NoError(t, saveOver(t, openTest(t, path), "v"))
		require.Equal(t, []string{"", ".lock"}, filesBeside(t, path))
	}
}

func requireKilled(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, "%s", out)
	require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal(), "%s", out)
}

// A process that only saves is killed at any time. What it said that it had saved is there, or what came after it.
func TestKilledAtAnyTime(t *testing.T) {
	if path, args := playing(); path != "" {
		s := openTest(t, path)
		for n, _ := strconv.Atoi(args[0]); ; n++ {
			require.NoError(t, saveOver(t, s, strconv.Itoa(n)))
			fmt.Println("saved", n)
		}
	}
	path := filepath.Join(t.TempDir(), "store")
	require.NoError(t, saveOver(t, openTest(t, path), "0"))
	last := 0
	for range 12 {
		cmd := child("TestKilledAtAnyTime", path, strconv.Itoa(last+1))
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for left := 1 + rand.IntN(6); lines.Scan(); left-- {
			if _, err := fmt.Sscanf(lines.Text(), "saved %d", &last); err != nil {
				break // the child says why
			}
			if left == 0 {
				require.NoError(t, cmd.Process.Kill())
			}
		}
		rest, _ := io.ReadAll(out)
		require.Error(t, cmd.Wait())
		require.NotContains(t, lines.Text()+string(rest), "FAIL")
		got, err := strconv.Atoi(valueIn(t, path))
		require.NoError(t, err)
		require.Contains(t, []int{last, last + 1}, got)
		last = got
	}
	require.Positive(t, last)
}

func TestProcessesCount(t *testing.T) {
	const each = 20
	increment := func(s *File) {
		for done := 0; done < each; {
			v, err := s.Load(t.Context(), "name")
			require.NoError(t, err)
			sum, _ := strconv.Atoi(v.Stamp)
			v.Stamp = strconv.Itoa(sum + 1)
			err = s.Save(t.Context(), "name", v)
			if err == nil {
				done++
				continue
			}
			require.ErrorIs(t, err, rotation.ErrConflict)
		}
	}
	if path, _ := playing(); path != "" {
		increment(openTest(t, path))
		return
	}
	path := filepath.Join(t.TempDir(), "store")
	var children []*exec.Cmd
	for range 3 { // all of them may find that there is no file yet
		cmd := child("TestProcessesCount", path)
		require.NoError(t, cmd.Start())
		children = append(children, cmd)
	}
	increment(openTest(t, path))
	for _, cmd := range children {
		require.NoError(t, cmd.Wait())
	}
	v, err := openTest(t, path).Load(t.Context(), "name")
	require.NoError(t, err)
	require.Equal(t, strconv.Itoa(4*each), v.Stamp)
}

// The system itself refuses to write more than 4 KiB to a file.
func TestFileSizeLimit(t *testing.T) {
	if path, _ := playing(); path != "" {
		signal.Ignore(syscall.SIGXFSZ)
		s := openTest(t, path)
		var usual syscall.Rlimit
		require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &usual))
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 4096, Max: usual.Max}))
		require.ErrorIs(t, saveOver(t, s, strings.Repeat("long", 4096)), syscall.EFBIG)
		require.ErrorIs(t, s.Check(t.Context()), syscall.EFBIG, "known before anything is minted")
		require.Equal(t, []string{"", ".lock"}, filesBeside(t, path))
		require.NoError(t, saveOver(t, s, "short"))
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &usual)) // for the coverage report of this process
		return
	}
	path := filepath.Join(t.TempDir(), "store")
	require.NoError(t, saveOver(t, openTest(t, path), "before"))
	out, err := child("TestFileSizeLimit", path).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "short", valueIn(t, path))
}

// brokenWriter fails in one of its operations.
type brokenWriter struct {
	syncWriter
	in string
}

var errBroken = errors.New("broken")

func (w brokenWriter) Write(b []byte) (int, error) {
	if w.in == "write" {
		n, _ := w.syncWriter.Write(b[:len(b)/2])
		return n, errBroken
	}
	return w.syncWriter.Write(b)
}

func (w brokenWriter) Sync() error {
	if w.in == "sync" {
		return errBroken
	}
	return w.syncWriter.Sync()
}

func (w brokenWriter) Close() error {
	err := w.syncWriter.Close()
	if w.in == "close" {
		return errBroken
	}
	return err
}

func brokenDisk(in string) disk {
	d := realDisk()
	create := d.create
	d.create = func(path string) (syncWriter, error) {
		if in == "create" {
			return nil, errBroken
		}
		f, err := create(path)
		return brokenWriter{f, in}, err
	}
	if in == "rename" {
		d.rename = func(string, string) error { return errBroken }
	}
	if in == "syncDir" {
		d.syncDir = func(string) error { return errBroken }
	}
	return d
}

func TestSaveFailsWithoutATrace(t *testing.T) {
	for _, in := range []string{"create", "write", "sync", "close", "rename"} {
		path := filepath.Join(t.TempDir(), "store")
		s := openTest(t, path)
		require.NoError(t, saveOver(t, s, "before"))
		s.disk = brokenDisk(in)
		err := saveOver(t, s, "after")
		require.ErrorIs(t, err, errBroken, in)
		require.ErrorContains(t, err, path)
		require.Equal(t, []string{"", ".lock"}, filesBeside(t, path), in)
		if in != "rename" {
			require.ErrorIs(t, s.Check(t.Context()), errBroken, in)
			require.Equal(t, []string{"", ".lock"}, filesBeside(t, path), in)
		}
		require.Equal(t, "before", valueIn(t, path), in)
		s.disk = realDisk()
		require.NoError(t, saveOver(t, s, "after"))
	}
}

// The new name may not outlive a crash: Save must not promise it, and the old state or the new one is there.
func TestSaveReportsThatTheFolderDidNotSync(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := openTest(t, path)
	s.disk = brokenDisk("syncDir")
	require.ErrorIs(t, saveOver(t, s, "after"), errBroken)
	require.Equal(t, "after", valueIn(t, path))
}

func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	path := filepath.Join(t.TempDir(), "store")
	s := openTest(t, path)
	require.NoError(t, saveOver(t, s, "before"))
	s.disk.create = func(string) (syncWriter, error) { return os.OpenFile("/dev/full", os.O_WRONLY, 0) }
	require.ErrorIs(t, saveOver(t, s, "after"), syscall.ENOSPC)
	require.ErrorIs(t, s.Check(t.Context()), syscall.ENOSPC)
	require.Equal(t, "before", valueIn(t, path))
}
