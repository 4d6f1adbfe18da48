// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"time"
)

// Transport signs the requests that pass: a http.Client that delivers webhooks has one as its Transport. It is safe for
// concurrent use, and its fields are not to be changed while it is used.
//
// The body is read once, up to MaxBody, and can be sent again by the transport below. The request of the caller is not changed.
// Each pass signs with the time of now. A scheme with a message id gets the one that the request has in the scheme's header: a
// caller that tries a delivery again sets the same one. A request without gets a new one.
type Transport struct {
	// Signer is required.
	Signer *Signer
	// Base sends what is signed. Nil: http.DefaultTransport.
	Base http.RoundTripper
	// MaxBody is the longest body in bytes. Zero: 1 MiB, negative: an error. A longer body is ErrTooLarge, and nothing is sent.
	MaxBody int64
	// NewID makes message ids. Nil: "msg_" and 128 random bits.
	NewID func() string
}

// RoundTrip signs a copy of r and sends it.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := t.read(r)
	if err != nil {
		return nil, err
	}
	if t.Signer == nil {
		return nil, errors.New("webhook: Transport.Signer is required")
	}
	out := r.Clone(r.Context())
	if out.Header == nil {
		out.Header = http.Header{}
	}
	if err := t.Signer.SignRequest(out, t.messageID(out), time.Now(), body); err != nil {
		return nil, err
	}
	out.Body, out.GetBody, out.ContentLength = http.NoBody, nil, 0
	if len(body) > 0 {
		again := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		out.Body, _ = again()
		out.GetBody, out.ContentLength = again, int64(len(body))
		out.TransferEncoding = nil
	}
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	return base.RoundTrip(out)
}

// read reads and closes the caller's body, as a RoundTripper has to whatever happens.
func (t *Transport) read(r *http.Request) ([]byte, error) {
	from := bodyOf(r)
	defer from.Close()
	most := cmp.Or(t.MaxBody, defaultMaxBody)
	if most < 0 {
		return nil, errors.New("webhook: Transport.MaxBody is negative")
	}
	if r.ContentLength > most {
		return nil, ErrTooLarge
	}
	var body []byte
	sized := *r
	if sized.ContentLength == 0 && r.Body != nil {
		sized.ContentLength = -1 // for a client zero is not known
	}
	if err := readBody(&sized, most, &body); err != nil {
		return nil, err
	}
	return body, nil
}

func (t *Transport) messageID(r *http.Request) string {
	scheme := t.Signer.scheme
	if scheme.id == "" {
		return ""
	}
	if id := r.Header.Get(scheme.id); id != "" {
		return id
	}
	if t.NewID != nil {
		return t.NewID()
	}
	return "msg_" + rand.Text()
}
