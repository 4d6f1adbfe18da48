// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

// The second file to read: how webhook secrets are put under rotation. The secret is chosen here, the receivers are told of it
// before the sender is, and they forget the old one when no delivery has needed it for as long as the sender repeats one.

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

// names of the credentials.
var names = []string{"github", "stripe", "billing"}

// receiverName is a name behind which all replicas stand: in production one of the DNS, such as that of a headless service.
const receiverName = "receiver.internal"

// credentials describes the three of them. replicas are the internal addresses of the receiver, host:port.
func credentials(senderURL string, admin secret.Value, replicas []string, overlap time.Duration) []rotation.Credential {
	lookup := func(context.Context, string) ([]string, error) { return replicas, nil } // leave it out where there is a DNS
	client := &http.Client{Transport: administrator{admin}}
	var all []rotation.Credential
	for _, name := range names {
		hook := senderURL + "/hooks/" + name
		sender := issuer.Webhook{
			URL: hook, Test: hook + "/test", Client: client,
			Traits: rotation.Traits{
				RetryHorizon: horizon,                // a failed delivery comes again, with the signature that it had
				Propagation:  150 * time.Millisecond, // until all its workers sign with a new secret: the slower one takes 60
				ListLag:      -1,                     // it lists nothing
			},
		}
		if name == "billing" {
			sender.Make = issuer.StandardSecret // Standard Webhooks want base64 behind whsec_; others take what they get
		}
		all = append(all, rotation.Credential{
			Name:   name,
			Type:   rotation.WebhookSecret,
			Issuer: sender,
			Consumers: []rotation.Binding{{
				Name: "receiver",
				Consumer: consumer.Replicas{
					URL: "http://" + receiverName + "/rotation/" + name, Lookup: lookup,
					Least: len(replicas), // a lookup that forgets one of them is no evidence
				},
			}},
			// In production this is not needed: a day of overlap, a day of quiet.
			Policy: rotation.Policy{Overlap: overlap, Quiet: 500 * time.Millisecond},
		})
	}
	return all
}

// openRotator puts the parts together.
func openRotator(secrets *store.File, inventory []rotation.Credential) (*rotation.Rotator, error) {
	return rotation.New(rotation.Config{
		Journal:     journal.InStore(secrets), // beside the secrets: no database is needed for a few credentials
		Store:       secrets,
		Credentials: inventory,
		Logger:      slog.New(slog.DiscardHandler), // the story is told from the journal
		Actor:       "the example",

		// How long any call may take, and how far clocks are apart. The defaults, 10 s and 5 s, suit networks.
		CallTimeout: 1500 * time.Millisecond,
		ClockSkew:   50 * time.Millisecond,
	})
}

// administrator puts the administrator's token on the requests to the sender's API.
type administrator struct{ token secret.Value }

func (a administrator) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+a.token.Reveal())
	return http.DefaultTransport.RoundTrip(r)
}

// rotate gives every endpoint a new secret. A service would call Run, which begins a rotation when it is due.
func rotate(ctx context.Context, rotator *rotation.Rotator, t rotation.Trigger) error {
	if err := start(ctx, rotator, t); err != nil {
		return err
	}
	return rotator.Wait(ctx, names...)
}

// start begins all rotations. They need a while, because the sender may still repeat what it signed with the old secrets.
func start(ctx context.Context, rotator *rotation.Rotator, t rotation.Trigger) error {
	return each(func(name string) error {
		st, err := rotator.Rotate(ctx, name, t)
		if st.Open != nil {
			return nil // trouble at hand is for Wait: it tries again, or rolls back
		}
		return err
	})
}

// abort takes everything back, while the sender signs with the new secrets already.
func abort(ctx context.Context, rotator *rotation.Rotator, reason string) error {
	return each(func(name string) error {
		_, err := rotator.Abort(ctx, name, reason)
		return err
	})
}

// emergency has every receiver refuse what has leaked at once, and the sender sign with another secret.
func emergency(ctx context.Context, rotator *rotation.Rotator, in rotation.Incident) error {
	_, err := rotator.Emergency(ctx, in)
	if waited := rotator.Wait(ctx, names...); waited != nil { // what failed in the first pass is tried again here
		return errors.Join(err, waited)
	}
	return nil
}

// each does the same for all credentials, at the same time.
func each(do func(name string) error) error {
	errs := make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { errs[i] = do(name) })
	}
	all.Wait()
	return errors.Join(errs...)
}
