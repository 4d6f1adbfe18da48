// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"cmp"
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/rotation"
)

const defaultTimeout = 5 * time.Second

// destination is where a notice is posted to.
type destination struct {
	name    string // what errors call it
	url     string
	client  *http.Client
	timeout time.Duration // zero: the default
	repeats bool          // it answers 409 to what it has taken before
}

// post sends JSON. prepare may sign the request. Nothing of the URL but what name has of it, and nothing of the answer but its
// status, is in the error.
func (d destination) post(ctx context.Context, body []byte, prepare func(*http.Request) error) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(d.timeout, defaultTimeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(body))
	if err != nil { // it quotes the URL
		return wire.Problem("notify: " + d.name + ": not a URL")
	}
	req.Header.Set("Content-Type", "application/json")
	if prepare != nil {
		if err := prepare(req); err != nil {
			return err
		}
	}
	resp, err := wire.Client(d.client).Do(req)
	if err != nil {
		text, is := wire.Reason(ctx, err)
		return wire.Problem("notify: "+d.name+": "+text, is...)
	}
	defer wire.Drain(resp.Body)
	return d.answered(resp)
}

// answered turns a status into a sentinel, as package issuer does.
func (d destination) answered(resp *http.Response) error {
	text, code := "notify: "+d.name+": "+wire.Status(resp.StatusCode), resp.StatusCode
	switch {
	case code >= 200 && code <= 299, d.repeats && code == http.StatusConflict:
		return nil
	case code >= 300 && code <= 399:
		return wire.Problem(text + ": a redirect, which is not followed")
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return wire.Problem(text, rotation.ErrDenied)
	case code == http.StatusNotFound, code == http.StatusGone:
		return wire.Problem(text, rotation.ErrNotFound)
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		if t, ok := wire.Reset(resp.Header, time.Now()); ok {
			return rotation.RetryAt(wire.Problem(text), t)
		}
	}
	return wire.Problem(text)
}

// origin is the scheme and host of raw: all that may be shown of a URL whose path is a secret.
func origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return "(not a URL)"
	}
	return u.Scheme + "://" + u.Host
}

func timeoutProblem(field string, t time.Duration) error {
	if t < 0 {
		return wire.Problem("notify: " + field + ".Timeout is negative")
	}
	return nil
}
