// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/handover-go/handover/internal/filelock"
	"github.com/handover-go/handover/rotation"
)

// Trail writes events to files that show when they were changed afterwards; see the package comment. It is a rotation.Sink. It comes
// from Open; the zero Trail fails in every method but Head and Close. It is safe for concurrent use, and the only writer of its folder.
type Trail struct {
	cfg  Config
	dir  string // absolute
	key  ed25519.PrivateKey
	open func(path string) (handle, error)
	busy chan struct{} // full while a method runs, which guards all below, so that waiting can be cancelled
	head atomic.Pointer[Head]

	lock    *os.File // nil: closed
	file    handle   // nil: to be loaded again
	size    int64    // of file, in bytes
	at      state
	recent  recent
	suspect bool // the file may hold what at does not know of
}

// Open opens the trail in cfg.Dir, or begins one there, and goes on after its last line. What a crash left of a line that was
// never finished stays where it is, and a line is written that says so.
//
// It reads the last two files, and fails with a *BrokenError if they hold a line that does not fit: a trail that was changed is not
// continued. Look at it, then begin another one in another folder. Open fails with rotation.ErrConflict while the trail has another
// writer, with rotation.ErrDenied if this process may not write there, and with errors.ErrUnsupported where the system has no flock (Windows).
func Open(cfg Config) (*Trail, error) {
	t, err := cfg.trail()
	if err != nil {
		return nil, err
	}
	if !filelock.Supported {
		return nil, failf("audit: Open: %s has no flock: %w", runtime.GOOS, errors.ErrUnsupported)
	}
	if t.lock, err = prepare(t.dir); err != nil {
		return nil, t.fail(err)
	}
	if err := t.load(); err != nil {
		t.release() // err is what matters
		return nil, err
	}
	return t, nil
}

// Deliver writes the event and returns when it is on the disk, which takes as long as the disk does; ctx ends only the wait for
// other deliveries. An event that is among the last few thousand of the trail with the
// same ID and content is there already, and not written again.
//
// After an error the event is not acknowledged, though it may be in the trail; what was written of it is taken away, or recorded as
// unfinished, and the next Deliver goes on. It fails with fs.ErrClosed after Close, and with a *BrokenError if somebody else
// changed the end of the trail.
func (t *Trail) Deliver(ctx context.Context, e rotation.Event) error {
	data, err := json.Marshal(e)
	if err != nil {
		return failf("audit: an event cannot be encoded") // not the cause: it may quote a part
	}
	if len(data) > maxLine/2 {
		return failf("audit: an event has %d bytes, and at most %d fit", len(data), maxLine/2)
	}
	leave, err := t.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := t.ready(); err != nil {
		return err
	}
	d := digest(sha256.Sum256(data))
	if e.ID != "" && t.recent.has(d) {
		return nil
	}
	if err := t.append(data); err != nil {
		return err
	}
	t.recent.add(d)
	return nil
}

// Head is the last line that is on the disk (with Config.SkipSync: that was written). Keep it where the writer of the files cannot
// change it, for Expect.Known. It does not block.
func (t *Trail) Head() Head {
	if h := t.head.Load(); h != nil {
		return *h
	}
	return Head{}
}

// Identity is Config.Name, or the folder, absolute.
func (t *Trail) Identity() string { return "audit trail " + cmp.Or(t.cfg.Name, t.dir) }

// Close signs what was not, if there is a key, and gives the folder back, even if it returns an error. It is safe to repeat.
func (t *Trail) Close() error {
	if t.busy == nil {
		return nil
	}
	t.busy <- struct{}{}
	defer func() { <-t.busy }()
	if t.lock == nil {
		return nil
	}
	err := t.ready()
	if err == nil {
		err = t.finish(time.Now())
	}
	return errors.Join(err, t.release())
}

// enter waits for the other methods.
func (t *Trail) enter(ctx context.Context) (leave func(), err error) {
	if t.busy == nil {
		return nil, failf("audit: this Trail was not made by Open")
	}
	if err := ctx.Err(); err != nil {
		return nil, t.fail(err)
	}
	select {
	case t.busy <- struct{}{}:
		return func() { <-t.busy }, nil
	case <-ctx.Done():
		return nil, t.fail(ctx.Err())
	}
}

// ready looks whether the file is as it was left, and reads it again where it may not be: what was acknowledged has to be there.
func (t *Trail) ready() error {
	if t.lock == nil {
		return t.fail(fs.ErrClosed)
	}
	if !t.suspect {
		mine, err := t.file.Stat()
		if err != nil {
			return t.fail(err)
		}
		named, err := os.Stat(filepath.Join(t.dir, t.at.file))
		if err != nil || !os.SameFile(mine, named) || mine.Size() != t.size {
			t.suspect = true
		}
	}
	if t.suspect {
		return t.load()
	}
	return nil
}

// release gives everything back.
func (t *Trail) release() error {
	var err error
	if t.file != nil {
		err = t.file.Close()
	}
	err = errors.Join(err, t.lock.Close()) // which gives the lock back
	t.file, t.lock = nil, nil
	if err != nil {
		return t.fail(err)
	}
	return nil
}

func (t *Trail) fail(err error) error { return failf("audit: trail %s: %w", t.dir, denied(err)) }
