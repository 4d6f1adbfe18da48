// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build darwin || linux

package store

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// another takes the lock as another process would.
func another(t *testing.T, path string, how int) (unlock func()) {
	t.Helper()
	f, err := os.OpenFile(path+".lock", os.O_RDWR, 0o600)
	require.NoError(t, err)
	require.NoError(t, syscall.Flock(int(f.Fd()), how))
	return func() { require.NoError(t, f.Close()) }
}

func TestLockOfAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	require.NoError(t, saveOver(t, openTest(t, path), "v"))
	synctest.Test(t, func(t *testing.T) {
		s := openTest(t, path)
		unlock := another(t, path, syscall.LOCK_EX)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := s.Load(ctx, "name")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, "held by another process")
		_, err = OpenFile(path, testFileKey)
		require.ErrorIs(t, err, context.DeadlineExceeded, "OpenFile does not wait for ever")

		var wg sync.WaitGroup
		wg.Go(func() { require.NoError(t, saveOver(t, s, "w")) })
		time.Sleep(time.Second)
		unlock()
		wg.Wait()
		require.Equal(t, "w", valueIn(t, path))
	})
}

func TestReadersShareTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	require.NoError(t, saveOver(t, openTest(t, path), "v"))
	synctest.Test(t, func(t *testing.T) {
		s := openTest(t, path)
		defer another(t, path, syscall.LOCK_SH)()
		old, err := s.Load(t.Context(), "name")
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, s.Save(ctx, "name", old), context.DeadlineExceeded, "a writer waits for readers")
	})
}

func TestLockInThisProcess(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "store"))
	unlock, err := s.lock(t.Context(), true)
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		s.busy = make(chan struct{}, 1) // of this bubble
		s.busy <- struct{}{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := s.Names(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		<-s.busy
	})
	s.busy = make(chan struct{}, 1)
	s.busy <- struct{}{}
	unlock()
	_, err = s.Names(t.Context())
	require.NoError(t, err)
}
