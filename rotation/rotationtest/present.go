// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// Verify presents key.Secret: nil if it is accepted now, ErrRejected if not. Without a secret there is nothing to present,
// which is another error. An accepted key counts as used.
func (p *Provider) Verify(ctx context.Context, key rotation.Key) error {
	return do(ctx, &p.script, "Verify", func() error {
		if key.Secret.IsZero() {
			return errors.New("provider in memory: a key without value cannot be verified")
		}
		if !p.present(key.Secret, "Verify") {
			return fmt.Errorf("provider in memory: %w", rotation.ErrRejected)
		}
		return nil
	})
}

// RoundTrip answers 200 to a request with a live key in "Authorization: Bearer" and 401 to any other, whatever its method,
// host and path. It reads and closes the request's body, and touches no network. An accepted key counts as used.
func (p *Provider) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
	}
	return act(r.Context(), &p.script, "RoundTrip", func() (*http.Response, error) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if strings.EqualFold(scheme, "Bearer") && p.present(secret.New(token), "RoundTrip") {
			return respond(r, http.StatusOK), nil
		}
		return respond(r, http.StatusUnauthorized), nil
	})
}

// present reports whether value is accepted now, and takes note of the use if it is.
func (p *Provider) present(value secret.Value, through string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := now()
	m := p.values[digestOf(value)]
	if m == nil || !m.accepted(t, p.Propagate) {
		return false
	}
	m.used, m.through = t, through
	if through == "RoundTrip" {
		p.last = m
	}
	return true
}

func respond(r *http.Request, status int) *http.Response {
	body := http.StatusText(status) + "\n"
	header := http.Header{"Content-Type": {"text/plain; charset=utf-8"}}
	if status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", "Bearer")
	}
	return &http.Response{
		Status:     fmt.Sprintf("%d %s", status, http.StatusText(status)),
		StatusCode: status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        header,
		Body:          io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)),
		Request:       r,
	}
}
