// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/handover-go/handover/internal/filelock"
	"github.com/handover-go/handover/rotation"
)

const lockName = "trail.lock"

var fileNames = regexp.MustCompile(`^trail-([0-9]{9,18})\.jsonl$`)

// fileName is the name of the nth file of a trail, from 1. Names sort in the order of the files.
func fileName(n int64) string { return fmt.Sprintf("trail-%09d.jsonl", n) }

// numberOf is the reverse of fileName; zero: no name of a trail's file.
func numberOf(name string) int64 {
	m := fileNames.FindStringSubmatch(name)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseInt(m[1], 10, 64) // at most 18 digits
	if fileName(n) != name {
		return 0
	}
	return n
}

// list returns the names of a trail's files, in order.
func list(fsys fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, failf("audit: %w", err)
	}
	var names []string
	for _, e := range entries {
		if numberOf(e.Name()) > 0 {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// handle is an open file of a trail. Tests put failures here.
type handle interface {
	Write(b []byte) (int, error) // at the end
	Sync() error
	Truncate(size int64) error
	Stat() (fs.FileInfo, error)
	Close() error
}

func openFile(path string) (handle, error) {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
}

// prepare makes the folder, if it is missing, and takes its lock.
func prepare(dir string) (*os.File, error) {
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		err = syncDir(filepath.Dir(dir))
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, denied(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, denied(err)
	}
	ok, err := filelock.Try(f, true)
	if err == nil && !ok {
		err = fmt.Errorf("it has a writer already, in this process or another one: %w", rotation.ErrConflict)
	}
	if err != nil {
		f.Close() // err is what matters
		return nil, err
	}
	return f, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func denied(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %w", rotation.ErrDenied, err)
	}
	return err
}
