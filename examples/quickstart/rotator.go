// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

// This is the file to read: how the library is embedded. A program that rotates credentials
//
//  1. opens a journal (what was done) and a secret store (the values),
//  2. describes each credential: who issues it, who accepts it, who uses it,
//  3. gives all that to rotation.New, and drives it: here with Rotate and Wait, in a service with Run.

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	_ "modernc.org/sqlite" // an SQLite in pure Go: nothing else to install

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/verify"
)

// openRotator puts the parts together. The caller closes the database after the last use of the Rotator.
func openRotator(ctx context.Context, w world, storeKey, admin secret.Value) (*rotation.Rotator, *sql.DB, error) {
	secrets, err := w.openStore(storeKey)
	if err != nil {
		return nil, nil, err
	}
	// Several processes share this file. What is in it is durable before the rotator acts on it.
	options := url.Values{"_pragma": {"busy_timeout(2000)", "journal_mode(WAL)", "synchronous(FULL)"}}
	db, err := sql.Open("sqlite", "file:"+w.journalPath()+"?"+options.Encode())
	if err != nil {
		return nil, nil, err
	}
	progress := journal.NewSQLite(db, "handover")
	if err := progress.Migrate(ctx); err != nil {
		db.Close()
		return nil, nil, err
	}
	rotator, err := rotation.New(rotation.Config{
		Journal:     progress,
		Store:       secrets,
		Credentials: []rotation.Credential{credential(w, secrets, admin)},
		Logger:      slog.New(slog.DiscardHandler), // the parent tells the story from the journal
		Actor:       "quickstart",

		// How long a rotator that was killed keeps its successor waiting, and how long any call may take. The defaults, 30 s
		// and 10 s, suit networks; everybody here lives on one machine.
		Lease:       1500 * time.Millisecond,
		CallTimeout: 700 * time.Millisecond,
		ClockSkew:   50 * time.Millisecond,
	})
	if err != nil {
		db.Close()
		return nil, nil, err
	}
	return rotator, db, nil
}

// credential is the one entry of this inventory.
func credential(w world, secrets rotation.SecretStore, admin secret.Value) rotation.Credential {
	return rotation.Credential{
		Name: gateway,
		Type: rotation.APIKey,

		// Who makes and ends keys: POST and DELETE, in the administrator's name. What a provider is like is stated once.
		Issuer: issuer.REST{
			URL:    w.Provider + "/v1/api-keys",
			Client: &http.Client{Transport: administrator{admin}},
			NoSlot: []int{http.StatusUnprocessableEntity},
			Traits: rotation.Traits{
				MaxKeys:     2,
				Propagation: 150 * time.Millisecond, // its slowest edge server takes 90
				ListLag:     100 * time.Millisecond, // measured: 50
				Exclusive:   true,                   // nobody else makes keys in this account
				Independent: true,                   // the administrator's token, not the key, issues the next one
			},
		},

		// Whether a key is accepted is asked where it is presented.
		Verifier: verify.Probe{URL: w.Provider + "/v1/test"},

		// Who uses it: the line of the dependency map that everybody forgets. The first one is the canary.
		Consumers: []rotation.Binding{{
			Name:     "web",
			Consumer: restart{platform: w.Platform},
			Verifier: verify.Health{
				URL:    w.Web + "/health",
				Expect: map[string]string{"payment_gateway": "connected"},
				KeyID:  "key_id", // the page says which key it has: the proof that the restart did what it should
			},
		}, {
			Name:     "api",
			Consumer: consumer.Replicas{URL: w.API + "/key"},
		}, {
			Name: "batch",
			Consumer: consumer.NextRun{
				Store:      secrets,
				Credential: gateway,
				LastRun:    lastRun(w.Platform),
				Longest:    2 * time.Second, // a run that has begun with the old key may go on that long
			},
		}},

		// In production nothing of this is needed: a day of overlap, a day of silence, 15 minutes of patience.
		Policy: rotation.Policy{
			Overlap:  time.Second,
			Quiet:    500 * time.Millisecond,
			Proofs:   3, // in a row, once the propagation time of the provider has passed
			Patience: 1500 * time.Millisecond,
			Rollback: 10 * time.Second,
		},
	}
}

// rotate is the rotator process. Killed at any moment, it can be started again with the same trigger: it goes on where the
// journal stands.
func rotate(ctx context.Context, w world, trigger, reason string) error {
	rotator, db, err := openRotator(ctx, w, secretOf(storeKeyVar), secretOf(adminVar))
	if err != nil {
		return err
	}
	defer db.Close()
	status, err := rotator.Rotate(ctx, gateway, rotation.Trigger{ID: trigger, Reason: reason})
	if err != nil && status.Open == nil {
		return err // it did not even begin
	}
	return rotator.Wait(ctx, gateway) // with trouble at hand it tries again, or rolls back
}

// emergency is the same process on a bad day.
func emergency(ctx context.Context, w world, in rotation.Incident) error {
	rotator, db, err := openRotator(ctx, w, secretOf(storeKeyVar), secretOf(adminVar))
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := rotator.Emergency(ctx, in); err != nil {
		return err
	}
	return rotator.Wait(ctx, gateway)
}

// administrator puts the administrator's token on the requests of the issuer.
type administrator struct{ token secret.Value }

func (a administrator) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+a.token.Reveal())
	return http.DefaultTransport.RoundTrip(r)
}

// restart is a Consumer of our own: it asks the platform for a rolling restart. A consumer is one method.
type restart struct{ platform string }

// Deploy names the key by its serial and leaves the value where it is: the new instance reads the store itself.
func (c restart) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	body, err := json.Marshal(map[string]int64{"serial": req.Key.Serial})
	if err != nil {
		return err
	}
	// The request's ID makes a repeated request find the rollout that it began.
	put, err := http.NewRequestWithContext(ctx, http.MethodPut, c.platform+"/rollouts/"+url.PathEscape(req.ID), bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(put)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusAccepted:
		return rotation.ErrNotYet
	default:
		return rolloutFailed(resp.StatusCode)
	}
}

// Identity says what it talks to, so that a change of the inventory in the middle of a rotation is noticed.
func (c restart) Identity() string { return c.platform + "/rollouts" }

// rolloutFailed is an error whose text may be recorded: see rotation.PublicError. Of any other error the journal keeps only
// the kind, because a text that nobody has vouched for may hold a secret.
type rolloutFailed int

func (e rolloutFailed) Error() string  { return fmt.Sprintf("the rollout failed (status %d)", int(e)) }
func (e rolloutFailed) Public() string { return e.Error() }

// lastRun asks the scheduler for the last run of the batch job.
func lastRun(platform string) func(ctx context.Context) (began, ended time.Time, err error) {
	return func(ctx context.Context) (began, ended time.Time, err error) {
		var last jobRun
		if err := issuer.Call(ctx, nil, http.MethodGet, platform+"/jobs/last", nil, &last); err != nil {
			return began, ended, err
		}
		if last.Failed {
			return began, ended, errors.New("the last run failed")
		}
		return last.Began, last.Ended, nil
	}
}
