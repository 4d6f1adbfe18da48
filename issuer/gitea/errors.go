// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package gitea

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

// answer is a call that did not do what it should. Its text holds nothing of the answer but the status.
type answer struct {
	op     string
	status int  // zero: there was none
	gitea  bool // it is in Gitea's form, and not some proxy's page
	text   string
	is     []error
	no     bool // a definite one: the call had no effect
}

var _ rotation.PublicError = (*answer)(nil)

// Error is one line: call, status, what to do.
func (a *answer) Error() string {
	s := "gitea: " + a.op
	if a.status != 0 {
		s += fmt.Sprintf(": %d %s", a.status, http.StatusText(a.status))
	}
	if a.text != "" {
		s += ": " + a.text
	}
	return s
}

func (a *answer) Public() string  { return a.Error() }
func (a *answer) Unwrap() []error { return a.is }

// refused says what an answer means. A 4xx of Gitea's is a refusal, but 408, 409 and 425 may answer a repetition of what had its effect.
// One of somebody else's proves nothing: a proxy may have repeated the request, or looked at Gitea's answer and kept it back.
func refused(ctx context.Context, op string, resp *http.Response) error {
	a := &answer{op: op, status: resp.StatusCode}
	a.gitea = strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json")
	switch {
	case a.status < 300:
		a.text = "the answer is incomplete or not understood"
		if err := ctx.Err(); err != nil {
			a.is = append(a.is, err)
		}
	case a.status < 400:
		a.text = "a redirect, which is not followed"
	case a.status < 500 && !a.gitea:
		a.text = "not from Gitea: is the URL right, and what is between?"
	case a.status == http.StatusUnauthorized:
		a.text, a.is = "the login or the password is not accepted (Config.Admin, Config.Password), or Gitea's database is away", []error{rotation.ErrDenied}
	case a.status == http.StatusForbidden:
		a.text, a.is = "Config.Admin has to be Config.User or a site administrator, and a token in the place of the password needs write:user", []error{rotation.ErrDenied}
	case a.status == http.StatusNotFound:
		a.is = []error{rotation.ErrNotFound}
	case a.status == http.StatusConflict:
		a.is = []error{rotation.ErrConflict}
	}
	unclear := []int{http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly}
	a.no = a.gitea && a.status >= 400 && a.status < 500 && !slices.Contains(unclear, a.status)
	at := retryAfter(resp.Header, time.Now())
	if !at.IsZero() && (a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable) {
		return rotation.RetryAt(a, at)
	}
	return a
}

// unanswered never uses the text of the transport's error.
func unanswered(ctx context.Context, op string, err error) error {
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return &answer{op: op, text: "no answer before the context ended", is: []error{ctx.Err()}}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &answer{op: op, text: "timed out", is: []error{context.DeadlineExceeded}}
	}
	return &answer{op: op, text: "no answer"}
}

// badRequest reports whether an error of call is Gitea's own 400.
func badRequest(err error) bool {
	var a *answer
	return errors.As(err, &a) && a.gitea && a.status == http.StatusBadRequest
}

// problem is an error of this package's own, whose text is public.
func problem(text string, is ...error) error {
	return &own{text, is}
}

type own struct {
	text string
	is   []error
}

var _ rotation.PublicError = (*own)(nil)

func (o *own) Error() string   { return o.text }
func (o *own) Public() string  { return o.text }
func (o *own) Unwrap() []error { return o.is }

// ofIssue adds to an error of the call that issues what a refusal says there, and of no other call: nothing was issued.
func ofIssue(err error) error {
	var a *answer
	if errors.As(err, &a) && a.no {
		return notIssued{err}
	}
	return err
}

// notIssued is an error that says as well that nothing was issued.
type notIssued struct{ error }

var _ rotation.PublicError = notIssued{}

func (n notIssued) Public() string  { return n.Error() }
func (n notIssued) Unwrap() []error { return []error{rotation.ErrNotIssued, n.error} }
