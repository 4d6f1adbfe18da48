// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package vaultkv

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/hashicorp/vault/api"
)

const notKV2 = "see Config.Mount, or let an administrator run vault kv enable-versioning"

// failure is an error of this package. Its text has paths, field names and numbers, and nothing of what the server said: it is a
// rotation.PublicError.
type failure struct {
	text   string
	status int // of the answer; zero: there was none
	is     []error
}

func problem(text string) error { return &failure{text: text} }

func (e *failure) Error() string {
	text := "vaultkv: " + strings.TrimPrefix(e.text, "vaultkv: ")
	for _, err := range e.is {
		text += ": " + strings.TrimPrefix(err.Error(), "vaultkv: ")
	}
	return text
}

func (e *failure) Public() string  { return e.Error() }
func (e *failure) Unwrap() []error { return e.is }

// status is that of the answer behind err.
func status(err error) int {
	var e *failure
	if errors.As(err, &e) {
		return e.status
	}
	return 0
}

// failed says what a failed request means. needs is the capability that it takes.
func failed(ctx context.Context, what, needs string, header http.Header, err error) error {
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		e := &failure{text: what + ": no answer"}
		var op *net.OpError
		switch cause := context.Cause(ctx); {
		case cause != nil:
			e.text, e.is = what, []error{ctx.Err()}
		case errors.As(err, new(*tls.CertificateVerificationError)):
			e.text = what + ": the server's certificate is not trusted: see the Client's TLS settings"
		case errors.As(err, &op) && op.Op == "dial":
			e.text = what + ": no connection: see the Client's address"
		}
		return e
	}
	e := &failure{text: fmt.Sprintf("%s: status %d", what, answer.StatusCode), status: answer.StatusCode}
	switch answer.StatusCode {
	case http.StatusForbidden:
		e.text += fmt.Sprintf(": the token's policy has to allow %q there, or the token has ended", needs)
		e.is = []error{rotation.ErrDenied}
	case http.StatusTooManyRequests:
		e.text += ": a rate limit"
	case http.StatusPreconditionFailed, 472, 473:
		e.text += ": this node is behind the active one: let Config.Client talk to the active node"
	case http.StatusServiceUnavailable:
		e.text += ": sealed, or no node is active"
	case http.StatusMethodNotAllowed:
		e.text += ": this is no KV version 2 mount: " + notKV2
	}
	if wait, ok := retryAfter(header, time.Now()); ok {
		return rotation.RetryAt(e, time.Now().Add(wait))
	}
	return e
}

// retryAfter is how long the server wants to be left alone, a day at most. Vault rounds down.
func retryAfter(header http.Header, now time.Time) (time.Duration, bool) {
	text := header.Get("Retry-After")
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 {
		wait = time.Duration(min(seconds, 24*3600)+1) * time.Second
	} else if t, err := http.ParseTime(text); err == nil {
		wait = t.Sub(now)
	} else {
		return 0, false
	}
	return min(max(wait, 0), 24*time.Hour), true
}

// gone says how to go on where the latest version holds nothing.
func (s *Store) gone(p string, v version) error {
	remove := fmt.Sprintf("remove what is left with vault kv metadata delete -mount=%s %s and seed the key in use", s.cfg.Mount, p)
	if v.destroyed {
		return problem(fmt.Sprintf("%s: the latest version, %d, is destroyed: %s", p, v.version, remove))
	}
	return problem(fmt.Sprintf("%s: the latest version, %d, was deleted at %s: bring it back with vault kv undelete -mount=%s -versions=%d %s, or %s",
		p, v.version, v.deleted, s.cfg.Mount, v.version, p, remove))
}
