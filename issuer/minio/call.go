// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package minio

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// operation is a call of the API and the action that it needs.
type operation struct{ name, action string }

var (
	add    = operation{"AddServiceAccount", "admin:CreateServiceAccount"}
	list   = operation{"ListServiceAccounts", "admin:ListServiceAccounts"}
	inform = operation{"InfoServiceAccount", "admin:ListServiceAccounts"}
	update = operation{"UpdateServiceAccount", "admin:UpdateServiceAccount"}
	remove = operation{"DeleteServiceAccount", "admin:RemoveServiceAccount"}
	verify = operation{"AccountInfo", ""}
)

// call does one call of the client, which is one request. The error is made of what came back and of nothing that the client says
// of it: its texts quote answers and URLs.
func (i *Issuer) call(ctx context.Context, op operation, do func(context.Context) error) error {
	once, cancel := context.WithCancel(ctx)
	defer cancel()
	x := &exchange{stop: cancel}
	err := do(context.WithValue(once, exchangeKey{}, x))
	if err == nil {
		return nil
	}
	return x.problem(ctx, op)
}

// exchange is what came of a call's request.
type exchange struct {
	stop   context.CancelFunc
	sent   bool
	err    error // of the transport
	status int
	code   string    // of MinIO's error
	retry  time.Time // zero: not told
}

type exchangeKey struct{}

// single lets one request through for each call and notes what came of it. When it has failed the call is cancelled, because the
// client would repeat it: a repeated creation is answered with a refusal, which looks as if nothing had been made.
type single struct{ base http.RoundTripper }

func (s single) RoundTrip(r *http.Request) (*http.Response, error) {
	x, ok := r.Context().Value(exchangeKey{}).(*exchange)
	if !ok || x.sent {
		return nil, context.Canceled
	}
	x.sent = true
	resp, err := s.base.RoundTrip(r)
	if err != nil {
		x.err = err
		x.stop()
		return nil, err
	}
	x.status = resp.StatusCode
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	x.retry = retryAfter(resp.Header, time.Now())
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // an error without its code is one as well
	_ = resp.Body.Close()
	x.code = errorCode(body)
	x.stop() // also after a redirect: it is not followed, as it would carry the signature somewhere else
	resp.Body = io.NopCloser(bytes.NewReader(nil))
	return resp, nil
}

// errorCode is the code in MinIO's error, which is JSON or XML. Empty: it is somebody else's answer.
func errorCode(body []byte) string {
	var e struct{ Code string }
	if json.Unmarshal(body, &e) != nil && xml.Unmarshal(body, &e) != nil {
		return ""
	}
	if len(e.Code) > 64 || strings.Trim(e.Code, codeCharacters) != "" {
		return ""
	}
	return e.Code
}

const codeCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// retryAfter is when a Retry-After header of an answer received at now says to come back, at most a day later. Zero: it says nothing.
func retryAfter(h http.Header, now time.Time) time.Time {
	text := h.Get("Retry-After")
	at, err := http.ParseTime(text)
	if err != nil {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds < 0 {
			return time.Time{}
		}
		at = now.Add(time.Duration(min(seconds, 24*60*60)) * time.Second)
	}
	if latest := now.Add(24 * time.Hour); at.After(latest) {
		return latest
	}
	return at
}
