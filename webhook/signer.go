// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Signer signs deliveries with every live secret, newest first, where the scheme has room for several signatures, and
// otherwise with the newest. It is safe for concurrent use; a signature is made with one set of secrets, the one before a Set
// or the one after it.
type Signer struct {
	scheme *Scheme
	least  int

	mu  sync.Mutex // of Set
	set atomic.Pointer[set]
}

// NewSigner takes the secrets newest first and refuses what NewVerifier refuses, and public keys. With no secrets at all it
// signs nothing, and says so with ErrNoSecret, until Set.
func NewSigner(s *Scheme, secrets ...Secret) (*Signer, error) {
	return newSigner(s, leastSecret, secrets...)
}

func newSigner(s *Scheme, least int, secrets ...Secret) (*Signer, error) {
	if s == nil {
		return nil, errors.New("webhook: NewSigner: a scheme is required")
	}
	if err := s.config.Algorithm.probeScheme(); err != nil {
		return nil, err
	}
	signer := &Signer{scheme: s, least: least}
	if len(secrets) > 0 {
		if err := signer.Set(secrets...); err != nil {
			return nil, err
		}
	}
	return signer, nil
}

// Set replaces the secrets, newest first: all of them or, with an error, none.
func (s *Signer) Set(secrets ...Secret) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := s.scheme.newSet(s.set.Load(), secrets, s.least)
	if err != nil {
		return err
	}
	for i := range next.slots {
		if sl := &next.slots[i]; sl.public != nil && sl.private == nil {
			return fmt.Errorf("webhook: secret %q is a public key: it signs nothing", sl.id)
		}
	}
	s.set.Store(next)
	return nil
}

// Sign sets the headers of a delivery: those of the signature, the id and the time, as far as the scheme has them. Where it
// has no id, messageID is not used, and where it has no time, at is not. A scheme whose time is in the body signs the body as
// it is. A scheme that signs something of the request beside headers and body needs SignRequest.
func (s *Signer) Sign(h http.Header, messageID string, at time.Time, body []byte) error {
	if s.scheme.request {
		return errSignRequest
	}
	return s.sign(h, &delivery{id: messageID, at: at}, body)
}

var errSignRequest = errors.New("webhook: the scheme signs more than headers and body: use SignRequest or Transport")

// AppendSignature appends the value of the signature's header, the first one where there are several, and allocates nothing if
// dst has room. With it the caller sets the header of the id, and that of the time to what AppendTimestamp appends.
func (s *Signer) AppendSignature(dst []byte, messageID string, at time.Time, body []byte) ([]byte, error) {
	if s.scheme.request {
		return dst, errSignRequest
	}
	d := delivery{id: messageID, at: at}
	if err := s.scheme.checkSigned(&d); err != nil {
		return dst, err
	}
	out, _, err := s.appendHeader(dst, s.set.Load(), &d, body, 0)
	return out, err
}

// AppendTimestamp appends the time as the scheme writes it, which is nothing where the scheme has none.
func (s *Signer) AppendTimestamp(dst []byte, at time.Time) []byte {
	if !s.scheme.timed {
		return dst
	}
	return s.scheme.config.TimeFormat.append(dst, at)
}

// checkSigned refuses to sign what a verifier would refuse.
func (s *Scheme) checkSigned(d *delivery) error {
	if s.id != "" && (d.id == "" || len(d.id) > maxID || !isVisible(d.id) || s.fenced(d.id)) {
		return fmt.Errorf("webhook: the message id is empty, too long, or holds what it must not, such as %q", s.fence)
	}
	if s.stamp == "" && s.config.TimestampTag == "" {
		return nil
	}
	var room [maxStamp]byte
	if _, ok := s.config.TimeFormat.parse(string(s.config.TimeFormat.append(room[:0], d.at))); !ok {
		return errors.New("webhook: the time cannot be signed")
	}
	return nil
}

func (s *Signer) sign(h http.Header, d *delivery, body []byte) error {
	if err := s.scheme.checkSigned(d); err != nil {
		return err
	}
	values, current := make([]string, 0, len(s.scheme.headers)), s.set.Load()
	for from := 0; len(values) < len(s.scheme.headers); {
		value, next, err := s.appendHeader(nil, current, d, body, from)
		if errors.Is(err, ErrNoSecret) && len(values) > 0 {
			break
		}
		if err != nil {
			return err
		}
		values, from = append(values, string(value)), next
	}
	for i, name := range s.scheme.headers {
		h.Del(name)
		if i < len(values) {
			h.Set(name, values[i])
		}
	}
	if s.scheme.id != "" {
		h.Set(s.scheme.id, d.id)
	}
	if s.scheme.stamp != "" {
		h.Set(s.scheme.stamp, string(s.scheme.config.TimeFormat.append(nil, d.at)))
	}
	return nil
}

// appendHeader appends one header, signed by the live secrets from the given one on, as many as it has room for, and returns
// the secret to carry on with.
func (s *Signer) appendHeader(dst []byte, current *set, d *delivery, body []byte, from int) ([]byte, int, error) {
	if current == nil {
		return dst, 0, ErrNoSecret
	}
	c, now, start := &s.scheme.config, time.Time{}, len(dst)
	if current.ends {
		now = time.Now()
	}
	if c.TimestampTag != "" {
		dst = append(append(dst, c.TimestampTag...), '=')
		dst = c.TimeFormat.append(dst, d.at)
	}
	made := 0
	for i := from; i < len(current.slots); i++ {
		sl := &current.slots[i]
		if current.ends && sl.ended(now) {
			continue
		}
		dst = s.scheme.appendTag(dst, sl.key, len(dst) > start, made > 0)
		dst = s.scheme.appendOne(dst, sl.key, d, body)
		made++
		if c.List == Single {
			return dst, i + 1, nil
		}
	}
	if made == 0 {
		return dst[:start], 0, ErrNoSecret
	}
	return dst, len(current.slots), nil
}

// appendTag appends what stands between what is there already and a signature of k.
func (s *Scheme) appendTag(dst []byte, k *key, something, signature bool) []byte {
	c := &s.config
	if c.List == Single {
		return append(dst, c.Prefix...)
	}
	tag := c.PublicTag
	if k.public == nil || tag == "" {
		tag = c.Tags[0]
	}
	if c.List == Spaced {
		if something {
			dst = append(dst, ' ')
		}
		return append(append(dst, tag...), ',')
	}
	if something {
		dst = append(dst, s.separator...)
	}
	if c.List == Continued && signature {
		return dst
	}
	return append(append(dst, tag...), '=')
}

// appendOne appends the text of one signature.
func (s *Scheme) appendOne(dst []byte, k *key, d *delivery, body []byte) []byte {
	if s.config.Algorithm == Token {
		return append(dst, k.value.Reveal()...)
	}
	st := k.get()
	defer k.put(st)
	if k.private != nil {
		s.join(st, d, body)
		return s.config.Encoding.append(dst, ed25519.Sign(k.private, st.scratch))
	}
	return s.config.Encoding.append(dst, s.authenticate(st, d, body))
}

// SignRequest sets the headers of r as Sign does, for all schemes. body is what r will send: its Body is not read. The URL that
// is signed is r.URL, as the receiver is to know it. A scheme with {form} gets the parameter bodySHA256 added to r.URL if the
// body is neither empty nor a form.
func (s *Signer) SignRequest(r *http.Request, messageID string, at time.Time, body []byte) error {
	if r.Header == nil {
		r.Header = http.Header{}
	}
	parts := requestParts{method: r.Method}
	if parts.method == "" {
		parts.method = http.MethodGet
	}
	if s.scheme.signsForm() {
		if len(body) > 0 && !isForm(r.Header) && !strings.Contains(r.URL.RawQuery, bodyHash) {
			addBodyHash(r, body)
		}
		var ok bool
		if parts.form, ok = signedForm(r.Header, r.URL, body); !ok {
			return errors.New("webhook: the body is no form, and bodySHA256 is not its hash")
		}
	}
	sent := *r.URL
	sent.Fragment, sent.RawFragment = "", ""
	parts.url = sent.String()
	return s.sign(r.Header, &delivery{id: messageID, at: at, request: &parts}, body)
}
