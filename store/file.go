// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/handover-go/handover/internal/filelock"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

const (
	openPatience = 10 * time.Second // how long OpenFile waits for another process
	spare        = 64 << 10         // bytes beside the present content that Check wants to be able to write
)

// File is a store in one file on one host, sealed with AES-256-GCM and shared by any number of processes. It comes from
// OpenFile; the zero File fails in every method. It is safe for concurrent use and holds nothing open: there is no Close.
//
// The file is never written in place. Under a lock (flock on a second file, path with ".lock", which stays and must not be
// removed) the whole content goes to a third one, path with ".tmp", reaches the disk and is renamed: whenever the process
// or the machine dies, the file holds the state before or the state after. What a File was opened on has to stay a
// local file system: network file systems promise too little about flock and rename.
//
// A value that leaves the store is gone from the file. Blocks that the disk freed hold sealed content only.
type File struct {
	path   string
	sealer sealer
	disk   disk
	busy   chan struct{} // full while an operation of this File runs, so that waiting can be cancelled
}

// content is what the seal protects. The Versions are what Marshal wrote: a newer document passes through unread.
type content struct {
	Names map[string]entry `json:"names"`
}

type entry struct {
	Revision string          `json:"revision"`
	Versions json.RawMessage `json:"versions"`
}

// OpenFile opens the store at path, or creates an empty one there; the folder has to exist. key is 32 bytes in
// hexadecimal, as secret.Random(32) makes them. OpenFile waits at most 10 seconds for other processes.
//
// It fails, and names the file, if the key is wrong, if the file was truncated or changed or has a newer format, if others
// than its owner may read or write it (anything wider than 0600), if it is a directory or another thing that is no file,
// and with rotation.ErrDenied if the folder cannot be written. Where the system has no flock (Windows), the error matches
// errors.ErrUnsupported.
func OpenFile(path string, key secret.Value) (*File, error) {
	if !filelock.Supported {
		return nil, failf("store: OpenFile: %s has no flock: %w", runtime.GOOS, errors.ErrUnsupported)
	}
	path, pathErr := resolve(path)
	sealer, keyErr := newSealer(key)
	if err := errors.Join(pathErr, keyErr); err != nil {
		return nil, err
	}
	s := &File{path: path, sealer: sealer, disk: realDisk(), busy: make(chan struct{}, 1)}
	ctx, cancel := context.WithTimeout(context.Background(), openPatience)
	defer cancel()
	unlock, err := s.lock(ctx, true)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err = os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		err = s.write(content{Names: map[string]entry{}})
	} else {
		err = s.check()
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Load returns the versions of name. A file that has vanished since OpenFile is an error, not an empty store.
func (s *File) Load(ctx context.Context, name string) (rotation.Versions, error) {
	c, err := s.load(ctx, name)
	if err != nil {
		return rotation.Versions{}, err
	}
	e, ok := c.Names[name]
	if !ok {
		return rotation.Versions{}, nil
	}
	v, err := Unmarshal(e.Versions)
	if ours, _ := isDocument(e.Versions); err == nil && !ours { // this store holds no bare values: a null is no secret
		err = failf("store: the value is no document of this library")
	}
	if err != nil {
		return rotation.Versions{}, failf("store: %q in file %s: %w", name, s.path, err)
	}
	v.Revision = e.Revision
	return v, nil
}

// load checks name and reads the file under a shared lock.
func (s *File) load(ctx context.Context, name string) (content, error) {
	if err := checkName(name); err != nil {
		return content{}, err
	}
	unlock, err := s.lock(ctx, false)
	if err != nil {
		return content{}, err
	}
	defer unlock()
	return s.read()
}

// Save returns when v is on the disk. It fails with rotation.ErrConflict if v.Revision is not what is stored. Any other
// error means that v was not stored, but for a failure to sync the folder, which says that it may not outlive a crash.
func (s *File) Save(ctx context.Context, name string, v rotation.Versions) error {
	if err := checkName(name); err != nil {
		return err
	}
	data, err := Marshal(v)
	if err != nil {
		return err
	}
	unlock, err := s.lock(ctx, true)
	if err != nil {
		return err
	}
	defer unlock()
	c, err := s.read()
	if err != nil {
		return err
	}
	if c.Names[name].Revision != v.Revision {
		return failf("store: %q in file %s changed since it was loaded: %w", name, s.path, rotation.ErrConflict)
	}
	// A random revision, not a number: after a restored backup a number would come back with another content.
	c.Names[name] = entry{Revision: rand.Text(), Versions: data}
	return s.write(c)
}

// Names returns the names that were saved, in order.
func (s *File) Names(ctx context.Context) ([]string, error) {
	unlock, err := s.lock(ctx, false)
	if err != nil {
		return nil, err
	}
	defer unlock()
	c, err := s.read()
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(c.Names)), nil
}

// Check opens the file and writes as much as it holds, and 64 KiB more, beside it, which it then removes: a full disk, a
// folder that cannot be written, a wrong key or wide permissions show before anything is minted.
func (s *File) Check(ctx context.Context) error {
	unlock, err := s.lock(ctx, true)
	if err != nil {
		return err
	}
	defer unlock()
	return s.check()
}

// Conditional is true: Save compares revisions.
func (s *File) Conditional() bool { return true }

// Identity is the path, absolute and without symbolic links.
func (s *File) Identity() string { return "file " + s.path }

// check is Check under the lock. Permissions are looked at here and not in Load: to refuse a key to a running service
// would cost more than it protects.
func (s *File) check() error {
	if _, err := s.read(); err != nil {
		return err
	}
	info, err := os.Stat(s.path)
	if err != nil {
		return s.fail(denied(err))
	}
	if mode := info.Mode().Perm(); mode&^0o600 != 0 {
		return s.fail(failf("its permissions are %04o and others may use them: make it 0600", mode))
	}
	if err := s.disk.rehearse(s.path, int(info.Size())+spare); err != nil {
		return s.fail(failf("it could not be replaced: %w", err))
	}
	return nil
}

// read needs the lock.
func (s *File) read() (content, error) {
	info, err := os.Stat(s.path) // before it is opened: to open a pipe would block
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return content{}, s.fail(failf("it was removed after it was opened: %w", err))
	case err != nil:
		return content{}, s.fail(denied(err))
	case info.IsDir():
		return content{}, s.fail(failf("it is a directory"))
	case !info.Mode().IsRegular():
		return content{}, s.fail(failf("it is not a regular file"))
	}
	sealed, err := os.ReadFile(s.path)
	if err != nil {
		return content{}, s.fail(denied(err))
	}
	plain, err := s.sealer.open(sealed)
	if err != nil {
		return content{}, s.fail(err)
	}
	c := content{}
	if err := decode(plain, &c); err != nil {
		return content{}, s.fail(err)
	}
	if c.Names == nil {
		c.Names = map[string]entry{}
	}
	return c, nil
}

// write needs the lock.
func (s *File) write(c content) error {
	plain, err := json.Marshal(c)
	if err != nil {
		return s.fail(failf("its content cannot be encoded")) // not the cause: it may quote a value
	}
	if err := s.disk.replace(s.path, s.sealer.seal(plain)); err != nil {
		return s.fail(failf("it could not be replaced: %w", err))
	}
	return nil
}

func (s *File) fail(err error) error { return failf("store: file %s: %w", s.path, err) }

// lock waits until this process and every other one is done with the file, or ctx with it.
func (s *File) lock(ctx context.Context, exclusive bool) (unlock func(), err error) {
	if s.busy == nil {
		return nil, failf("store: this File was not made by OpenFile")
	}
	if err := ctx.Err(); err != nil {
		return nil, s.fail(err)
	}
	select {
	case s.busy <- struct{}{}:
	case <-ctx.Done():
		return nil, s.fail(failf("waiting for the lock: %w", ctx.Err()))
	}
	f, err := s.flock(ctx, exclusive)
	if err != nil {
		<-s.busy
		return nil, s.fail(failf("its lock: %w", err))
	}
	return func() {
		f.Close() // gives the lock back
		<-s.busy
	}, nil
}

// flock asks again and again: a blocking flock could not be cancelled.
func (s *File) flock(ctx context.Context, exclusive bool) (*os.File, error) {
	f, err := os.OpenFile(s.path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, denied(err)
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 32*time.Millisecond) {
		ok, err := filelock.Try(f, exclusive)
		if ok {
			return f, nil
		}
		if err == nil {
			select {
			case <-time.After(wait):
				continue
			case <-ctx.Done():
				err = failf("held by another process: %w", ctx.Err())
			}
		}
		return nil, errors.Join(err, f.Close())
	}
}
