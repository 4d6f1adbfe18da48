// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8ssecret

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/handover-go/handover/rotation"
)

// failure is an error of this package. Its text is made of names, status codes and the API's own words for reasons, never of an
// answer's message, which can quote what was sent: it may be recorded.
type failure struct {
	text string
	is   []error
}

var _ rotation.PublicError = (*failure)(nil)

func failf(is []error, format string, args ...any) error {
	return &failure{"k8ssecret: " + fmt.Sprintf(format, args...), is}
}

func (e *failure) Error() string   { return e.text }
func (e *failure) Public() string  { return e.text }
func (e *failure) Unwrap() []error { return e.is }

// failed is the error of a call, with what it means for the engine. Whether a write took place is not known of anything but what is
// a definite refusal.
func failed(verb, what string, err error) error {
	var is []error
	text := "the API server could not be asked, or its answer was lost"
	var status apierrors.APIStatus
	switch {
	case errors.As(err, &status):
		is, text = meaning(err), reason(status)
	case errors.Is(err, context.DeadlineExceeded):
		is, text = []error{context.DeadlineExceeded}, "timed out"
	case errors.Is(err, context.Canceled):
		is, text = []error{context.Canceled}, "cancelled"
	}
	err = failf(is, "%s %s: %s", verb, what, text)
	if seconds, ok := apierrors.SuggestsClientDelay(statusError(status)); ok && status != nil {
		err = rotation.RetryAt(err, time.Now().Add(time.Duration(seconds)*time.Second))
	}
	return err
}

func statusError(status apierrors.APIStatus) error {
	err, _ := status.(error)
	return err
}

// meaning is the sentinel of a status. A patch of what is gone, and a creation of what is there, missed a change by somebody else.
func meaning(err error) []error {
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsGone(err):
		return []error{rotation.ErrConflict}
	case apierrors.IsNotFound(err):
		return []error{rotation.ErrNotFound}
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return []error{rotation.ErrDenied}
	}
	return nil
}

// reason is the status without its message. A reason that is none of the API's own words comes from an admission webhook, and can be
// any text.
func reason(s apierrors.APIStatus) string {
	code := int(s.Status().Code)
	text := fmt.Sprintf("%d %s", code, http.StatusText(code))
	if r := s.Status().Reason; slices.Contains(reasons, r) {
		text += fmt.Sprintf(" (%s)", r)
	}
	return text
}

var reasons = []metav1.StatusReason{
	metav1.StatusReasonUnauthorized, metav1.StatusReasonForbidden, metav1.StatusReasonNotFound, metav1.StatusReasonAlreadyExists,
	metav1.StatusReasonConflict, metav1.StatusReasonGone, metav1.StatusReasonExpired, metav1.StatusReasonInvalid,
	metav1.StatusReasonServerTimeout, metav1.StatusReasonStoreReadError, metav1.StatusReasonTimeout, metav1.StatusReasonTooManyRequests,
	metav1.StatusReasonBadRequest, metav1.StatusReasonMethodNotAllowed, metav1.StatusReasonNotAcceptable, metav1.StatusReasonRequestEntityTooLarge,
	metav1.StatusReasonUnsupportedMediaType, metav1.StatusReasonInternalError, metav1.StatusReasonServiceUnavailable,
}
