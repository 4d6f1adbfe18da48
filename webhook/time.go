// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"time"
)

const maxStamp = 40 // bytes of a time as text

// parseTime reads d.stamp into d.at and compares it with d.now.
func (s *Scheme) parseTime(d *delivery, tolerance time.Duration) error {
	var ok bool
	if d.at, ok = s.config.TimeFormat.parse(d.stamp); !ok {
		return ErrMalformed
	}
	// Neither can overflow: the formats have no more digits than that.
	if age, most := d.now.UnixMilli()-d.at.UnixMilli(), tolerance.Milliseconds(); age > most || age < -most {
		return ErrStale
	}
	return nil
}

func (f TimeFormat) parse(text string) (time.Time, bool) {
	switch f {
	case RFC3339:
		at, err := time.Parse(time.RFC3339Nano, text)
		return at.UTC(), err == nil
	case Milliseconds:
		n, ok := digits(text, 14)
		return time.UnixMilli(n).UTC(), ok
	default:
		n, ok := digits(text, 11)
		return time.Unix(n, 0).UTC(), ok
	}
}

// digits reads a number of at most most digits, without sign, space or leading zero.
func digits(text string, most int) (n int64, ok bool) {
	if text == "" || len(text) > most || text[0] == '0' {
		return 0, false
	}
	for i := range len(text) {
		c := text[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + int64(c)
	}
	return n, true
}

// member returns the text of a member of a JSON object whose value is a number or a string, without the quotes of the latter.
// It is for bodies that have verified: of one that is no JSON it says so or returns something, but no more. A name that is
// there twice is refused, because readers differ on which one counts.
func member(object []byte, name string) (value string, ok bool) {
	depth, found := 0, 0
	for i := 0; i < len(object); i++ {
		switch object[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			end := closing(object, i)
			if end < 0 {
				return "", false
			}
			text, next := object[i+1:end], skipSpace(object, end+1)
			i = end
			if depth != 1 || string(text) != name || next >= len(object) || object[next] != ':' {
				continue
			}
			found++
			value = scalar(object, skipSpace(object, next+1))
		}
	}
	return value, found == 1 && value != "" && len(value) <= maxStamp
}

// closing returns the place of the quote that ends the string that begins at i, or -1.
func closing(b []byte, i int) int {
	for i++; i < len(b); i++ {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		escapes := 0
		for b[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
	}
	return -1
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// scalar returns the number or the string that begins at i.
func scalar(b []byte, i int) string {
	if i < len(b) && b[i] == '"' {
		if end := closing(b, i); end >= 0 {
			return string(b[i+1 : end])
		}
		return ""
	}
	end := i
	for end < len(b) && (b[end] >= '0' && b[end] <= '9') {
		end++
	}
	if end == skipSpace(b, end) && end < len(b) && b[end] != ',' && b[end] != '}' {
		return ""
	}
	return string(b[i:end])
}
