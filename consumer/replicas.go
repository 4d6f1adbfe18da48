// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/rotation"
)

// Replicas is a fleet of processes that follow the store and serve their Handle, or their Receiver, at URL. The host is looked up
// and every address is asked, or told to look at the store now: a name behind which one address stands for many processes (a load
// balancer, a ClusterIP) proves nothing, so set Least. An address that does not answer is no evidence, and makes the whole call
// fail.
//
// No secret is sent, and no process takes anything from here but from the store. So Receivers forget a secret only when the
// store says so: while it cannot be written, or read, Deploy fails even in an emergency.
//
// It is a rotation.Consumer, Observer, Verifier, UsageReporter, Checker and Identifier, and safe for concurrent use.
type Replicas struct {
	URL   string // required: "http://payments.prod.svc:9090/key"
	Least int    // fewer processes than this, told apart by their names, are no evidence; zero: 1

	// Client is used for its Transport and Timeout; nil: http.DefaultClient. Connections go to the address that is asked, with
	// URL's host in the Host header and in TLS, and never through a proxy. That needs an *http.Transport (nil is one). Any
	// other transport gets requests with the address in their URL, which works for http alone.
	Client *http.Client

	// Lookup returns the addresses of a host, each with or without a port; nil: net.DefaultResolver.LookupHost.
	Lookup func(ctx context.Context, host string) ([]string, error)
}

var (
	_ rotation.Consumer      = Replicas{}
	_ rotation.Observer      = Replicas{}
	_ rotation.Verifier      = Replicas{}
	_ rotation.UsageReporter = Replicas{}
	_ rotation.Checker       = Replicas{}
	_ rotation.Reloader      = Replicas{}
	_ rotation.Validator     = Replicas{}
	_ rotation.Identifier    = Replicas{}
)

const (
	replicasAtOnce = 16
	maxText        = 1 << 10 // of a name or an id in a report, which errors and records quote
)

// Validate reports every mistake in the fields. Every other method returns the same error before it asks anybody.
func (f Replicas) Validate() error {
	errs := []error{wire.URLProblem("consumer: Replicas.URL", f.URL)}
	if f.Least < 0 {
		errs = append(errs, fail(nil, "Replicas.Least is negative"))
	}
	if _, ok := f.transport().(*http.Transport); !ok && strings.HasPrefix(strings.ToLower(f.URL), "https:") {
		errs = append(errs, fail(nil, "Replicas.Client.Transport is no *http.Transport, which https needs"))
	}
	return errors.Join(errs...)
}

// Check asks every address which key it uses, or which ones it accepts.
func (f Replicas) Check(ctx context.Context) error {
	_, err := f.ask(ctx, question{})
	return err
}

// Reloads says live: each process follows the store while it runs.
func (f Replicas) Reloads() rotation.Reload { return rotation.ReloadLive }

// Identity is URL without user information and query.
func (f Replicas) Identity() string { return wire.Redact(f.URL) }

// list is a few of what could be thousands.
func list[T fmt.Stringer](items []T) string {
	var texts []string
	for i, item := range items {
		if i == 5 {
			texts = append(texts, "...")
			break
		}
		texts = append(texts, item.String())
	}
	return strings.Join(texts, "; ")
}

// question is what is asked of each address.
type question struct {
	order *orderJSON // nil: only asked, not told
	probe string     // for probeHeader
}

// ask asks every address. It returns either everybody's answer or an error.
func (f Replicas) ask(ctx context.Context, q question) ([]answer, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	u, _ := url.Parse(f.URL)
	addresses, err := f.addresses(ctx, u)
	if err != nil {
		return nil, err
	}
	answers := make([]answer, len(addresses))
	var g errgroup.Group
	g.SetLimit(replicasAtOnce)
	for i, address := range addresses {
		g.Go(func() error {
			a := answer{address: address, asked: time.Now()}
			a.err = guard("Replicas.Client", func() error { return f.askOne(ctx, u, q, &a) })
			answers[i] = a
			return nil // one that fails keeps nobody else from being told
		})
	}
	_ = g.Wait()
	return answers, f.judge(answers)
}

// judge returns an error unless everybody answered and they are enough.
func (f Replicas) judge(answers []answer) error {
	var causes []error
	var silent []fmt.Stringer
	names := map[string]bool{}
	for _, a := range answers {
		if a.err != nil {
			causes = append(causes, a.err)
			silent = append(silent, text(a.address+": "+strings.TrimPrefix(a.err.Error(), "consumer: ")))
		} else {
			names[a.report.Instance] = true
		}
	}
	if len(silent) > 0 {
		return fail(errors.Join(causes...), "%d of %d addresses of %s gave no answer: %s",
			len(silent), len(answers), f.Identity(), list(silent))
	}
	if least := cmp.Or(f.Least, 1); len(names) < least {
		return fail(nil, "%s has %d processes at %d addresses, not the %d that it must have",
			f.Identity(), len(names), len(answers), least)
	}
	return nil
}

type text string

func (t text) String() string { return string(t) }

// addresses returns host:port of everybody, each once.
func (f Replicas) addresses(ctx context.Context, u *url.URL) ([]string, error) {
	lookup := f.Lookup
	if lookup == nil {
		lookup = net.DefaultResolver.LookupHost
	}
	var hosts []string
	err := guard("Replicas.Lookup", func() (err error) {
		hosts, err = lookup(ctx, u.Hostname())
		return err
	})
	if err != nil {
		reason, is := wire.Reason(ctx, err)
		return nil, fail(errors.Join(is...), "look up %s: %s", u.Hostname(), reason)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	hosts = slices.Clone(hosts)
	for i, host := range hosts {
		if _, _, err := net.SplitHostPort(host); err != nil {
			hosts[i] = net.JoinHostPort(host, port)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), nil
}

func (f Replicas) askOne(ctx context.Context, u *url.URL, q question, a *answer) error {
	method, body := http.MethodGet, []byte(nil)
	if q.order != nil {
		method = http.MethodPost
		body, _ = json.Marshal(q.order) // strings and numbers: cannot fail
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return fail(nil, "the request cannot be made")
	}
	req.Header.Set("Content-Type", "application/json")
	if q.probe != "" {
		req.Header.Set(probeHeader, q.probe)
	}
	resp, err := f.client(req, a.address).Do(req)
	if err != nil {
		reason, is := wire.Reason(ctx, err)
		return fail(errors.Join(is...), "%s", reason)
	}
	defer wire.Drain(resp.Body)
	a.status = resp.StatusCode
	switch conflict := q.order != nil && a.status == http.StatusConflict; {
	case a.status == http.StatusNotImplemented:
		return fail(errors.ErrUnsupported, "it is a Handle where a Receiver is asked for, or the other way round")
	case a.status != http.StatusOK && !conflict: // a conflict: the report says how it is
		return fail(nil, "status %s", wire.Status(a.status))
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, maxMessage)).Decode(&a.report)
	if err != nil || !a.report.sound() {
		return fail(nil, "the answer is not that of a Handle or a Receiver")
	}
	return nil
}

func (f Replicas) transport() http.RoundTripper {
	if f.Client == nil || f.Client.Transport == nil {
		return http.DefaultTransport
	}
	return f.Client.Transport
}

// client returns a client that sends req to address.
func (f Replicas) client(req *http.Request, address string) *http.Client {
	c := wire.Client(f.Client)
	t, ok := f.transport().(*http.Transport)
	if !ok {
		req.Host = req.URL.Host
		req.URL.Host = address
		return c
	}
	t = t.Clone()
	dial := t.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	t.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) { return dial(ctx, network, address) }
	t.Proxy = nil
	t.DisableKeepAlives = true // the transport is for this one request
	c.Transport = t
	return c
}
