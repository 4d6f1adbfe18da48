// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

// sender is the other side: a service that delivers events to all three endpoints and never stops. It has the API that such
// services have, for who has the administrator's token:
//
//	PATCH /hooks/{name}        {"secret": "..."}: sign with it from now on
//	POST  /hooks/{name}/test   deliver a test event
//
// It is as awkward as they are: its two workers do not learn of a new secret at the same moment, and what failed is sent again
// with the signature that it had.
type sender struct {
	hooks  map[string]*hook
	admin  secret.Value
	ledger *ledger
	seen   func(delivery) // sees what was delivered: the attacker listens
	client *http.Client
	api    *http.ServeMux
	queue  sync.WaitGroup // deliveries to repeat
}

// hook is one webhook.
type hook struct {
	name    string
	scheme  *webhook.Scheme
	targets []string // of the replicas
	workers [2]atomic.Pointer[signing]

	mu     sync.Mutex
	latest signing
}

// signing is what a worker signs with.
type signing struct {
	*webhook.Signer
	secret   secret.Value
	revision int // how many secrets there were before
}

const (
	late    = 60 * time.Millisecond   // the second worker learns of a new secret so much later
	horizon = 1500 * time.Millisecond // so long after the first try the last repetition has come, however slow this machine is
)

var waits = []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond} // before each repetition

// newSender makes a sender whose webhooks have no secret yet. targets are the addresses of each.
func newSender(admin secret.Value, targets map[string][]string, book *ledger, seen func(delivery)) *sender {
	s := &sender{
		hooks: map[string]*hook{}, admin: admin, ledger: book, seen: seen,
		client: newClient(), api: http.NewServeMux(),
	}
	for name, scheme := range schemes {
		s.hooks[name] = &hook{name: name, scheme: scheme, targets: targets[name]}
	}
	s.api.HandleFunc("PATCH /hooks/{name}", s.patch)
	s.api.HandleFunc("POST /hooks/{name}/test", s.test)
	return s
}

// set makes the workers sign with another secret, the second one a moment later.
func (h *hook) set(value secret.Value) error {
	signer, err := webhook.NewSigner(h.scheme, webhook.Secret{ID: "current", Value: value})
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	next := signing{signer, value, h.latest.revision + 1}
	first := h.latest.Signer == nil
	h.latest = next
	h.workers[0].Store(&next)
	if first {
		h.workers[1].Store(&next)
		return nil
	}
	time.AfterFunc(late, func() { h.workers[1].Store(&next) })
	return nil
}

// signsWith is the secret that was set last.
func (h *hook) signsWith() signing {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.latest
}

// ServeHTTP is the API.
func (s *sender) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+s.admin.Reveal())) != 1 {
		http.Error(w, "administrators only", http.StatusForbidden)
		return
	}
	s.api.ServeHTTP(w, r)
}

func (s *sender) patch(w http.ResponseWriter, r *http.Request) {
	var in struct{ Secret secret.Value }
	h := s.hooks[r.PathValue("name")]
	if err := json.NewDecoder(r.Body).Decode(&in); h == nil || err != nil {
		http.Error(w, "no such webhook, or no JSON", http.StatusBadRequest)
		return
	}
	if err := h.set(in.Secret); err != nil {
		http.Error(w, "no such secret", http.StatusUnprocessableEntity)
		return
	}
	fmt.Fprintln(w, `{"secret": "********"}`)
}

// test delivers once, through a client that signs by itself: where nothing is repeated that is all a sender needs.
func (s *sender) test(w http.ResponseWriter, r *http.Request) {
	h := s.hooks[r.PathValue("name")]
	if h == nil {
		http.NotFound(w, r)
		return
	}
	with := h.workers[0].Load()
	e := s.ledger.send(h.name, ping, with.revision)
	client := http.Client{Transport: &webhook.Transport{Signer: with.Signer, Base: s.client.Transport}}
	resp, err := client.Post(h.targets[rand.IntN(len(h.targets))], "application/json", bytes.NewReader(e.body()))
	s.ledger.tried(e, err == nil && refused(resp.StatusCode))
	s.ledger.done(e)
	if err != nil {
		http.Error(w, "not delivered", http.StatusBadGateway)
		return
	}
	resp.Body.Close()
	w.WriteHeader(http.StatusNoContent)
}

// delivery is what goes over the wire: a signed event, or something that looks like one.
type delivery struct {
	endpoint string
	header   http.Header
	body     []byte
}

// sign signs an event once; every try bears this signature.
func (h *hook) sign(with *signing, e event, at time.Time) (delivery, error) {
	d := delivery{h.name, http.Header{"Content-Type": {"application/json"}}, e.body()}
	return d, with.Sign(d.header, "msg_"+e.ID, at, d.body)
}

// work is a worker: one event after the other until ctx ends, at irregular moments. What fails is sent again beside that.
func (s *sender) work(ctx context.Context, h *hook, worker int, random *rand.Rand) {
	for ctx.Err() == nil {
		with := h.workers[worker].Load()
		e := s.ledger.send(h.name, payment, with.revision)
		d, err := h.sign(with, e, time.Now())
		if err != nil {
			panic(err) // set has tried the secret
		}
		first := random.IntN(len(h.targets))
		status, taken := s.try(d, h.targets[first])
		s.ledger.tried(e, refused(status))
		if taken {
			s.ledger.done(e)
		} else {
			s.queue.Go(func() { s.repeat(h, d, e, first+1) })
		}
		sleep(ctx, time.Duration(10+random.IntN(30))*time.Millisecond)
	}
}

// repeat tries until the receiver has taken the event, or long enough.
func (s *sender) repeat(h *hook, d delivery, e event, next int) {
	defer s.ledger.done(e)
	for i, wait := range waits {
		time.Sleep(wait)
		if _, taken := s.try(d, h.targets[(next+i)%len(h.targets)]); taken {
			return
		}
	}
}

// try sends a delivery once. It is taken with a 409, too: then the receiver has it already.
func (s *sender) try(d delivery, target string) (status int, taken bool) {
	status, err := post(s.client, target, d)
	if taken = err == nil && (status < 300 || status == http.StatusConflict); taken {
		s.seen(d)
	}
	return status, taken
}

// refused is what the receiver answers who does not take the signature for genuine, or has no secret to compare with. Its other
// trouble has other numbers.
func refused(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusServiceUnavailable
}

// post sends a delivery and returns the status of the answer.
func post(client *http.Client, url string, d delivery) (int, error) {
	r, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(d.body))
	if err != nil {
		return 0, err
	}
	r.Header = d.header.Clone()
	resp, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, nil
}
