// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

// This is the file to read: one run, from opening the store to its last line. It is all that has to be in a repository; the
// settings come as CI systems give them, in environment variables.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/verify"
)

// gateway is the credential of this inventory.
const gateway = "payment-gateway-api"

// The names of the environment variables of a run.
const (
	providerVar = "CIJOB_PROVIDER"  // base URL of whoever issues the keys
	adminVar    = "CIJOB_ADMIN"     // the administrator's token there
	serviceVar  = "CIJOB_SERVICE"   // base URL of the service that uses the key
	storeVar    = "CIJOB_STORE"     // path of the secret store
	storeKeyVar = "CIJOB_STORE_KEY" // unseals it
)

// job is one run: it does everything that can be done now, says what the rest waits for, and ends. It never sleeps.
func job(ctx context.Context, out io.Writer) error {
	rotator, err := newRotator(os.Getenv)
	if err != nil {
		return err
	}
	all, err := rotator.Sweep(ctx) // beside an error, of which the next run is the repair, there is what was done
	for _, st := range all {
		tell(out, st)
		for _, need := range st.Needs {
			if need.Kind == rotation.NeedPerson {
				err = errors.Join(err, fmt.Errorf("%s needs a person: %s", st.Credential, need.Text))
			}
		}
	}
	return err
}

// newRotator puts the parts together. The journal lies in the secret store, under a name of its own beside each credential.
func newRotator(getenv func(string) string) (*rotation.Rotator, error) {
	for _, name := range []string{providerVar, adminVar, serviceVar, storeVar, storeKeyVar} {
		if getenv(name) == "" {
			return nil, fmt.Errorf("%s is not set: run this example without -once, or set what job.go names", name)
		}
	}
	secrets, err := store.OpenFile(getenv(storeVar), secret.New(getenv(storeKeyVar)))
	if err != nil {
		return nil, err
	}
	return rotation.New(rotation.Config{
		Journal:     journal.InStore(secrets),
		Store:       secrets,
		Credentials: []rotation.Credential{credential(getenv(providerVar), getenv(serviceVar), secret.New(getenv(adminVar)))},
		Logger:      slog.New(slog.DiscardHandler), // what is to be said, tell says
		Actor:       "ci",

		// The defaults, 30 s, 10 s and 5 s, suit networks and other machines; everybody here lives on one.
		Lease:       3 * time.Second,
		CallTimeout: 2 * time.Second,
		ClockSkew:   50 * time.Millisecond,
	})
}

func credential(provider, service string, admin secret.Value) rotation.Credential {
	return rotation.Credential{
		Name: gateway,
		Type: rotation.APIKey,
		Issuer: issuer.REST{
			URL:    provider + "/v1/api-keys",
			Client: &http.Client{Transport: administrator{admin}},
			Traits: rotation.Traits{
				MaxKeys:     2,
				Propagation: 150 * time.Millisecond,
				ListLag:     100 * time.Millisecond,
				Exclusive:   true,
				Independent: true,
			},
		},
		Verifier: verify.Probe{URL: provider + "/v1/test"},
		Consumers: []rotation.Binding{{
			Name:     "web",
			Consumer: consumer.Polling{Every: pollEvery}, // it looks at the store by itself: a job has nobody to tell
			Verifier: verify.Health{
				URL:    service + "/health",
				Expect: map[string]string{"payment_gateway": "connected"},
				KeyID:  "key_id", // the page says which key it has: the proof that it has found the new one
			},
		}},
		// In production nothing of this is needed: a day of overlap, a day of silence, and a run every hour.
		Policy: rotation.Policy{Overlap: 2 * time.Second, Quiet: time.Second},
	}
}

// tell prints where a credential stands, what it waits for, and when to come back.
func tell(out io.Writer, st rotation.Status) {
	switch {
	case st.Open != nil:
		fmt.Fprintf(out, "%s: on the way from generation %d to %d, in phase %s\n", st.Credential, st.Open.Generation-1, st.Open.Generation, st.Open.Phase)
	default:
		fmt.Fprintf(out, "%s: generation %d, nothing to do\n", st.Credential, st.Generation)
	}
	for _, need := range st.Needs {
		fmt.Fprintf(out, "  waits for %s: %s\n", need.Kind, need.Text)
	}
	if st.Open != nil && st.Open.Problem != nil {
		fmt.Fprintf(out, "  trouble: %v\n", st.Open.Problem)
	}
	if wait := time.Until(st.Next); wait < 48*time.Hour {
		fmt.Fprintf(out, "  come back in %v or later\n", max(wait, 0).Round(100*time.Millisecond))
	} else {
		fmt.Fprintf(out, "  come back on %s or later\n", st.Next.Format(time.DateOnly))
	}
}

// administrator puts the administrator's token on the requests of the issuer.
type administrator struct{ token secret.Value }

func (a administrator) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+a.token.Reveal())
	return http.DefaultTransport.RoundTrip(r)
}
