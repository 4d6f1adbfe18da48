// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package gitea

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"time"

	"code.gitea.io/sdk/gitea"

	"github.com/handover-go/handover/rotation"
)

// call does one call of the client, which is one request. The error is made of the status and of nothing that the client says of it:
// its texts quote answers and URLs.
func call[T any](ctx context.Context, as connection, op string, do func(*gitea.Client) (T, *gitea.Response, error)) (T, error) {
	var nothing T
	if err := ctx.Err(); err != nil {
		return nothing, &answer{op: op, text: "not sent: the context has ended", is: []error{err}, no: true}
	}
	client, err := as(ctx)
	if err != nil {
		return nothing, &answer{op: op, text: "not sent: the client does not take Config.URL", no: true}
	}
	value, resp, err := do(client)
	if err == nil {
		return value, nil
	}
	if resp == nil || resp.Response == nil {
		return nothing, unanswered(ctx, op, err)
	}
	return value, refused(ctx, op, resp.Response)
}

// connection makes a client for one call: the context is the client's.
type connection func(ctx context.Context) (*gitea.Client, error)

// admin is the administrator. The client puts the name of its user into the path, so that it has to be the one whose tokens they are;
// the authority is the administrator's nevertheless.
func (i *Issuer) admin(ctx context.Context) (*gitea.Client, error) {
	login, password := cmp.Or(i.cfg.Admin, i.cfg.User), i.cfg.Password
	return i.client(ctx, gitea.SetBasicAuth(i.cfg.User, ""), through(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.SetBasicAuth(login, password.Reveal())
		return i.rt.RoundTrip(r)
	}))
}

// presenting is whoever holds the token.
func (i *Issuer) presenting(key rotation.Key) connection {
	return func(ctx context.Context) (*gitea.Client, error) {
		return i.client(ctx, gitea.SetToken(key.Secret.Reveal()), i.rt)
	}
}

// client asks for no version, follows no redirect, which would carry the authority somewhere else, and keeps no cookies.
func (i *Issuer) client(ctx context.Context, who gitea.ClientOption, rt http.RoundTripper) (*gitea.Client, error) {
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return gitea.NewClient(i.base, gitea.SetGiteaVersion(""), who, gitea.SetContext(ctx),
		gitea.SetHTTPClient(&http.Client{Transport: rt, CheckRedirect: stay}))
}

type through func(*http.Request) (*http.Response, error)

func (f through) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

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
