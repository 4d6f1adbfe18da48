// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

// The first of two files to read: a receiver of webhooks whose secrets follow the store. It needs for each sender
//
//  1. a webhook.Verifier, which knows how the sender signs, and whose Middleware stands before the handler,
//  2. consumer.Receive, which gives it the secrets and keeps them up to date,
//  3. a page for the rotator, on another port than the webhooks.

import (
	"context"
	"errors"
	"expvar"
	"fmt"
	"net/http"
	"time"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/webhook"
)

// schemes says for each endpoint how its sender signs. The names are those of the credentials, too.
var schemes = map[string]*webhook.Scheme{
	"github":  webhook.GitHub,   // the body and nothing else
	"stripe":  webhook.Stripe,   // a time and the body
	"billing": webhook.Standard, // an id, a time and the body
}

// replica is one process of the receiver.
type replica struct {
	hooks    *http.ServeMux // for the world
	internal *http.ServeMux // for the rotator and the metrics

	receivers []*consumer.Receiver
	metrics   *expvar.Map // of each endpoint: see count
}

// newReplica starts to follow the store. What is verified goes to inbox, at the path of its endpoint. All replicas share replay:
// what was delivered to one of them is a repetition at the others, too.
func newReplica(ctx context.Context, name string, secrets rotation.SecretStore, replay webhook.Replay, inbox http.Handler) (*replica, error) {
	r := &replica{hooks: http.NewServeMux(), internal: http.NewServeMux(), metrics: new(expvar.Map)}
	for endpoint, scheme := range schemes {
		verifier, err := webhook.NewVerifier(webhook.Config{Scheme: scheme, Name: endpoint, Replay: replay, Observe: r.count(endpoint)})
		if err != nil {
			r.close()
			return nil, err
		}
		// The rotator tells it when to look at the store. Every is for the day on which it cannot.
		receiver, err := consumer.Receive(ctx, consumer.Source{
			Store: secrets, Credential: endpoint, Instance: name, Every: 3 * time.Second,
		}, verifier)
		if err != nil {
			r.close()
			return nil, err
		}
		r.receivers = append(r.receivers, receiver)
		r.hooks.Handle("POST /hooks/"+endpoint, verifier.Middleware(inbox))
		r.internal.Handle("/rotation/"+endpoint, receiver)
	}
	r.internal.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintln(w, r.metrics) // an expvar.Map prints as JSON
	})
	return r, nil
}

// count makes the metrics of an endpoint: which secret matched how often, and why the others were refused. A secret is named by
// the generation and the serial of its key, "2-5": no part of a secret is in a metric.
func (r *replica) count(endpoint string) func(webhook.Match, error) {
	counts := new(expvar.Map)
	r.metrics.Set(endpoint, counts)
	return func(m webhook.Match, err error) {
		switch {
		case err == nil:
			counts.Add("secret "+m.SecretID, 1)
		case errors.Is(err, webhook.ErrReplayed):
			counts.Add("refused: delivered before", 1)
		case errors.Is(err, webhook.ErrStale):
			counts.Add("refused: signed long ago", 1)
		case errors.Is(err, webhook.ErrMismatch):
			counts.Add("refused: no secret matches", 1)
		case errors.Is(err, webhook.ErrNoSecret): // an emergency: the old one is dead, the next one is on its way
			counts.Add("put off: no secret yet", 1)
		default:
			counts.Add("refused: other", 1)
		}
	}
}

func (r *replica) close() {
	for _, receiver := range r.receivers {
		receiver.Close()
	}
}
