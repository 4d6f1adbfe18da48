// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// part of what is signed.
type part struct {
	kind partKind
	text string // of a literal
}

type partKind uint8

const (
	partLiteral partKind = iota
	partID
	partTimestamp
	partMethod
	partURL
	partForm
	partBody
)

var partNames = map[string]partKind{
	"id": partID, "timestamp": partTimestamp, "method": partMethod, "url": partURL, "form": partForm, "body": partBody,
}

const defaultTolerance = 5 * time.Minute

// NewScheme checks c and makes a Scheme of it. The error names every field that is missing or contradicts another.
func NewScheme(c SchemeConfig) (*Scheme, error) {
	c = c.clone()
	s := &Scheme{name: c.Name, config: c, tags: c.Tags}
	if s.name == "" {
		s.name = c.Header
	}
	var errs []error
	for _, err := range [][]error{
		c.checkValues(), s.setHeaders(), c.checkList(), c.checkKey(), s.setSigned(), c.checkTime(s), c.checkHandshake(),
	} {
		errs = append(errs, err...)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	s.separator = string(cmp.Or(c.Separator, ','))
	s.timed = c.Timestamp != "" || c.TimestampTag != "" || c.TimestampJSON != ""
	s.length = c.Encoding.length(c.Algorithm.size())
	s.public = c.Encoding.length(signatureSize)
	return s, nil
}

// mustScheme is for presets, all of which are made by a test.
func mustScheme(c SchemeConfig) *Scheme {
	s, err := NewScheme(c)
	if err != nil {
		panic(err)
	}
	return s
}

func (c SchemeConfig) clone() SchemeConfig {
	c.MoreHeaders, c.Tags = slices.Clone(c.MoreHeaders), slices.Clone(c.Tags)
	return c
}

func wrong(field, format string, args ...any) error {
	return fmt.Errorf("webhook: SchemeConfig.%s: %s", field, fmt.Sprintf(format, args...))
}

func (c *SchemeConfig) checkValues() (errs []error) {
	if c.List > Spaced {
		errs = append(errs, wrong("List", "not known"))
	}
	if c.Encoding > Base64 {
		errs = append(errs, wrong("Encoding", "not known"))
	}
	if c.Algorithm > Token {
		errs = append(errs, wrong("Algorithm", "not known"))
	}
	if c.Key > KeyHex {
		errs = append(errs, wrong("Key", "not known"))
	}
	if c.TimeFormat > RFC3339 {
		errs = append(errs, wrong("TimeFormat", "not known"))
	}
	if c.Handshake > OktaHandshake {
		errs = append(errs, wrong("Handshake", "not known"))
	}
	return errs
}

// setHeaders keeps the names in the form in which net/http keeps them.
func (s *Scheme) setHeaders() (errs []error) {
	c := &s.config
	if c.Header == "" {
		errs = append(errs, wrong("Header", "is required"))
	}
	seen := map[string]bool{}
	canonical := func(field, name string) string {
		if name == "" {
			return ""
		}
		if !isToken(name) {
			errs = append(errs, wrong(field, "%q is no name of a header", name))
		}
		name = http.CanonicalHeaderKey(name)
		if seen[name] {
			errs = append(errs, wrong(field, "%s has another meaning already", name))
		}
		seen[name] = true
		return name
	}
	s.headers = append(s.headers, canonical("Header", c.Header))
	for _, name := range c.MoreHeaders {
		if name == "" {
			errs = append(errs, wrong("MoreHeaders", "an empty name"))
		}
		s.headers = append(s.headers, canonical("MoreHeaders", name))
	}
	s.id, s.stamp = canonical("ID", c.ID), canonical("Timestamp", c.Timestamp)
	return errs
}

func (c *SchemeConfig) checkList() (errs []error) {
	all := slices.Clone(c.Tags)
	for field, tag := range map[string]string{"PublicTag": c.PublicTag, "TimestampTag": c.TimestampTag} {
		if tag == "" {
			continue
		}
		all = append(all, tag)
		if c.List == Single {
			errs = append(errs, wrong(field, "there are tags in lists only: see List"))
		}
	}
	for i, tag := range all {
		if !isToken(tag) || slices.Contains(all[:i], tag) {
			errs = append(errs, wrong("Tags", "%q is empty, holds what a tag cannot, or is there twice", tag))
		}
	}
	switch {
	case c.List == Single && len(c.Tags) > 0:
		errs = append(errs, wrong("Tags", "there are tags in lists only: see List"))
	case c.List != Single && len(c.Tags) == 0:
		errs = append(errs, wrong("Tags", "is required in a list"))
	}
	if c.List != Single && c.Prefix != "" {
		errs = append(errs, wrong("Prefix", "a list has Tags instead"))
	}
	if !isVisible(strings.ReplaceAll(c.Prefix, " ", "")) {
		errs = append(errs, wrong("Prefix", "holds what a header cannot"))
	}
	if c.List == Continued && c.Encoding != Hex {
		errs = append(errs, wrong("List", "Continued needs Hex: the padding of Base64 looks like a tag"))
	}
	if c.List == Spaced && c.TimestampTag != "" {
		errs = append(errs, wrong("TimestampTag", "Spaced has no room for a time"))
	}
	switch c.Separator {
	case 0, ',', ';', '&', '|':
		if c.Separator != 0 && c.List != Pairs && c.List != Continued {
			errs = append(errs, wrong("Separator", "is for Pairs and Continued"))
		}
	default:
		errs = append(errs, wrong("Separator", "has to be one of , ; & |"))
	}
	return errs
}

func (c *SchemeConfig) checkKey() (errs []error) {
	if c.PublicTag != "" && (c.Key != KeyStandard || !c.Algorithm.hmac()) {
		errs = append(errs, wrong("PublicTag", "needs KeyStandard and an HMAC beside it"))
	}
	if c.Algorithm == Token {
		if c.List != Single || len(c.MoreHeaders) > 0 {
			errs = append(errs, wrong("List", "a Token is alone in one header"))
		}
		if c.Key != KeyText || c.Encoding != Hex {
			errs = append(errs, wrong("Key", "a Token is sent as it is"))
		}
	}
	return errs
}

// setSigned reads the template and divides it at the body.
func (s *Scheme) setSigned() (errs []error) {
	c := &s.config
	parts, err := parseSigned(c.Signed)
	if err != nil {
		return []error{err}
	}
	has := func(k partKind) bool { return slices.ContainsFunc(parts, func(p part) bool { return p.kind == k }) }
	if c.Algorithm == Token {
		if c.Signed != "" {
			errs = append(errs, wrong("Signed", "a Token signs nothing"))
		}
		parts = nil
	} else if !has(partBody) && !has(partForm) {
		errs = append(errs, wrong("Signed", "has neither {body} nor {form}"))
	}
	if has(partID) != (c.ID != "") {
		errs = append(errs, wrong("ID", "a header needs {id} in Signed, and the other way round"))
	}
	if has(partTimestamp) != (c.Timestamp != "" || c.TimestampTag != "") {
		errs = append(errs, wrong("Timestamp", "Timestamp or TimestampTag needs {timestamp} in Signed, and the other way round"))
	}
	s.body = has(partBody)
	s.request = has(partMethod) || has(partURL) || has(partForm)
	side := &s.before
	for i, p := range parts {
		if p.kind == partID && i+1 < len(parts) && parts[i+1].kind == partLiteral {
			s.fence = parts[i+1].text // else "a.b" and "c" would sign what "a" and "b.c" sign
		}
		if p.kind == partBody {
			side = &s.after
			continue
		}
		*side = append(*side, p)
	}
	return errs
}

func parseSigned(template string) ([]part, error) {
	if template == "" {
		template = "{body}"
	}
	var parts []part
	for rest := template; rest != ""; {
		literal, after, found := strings.Cut(rest, "{")
		if literal != "" {
			parts = append(parts, part{text: literal})
		}
		if !found {
			break
		}
		name, after, found := strings.Cut(after, "}")
		kind, known := partNames[name]
		if !found || !known {
			return nil, wrong("Signed", "%q has a part that is not known", template)
		}
		if slices.ContainsFunc(parts, func(p part) bool { return p.kind == kind }) {
			return nil, wrong("Signed", "%q has {%s} twice", template, name)
		}
		parts = append(parts, part{kind: kind})
		rest = after
	}
	return parts, nil
}

func (c *SchemeConfig) checkTime(s *Scheme) (errs []error) {
	sources := 0
	for _, source := range []string{c.Timestamp, c.TimestampTag, c.TimestampJSON} {
		if source != "" {
			sources++
		}
	}
	if sources > 1 {
		errs = append(errs, wrong("Timestamp", "only one of Timestamp, TimestampTag and TimestampJSON"))
	}
	if c.TimestampJSON != "" && !s.body {
		errs = append(errs, wrong("TimestampJSON", "the body is not signed"))
	}
	if sources == 0 && c.TimeFormat != Seconds {
		errs = append(errs, wrong("TimeFormat", "there is no time"))
	}
	if c.Tolerance < 0 || sources == 0 && c.Tolerance != 0 {
		errs = append(errs, wrong("Tolerance", "is negative, or there is no time"))
	}
	return errs
}

func (c *SchemeConfig) checkHandshake() (errs []error) {
	switch {
	case c.Handshake == OktaHandshake && c.Algorithm != Token:
		errs = append(errs, wrong("Handshake", "OktaHandshake is for Token"))
	case c.Handshake == ZoomHandshake && !c.Algorithm.hmac():
		errs = append(errs, wrong("Handshake", "ZoomHandshake needs an HMAC"))
	}
	return errs
}

// isToken reports whether s can be the name of a header or a tag.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// isVisible reports whether s can stand in a header without a change.
func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
