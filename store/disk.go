// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/handover-go/handover/rotation"
)

// disk is how a file is replaced. Tests put failures and crashes here.
type disk struct {
	create  func(path string) (syncWriter, error) // exclusively, for nobody else to read
	rename  func(from, to string) error
	syncDir func(dir string) error
}

type syncWriter interface {
	io.WriteCloser
	Sync() error
}

func realDisk() disk {
	return disk{
		create: func(path string) (syncWriter, error) {
			return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		},
		rename: os.Rename,
		syncDir: func(dir string) error {
			d, err := os.Open(dir)
			if err != nil {
				return err
			}
			return errors.Join(d.Sync(), d.Close())
		},
	}
}

// replace puts data in the place of the file at path: a reader, or a crash, finds the old content or the new one.
func (d disk) replace(path string, data []byte) error {
	temp, err := d.stage(path, data)
	if err != nil {
		return err
	}
	if err := d.rename(temp, path); err != nil {
		os.Remove(temp) // err is what matters
		return denied(err)
	}
	return denied(d.syncDir(filepath.Dir(path))) // without it the new name may be lost with the power
}

// stage writes data durably beside path. If it fails, nothing is left. There is one temporary name, because the caller
// holds the lock: what a killed process left there goes with the next write.
func (d disk) stage(path string, data []byte) (temp string, err error) {
	temp = path + ".tmp"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", denied(err)
	}
	f, err := d.create(temp)
	if err != nil {
		return "", denied(err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		os.Remove(temp) // err is what matters
		return "", denied(err)
	}
	return temp, nil
}

// rehearse does what replace does with as much data, up to the point where it would count.
func (d disk) rehearse(path string, size int) error {
	temp, err := d.stage(path, make([]byte, size))
	if err != nil {
		return err
	}
	return denied(os.Remove(temp))
}

// denied marks what the system forbids with the sentinel of rotation.
func denied(err error) error {
	if errors.Is(err, fs.ErrPermission) || readOnly(err) {
		return failf("%w: %w", rotation.ErrDenied, err)
	}
	return err
}

// resolve follows symbolic links, so that every way to write a path ends at the same file and the same lock.
func resolve(path string) (string, error) {
	if path == "" {
		return "", failf("store: OpenFile: path is required")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", failf("store: OpenFile: %w", err)
	}
	if target, err := filepath.EvalSymlinks(abs); err == nil {
		return target, nil
	}
	if _, err := os.Lstat(abs); err == nil {
		return "", failf("store: OpenFile: %s is a symbolic link that leads nowhere", abs)
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return "", failf("store: OpenFile: the folder of %s: %w", abs, denied(err))
	}
	return filepath.Join(dir, filepath.Base(abs)), nil
}
