// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package minio

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"

	"github.com/handover-go/handover/rotation"
)

// Codes of MinIO's errors, cmd/api-errors.go and cmd/admin-handler-utils.go.
const (
	codeNoKey     = "InvalidAccessKeyId" // disabled, over, deleted or never made
	codeSignature = "SignatureDoesNotMatch"
	codeTaken     = "XMinioIAMServiceAccountNotAllowed" // the access key is there already, or the user is an access key himself
	codeBadKey    = "XMinioAdminInvalidAccessKey"
	codeBadSecret = "XMinioAdminInvalidSecretKey"
)

// answer is a call that did not do what it should. Its text holds nothing of the answer but the status and MinIO's code.
type answer struct {
	op     string
	status int // zero: there was none
	code   string
	text   string
	is     []error
	no     bool // a definite one: the call had no effect
}

var _ rotation.PublicError = (*answer)(nil)

// Error is one line: call, status, code, what to do.
func (a *answer) Error() string {
	s := "minio"
	if a.op != "" {
		s += ": " + a.op
	}
	if a.status != 0 {
		s += fmt.Sprintf(": %d %s", a.status, http.StatusText(a.status))
	}
	for _, part := range []string{a.code, a.text} {
		if part != "" {
			s += ": " + part
		}
	}
	return s
}

func (a *answer) Public() string  { return a.Error() }
func (a *answer) Unwrap() []error { return a.is }

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

// problem says what came of a call that failed, and what that means. A 4xx of MinIO's is a refusal; 408, 409 and 425 may answer a
// repetition of what had its effect, and so may its words for a key that is there already. One without a code of MinIO's proves
// nothing: a proxy may have repeated the request, or looked at MinIO's answer and kept it back.
func (x *exchange) problem(ctx context.Context, op operation) error {
	a := &answer{op: op.name, status: x.status, code: x.code()}
	switch {
	case x.unsent != "":
		a.text, a.is = "not sent: "+x.unsent, ended(ctx)
	case x.status == 0:
		a.text, a.is = unanswered(ctx, x.err)
	case x.status < 300:
		a.text, a.is = "the answer is incomplete or not understood", ended(ctx)
	case x.status < 400:
		a.text = "a redirect, which is not followed"
	case x.status < 500 && a.code == "":
		a.text = "not from MinIO: is the URL right, and what is between?"
	case x.status == http.StatusUnauthorized, x.status == http.StatusForbidden:
		a.text, a.is = denied(op, a.code), []error{rotation.ErrDenied}
	case x.status == http.StatusNotFound:
		a.is = []error{rotation.ErrNotFound}
	case x.status == http.StatusConflict:
		a.is = []error{rotation.ErrConflict}
	}
	unclear := []int{http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly}
	a.no = x.unsent != "" || a.code != "" && x.status >= 400 && x.status < 500 && !slices.Contains(unclear, x.status) && a.code != codeTaken
	if !x.retry.IsZero() && (x.status == http.StatusTooManyRequests || x.status == http.StatusServiceUnavailable) {
		return rotation.RetryAt(a, x.retry)
	}
	return a
}

// denied says what to do about a refusal of the administrator's key.
func denied(op operation, code string) string {
	switch {
	case code == codeNoKey || code == codeSignature:
		return "the server does not accept the administrator's key (Config.Credentials)"
	case op.action != "":
		return "the administrator's key needs " + op.action
	}
	return ""
}

// unanswered never uses the text of the transport's error.
func unanswered(ctx context.Context, err error) (string, []error) {
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return "no answer before the context ended", ended(ctx)
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timed out", []error{context.DeadlineExceeded}
	}
	return "no answer", nil
}

func ended(ctx context.Context) []error {
	if err := ctx.Err(); err != nil {
		return []error{err}
	}
	return nil
}

// codeOf is MinIO's code in an error of call; empty if there is none.
func codeOf(err error) string {
	var a *answer
	if errors.As(err, &a) {
		return a.code
	}
	return ""
}

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
