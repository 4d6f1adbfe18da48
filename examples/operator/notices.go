// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net/http"
	"sync"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

// notices is whoever is told what happens: your chat-ops service, your ticket system. It takes nothing that is not signed, and
// knows what it has seen by the event's id, because an event can come twice.
type notices struct {
	mu       sync.Mutex
	events   map[string]rotation.Event // guarded by mu: by id
	came     int                       // guarded by mu: deliveries that verified
	unsigned int                       // guarded by mu: deliveries that did not
}

// handler takes the notices of whoever signs with value.
func (n *notices) handler(value secret.Value) (http.Handler, error) {
	n.events = map[string]rotation.Event{}
	verifier, err := webhook.NewVerifier(webhook.Config{
		Scheme:  webhook.Standard,
		Secrets: []webhook.Secret{{ID: "notices", Value: value}},
		Observe: func(_ webhook.Match, err error) {
			if err != nil {
				n.mu.Lock()
				defer n.mu.Unlock()
				n.unsigned++
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return verifier.Middleware(http.HandlerFunc(n.take)), nil
}

func (n *notices) take(w http.ResponseWriter, r *http.Request) {
	var e rotation.Event
	if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
		http.Error(w, "not an event", http.StatusBadRequest)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.came++
	n.events[e.ID] = e
}

// seen returns the events by their ids, how many deliveries brought them, and how many deliveries were refused.
func (n *notices) seen() (events map[string]rotation.Event, came, unsigned int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	events = make(map[string]rotation.Event, len(n.events))
	for id, e := range n.events {
		events[id] = e
	}
	return events, n.came, n.unsigned
}
