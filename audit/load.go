// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// load reads the end of the trail and makes it ready to go on. What was acknowledged before has to be there.
func (t *Trail) load() error {
	if t.file != nil {
		t.file.Close() // whatever it held is looked at anew
		t.file = nil
	}
	t.suspect = true
	names, err := list(os.DirFS(t.dir))
	if err != nil {
		return t.fail(err)
	}
	if len(names) == 0 {
		names = []string{fileName(1)}
	}
	if len(names) > 2 {
		names = names[len(names)-2:]
	}
	r := reading{chain: chain{
		known:   t.at.head,
		believe: numberOf(names[0]) != 1,
		limit:   -1,
	}}
	r.each = r.learn
	if err := r.files(t.dir, names); err != nil {
		return t.fail(err)
	}
	if t.file, err = t.open(filepath.Join(t.dir, r.name)); err != nil {
		return t.fail(err)
	}
	if err := syncDir(t.dir); err != nil {
		return t.fail(err)
	}
	t.size, t.recent = r.bytes, r.recent
	if err := t.heal(&r); err != nil {
		return err
	}
	t.suspect = false
	return nil
}

// reading is the end of a trail as it is found.
type reading struct {
	chain
	recent  recent
	bytes   int64 // of the last file
	endless bool  // it has no newline at its end
}

func (r *reading) learn(l line) {
	if l.Kind == kindEvent {
		r.recent.add(sha256.Sum256(l.Data))
	}
}

// files reads the files; the last one may end in what is no line.
func (r *reading) files(dir string, names []string) error {
	for i, name := range names {
		if err := r.begin(name); err != nil {
			return err
		}
		f, err := os.Open(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) && i == 0 && name == fileName(1) && r.known.Sequence == 0 {
			return nil // a new trail
		}
		if err != nil {
			return err
		}
		err = r.lines(f)
		f.Close() // it was read only
		if err != nil {
			return err
		}
	}
	switch {
	case r.first == 0 && r.believe:
		return r.broken(0, "no file before it is there, and it does not say what came before it")
	case r.known.Sequence > 0 && !r.met:
		return r.broken(r.line, "line %d was acknowledged and is not there: somebody cut off the end", r.known.Sequence)
	}
	return nil
}

func (r *reading) lines(f io.Reader) error {
	r.bytes, r.endless = 0, false
	buf := bufio.NewReaderSize(f, 64<<10)
	for {
		raw, err := readLine(buf)
		r.bytes += int64(len(raw))
		if errors.Is(err, io.EOF) && len(raw) > 0 {
			r.endless = true
			if _, bad := parse(raw); bad == nil { // only its newline is missing
				raw = append(append([]byte(nil), raw...), '\n')
			}
		}
		if len(raw) > 0 {
			if err := r.feed(raw); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
}

// heal writes what is missing at the end of what was read, and makes all of it durable.
func (t *Trail) heal(r *reading) error {
	d := draft{state: r.state}
	if r.endless {
		d.buf = append(d.buf, '\n')
		if r.torn.bytes > 0 {
			r.torn.add(d.buf, r.line, "")
		}
	}
	now, part := time.Now(), r.torn.part()
	switch {
	case !r.opened:
		d.begin(now, r.name, part)
	case part != nil:
		d.add(kindHealed, now, part)
	}
	if t.key != nil && r.signed == 0 && (r.events > 0 || r.believe) {
		t.sign(&d, now) // how long ago the last checkpoint was is not known
	}
	return t.write(d, true)
}
