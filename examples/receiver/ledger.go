// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"time"
)

// ledger compares what was sent with what was booked: the truth, whatever anybody answered.
type ledger struct {
	mu      sync.Mutex
	act     int
	genuine map[string]*sent // by the id of the event
	forged  map[place]*forged
}

// place is where a count belongs.
type place struct {
	act      int
	endpoint string
}

// sent is a genuine event.
type sent struct {
	place
	revision int       // of the secret that signed it, as the sender counts them
	tried    time.Time // when the first try was answered
	refused  bool      // at the first try
	by       []string  // the secrets that verified it: one, if all is well
	done     bool      // the sender is done with it
}

// forged counts what the attacker sent.
type forged struct {
	sent, refused int
	booked        int // taken for genuine: never

	// With a secret that had leaked and was still in use:
	leaked, leakedVerified int
	lastLeaked             time.Time // when the last one was sent that was verified
}

// Types of events, and how the ids of the attacker's begin.
const (
	payment = "payment"
	ping    = "ping"
	theft   = "theft"
	forgery = "forgery-"
	leak    = "leak-"
)

func newLedger() *ledger {
	return &ledger{genuine: map[string]*sent{}, forged: map[place]*forged{}}
}

// send notes an event that the sender is about to send.
func (l *ledger) send(endpoint, typ string, revision int) event {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := event{ID: rand.Text(), Type: typ}
	l.genuine[e.ID] = &sent{place: place{l.act, endpoint}, revision: revision}
	return e
}

// tried notes how the first try ended.
func (l *ledger) tried(e event, refused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.genuine[e.ID]
	s.tried, s.refused = time.Now(), refused
}

// done notes that the sender does not try again.
func (l *ledger) done(e event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.genuine[e.ID].done = true
}

// book notes an event that the receiver has taken for genuine, and which secret it trusted.
func (l *ledger) book(endpoint string, e event, secretID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.genuine[e.ID]; s != nil && s.endpoint == endpoint {
		s.by = append(s.by, secretID)
		return
	}
	if !strings.HasPrefix(e.ID, leak) {
		l.forgeries(endpoint).booked++
	}
}

// forgedOne notes what became of something that the attacker sent.
func (l *ledger) forgedOne(endpoint string, refused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.forgeries(endpoint)
	f.sent++
	if refused {
		f.refused++
	}
}

// leakedOne notes what became of something that was sent at a time with a leaked secret.
func (l *ledger) leakedOne(endpoint string, at time.Time, refused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.forgeries(endpoint)
	f.leaked++
	if !refused {
		f.leakedVerified++
		f.lastLeaked = at
	}
}

// forgeries is under the lock.
func (l *ledger) forgeries(endpoint string) *forged {
	at := place{l.act, endpoint}
	if l.forged[at] == nil {
		l.forged[at] = &forged{}
	}
	return l.forged[at]
}

// turn ends the act, and begins the next one: traffic never stops. It returns the one that ended, when the sender is done with
// each of its events.
func (l *ledger) turn() (act int, err error) {
	l.mu.Lock()
	act = l.act
	l.act++
	l.mu.Unlock()
	for range 600 {
		if l.settled(act) {
			return act, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return act, errors.New("the sender does not come to an end")
}

func (l *ledger) settled(act int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.genuine {
		if s.act == act && !s.done {
			return false
		}
	}
	return true
}
