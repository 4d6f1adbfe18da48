// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package smerr says what the errors of Secrets Manager mean, in words of its own.
package smerr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/handover-go/handover/rotation"
)

// failure is an error whose text is its own, so it may be recorded: it is a rotation.PublicError. Nothing of the text of an answer of
// AWS is in it.
type failure struct {
	text string
	is   []error
}

var _ rotation.PublicError = (*failure)(nil)

func (e *failure) Error() string   { return e.text }
func (e *failure) Public() string  { return e.text }
func (e *failure) Unwrap() []error { return e.is }

// New returns an error with a public text that matches each of is.
func New(text string, is ...error) error { return &failure{text, is} }

// Newf is New with a format.
func Newf(format string, args ...any) error { return &failure{text: fmt.Sprintf(format, args...)} }

// Code is AWS's name of an error, empty if there was no answer that has one.
func Code(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() == "UnknownError" { // the SDK's own word for an answer that is not AWS's
		return ""
	}
	return api.ErrorCode()
}

// Fail says what became of one operation on one secret. The text begins with the name of the package that did it.
func Fail(ctx context.Context, by, op, id string, err error) error {
	e := &failure{text: by + ": " + op + " of secret " + strconv.Quote(id) + ": "}
	switch c := Code(err); c {
	case "":
		e.text += unanswered(ctx, err)
		for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
			if errors.Is(err, cause) || errors.Is(ctx.Err(), cause) {
				e.is = append(e.is, cause)
			}
		}
	case "ResourceNotFoundException":
		e.text += "there is no such secret or version"
		e.is = append(e.is, rotation.ErrNotFound)
	case "AccessDeniedException", "AccessDenied":
		e.text += denied(op, err)
		e.is = append(e.is, rotation.ErrDenied)
	case "DecryptionFailure", "EncryptionFailure":
		e.text += "its KMS key cannot be used: it is disabled, scheduled for deletion, or kms:Decrypt and kms:GenerateDataKey are not allowed"
		e.is = append(e.is, rotation.ErrDenied)
	case "UnrecognizedClientException", "InvalidClientTokenId", "IncompleteSignature", "MissingAuthenticationToken", "ExpiredTokenException":
		e.text += "this process's own AWS credentials are not accepted (" + c + ")"
		e.is = append(e.is, rotation.ErrDenied)
	case "InvalidSignatureException", "SignatureDoesNotMatch", "RequestExpired", "RequestTimeTooSkewed":
		e.text += "the signature is not accepted (" + c + "): is this machine's clock right?"
		e.is = append(e.is, rotation.ErrDenied)
	case "LimitExceededException":
		e.text += "a quota is reached: AWS keeps every version of the last day and a hundred in all, so wait a day or write less often"
	case "InvalidRequestException":
		e.text += "its state forbids it (" + c + "): is it scheduled for deletion (RestoreSecret), a replica, or managed by another service?"
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

// denied names the action that is missing.
func denied(op string, err error) string {
	text := err.Error() // read, and not quoted: a secret may be called kms too
	if strings.Contains(text, "Access to KMS") || strings.Contains(text, "perform: kms:") {
		return "denied: allow kms:Decrypt and kms:GenerateDataKey on its KMS key, in the key's policy too"
	}
	return "denied: allow secretsmanager:" + op + ", in the secret's resource policy too where it has one"
}

func unanswered(ctx context.Context, err error) string {
	switch {
	case errors.Is(ctx.Err(), context.Canceled), errors.Is(err, context.Canceled):
		return "cancelled"
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded):
		return "timed out"
	case errors.As(err, new(*smithyhttp.ResponseError)):
		return "an answer that is not AWS's: is there a proxy between?"
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
		if id := r.ServiceRequestID(); safe(strings.ReplaceAll(id, "-", "")) == strings.ReplaceAll(id, "-", "") {
			return id
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
