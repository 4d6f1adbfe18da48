// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// What a delivery may bring. More is refused as malformed, before anything is hashed.
const (
	maxHeader     = 4 << 10 // bytes of a header with signatures
	maxID         = 512     // bytes of an id
	maxCandidates = 16      // signatures with a wanted tag; Svix sends up to 11
	maxElements   = 64      // of a list, wanted or not
)

// delivery is what the headers of one delivery say. Texts are those that were received: they are what was signed.
type delivery struct {
	id         string
	stamp      string // the time; empty: at, in the scheme's format
	at         time.Time
	now        time.Time // zero if nothing depends on it
	request    *requestParts
	replay     string // what Replay knows it as
	count      int
	public     uint32 // bit i: candidate i is an ed25519 signature
	candidates [maxCandidates]string
}

// requestParts is what some schemes sign of a request beside headers and body.
type requestParts struct{ method, url, form string }

func (d *delivery) isPublic(i int) bool { return d.public>>i&1 == 1 }

// parse reads the headers into d: all that can be refused without a hash is refused here.
func (s *Scheme) parse(d *delivery, h http.Header, tolerance time.Duration) error {
	if err := s.parseSignatures(d, h); err != nil {
		return err
	}
	if s.id != "" {
		var err error
		if d.id, err = one(h, s.id, maxID); err != nil || d.id == "" || s.fenced(d.id) {
			return ErrMalformed
		}
	}
	if s.stamp != "" {
		var err error
		if d.stamp, err = one(h, s.stamp, maxStamp); err != nil {
			return ErrMalformed
		}
	}
	if s.stamp == "" && s.config.TimestampTag == "" {
		return nil
	}
	return s.parseTime(d, tolerance)
}

// fenced reports whether an id holds the text that ends it in what is signed.
func (s *Scheme) fenced(id string) bool { return s.fence != "" && strings.Contains(id, s.fence) }

// one returns the value of a header that may be there once, "" if it is not there.
func one(h http.Header, name string, most int) (string, error) {
	values := h[name]
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1 || len(values[0]) > most:
		return "", ErrMalformed
	}
	return values[0], nil
}

func (s *Scheme) parseSignatures(d *delivery, h http.Header) error {
	signed := false
	for _, name := range s.headers {
		text, err := one(h, name, maxHeader)
		if err != nil {
			return err
		}
		if text == "" {
			continue
		}
		signed = true
		switch s.config.List {
		case Single:
			err = s.parseSingle(d, text)
		case Spaced:
			err = s.parseSpaced(d, text)
		default:
			err = s.parsePairs(d, text)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case !signed:
		return ErrUnsigned
	case d.count == 0:
		return ErrMalformed
	}
	return nil
}

func (s *Scheme) parseSingle(d *delivery, text string) error {
	rest, ok := strings.CutPrefix(text, s.config.Prefix)
	if !ok {
		return ErrMalformed
	}
	if s.config.Algorithm != Token && len(rest) != s.length {
		if len(s.headers) > 1 {
			return nil // the other header may be better
		}
		return ErrMalformed
	}
	return d.add(rest, s.config.Algorithm == Ed25519)
}

// parsePairs reads tag=value between separators. White space around an element is what a proxy leaves that folds two lines
// into one. An element that is not wanted, or cannot be a signature, hides no good one.
func (s *Scheme) parsePairs(d *delivery, text string) error {
	if strings.Count(text, s.separator) >= maxElements {
		return ErrMalformed
	}
	tag := ""
	for text != "" {
		element := text
		if i := strings.IndexByte(text, s.separator[0]); i >= 0 {
			element, text = text[:i], text[i+1:]
		} else {
			text = ""
		}
		element = trim(element)
		value := element
		if i := strings.IndexByte(element, '='); i >= 0 {
			tag, value = element[:i], element[i+1:]
		} else if s.config.List != Continued {
			continue
		}
		if tag == s.config.TimestampTag && tag != "" {
			if d.stamp != "" || value == "" || len(value) > maxStamp {
				return ErrMalformed
			}
			d.stamp = value
			continue
		}
		if err := s.candidate(d, tag, value); err != nil {
			return err
		}
	}
	return nil
}

// parseSpaced reads tag,value between spaces.
func (s *Scheme) parseSpaced(d *delivery, text string) error {
	if strings.Count(text, " ") >= maxElements {
		return ErrMalformed
	}
	for text != "" {
		element := text
		if i := strings.IndexByte(text, ' '); i >= 0 {
			element, text = text[:i], text[i+1:]
		} else {
			text = ""
		}
		i := strings.IndexByte(element, ',')
		if i < 0 {
			continue
		}
		if err := s.candidate(d, element[:i], element[i+1:]); err != nil {
			return err
		}
	}
	return nil
}

// candidate keeps a signature if its tag is wanted and its length is right.
func (s *Scheme) candidate(d *delivery, tag, value string) error {
	if tag == s.config.PublicTag && tag != "" {
		if len(value) != s.public {
			return nil
		}
		return d.add(value, true)
	}
	for _, wanted := range s.tags {
		if tag == wanted && len(value) == s.length {
			return d.add(value, s.config.Algorithm == Ed25519)
		}
	}
	return nil
}

func (d *delivery) add(text string, public bool) error {
	if d.count == maxCandidates {
		return ErrMalformed
	}
	d.candidates[d.count] = text
	if public {
		d.public |= 1 << d.count
	}
	d.count++
	return nil
}

// trim cuts spaces and tabs.
func trim(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// append appends what parts stand for.
func (d *delivery) append(dst []byte, parts []part, format TimeFormat) []byte {
	for i := range parts {
		switch p := &parts[i]; p.kind {
		case partLiteral:
			dst = append(dst, p.text...)
		case partID:
			dst = append(dst, d.id...)
		case partTimestamp:
			if d.stamp != "" {
				dst = append(dst, d.stamp...)
			} else {
				dst = format.append(dst, d.at)
			}
		case partMethod:
			dst = append(dst, d.request.method...)
		case partURL:
			dst = append(dst, d.request.url...)
		case partForm:
			dst = append(dst, d.request.form...)
		}
	}
	return dst
}

func (f TimeFormat) append(dst []byte, at time.Time) []byte {
	switch f {
	case Milliseconds:
		return strconv.AppendInt(dst, at.UnixMilli(), 10)
	case RFC3339:
		return at.UTC().AppendFormat(dst, time.RFC3339)
	default:
		return strconv.AppendInt(dst, at.Unix(), 10)
	}
}
