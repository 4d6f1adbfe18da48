// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

// This is the file to read: the service that a platform team deploys, in as many replicas as it likes. A replica
//
//  1. opens the journal that all of them share, and a store for each credential,
//  2. turns the inventory into credentials: who issues, who accepts, who uses,
//  3. says where the record goes: an audit trail, and notices,
//  4. and calls Run until it is told to end.
//
// There is no leader. Whoever comes first drives a credential, under a lease in the journal; when a replica dies, the others
// carry its rotations on.

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/handover-go/handover/audit"
	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/examples/internal/child"
	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/notify"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/statuspage"
	"github.com/handover-go/handover/verify"
	"github.com/handover-go/handover/webhook"
)

// replica is the rotator process. It serves its status page and says where on its first line of output.
func replica(ctx context.Context, args []string) error {
	name := args[0]
	w, err := worldOfChild()
	if err != nil {
		return err
	}
	sinks, trail, err := openSinks(w, name)
	if err != nil {
		return err
	}
	defer trail.Close()
	progress, db, err := w.openJournal(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	rotator, err := newRotator(w, name, secretOf(storeKeyVar), secretOf(adminVar), progress, sinks...)
	if err != nil {
		return err
	}
	page, err := statuspage.New(statuspage.Config{Rotator: rotator, Title: "Credentials of all shops", Fresh: time.Second, Refresh: 5 * time.Second})
	if err != nil {
		return err
	}
	served, stop := context.WithCancel(context.WithoutCancel(ctx)) // the page lives a little longer than Run
	failed := make(chan error, 1)
	go func() { failed <- child.Serve(served, page) }()
	child.Released(ctx)    // the replicas of this example begin together: a race is what it is about
	err = rotator.Run(ctx) // until it is told to end; then it finishes the side effect at hand
	stop()
	if pageErr := <-failed; err == nil {
		err = pageErr
	}
	return err
}

// newRotator puts the parts together.
func newRotator(w world, actor string, storeKey, admin secret.Value, progress rotation.Journal, sinks ...rotation.Sink) (*rotation.Rotator, error) {
	credentials, err := credentials(w, storeKey, admin)
	if err != nil {
		return nil, err
	}
	return rotation.New(rotation.Config{
		Journal:     progress,
		Credentials: credentials,
		Policy:      policy(w),
		Sinks:       sinks,
		Logger:      slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Actor:       actor,

		// How long a replica that was killed keeps the others from its credentials, and how long any call may take. The
		// defaults, 30 s and 10 s, suit networks; everybody here lives on one machine.
		Lease:       6 * time.Second,
		CallTimeout: 4 * time.Second,
		ClockSkew:   50 * time.Millisecond,
	})
}

// credentials turns the inventory into what the engine drives.
func credentials(w world, storeKey, admin secret.Value) ([]rotation.Credential, error) {
	provider := &http.Client{Transport: administrator{admin}}
	var all []rotation.Credential
	for _, item := range inventory(w.N) {
		secrets, err := w.openStore(item.name, storeKey)
		if err != nil {
			return nil, err
		}
		kind := kinds[item.kind]
		all = append(all, rotation.Credential{
			Name: item.name, Type: kind.typ, Risk: kind.risk, Scope: kind.scope, Contact: kind.contact,
			Store:     secrets,
			Issuer:    issuerOf(w, item.name, provider),
			Verifier:  verify.Probe{URL: w.account(item.name) + "/v1/test"},
			Consumers: bindings(w, item),
		})
	}
	return all, nil
}

// issuerOf is the administrator's API of one account. What the provider is like is stated once.
func issuerOf(w world, credential string, client *http.Client) issuer.REST {
	return issuer.REST{
		URL:    w.account(credential) + "/v1/api-keys",
		Client: client,
		NoSlot: []int{http.StatusUnprocessableEntity},
		Traits: rotation.Traits{
			MaxKeys:     2,
			Propagation: 150 * time.Millisecond, // its slowest edge server takes 90
			ListLag:     100 * time.Millisecond, // measured: 50
			Exclusive:   true,                   // nobody else makes keys in these accounts
			Independent: true,                   // the administrator's token, not the key, issues the next one
		},
	}
}

// bindings are the services that use a credential, each a fleet: every process of it says which key it has.
func bindings(w world, item item) []rotation.Binding {
	var all []rotation.Binding
	for _, service := range item.services {
		all = append(all, rotation.Binding{Name: service, Group: service, Consumer: consumer.Replicas{
			URL:    "http://" + service + ".shops.internal/" + service + "/" + item.name,
			Least:  len(w.Hosts),
			Lookup: func(context.Context, string) ([]string, error) { return w.Hosts, nil }, // what DNS would say
		}})
	}
	return all
}

// openSinks opens the audit trail of this replica, which nobody else can write meanwhile, and the notices, which are signed. The
// trails of the replicas have one name: each event is in one of them, that of whoever drove, and together they have all.
func openSinks(w world, replica string) ([]rotation.Sink, *audit.Trail, error) {
	signer, err := webhook.NewSigner(webhook.Standard, webhook.Secret{ID: "notices", Value: secretOf(noticeVar)})
	if err != nil {
		return nil, nil, err
	}
	trail, err := audit.Open(audit.Config{Dir: w.trail(replica), Name: "operator", Key: secretOf(auditVar)})
	if err != nil {
		return nil, nil, fmt.Errorf("the audit trail: %w", err)
	}
	return []rotation.Sink{trail, notify.Webhook{URL: w.Notices, Signer: signer}}, trail, nil
}

// administrator puts the administrator's token on the requests of the issuers.
type administrator struct{ token secret.Value }

func (a administrator) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+a.token.Reveal())
	return http.DefaultTransport.RoundTrip(r)
}
