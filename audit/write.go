// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"
)

// draft is lines that are to be written together, and the state after them.
type draft struct {
	state
	buf []byte
}

func (d *draft) add(k kind, at time.Time, content any) {
	data, ok := content.([]byte)
	if !ok {
		data, _ = json.Marshal(content) // of numbers and strings
	}
	seq := d.head.Sequence + 1
	d.buf, d.head.Hash = appendLine(d.buf, seq, at, d.prev(), k, data)
	d.head.Sequence = seq
	if k == kindEvent {
		d.events++
		d.unsigned++
	}
}

func (d *draft) begin(at time.Time, file string, part *tornPart) {
	d.add(kindBegin, at, beginPart{File: file, After: d.file, Events: d.events, Torn: part})
	d.file, d.began = file, at
}

// sign adds a checkpoint, if there is a key and anything to sign.
func (t *Trail) sign(d *draft, at time.Time) {
	if t.key == nil || d.signed == d.head.Sequence {
		return
	}
	seq := d.head.Sequence + 1
	d.buf, d.head.Hash = appendCheckpoint(d.buf, seq, at, d.prev(), d.events, t.key)
	d.head.Sequence, d.signed, d.unsigned = seq, seq, 0
}

func (d *draft) prev() string {
	if d.head.Sequence == 0 {
		return genesis
	}
	return d.head.Hash
}

// append writes an event, and what has to stand before or after it.
func (t *Trail) append(event []byte) error {
	now := time.Now()
	if t.full(now) {
		if err := t.finish(now); err != nil {
			return err
		}
		if err := t.next(now); err != nil {
			return err
		}
	}
	d := draft{state: t.at}
	d.add(kindEvent, now, event)
	if d.unsigned >= int64(t.cfg.Every) {
		t.sign(&d, now)
	}
	return t.write(d, !t.cfg.SkipSync)
}

func (t *Trail) full(now time.Time) bool {
	const day = "2006-01-02"
	return t.cfg.MaxBytes > 0 && t.size >= t.cfg.MaxBytes ||
		t.cfg.Daily && now.UTC().Format(day) != t.at.began.UTC().Format(day)
}

// finish makes everything so far durable, and signs it.
func (t *Trail) finish(now time.Time) error {
	d := draft{state: t.at}
	t.sign(&d, now)
	return t.write(d, true)
}

// next begins the next file. If that fails, the last one goes on.
func (t *Trail) next(now time.Time) error {
	name := fileName(numberOf(t.at.file) + 1)
	path := filepath.Join(t.dir, name)
	f, err := t.open(path)
	if err != nil {
		return t.fail(err)
	}
	old, oldSize := t.file, t.size
	t.file, t.size = f, 0
	if err := t.first(name, now); err != nil {
		f.Close() // err is what matters
		t.file, t.size = old, oldSize
		return err
	}
	if old != nil {
		old.Close() // it was synced, and takes no more
	}
	return nil
}

// first writes the begin line of a file that was just made.
func (t *Trail) first(name string, now time.Time) error {
	info, err := t.file.Stat()
	if err != nil {
		return t.fail(err)
	}
	if info.Size() > 0 {
		t.suspect = true // it is read, then, and refused if it holds lines
		return t.fail(fmt.Errorf("%s is there already", name))
	}
	if err := syncDir(t.dir); err != nil {
		return t.fail(err)
	}
	d := draft{state: t.at}
	d.begin(now, name, nil)
	return t.write(d, true)
}

// write appends the lines of d, all or none of them: what cannot be taken away again makes the file suspect.
func (t *Trail) write(d draft, sync bool) error {
	var err error
	if len(d.buf) > 0 {
		_, err = t.file.Write(d.buf)
	}
	if err == nil && sync {
		err = t.file.Sync()
	}
	if err != nil {
		// After a sync that failed nobody knows what is on the disk. Written anew, the line is synced anew.
		if t.file.Truncate(t.size) != nil {
			t.suspect = true
		}
		return t.fail(err)
	}
	t.at = d.state
	t.size += int64(len(d.buf))
	head := d.head
	t.head.Store(&head)
	return nil
}
