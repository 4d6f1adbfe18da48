// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/handover-go/handover/rotation"
	"github.com/stretchr/testify/require"
)

const nobody = 65534

// asNobody runs f without the power of root over files. The thread that gave it up ends with the goroutine.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := syscall.Setfsuid(nobody); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}

// reachable is a new folder that nobody can get to.
func reachable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	folder := filepath.Join(dir, "folder")
	require.NoError(t, os.Mkdir(folder, 0o700))
	return folder
}

// give lets nobody have what root made.
func give(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if os.Geteuid() == 0 {
			require.NoError(t, os.Chown(path, nobody, nobody))
		}
	}
}

func TestFolderThatCannotBeWritten(t *testing.T) {
	dir := reachable(t)
	path := filepath.Join(dir, "store")
	s := openTest(t, path)
	require.NoError(t, saveOver(t, s, "v"))
	give(t, dir, path, path+".lock")
	require.NoError(t, os.Chmod(dir, 0o500))
	errs := map[string]error{}
	asNobody(t, func() {
		_, errs["OpenFile"] = OpenFile(path, testFileKey)
		_, errs["OpenFile of a new one"] = OpenFile(filepath.Join(dir, "new"), testFileKey)
		errs["Check"] = s.Check(t.Context())
		errs["Save"] = s.Save(t.Context(), "other", versionsOf("w"))
	})
	require.NoError(t, os.Chmod(dir, 0o700))
	require.Len(t, errs, 4)
	for what, err := range errs {
		require.ErrorIs(t, err, rotation.ErrDenied, what)
		require.ErrorIs(t, err, os.ErrPermission, what)
		require.ErrorContains(t, err, dir, what)
	}
	require.ErrorContains(t, errs["OpenFile"], ".tmp", "what is missing is the right to make a file")
	require.ErrorContains(t, errs["OpenFile of a new one"], "new.lock")
	require.ErrorContains(t, errs["Check"], ".tmp")
	require.ErrorContains(t, errs["Save"], ".tmp")
	require.NoFileExists(t, path+".tmp")
	require.NoFileExists(t, filepath.Join(dir, "new"))
	require.Equal(t, "v", valueIn(t, path))
}

func TestFileOfSomebodyElse(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a file of somebody else")
	}
	dir := reachable(t)
	path := filepath.Join(dir, "store")
	s := openTest(t, path)
	give(t, dir, path+".lock")
	var loaded, opened error
	asNobody(t, func() {
		_, loaded = s.Load(t.Context(), "name")
		_, opened = OpenFile(path, testFileKey)
	})
	require.ErrorIs(t, loaded, rotation.ErrDenied)
	require.ErrorIs(t, opened, rotation.ErrDenied)
	require.ErrorContains(t, loaded, "open "+path+":")
	require.ErrorContains(t, opened, "open "+path+":")
}
