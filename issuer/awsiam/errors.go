// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awsiam

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/handover-go/handover/rotation"
)

// failure is an error of this package. Its text is its own, so it may be recorded: it is a rotation.PublicError. Nothing of the text
// of an answer of AWS is in it.
type failure struct {
	text string
	is   []error
}

var _ rotation.PublicError = (*failure)(nil)

func (e *failure) Error() string   { return e.text }
func (e *failure) Public() string  { return e.text }
func (e *failure) Unwrap() []error { return e.is }

func problem(text string, is ...error) error { return &failure{text, is} }

// code is AWS's name of an error, empty if there was no answer that has one.
func code(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() == "UnknownError" { // the SDK's own word for an answer that is not AWS's
		return ""
	}
	return api.ErrorCode()
}

// skewed reports whether a signature was refused for its time. AWS says so by the same code as for a wrong secret, so its message is
// read, and not quoted.
func skewed(err error) bool {
	switch code(err) {
	case "RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture":
		return true
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	text := api.ErrorMessage()
	return strings.Contains(text, "Signature expired") || strings.Contains(text, "not yet current")
}

// fail says what became of one action. It matches is, and what the answer means.
func fail(ctx context.Context, action, target string, err error, is ...error) error {
	e := &failure{text: "awsiam: " + action + " of " + target + ": ", is: is}
	c := code(err)
	switch {
	case c == "" || status(err) == 0:
		e.text += unanswered(ctx, err)
		for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
			if errors.Is(err, cause) || errors.Is(ctx.Err(), cause) {
				e.is = append(e.is, cause)
			}
		}
	case skewed(err):
		e.text += "the signature is not accepted for its time: set this machine's clock, AWS allows five minutes"
		e.is = append(e.is, rotation.ErrDenied)
	case c == "NoSuchEntity":
		e.text += "there is no such user or key"
		e.is = append(e.is, rotation.ErrNotFound)
	case c == "LimitExceeded":
		e.text += "the user has two access keys already, and AWS allows no more, disabled ones counted: end the one that nobody needs"
		e.is = append(e.is, rotation.ErrNoSlot)
	case c == "AccessDenied", c == "AccessDeniedException", c == "UnauthorizedOperation":
		e.text += "denied: allow iam:" + action + " on the user"
		e.is = append(e.is, rotation.ErrDenied)
	case c == "InvalidClientTokenId", c == "SignatureDoesNotMatch", c == "ExpiredToken", c == "IncompleteSignature", c == "MissingAuthenticationToken":
		e.text += "this process's own AWS credentials are not accepted (" + c + ")"
		e.is = append(e.is, rotation.ErrDenied)
	default:
		e.text += "AWS answered " + safe(c)
	}
	if id := requestID(err); id != "" {
		e.text += " (request " + id + ")"
	}
	if at, ok := retryAfter(err); ok {
		return rotation.RetryAt(e, at)
	}
	return e
}

// refused reports whether AWS certainly did nothing: every 4xx but a timeout.
func refused(err error) bool {
	s := status(err)
	return code(err) != "" && s >= 400 && s < 500 && s != http.StatusRequestTimeout
}

func status(err error) int {
	var r *smithyhttp.ResponseError
	if !errors.As(err, &r) || r.Response == nil {
		return 0
	}
	return r.HTTPStatusCode()
}

func unanswered(ctx context.Context, err error) string {
	switch {
	case errors.Is(ctx.Err(), context.Canceled), errors.Is(err, context.Canceled):
		return "cancelled"
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded):
		return "timed out"
	case status(err) != 0:
		return "an answer that is not AWS's (" + strconv.Itoa(status(err)) + "): is there a proxy between?"
	default:
		return "no answer"
	}
}

// safe is an error code if it looks like one: an endpoint that is not AWS could put anything there.
func safe(code string) string {
	strange := strings.ContainsFunc(code, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.')
	})
	if strange || len(code) > 64 {
		return "an error"
	}
	return code
}

func requestID(err error) string {
	var r interface{ ServiceRequestID() string }
	if errors.As(err, &r) {
		if plain := strings.ReplaceAll(r.ServiceRequestID(), "-", ""); safe(plain) == plain {
			return r.ServiceRequestID()
		}
	}
	return ""
}

// retryAfter is the time that a rate limit's answer names, at most a day ahead.
func retryAfter(err error) (time.Time, bool) {
	var r *smithyhttp.ResponseError
	if !errors.As(err, &r) || r.Response == nil {
		return time.Time{}, false
	}
	text := r.Response.Header.Get("Retry-After")
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		return time.Now().Add(min(time.Duration(n)*time.Second, 24*time.Hour)), true
	}
	if t, err := http.ParseTime(text); err == nil && time.Until(t) < 24*time.Hour {
		return t, true
	}
	return time.Time{}, false
}
