// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package wire has what the parts that speak HTTP have in common: what may be said of an exchange, and what may not. No text
// of an answer's body, no query, no user information and no error text of a transport leaves it.
package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/handover-go/handover/rotation"
)

// Problem returns an error whose text is public and that matches each of is. The texts of is are not part of it.
func Problem(text string, is ...error) error { return &problem{text, is} }

type problem struct {
	text string
	is   []error
}

var _ rotation.PublicError = (*problem)(nil)

func (p *problem) Error() string   { return p.text }
func (p *problem) Public() string  { return p.text }
func (p *problem) Unwrap() []error { return p.is }

// Client returns a copy of c, nil for http.DefaultClient, that follows no redirect: a redirected request would carry the
// authority to where nobody meant it to go, and could be repeated there.
func Client(c *http.Client) *http.Client {
	if c == nil {
		c = http.DefaultClient
	}
	quiet := *c
	quiet.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &quiet
}

// URLProblem says what is wrong with raw as the URL of field, nil if nothing is.
func URLProblem(field, raw string) error {
	if raw == "" {
		return Problem(field + " is required")
	}
	u := parse(raw)
	if u == nil || (u.Scheme != "http" && u.Scheme != "https") {
		return Problem(field + " is not an absolute http or https URL")
	}
	return nil
}

// Redact returns the scheme, host and path of raw, without user information, query and fragment.
func Redact(raw string) string {
	u := parse(raw)
	if u == nil {
		return "(not a URL)"
	}
	return u.String()
}

// parse returns the scheme, host and path of raw; nil if it is no address, or if what it would be shown as is none: a host can
// have bytes that parse once and, written out, not again.
func parse(raw string) *url.URL {
	u, err := url.Parse(raw) // its error quotes the URL
	if err != nil || u.Host == "" {
		return nil
	}
	shown := &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	if _, err := url.Parse(shown.String()); err != nil {
		return nil
	}
	return shown
}

// Reason says why a request got no complete answer, and which errors of package context it matches. It never uses the text
// of err: a transport can put anything there, the URL with its query and a token endpoint's answer included.
func Reason(ctx context.Context, err error) (text string, is []error) {
	var timeout net.Error
	var errno syscall.Errno
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return "cancelled", []error{context.Canceled}
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timed out", []error{context.DeadlineExceeded}
	case errors.As(err, &errno):
		return errno.Error(), nil
	case errors.As(err, &dns):
		return "host not found", nil
	case errors.As(err, &cert):
		return "the certificate is not trusted", nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection ended before the answer did", nil
	}
	return "no answer", nil
}

// maxID bounds what is kept of an identifier that a header gives.
const maxID = 128

// RequestID returns the provider's identifier of the exchange, empty if it gave none or one that does not look like one.
func RequestID(h http.Header) string {
	for _, name := range []string{"X-Request-Id", "Request-Id", "X-Amzn-Requestid", "X-Correlation-Id", "Cf-Ray"} {
		if id := h.Get(name); id != "" && len(id) <= maxID && strings.Trim(id, idCharacters) == "" {
			return id
		}
	}
	return ""
}

const idCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/=+"

// Status is the code and its name: "401 Unauthorized".
func Status(code int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code)))
}

// Limit is how much of an answer is read.
const Limit = 1 << 20

// Drain reads a little of what is left of an answer, so that its connection can be used again, and closes it.
func Drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 64<<10) // best effort: the answer is already judged
	_ = body.Close()
}
