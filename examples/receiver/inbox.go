// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"

	"github.com/handover-go/handover/webhook"
)

// event is what a delivery says.
type event struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

func (e event) body() []byte {
	data, err := json.Marshal(e)
	if err != nil {
		panic(err) // two strings
	}
	return data
}

// inbox is the business of the receiver: it books every event that was verified. Now and then it has trouble and says so: then
// the sender tries again, and the replay protection lets the second try pass.
type inbox struct {
	ledger *ledger

	mu      sync.Mutex
	random  *rand.Rand
	trouble map[string]int // how many more tries of an event fail
}

func newInbox(book *ledger, random *rand.Rand) *inbox {
	return &inbox{ledger: book, random: random, trouble: map[string]int{}}
}

func (in *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var e event
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &e)
	}
	match, ok := webhook.FromContext(r.Context()) // which secret it was, and when the delivery was signed
	switch {
	case err != nil || !ok:
		http.Error(w, "not an event", http.StatusBadRequest)
	case in.busy(e):
		http.Error(w, "the database is busy", http.StatusInternalServerError)
	default:
		in.ledger.book(strings.TrimPrefix(r.URL.Path, "/hooks/"), e, match.SecretID)
	}
}

// busy is true for one payment in 20, up to three times: its sender has to try again.
func (in *inbox) busy(e event) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	left, known := in.trouble[e.ID]
	if !known && e.Type == payment && in.random.IntN(20) == 0 {
		left = 1 + in.random.IntN(len(waits))
	}
	in.trouble[e.ID] = max(0, left-1)
	return left > 0
}
