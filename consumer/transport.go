// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/rotation"
)

// Transport is an http.RoundTripper that puts the live key on requests to one origin, and on no others: where a redirect leads
// to another host, port or scheme, the key does not go.
//
// A 401 makes it ask Handle.Reject for a newer key and, if there is one and the request can be repeated (it has no body, or
// GetBody), send it once more. Anything else is the caller's to repeat. Responses show the request as the caller made it,
// without the key.
//
// Its fields are set before the first use and not changed later. It is then safe for concurrent use.
type Transport struct {
	Handle *Handle                           // required
	Origin string                            // required: scheme, host and, if it is not the usual one, port
	Auth   func(*http.Request, rotation.Key) // puts the key on a request; nil: Authorization: Bearer
	Base   http.RoundTripper                 // nil: http.DefaultTransport

	once   sync.Once
	origin string
	err    error
}

var _ http.RoundTripper = (*Transport)(nil)

// Validate reports every mistake in the fields. RoundTrip returns the same error.
func (t *Transport) Validate() error {
	var errs []error
	if t.Handle == nil {
		errs = append(errs, required("Transport.Handle"))
	}
	_, err := parseOrigin(t.Origin)
	return errors.Join(append(errs, err)...)
}

// RoundTrip sends r, with the key if it goes to Origin. It does not change r.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.once.Do(func() {
		t.err = t.Validate()
		t.origin, _ = parseOrigin(t.Origin)
	})
	if t.err != nil {
		closeBody(r)
		return nil, t.err
	}
	if r.URL == nil || originOf(r.URL) != t.origin {
		return t.base().RoundTrip(r)
	}
	key := t.Handle.Key()
	resp, err := t.send(r, r.Body, key)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || !t.Handle.Reject(r.Context(), key) {
		return resp, err
	}
	body, ok := rewind(r)
	if !ok {
		return resp, nil
	}
	wire.Drain(resp.Body)
	return t.send(r, body, t.Handle.Key())
}

func (t *Transport) send(r *http.Request, body io.ReadCloser, key rotation.Key) (*http.Response, error) {
	if key.Secret.IsZero() {
		closeBody(r)
		return nil, fail(nil, "Transport.Handle has no key")
	}
	out := r.Clone(r.Context())
	out.Body = body
	if t.Auth != nil {
		t.Auth(out, key)
	} else {
		out.Header.Set("Authorization", "Bearer "+key.Secret.Reveal())
	}
	resp, err := t.base().RoundTrip(out)
	if resp != nil {
		resp.Request = r // not the one with the key: responses get logged
	}
	return resp, err
}

func (t *Transport) base() http.RoundTripper {
	if t.Base == nil {
		return http.DefaultTransport
	}
	return t.Base
}

// rewind returns a body for a second try, if there can be one.
func rewind(r *http.Request) (io.ReadCloser, bool) {
	if r.Body == nil || r.Body == http.NoBody {
		return r.Body, true
	}
	if r.GetBody == nil {
		return nil, false
	}
	body, err := r.GetBody()
	return body, err == nil
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		r.Body.Close()
	}
}

func parseOrigin(text string) (string, error) {
	if err := wire.URLProblem("consumer: Transport.Origin", text); err != nil {
		return "", err
	}
	u, _ := url.Parse(text)
	if u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return "", fail(nil, "Transport.Origin is more than a scheme, a host and a port")
	}
	return originOf(u), nil
}

// originOf is the origin in one spelling: lower case, with the port.
func originOf(u *url.URL) string {
	scheme, port := strings.ToLower(u.Scheme), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
