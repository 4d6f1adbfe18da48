// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

// attacker forges deliveries in every way there is, and never stops.
type attacker struct {
	ledger  *ledger
	client  *http.Client
	targets map[string][]string

	mu    sync.Mutex
	heard map[string][]delivery   // genuine ones, from a log or a proxy: the newest few of each endpoint
	stale map[string]delivery     // a genuine one that is an hour old
	old   map[string]secret.Value // a secret that was in use some time ago
}

func newAttacker(book *ledger, targets map[string][]string) *attacker {
	a := &attacker{
		ledger: book, client: newClient(), targets: targets,
		heard: map[string][]delivery{}, stale: map[string]delivery{}, old: map[string]secret.Value{},
	}
	for _, name := range names {
		a.old[name] = madeUp(name)
	}
	return a
}

// hear keeps a genuine delivery to send it again.
func (a *attacker) hear(d delivery) {
	a.mu.Lock()
	defer a.mu.Unlock()
	heard := append(a.heard[d.endpoint], d)
	a.heard[d.endpoint] = heard[max(0, len(heard)-50):]
}

// find gives the attacker an old secret and an old delivery.
func (a *attacker) find(name string, old secret.Value, stale delivery) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stale[name] = stale
	if !old.IsZero() {
		a.old[name] = old
	}
}

// madeUp is a secret that nobody has, in the form that the endpoint's scheme wants.
func madeUp(name string) secret.Value {
	if name == "billing" {
		return issuer.StandardSecret()
	}
	return secret.Random(32)
}

// work forges until ctx ends.
func (a *attacker) work(ctx context.Context, name string, random *mathrand.Rand) {
	for ctx.Err() == nil {
		if d, ok := a.forge(name, random); ok {
			status, err := post(a.client, a.targets[name][random.IntN(len(a.targets[name]))], d)
			if err == nil {
				a.ledger.forgedOne(name, status >= 400)
			}
		}
		sleep(ctx, time.Duration(10+random.IntN(40))*time.Millisecond)
	}
}

// forge makes something that must not be taken for a delivery; nothing, if what is needed for it is not known yet.
func (a *attacker) forge(name string, random *mathrand.Rand) (delivery, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	heard := a.heard[name]
	if len(heard) == 0 {
		return delivery{}, false
	}
	genuine := heard[random.IntN(len(heard))]
	switch random.IntN(5) {
	case 0: // with a secret that was good once
		return signedBy(name, a.old[name], forgery), true
	case 1: // with one that is made up
		return signedBy(name, madeUp(name), forgery), true
	case 2: // with another body under a good signature
		return delivery{name, genuine.header, event{forgery + rand.Text(), theft}.body()}, true
	case 3: // word for word
		return genuine, true
	default: // word for word, and new to the receiver: it was signed an hour ago
		if schemes[name] == webhook.GitHub {
			return genuine, true // which signs no time: nothing but Replay is between it and a repetition
		}
		return a.stale[name], a.stale[name].header != nil
	}
}

// abuse signs with a leaked secret, to every replica, until ctx ends: everybody takes it for genuine until that one is dead.
func (a *attacker) abuse(ctx context.Context, name string, leaked secret.Value) {
	for ctx.Err() == nil {
		for _, target := range a.targets[name] {
			at := time.Now()
			if status, err := post(a.client, target, signedBy(name, leaked, leak)); err == nil {
				a.ledger.leakedOne(name, at, status >= 400)
			}
		}
		sleep(ctx, 20*time.Millisecond)
	}
}

// signedBy is a delivery that differs from a genuine one in nothing but the secret.
func signedBy(name string, value secret.Value, prefix string) delivery {
	e := event{prefix + rand.Text(), theft}
	h := hook{name: name, scheme: schemes[name]}
	signer, err := webhook.NewSigner(h.scheme, webhook.Secret{ID: "stolen", Value: value})
	if err != nil {
		panic(err) // it was a secret of this scheme
	}
	d, err := h.sign(&signing{Signer: signer}, e, time.Now())
	if err != nil {
		panic(err)
	}
	return d
}
