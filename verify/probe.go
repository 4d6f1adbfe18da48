// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/rotation"
)

// Probe presents the key to the accepting side, in a request that changes nothing. Use it for Credential.Verifier. It follows
// no redirect, keeps no cookie and is safe for concurrent use.
//
// 2xx is accepted; 401 is rejected; everything else is not known, unless Rejected or Answer say otherwise. A 403 is no
// rejection: it can be a living key with little permission, or a firewall.
type Probe struct {
	URL      string                            // required: of a request that changes nothing
	Method   string                            // empty: GET
	Body     string                            // of a request that is safe to repeat; JSON unless Auth sets another Content-Type
	Auth     func(*http.Request, rotation.Key) // puts the key into the request; nil: Authorization: Bearer
	Rejected []int                             // status codes that mean a dead key; nil: 401
	Answer   func(*http.Response) error        // looks at a 2xx answer, at most 1 MiB: nil, an ErrRejected, not known; nil: accepts it
	Client   *http.Client                      // carries no authority of its own; nil: http.DefaultClient
}

var (
	_ rotation.Verifier   = Probe{}
	_ rotation.Identifier = Probe{}
	_ rotation.Checker    = Probe{}
)

// Verify presents key. It returns nil if the key is accepted, rotation.ErrRejected if it is definitely refused, and another
// error if that is not known: with the time of rotation.RetryAt where a 429 or 503 names one. Errors hold the URL as
// configured, without query and user information, the status and the provider's id of the request; nothing of the key, of
// the answer, or of an error that Answer or the transport gave.
func (p Probe) Verify(ctx context.Context, key rotation.Key) error {
	if err := p.Validate(); err != nil {
		return err
	}
	if key.Secret.IsZero() {
		return wire.Problem("verify: Probe: the key has no secret to present")
	}
	req, err := p.request(ctx, key)
	if err != nil {
		return err
	}
	client := wire.Client(p.Client)
	client.Jar = nil // a session of an earlier probe would vouch for a dead key
	resp, err := client.Do(req)
	if err != nil {
		text, is := wire.Reason(ctx, err)
		return p.problem(text, is...)
	}
	defer wire.Drain(resp.Body)
	return p.judge(ctx, resp)
}

func (p Probe) request(ctx context.Context, key rotation.Key) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, cmp.Or(p.Method, http.MethodGet), p.URL, strings.NewReader(p.Body))
	if err != nil {
		return nil, p.problem("no such request") // the text of err quotes the URL
	}
	req.Header.Set("Cache-Control", "no-cache") // a cached 200 would vouch for a dead key
	if p.Auth != nil {
		p.Auth(req, key)
	} else {
		req.Header.Set("Authorization", "Bearer "+key.Secret.Reveal())
	}
	if p.Body != "" && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// judge is exact about the difference of refused and not known.
func (p Probe) judge(ctx context.Context, resp *http.Response) error {
	text := wire.Status(resp.StatusCode)
	if id := wire.RequestID(resp.Header); id != "" {
		text += " (request " + id + ")"
	}
	rejected := p.Rejected
	if rejected == nil {
		rejected = []int{http.StatusUnauthorized}
	}
	switch {
	case slices.Contains(rejected, resp.StatusCode):
		return p.problem(text, rotation.ErrRejected)
	case resp.StatusCode >= 200 && resp.StatusCode <= 299:
		return p.answer(ctx, resp, text)
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusServiceUnavailable:
		if t, ok := wire.Reset(resp.Header, time.Now()); ok {
			return rotation.RetryAt(p.problem("inconclusive: "+text), t)
		}
	}
	return p.problem("inconclusive: " + text)
}

// answer asks Answer. Of its error, only a verdict and a public text are kept: any other text may quote the answer.
func (p Probe) answer(ctx context.Context, resp *http.Response, text string) error {
	if p.Answer == nil {
		return nil
	}
	body := resp.Body
	resp.Body = limited{io.LimitReader(body, wire.Limit), body}
	err := p.Answer(resp)
	if err == nil {
		return nil
	}
	var public rotation.PublicError
	if errors.As(err, &public) {
		text += ": " + public.Public()
	}
	switch {
	case ctx.Err() != nil: // then Answer may have seen half of the answer
		reason, is := wire.Reason(ctx, err)
		return p.problem("inconclusive: "+reason, is...)
	case errors.Is(err, rotation.ErrRejected):
		return p.problem(text, rotation.ErrRejected)
	case errors.Is(err, rotation.ErrNotYet):
		return p.problem(text, rotation.ErrNotYet)
	}
	return p.problem("inconclusive: " + text)
}

type limited struct {
	io.Reader
	io.Closer
}

// problem never uses the URL of the request: Auth may have put the key into it.
func (p Probe) problem(text string, is ...error) error {
	return wire.Problem("verify: "+cmp.Or(p.Method, http.MethodGet)+" "+wire.Redact(p.URL)+": "+text, is...)
}

// Identity is URL without user information and query.
func (p Probe) Identity() string { return wire.Redact(p.URL) }

// Check is Validate: there is no key to present yet.
func (p Probe) Check(context.Context) error { return p.Validate() }

// Validate says what is wrong with the configuration. It does no I/O.
func (p Probe) Validate() error {
	errs := []error{wire.URLProblem("verify: Probe.URL", p.URL)}
	for _, status := range p.Rejected {
		if status < 400 || status > 499 {
			errs = append(errs, wire.Problem("verify: Probe.Rejected: only a 4xx is a refusal; use Answer for others"))
			break
		}
	}
	return errors.Join(errs...)
}
