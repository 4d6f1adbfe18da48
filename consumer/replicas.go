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

// Replicas is a fleet of processes that follow the store and serve their Handle at URL. The host is looked up and every address
// is asked, or told to look at the store now: a name behind which one address stands for many processes (a load balancer, a
// ClusterIP) proves nothing, so set Least. An address that does not answer is no evidence, and makes the whole call fail.
//
// It is a rotation.Consumer, Observer, Verifier, Checker and Identifier, and safe for concurrent use.
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
	_ rotation.Consumer   = Replicas{}
	_ rotation.Observer   = Replicas{}
	_ rotation.Verifier   = Replicas{}
	_ rotation.Checker    = Replicas{}
	_ rotation.Validator  = Replicas{}
	_ rotation.Identifier = Replicas{}
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

// Check asks every address which key it uses.
func (f Replicas) Check(ctx context.Context) error {
	_, err := f.ask(ctx, nil)
	return err
}

// Identity is URL without user information and query.
func (f Replicas) Identity() string { return wire.Redact(f.URL) }

// Deploy tells every address to look at the store now. It returns nil when each of them uses req.Key; an error that matches
// rotation.ErrNotYet says which do not see it in the store yet. The secret is not sent.
func (f Replicas) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	o := order(req)
	answers, err := f.ask(ctx, &o)
	if err != nil {
		return err
	}
	behind := slices.DeleteFunc(slices.Clone(answers), func(a answer) bool {
		return a.status == http.StatusOK && same(a.report.key(), req.Key)
	})
	if len(behind) > 0 {
		cause := rotation.ErrNotYet
		if slices.ContainsFunc(behind, func(a answer) bool { return a.report.DerivedError }) {
			cause = errBehind // not a matter of time
		}
		return fail(cause, "%d of %d replicas do not use %v: %s", len(behind), len(answers), req.Key, list(behind))
	}
	return nil
}

// Observe tells the key of every process. AsOf is when it was asked, by the clock of this machine.
func (f Replicas) Observe(ctx context.Context) ([]rotation.Instance, error) {
	answers, err := f.ask(ctx, nil)
	if err != nil {
		return nil, err
	}
	instances := make([]rotation.Instance, 0, len(answers))
	for _, a := range answers {
		instances = append(instances, rotation.Instance{Name: a.report.Instance, Key: a.report.key(), AsOf: a.asked})
	}
	return instances, nil
}

// Verify returns nil if every process uses key and could build from it what it derives. It tells no process to do anything.
func (f Replicas) Verify(ctx context.Context, key rotation.Key) error {
	answers, err := f.ask(ctx, nil)
	if err != nil {
		return err
	}
	wrong := slices.DeleteFunc(slices.Clone(answers), func(a answer) bool {
		return same(a.report.key(), key) && !a.report.DerivedError
	})
	if len(wrong) > 0 {
		return fail(nil, "%d of %d replicas do not work with %v: %s", len(wrong), len(answers), key, list(wrong))
	}
	return nil
}

// answer is what one address says.
type answer struct {
	address string
	asked   time.Time
	status  int
	report  reportJSON
	err     error
}

func (a answer) String() string {
	text := fmt.Sprintf("%s at %s uses %v", a.report.Instance, a.address, a.report.key())
	if a.report.DerivedError {
		text += ", because it could not build from the new one"
	}
	return text
}

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

// ask asks every address, with an order if there is one. It returns either everybody's answer or an error.
func (f Replicas) ask(ctx context.Context, o *orderJSON) ([]answer, error) {
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
			a.err = guard("Replicas.Client", func() error { return f.askOne(ctx, u, o, &a) })
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

func (f Replicas) askOne(ctx context.Context, u *url.URL, o *orderJSON, a *answer) error {
	method, body := http.MethodGet, []byte(nil)
	if o != nil {
		method = http.MethodPost
		body, _ = json.Marshal(o) // strings and numbers: cannot fail
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return fail(nil, "the request cannot be made")
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := f.client(req, a.address).Do(req)
	if err != nil {
		reason, is := wire.Reason(ctx, err)
		return fail(errors.Join(is...), "%s", reason)
	}
	defer wire.Drain(resp.Body)
	a.status = resp.StatusCode
	acceptable := []int{http.StatusOK}
	if o != nil { // it saw no such key, or could not build from it: the report says which it uses
		acceptable = append(acceptable, http.StatusConflict)
	}
	if !slices.Contains(acceptable, a.status) {
		return fail(nil, "status %s", wire.Status(a.status))
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, maxMessage)).Decode(&a.report)
	if err != nil || a.report.Instance == "" || max(len(a.report.Instance), len(a.report.ID), len(a.report.Name)) > maxText {
		return fail(nil, "the answer is not that of a Handle")
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
