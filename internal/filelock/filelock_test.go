// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package filelock_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/internal/filelock"
)

func TestTry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		require.NoError(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	try := func(f *os.File, exclusive, want bool) {
		t.Helper()
		ok, err := filelock.Try(f, exclusive)
		require.NoError(t, err)
		require.Equal(t, want, ok)
	}
	a, b, c := open(), open(), open()
	if !filelock.Supported {
		_, err := filelock.Try(a, true)
		require.ErrorIs(t, err, errors.ErrUnsupported)
		return
	}
	try(a, true, true)
	try(b, true, false)
	try(b, false, false)
	require.NoError(t, a.Close())
	try(b, false, true)
	try(c, false, true)
	try(c, true, false)
	require.NoError(t, b.Close())
	try(c, true, true)
}
