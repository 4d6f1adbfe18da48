// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var fileKey = secret.New(strings.Repeat("0123456789abcdef", 4))

func openFile(t *testing.T, path string) *store.File {
	t.Helper()
	s, err := store.OpenFile(path, fileKey)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	require.NoError(t, err)
	return s
}

// newFile is a store with single("v") in it.
func newFile(t *testing.T) (*store.File, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store")
	s := openFile(t, path)
	save(t, s, single("v"))
	return s, path
}

// refused wants OpenFile, Check and Load to fail, all with the same text and the name of the file.
func refused(t *testing.T, s *store.File, path, text string) {
	t.Helper()
	before, _ := os.ReadFile(path)
	_, err := store.OpenFile(path, fileKey)
	require.ErrorContains(t, err, text)
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, s.Check(t.Context()), text)
	_, err = s.Load(t.Context(), name)
	require.ErrorContains(t, err, text)
	_, err = s.Names(t.Context())
	require.ErrorContains(t, err, text)
	require.ErrorContains(t, s.Save(t.Context(), name, single("w")), text)
	after, _ := os.ReadFile(path)
	require.Equal(t, before, after, "it was overwritten")
}

func TestFileKeepsNothingReadable(t *testing.T) {
	s, path := newFile(t)
	first, err := os.ReadFile(path)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	for _, plain := range []string{"key-v", name, "current", "handover\":", fileKey.Reveal()} {
		assert.NotContains(t, string(first), plain)
	}

	save(t, s, single("v"))
	second, err := os.ReadFile(path)
	require.NoError(t, err)
	const header = len("handover store") + 1
	assert.Equal(t, first[:header], second[:header])
	assert.NotEqual(t, first[header:header+12], second[header:header+12], "the nonce of each write is new")
}

func TestFileHidesItsKeyFromPrinters(t *testing.T) {
	s, _ := newFile(t)
	raw, err := hex.DecodeString(fileKey.Reveal())
	require.NoError(t, err)
	var dump recorder // testify prints with methods disabled, following pointers
	assert.Equal(&dump, s, nil)
	assert.Equal(&dump, *s, nil)
	for _, out := range []string{fmt.Sprintf("%v %+v %#v", s, s, s), fmt.Sprintf("%v %+v %#v", *s, *s, *s), dump.String()} {
		assert.NotContains(t, out, fileKey.Reveal())
		assert.NotContains(t, out, strings.Trim(fmt.Sprint(raw[:8]), "[]"))
		assert.NotContains(t, out, "01 23 45 67 89")
	}
}

type recorder struct{ strings.Builder }

func (r *recorder) Errorf(format string, args ...any) { fmt.Fprintf(r, format, args...) }

func TestFileGolden(t *testing.T) {
	sealed, err := os.ReadFile("testdata/file-v1.sealed")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "store")
	require.NoError(t, os.WriteFile(path, sealed, 0o600))
	v := load(t, openFile(t, path))
	requireSame(t, testVersions(), v)
}

func TestOpenFileArguments(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	openFile(t, filepath.Join(t.TempDir(), "other"))
	for _, key := range []string{"", "abc", fileKey.Reveal()[2:], fileKey.Reveal() + "00", "zz" + fileKey.Reveal()[2:]} {
		_, err := store.OpenFile(path, secret.New(key))
		require.ErrorContains(t, err, "key")
		if key != "" {
			assert.NotContains(t, err.Error(), key)
		}
	}
	assert.NoFileExists(t, path)

	_, err := store.OpenFile("", secret.Value{})
	require.ErrorContains(t, err, "path is required")
	require.ErrorContains(t, err, "key is required")

	_, err = store.OpenFile(filepath.Join(path, "missing", "store"), fileKey)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestZeroFile(t *testing.T) {
	var s store.File
	_, err := s.Load(t.Context(), name)
	require.ErrorContains(t, err, "OpenFile")
	require.ErrorContains(t, s.Save(t.Context(), name, single("v")), "OpenFile")
	require.ErrorContains(t, s.Check(t.Context()), "OpenFile")
	_, err = s.Names(t.Context())
	require.ErrorContains(t, err, "OpenFile")
}

func TestFileRefusesAnotherKey(t *testing.T) {
	_, path := newFile(t)
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	_, err = store.OpenFile(path, secret.Random(32))
	require.ErrorContains(t, err, "the key is wrong")
	require.ErrorContains(t, err, path)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, before, after)
}

func TestFileRefusesWhatWasTruncated(t *testing.T) {
	s, path := newFile(t)
	sealed, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, n := range []int{0, 1, 13, 14, 15, 16, 26, 27, 42, 43, 60, len(sealed) - 17, len(sealed) - 1} {
		require.NoError(t, os.WriteFile(path, sealed[:n], 0o600))
		text := "truncated"
		if n == 0 {
			text = "empty"
		}
		refused(t, s, path, text)
	}
}

func TestFileRefusesWhatWasChanged(t *testing.T) {
	s, path := newFile(t)
	sealed, err := os.ReadFile(path)
	require.NoError(t, err)
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		require.NoError(t, os.WriteFile(path, changed, 0o600))
		_, err := s.Load(t.Context(), name)
		require.ErrorContains(t, err, path, "byte %d", i)
	}
	for _, other := range [][]byte{append(bytes.Clone(sealed), 0), append(bytes.Clone(sealed[:15]), sealed[16:]...)} {
		require.NoError(t, os.WriteFile(path, other, 0o600))
		refused(t, s, path, "the key is wrong, or the file was changed or truncated")
	}
	require.NoError(t, os.WriteFile(path, []byte("API_KEY=abc\n"), 0o600))
	refused(t, s, path, "not a file of this store")
}

func TestFileRefusesOtherFormats(t *testing.T) {
	s, path := newFile(t)
	sealed, err := os.ReadFile(path)
	require.NoError(t, err)
	for format, text := range map[byte]string{2: "a newer version wrote it (format 2, this one reads 1)", 0: "not known"} {
		sealed[len("handover store")] = format
		require.NoError(t, os.WriteFile(path, sealed, 0o600))
		refused(t, s, path, text)
	}
}

func TestFileRefusesWidePermissions(t *testing.T) {
	s, path := newFile(t)
	for _, mode := range []os.FileMode{0o640, 0o644, 0o602, 0o601, 0o700} {
		require.NoError(t, os.Chmod(path, mode))
		_, err := store.OpenFile(path, fileKey)
		require.ErrorContains(t, err, fmt.Sprintf("%04o", mode))
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, s.Check(t.Context()), "0600")
		requireSame(t, single("v"), load(t, s)) // a service that runs goes on
	}
	save(t, s, single("w"))
	require.NoError(t, s.Check(t.Context()), "a new file has the right ones")
}

func TestFileRefusesWhatIsNoFile(t *testing.T) {
	s, path := newFile(t)
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o700))
	refused(t, s, path, "it is a directory")
}

func TestFileThatVanishedIsNotEmpty(t *testing.T) {
	s, path := newFile(t)
	require.NoError(t, os.Remove(path))
	_, err := s.Load(t.Context(), name)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorIs(t, s.Save(t.Context(), name, single("v")), os.ErrNotExist)
	require.ErrorIs(t, s.Check(t.Context()), os.ErrNotExist)
	assert.NoFileExists(t, path)
}

func TestFileCheckLeavesNothing(t *testing.T) {
	s, path := newFile(t)
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, s.Check(t.Context()))
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, before, after)
	onlyTheStore(t, path)
}

// onlyTheStore wants the file and its lock in the folder and nothing else.
func onlyTheStore(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	base := filepath.Base(path)
	require.Equal(t, []string{base, base + ".lock"}, names)
}

func TestFileRemovesWhatAKilledProcessLeft(t *testing.T) {
	s, path := newFile(t)
	require.NoError(t, os.WriteFile(path+".tmp", []byte("half"), 0o644))
	save(t, s, single("w"))
	requireSame(t, single("w"), load(t, s))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	onlyTheStore(t, path)
}

func TestFileFollowsSymbolicLinks(t *testing.T) {
	s, path := newFile(t)
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(path, link))
	linked := openFile(t, link)
	assert.Equal(t, s.Identity(), linked.Identity())
	save(t, linked, single("w"))
	requireSame(t, single("w"), load(t, s))
	info, err := os.Lstat(link)
	require.NoError(t, err)
	assert.NotZero(t, info.Mode()&os.ModeSymlink, "the link is still one")

	folder := filepath.Join(dir, "folder")
	require.NoError(t, os.Symlink(filepath.Dir(path), folder))
	assert.Equal(t, s.Identity(), openFile(t, filepath.Join(folder, "store")).Identity())

	broken := filepath.Join(dir, "broken")
	require.NoError(t, os.Symlink(filepath.Join(dir, "nowhere"), broken))
	_, err = store.OpenFile(broken, fileKey)
	require.ErrorContains(t, err, "leads nowhere")
}

func TestFileRevisionsDoNotComeBackWithABackup(t *testing.T) {
	s, path := newFile(t)
	backup, err := os.ReadFile(path)
	require.NoError(t, err)
	save(t, s, single("lost with the backup"))
	stale := load(t, s)
	require.NoError(t, os.WriteFile(path, backup, 0o600))
	save(t, s, single("written after it"))
	require.ErrorIs(t, s.Save(t.Context(), name, stale), rotation.ErrConflict)
}

func TestFileErrorsArePublic(t *testing.T) {
	s, path := newFile(t)
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err := s.Load(t.Context(), name)
	var public rotation.PublicError
	require.ErrorAs(t, err, &public)
	assert.Equal(t, "store: file "+path+": it is empty", public.Public())

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Load(ctx, name)
	require.ErrorIs(t, err, context.Canceled)
}
