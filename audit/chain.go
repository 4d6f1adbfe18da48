// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"time"
)

// state is where a trail stands after a line.
type state struct {
	head     Head
	events   int64     // lines so far that are events
	unsigned int64     // of them, those after the last checkpoint
	signed   int64     // sequence of the last checkpoint; zero: none was seen
	file     string    // the last begin line's
	began    time.Time // when it was written
}

// chain reads a trail line by line and says which line is the first that does not fit. The zero chain, with limit set, expects
// the first line of a trail.
type chain struct {
	state
	keys    map[string]ed25519.PublicKey // by their hexadecimal form; empty: signatures are not looked at
	limit   int64                        // events without a checkpoint that keys admit; negative: any number
	known   Head                         // has to be met; zero: none
	believe bool                         // the first begin line is right about the files before it
	from    Head                         // with believe: what came before; zero: that is believed too
	each    func(line)                   // is told of every line that fits; may be nil
	stop    error                        // set by each: read no more

	name   string // of the file that is read; empty: not known
	line   int    // of name
	opened bool   // name has its begin line
	first  int64  // sequence of the first line; zero: none yet
	start  string // the file it is in
	met    bool   // known was
	torn   torn
	report Report
}

// torn is what was read since the last line that fits and is no line itself.
type torn struct {
	bytes int64
	sum   hash.Hash
	line  int // the first
	why   string
}

func (t *torn) add(raw []byte, line int, why string) {
	if t.bytes == 0 {
		t.sum, t.line, t.why = sha256.New(), line, why
	}
	t.bytes += int64(len(raw))
	t.sum.Write(raw)
}

func (t *torn) part() *tornPart {
	if t.bytes == 0 {
		return nil
	}
	return &tornPart{Bytes: t.bytes, SHA256: hex.EncodeToString(t.sum.Sum(nil))}
}

func (c *chain) broken(line int, format string, args ...any) error {
	return &BrokenError{File: c.name, Line: line, Why: fmt.Sprintf(format, args...)}
}

// begin goes on with another file. What the last one ends with has to fit.
func (c *chain) begin(name string) error {
	if err := c.settled(); err != nil {
		return err
	}
	c.name, c.line, c.opened = name, 0, false
	c.report.Files++
	return nil
}

// settled fails if the file ends with something that is no line.
func (c *chain) settled() error {
	if c.torn.bytes > 0 {
		return c.broken(c.torn.line, "%s", c.torn.why)
	}
	return nil
}

// feed takes the next line as it was read, with its newline. What is no line may be the rest of one that a crash cut off: that
// shows in the next line that is one.
func (c *chain) feed(raw []byte) error {
	c.line++
	text, whole := raw, false
	if n := len(raw) - 1; n >= 0 && raw[n] == '\n' {
		text, whole = raw[:n], true
	}
	l, err := parse(text)
	switch {
	case err == errNewer:
		return c.broken(c.line, "%s", err)
	case err != nil:
		c.torn.add(raw, c.line, err.Error())
		return nil
	case !whole:
		c.torn.add(raw, c.line, "it has no end: a crash, which the next Open heals, or the trail was cut off here")
		return nil
	}
	return c.follow(l)
}

func (c *chain) follow(l line) error {
	if part := c.torn.part(); part != nil {
		if l.torn == nil || *l.torn != *part {
			return c.settled()
		}
		c.torn = torn{}
		c.report.Healed++
	} else if l.torn != nil {
		return c.broken(c.line, "it tells of %d bytes before it that are not there", l.torn.Bytes)
	}
	if err := c.place(l); err != nil {
		return err
	}
	if err := c.content(l); err != nil {
		return err
	}
	c.head = Head{Sequence: l.Seq, Hash: l.Hash}
	c.count(l)
	if c.known.Sequence == l.Seq {
		if c.known.Hash != l.Hash {
			return c.broken(c.line, "it is not the line %d that is known: it or lines before it were rewritten", l.Seq)
		}
		c.met = true
	}
	if c.each != nil {
		c.each(l)
	}
	return nil
}

// place compares the line with the one before.
func (c *chain) place(l line) error {
	if c.first == 0 && c.believe && l.Kind == kindBegin {
		c.head, c.events, c.file = c.from, l.begin.Events, l.begin.After
		if c.from == (Head{}) {
			c.head = Head{Sequence: l.Seq - 1, Hash: l.Prev}
		}
	}
	want, prev := c.head.Sequence+1, c.head.Hash
	if prev == "" {
		prev = genesis
	}
	switch {
	case l.Seq > want:
		return c.broken(c.line, "its sequence is %d where %d has to come: lines are missing", l.Seq, want)
	case l.Seq < want:
		return c.broken(c.line, "its sequence is %d where %d has to come: it is repeated, or stands in another place", l.Seq, want)
	case l.Prev != prev:
		return c.broken(c.line, "it was not written after the line before it: one of the two was changed")
	case l.Kind != kindBegin && (c.first == 0 || c.name != "" && !c.opened):
		return c.broken(c.line, "a file has to begin with its name: lines are missing")
	}
	return nil
}

func (c *chain) content(l line) error {
	switch l.Kind {
	case kindBegin:
		switch {
		case c.opened && c.name != "":
			return c.broken(c.line, "another file begins here")
		case c.name != "" && l.begin.File != c.name:
			return c.broken(c.line, "the file was %s", l.begin.File)
		case l.begin.After != c.file:
			return c.broken(c.line, "it was written after the file %q and stands after %q", l.begin.After, c.file)
		case l.begin.Events != c.events:
			return c.broken(c.line, "it counts %d events before it, and there are %d", l.begin.Events, c.events)
		}
	case kindEvent:
		if len(c.keys) > 0 && c.limit >= 0 && c.unsigned >= c.limit {
			return c.broken(c.line, "there is no checkpoint after %d events, since line %d of the trail: checkpoints were removed", c.limit, c.signed)
		}
	case kindCheckpoint:
		return c.checkpoint(l)
	}
	return nil
}

func (c *chain) checkpoint(l line) error {
	if l.check.Events != c.events {
		return c.broken(c.line, "it counts %d events before it, and there are %d", l.check.Events, c.events)
	}
	if len(c.keys) == 0 {
		return nil
	}
	key, ok := c.keys[l.check.Key]
	switch {
	case !ok:
		return c.broken(c.line, "it is signed with a key that is not expected: it, or lines since line %d of the trail, were rewritten", c.signed)
	case !l.verify(key):
		return c.broken(c.line, "its signature is wrong: it, or lines since line %d of the trail, were rewritten", c.signed)
	}
	c.report.Signed = Head{Sequence: l.Seq, Hash: l.Hash}
	return nil
}

// count adds a line that fits.
func (c *chain) count(l line) {
	if c.first == 0 {
		c.first, c.start, c.report.First = l.Seq, c.name, l.At
	}
	switch l.Kind {
	case kindBegin:
		c.file, c.began, c.opened = l.begin.File, l.At, true
	case kindEvent:
		c.events++
		c.unsigned++
		c.report.Events++
	case kindCheckpoint:
		c.unsigned, c.signed = 0, l.Seq
		c.report.Checkpoints++
	}
	c.report.Lines++
	c.report.Last, c.report.Head = l.At, c.head
}

// end is asked after the last line.
func (c *chain) end() error {
	if err := c.settled(); err != nil {
		return err
	}
	switch {
	case c.first == 0:
		return c.broken(0, "there is no line of a trail")
	case c.known.Sequence == 0 || c.met:
		return nil
	case c.known.Sequence < c.first:
		return &BrokenError{File: c.start, Line: 1, Why: fmt.Sprintf("the trail begins with line %d, after the known line %d", c.first, c.known.Sequence)}
	}
	return c.broken(c.line, "the trail ends here, with line %d, and line %d is known: its end was cut off", c.head.Sequence, c.known.Sequence)
}
