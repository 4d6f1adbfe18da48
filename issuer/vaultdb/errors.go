// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package vaultdb

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

// failure is an error of this package. Its text has paths and numbers, and nothing of what the server said: it is a
// rotation.PublicError.
type failure struct {
	text   string
	status int  // of the answer; zero: there was none
	unsent bool // for certain
	is     []error
}

func problem(text string) error { return &failure{text: text} }

func (e *failure) Error() string {
	text := "vaultdb: " + strings.TrimPrefix(e.text, "vaultdb: ")
	for _, err := range e.is {
		text += ": " + strings.TrimPrefix(err.Error(), "vaultdb: ")
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
			e.unsent = true
		}
		return e
	}
	e := &failure{text: fmt.Sprintf("%s: status %d", what, answer.StatusCode), status: answer.StatusCode}
	switch answer.StatusCode {
	case http.StatusBadRequest, http.StatusInternalServerError:
		e.text += ": Vault refused it, or failed at the database (out of reach, or the user owns something): its log tells"
	case http.StatusForbidden:
		e.text += ": the token's policy has to allow " + needs + ", or the token has ended"
		e.is = []error{rotation.ErrDenied}
	case http.StatusTooManyRequests:
		e.text += ": a rate limit"
	case http.StatusPreconditionFailed, 472, 473:
		e.text += ": this node is behind the active one: let Config.Client talk to the active node"
	case http.StatusServiceUnavailable:
		e.text += ": sealed, or no node is active"
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

// refused adds rotation.ErrNotIssued where nothing can have been made.
func refused(err error) error {
	var e *failure
	if !errors.As(err, &e) {
		return err
	}
	switch e.status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests:
		e.is = append(e.is, rotation.ErrNotIssued)
	case 0:
		if e.unsent {
			e.is = append(e.is, rotation.ErrNotIssued)
		}
	}
	return err
}
