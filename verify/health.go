// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/rotation"
)

// Health asks a consumer how it is. Use it for Binding.Verifier. It never sends the key, never says rotation.ErrRejected,
// follows no redirect (the page it leads to would be another one's) and is safe for concurrent use.
//
// JSON fields are named by their path with dots: "checks.payment_gateway". A page behind a load balancer shows one instance
// of many: what it shows of the key in use then proves nothing of the others. Give every instance a Binding, or an Observer
// that sees them all.
type Health struct {
	URL        string              // required
	Expect     map[string]string   // JSON fields of the answer: {"payment_gateway": "connected"}; nil: any 2xx will do
	Auth       func(*http.Request) // for the health page itself
	KeyID      string              // JSON field with the id of the key in use: the proof of adoption (Observer); empty: there is none
	Generation string              // JSON field with the generation of the key in use, likewise; empty: there is none
	Instance   string              // JSON field with the name of the instance that answers; empty: the host of URL stands for it
	Client     *http.Client        // nil: http.DefaultClient
}

var (
	_ rotation.Verifier   = Health{}
	_ rotation.Observer   = Health{}
	_ rotation.Identifier = Health{}
	_ rotation.Checker    = Health{}
)

// Verify returns nil if the consumer is well: a 2xx answer in which every field of Expect is what it should be. If the page
// tells which key is in use (KeyID, Generation) and it is not key, the consumer may be well but not with that key:
// rotation.ErrNotYet. A zero key is an error then: nothing can be said of it. A page that refuses this caller (401, 403) is
// rotation.ErrDenied. No other sentinel is used.
func (h Health) Verify(ctx context.Context, key rotation.Key) error {
	page, err := h.fetch(ctx)
	if err != nil {
		return err
	}
	for _, field := range slices.Sorted(maps.Keys(h.Expect)) {
		if got, ok := text(page, field); !ok || got != h.Expect[field] {
			return h.problem("the field " + field + " is not " + strconv.Quote(h.Expect[field]))
		}
	}
	if h.KeyID == "" && h.Generation == "" {
		return nil
	}
	seen, err := h.seen(page)
	switch {
	case err != nil:
		return err
	case key.IsZero():
		return h.problem("there is no key to compare with the one in use")
	case seen.ID != "" && key.ID != "" && seen.ID != key.ID,
		seen.Generation != 0 && key.Generation != 0 && seen.Generation != key.Generation:
		return h.problem("another key is in use", rotation.ErrNotYet)
	}
	return nil
}

// Observe returns the one instance that answered and the key that it uses, as of the time of the request. Without KeyID and
// Generation it fails with errors.ErrUnsupported. An answer without the fields is an error, not an instance without a key.
func (h Health) Observe(ctx context.Context) ([]rotation.Instance, error) {
	if h.KeyID == "" && h.Generation == "" {
		return nil, wire.Problem("verify: Health: neither KeyID nor Generation is set", errors.ErrUnsupported)
	}
	asOf := time.Now()
	page, err := h.fetch(ctx)
	if err != nil {
		return nil, err
	}
	key, err := h.seen(page)
	if err != nil {
		return nil, err
	}
	name := ""
	if h.Instance != "" {
		if name, _ = text(page, h.Instance); name == "" || len(name) > maxText {
			return nil, h.problem("the field " + h.Instance + " names no instance")
		}
	}
	return []rotation.Instance{{Name: cmp.Or(name, h.host()), Key: key, AsOf: asOf}}, nil
}

// maxText bounds what of a page goes into records.
const maxText = 256

// seen reads the key in use.
func (h Health) seen(page any) (rotation.Key, error) {
	var key rotation.Key
	if h.KeyID != "" {
		if key.ID, _ = text(page, h.KeyID); key.ID == "" || len(key.ID) > maxText {
			return rotation.Key{}, h.problem("the field " + h.KeyID + " names no key")
		}
	}
	if h.Generation != "" {
		got, _ := text(page, h.Generation)
		n, err := strconv.Atoi(got)
		if err != nil || n < 1 {
			return rotation.Key{}, h.problem("the field " + h.Generation + " is no generation")
		}
		key.Generation = n
	}
	return key, nil
}

// fetch returns the page as JSON; nil where nothing of it is asked for.
func (h Health) fetch(ctx context.Context) (any, error) {
	if err := h.Validate(); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.URL, nil)
	if err != nil {
		return nil, h.problem("no such request") // the text of err quotes the URL
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Cache-Control", "no-cache")
	if h.Auth != nil {
		h.Auth(req)
	}
	resp, err := wire.Client(h.Client).Do(req)
	if err != nil {
		text, is := wire.Reason(ctx, err)
		return nil, h.problem(text, is...)
	}
	defer wire.Drain(resp.Body)
	switch {
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return nil, h.problem(wire.Status(resp.StatusCode), rotation.ErrDenied)
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return nil, h.problem(wire.Status(resp.StatusCode))
	case len(h.Expect) == 0 && h.KeyID == "" && h.Generation == "":
		return nil, nil
	}
	return h.decode(ctx, resp.Body)
}

func (h Health) decode(ctx context.Context, body io.Reader) (any, error) {
	data, err := io.ReadAll(io.LimitReader(body, wire.Limit+1))
	if err != nil {
		text, is := wire.Reason(ctx, err)
		return nil, h.problem("the page is incomplete: "+text, is...)
	}
	if len(data) > wire.Limit {
		return nil, h.problem("the page is larger than 1 MiB")
	}
	var page any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if !json.Valid(data) || d.Decode(&page) != nil {
		return nil, h.problem("the page is not JSON")
	}
	return page, nil
}

// text is the field of page as text: a string, a number as it is written, true or false.
func text(page any, field string) (string, bool) {
	m, ok := page.(map[string]any)
	if !ok {
		return "", false
	}
	v, ok := m[field]
	if !ok {
		head, tail, dotted := strings.Cut(field, ".")
		if !dotted {
			return "", false
		}
		return text(m[head], tail)
	}
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

func (h Health) problem(text string, is ...error) error {
	return wire.Problem("verify: health page "+wire.Redact(h.URL)+": "+text, is...)
}

func (h Health) host() string {
	_, rest, _ := strings.Cut(wire.Redact(h.URL), "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// Identity is URL without user information and query.
func (h Health) Identity() string { return wire.Redact(h.URL) }

// Check is Validate: a consumer that is not well is no reason not to rotate its key.
func (h Health) Check(context.Context) error { return h.Validate() }

// Validate says what is wrong with the configuration. It does no I/O.
func (h Health) Validate() error { return wire.URLProblem("verify: Health.URL", h.URL) }
