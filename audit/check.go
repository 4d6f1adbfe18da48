// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bufio"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"iter"
	"time"

	"github.com/handover-go/handover/rotation"
)

const defaultEvery = 256

var errStopped = errors.New("the reader of the events has enough")

// Head is a line of a trail. Who knows it knows everything before it: kept elsewhere, it shows that the trail was changed, or
// cut off, up to there. Zero: none. It marshals to JSON.
type Head struct {
	Sequence int64  `json:"sequence"`
	Hash     string `json:"hash"` // in hexadecimal
}

// Expect is what Check is to compare a trail with. Zero: only that it is one chain from its first line on.
type Expect struct {
	// Known is a line that was in the trail, from Trail.Head or a Report. Zero: an end that was cut off is not found.
	Known Head

	// Keys are the public keys that may have signed checkpoints, see PublicKey. None: signatures are not looked at.
	Keys []ed25519.PublicKey

	// Every is how many events may come between two checkpoints, with Keys: Config.Every of the writer. Zero: 256. Negative:
	// any number, and somebody who rewrites the trail can leave them out; look at Report.Unsigned.
	Every int

	// From is the last line before the trail, where earlier files were moved away. Zero: it has to begin with line 1.
	From Head
}

// Report is what a trail holds, up to its end or to the first line that does not fit.
type Report struct {
	Files       int       `json:"files"`
	Lines       int64     `json:"lines"`
	Events      int64     `json:"events"`
	Checkpoints int64     `json:"checkpoints"`
	Healed      int64     `json:"healed"`   // places where a crash left bytes of a line that was never finished
	First       time.Time `json:"first"`    // when the first line was written
	Last        time.Time `json:"last"`     // when the last one was
	Head        Head      `json:"head"`     // the last line
	Signed      Head      `json:"signed"`   // the last checkpoint that was signed with one of Expect.Keys; zero: none
	Unsigned    int64     `json:"unsigned"` // events after the last checkpoint: Expect.Known or nothing vouches for them
}

// Check reads the trail in fsys, os.DirFS of its folder or of an archived copy, and compares every line with those before it
// and with want. What is found is a *BrokenError, which names the first line that does not fit; see the package comment for what
// can be found. Other errors are of reading, or of want. Files with other names than a trail's are passed over.
//
// It reads everything, and blocks as long as that takes. A trail that is being written may be read; where the last line was not
// all there yet, Check says that it has no end.
func Check(fsys fs.FS, want Expect) (Report, error) {
	return check(want, func(c *chain) error { return c.readFiles(fsys) })
}

// CheckReader is Check of one file, or of several that follow each other in r. Names of files are compared with each other only.
func CheckReader(r io.Reader, want Expect) (Report, error) {
	return check(want, func(c *chain) error {
		c.report.Files++
		return c.read(r)
	})
}

func check(want Expect, read func(*chain) error) (Report, error) {
	c, err := want.chain()
	if err != nil {
		return Report{}, err
	}
	if err = read(c); err == nil {
		err = c.end()
	}
	c.report.Unsigned = c.unsigned
	return c.report, err
}

// Events returns the events of the trail in fsys, each after its line was compared as in Check. The first error ends it. What
// comes before an error was in the trail unless it was rewritten as a whole: only the end shows whether want is met.
func Events(fsys fs.FS, want Expect) iter.Seq2[rotation.Event, error] {
	return func(yield func(rotation.Event, error) bool) {
		var stopped error
		_, err := check(want, func(c *chain) error {
			c.each = func(l line) {
				var e rotation.Event
				if l.Kind != kindEvent || stopped != nil {
					return
				}
				if json.Unmarshal(l.Data, &e) != nil {
					stopped = c.broken(c.line, "its event cannot be read")
				} else if !yield(e, nil) {
					stopped = errStopped
				}
				c.stop = stopped
			}
			return c.readFiles(fsys)
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(rotation.Event{}, err)
		}
	}
}

func (want Expect) chain() (*chain, error) {
	var errs []error
	c := &chain{keys: map[string]ed25519.PublicKey{}, limit: int64(want.Every), known: want.Known}
	if c.limit == 0 {
		c.limit = defaultEvery
	}
	for i, k := range want.Keys {
		if len(k) != ed25519.PublicKeySize {
			errs = append(errs, failf("audit: Expect.Keys[%d] has to be %d bytes", i, ed25519.PublicKeySize))
		}
		c.keys[hex.EncodeToString(k)] = k
	}
	errs = append(errs, want.Known.check("Known"), want.From.check("From"))
	if want.From != (Head{}) {
		c.from, c.believe = want.From, true
	}
	return c, errors.Join(errs...)
}

func (h Head) check(field string) error {
	if h != (Head{}) && (h.Sequence <= 0 || !isHash(h.Hash)) {
		return failf("audit: Expect.%s is no head: a sequence from 1 and a hash of 64 digits", field)
	}
	return nil
}

// readFiles reads the files of a trail, in order.
func (c *chain) readFiles(fsys fs.FS) error {
	names, err := list(fsys)
	if err != nil {
		return err
	}
	for i, name := range names {
		if err := c.begin(name); err != nil {
			return err
		}
		if err := c.readFile(fsys, name); err != nil {
			return err
		}
		if c.line == 0 && i < len(names)-1 {
			return c.broken(0, "it is empty, and others come after it")
		}
	}
	return nil
}

func (c *chain) readFile(fsys fs.FS, name string) error {
	f, err := fsys.Open(name)
	if err != nil {
		return failf("audit: %w", err)
	}
	defer f.Close()
	return c.read(f)
}

func (c *chain) read(r io.Reader) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		raw, err := readLine(lines)
		if len(raw) > 0 {
			if err := c.feed(raw); err != nil {
				return err
			}
			if c.stop != nil {
				return c.stop
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return failf("audit: reading the trail: %w", err)
		}
	}
}

// readLine returns a line with its newline, or what there is of it with io.EOF. The result is good until the next call, and
// what is longer than a line can be comes in pieces, none of which is one.
func readLine(r *bufio.Reader) ([]byte, error) {
	raw, err := r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return raw, err
	}
	long := append([]byte(nil), raw...)
	for len(long) <= maxLine && errors.Is(err, bufio.ErrBufferFull) {
		raw, err = r.ReadSlice('\n')
		long = append(long, raw...)
	}
	if errors.Is(err, bufio.ErrBufferFull) {
		err = nil
	}
	return long, err
}
