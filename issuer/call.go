// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// Call does one JSON request for an issuer: in is sent as JSON if it is not nil, and a 2xx answer is decoded into out if that
// is not nil. c carries the authority; nil is http.DefaultClient. Call blocks until the answer is there or ctx ends.
//
// Any other answer becomes an *[Error], which quotes nothing of the body and matches sentinels of package rotation:
//
//	401, 403                      ErrDenied
//	404, 410                      ErrNotFound
//	409                           ErrConflict
//	every 4xx but 408, 409, 425   ErrNotIssued as well
//	429, 503                      is a RetryAt where the answer names a time, at most a day ahead
//
// A 429 is a refusal, so nothing was issued. 408, 409 and 425 do not say that: a 409 can be the answer to the repetition of
// a request that had its effect. To a Revoke a 409 often means that the key has ended already, as 404 and 410 do: where your
// provider means that, return nil for ErrConflict too. A 5xx, no answer, a redirect (none is followed), a 2xx answer that is larger than 1 MiB,
// empty while out is not nil, or not what out can hold: all of these are ambiguous and match no sentinel. out may be partly
// filled beside an error. What was never sent (ctx has ended, in does not marshal, no such URL) matches ErrNotIssued.
//
// The headers of the answer are not told. A list whose next page is named in a Link header cannot be read with Call: use
// [REST], which follows them. Where the body or a number names the next page, call once for each, until there is none.
//
// A [secret.Value] in out takes the JSON string. One in in does not marshal: call Reveal.
func Call(ctx context.Context, c *http.Client, method, url string, in, out any) error {
	_, err := call(ctx, c, method, url, nil, in, out)
	return err
}

// Error is a request that did not do what it should. Its text is public: it has the method, the URL without its query and
// user information, the status and the provider's id of the request, nothing of the body and nothing of a transport's error.
type Error struct {
	Method    string
	URL       string // without user information, query and fragment
	Status    int    // zero: there was no answer
	RequestID string // of the provider's answer; empty: it gave none

	text string
	is   []error
}

var _ rotation.PublicError = (*Error)(nil)

// Error is one line: method, URL, status, what is wrong, the provider's id of the request.
func (e *Error) Error() string {
	s := "issuer: " + e.Method + " " + e.URL
	if e.Status != 0 {
		s += ": " + wire.Status(e.Status)
	}
	if e.text != "" {
		s += ": " + e.text
	}
	if e.RequestID != "" {
		s += " (request " + e.RequestID + ")"
	}
	return s
}

// Public is the same as Error.
func (e *Error) Public() string { return e.Error() }

// Unwrap returns what e matches: sentinels of package rotation, errors of package context.
func (e *Error) Unwrap() []error { return e.is }

func (e *Error) because(text string, is ...error) error {
	e.text, e.is = text, is
	return e
}

// call is Call with request headers, and returns the headers of the answer.
func call(ctx context.Context, c *http.Client, method, url string, header http.Header, in, out any) (http.Header, error) {
	e := &Error{Method: method, URL: wire.Redact(url)}
	req, err := newRequest(ctx, e, url, in)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := wire.Client(c).Do(req)
	if err != nil {
		text, is := wire.Reason(ctx, err)
		return nil, e.because(text, is...)
	}
	defer wire.Drain(resp.Body)
	e.Status, e.RequestID = resp.StatusCode, wire.RequestID(resp.Header)
	if e.Status < 200 || e.Status > 299 {
		return resp.Header, e.refused(resp.Header)
	}
	if out == nil {
		return resp.Header, nil
	}
	return resp.Header, decode(ctx, e, resp.Body, out)
}

// newRequest fails with what matches ErrNotIssued: nothing was sent yet.
func newRequest(ctx context.Context, e *Error, url string, in any) (*http.Request, error) {
	if err := ctx.Err(); err != nil {
		return nil, e.because("not sent: the context has ended", rotation.ErrNotIssued, err)
	}
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		switch {
		case errors.Is(err, secret.ErrMarshal):
			return nil, e.because("not sent: the request holds a secret.Value; call Reveal", rotation.ErrNotIssued, secret.ErrMarshal)
		case err != nil:
			return nil, e.because(fmt.Sprintf("not sent: %T does not marshal", in), rotation.ErrNotIssued)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, e.Method, url, body)
	if err != nil || req.URL.Host == "" {
		return nil, e.because("not sent: no such method or URL", rotation.ErrNotIssued)
	}
	req.Header.Set("Accept", "application/json")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// refused turns the status of e into sentinels.
func (e *Error) refused(h http.Header) error {
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		e.is = append(e.is, rotation.ErrDenied)
	case http.StatusNotFound, http.StatusGone:
		e.is = append(e.is, rotation.ErrNotFound)
	case http.StatusConflict:
		e.is = append(e.is, rotation.ErrConflict)
	}
	unclear := []int{http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly}
	if e.Status >= 400 && e.Status < 500 && !slices.Contains(unclear, e.Status) {
		e.is = append(e.is, rotation.ErrNotIssued)
	}
	if e.Status >= 300 && e.Status < 400 {
		e.text = "a redirect, which is not followed"
	}
	if e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable {
		if t, ok := wire.Reset(h, time.Now()); ok {
			return rotation.RetryAt(e, t)
		}
	}
	return e
}

// decode reads a 2xx answer. The texts of its errors are its own: those of encoding/json quote the input.
func decode(ctx context.Context, e *Error, body io.Reader, out any) error {
	data, err := io.ReadAll(io.LimitReader(body, wire.Limit+1))
	if err != nil {
		text, is := wire.Reason(ctx, err)
		return e.because("the answer is incomplete: "+text, is...)
	}
	if len(data) > wire.Limit {
		return e.because("the answer is larger than 1 MiB")
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return e.because("the answer is empty")
	}
	if json.Unmarshal(data, out) != nil {
		return e.because(fmt.Sprintf("the answer does not decode into %T", out))
	}
	return nil
}
