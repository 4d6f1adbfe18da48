// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package statuspage_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/statuspage"
	"github.com/handover-go/handover/store"
)

// A service mounts the page, and a check reads it as JSON.
func ExampleNew() {
	provider, secrets := rotationtest.NewProvider(), store.NewMemory()
	if err := store.Seed(context.Background(), secrets, "crm", provider.Mint()); err != nil {
		log.Fatal(err)
	}
	rotator, err := rotation.New(rotation.Config{
		Journal: journal.NewMemory(), Store: secrets,
		Credentials: []rotation.Credential{{
			Name: "crm", Type: rotation.APIKey, Issuer: provider,
			Consumers: []rotation.Binding{{Name: "web", Consumer: rotationtest.NewConsumer(provider)}},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := rotator.Rotate(context.Background(), "crm", rotation.Trigger{Reason: "an employee left"}); err != nil {
		log.Fatal(err)
	}

	page, err := statuspage.New(statuspage.Config{Rotator: rotator, Refresh: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	admins := func(next http.Handler) http.Handler { return next } // whatever the service protects its pages with
	mux := http.NewServeMux()
	mux.Handle("/rotations", admins(page))
	server := httptest.NewServer(mux)
	defer server.Close()

	resp, err := http.Get(server.URL + "/rotations?state=open&format=json")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	var doc statuspage.Document
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		log.Fatal(err)
	}
	crm := doc.Credentials[0]
	fmt.Println(crm.Name, crm.Open.Strategy, crm.Open.Phase, doc.Summary.Person)
	for _, need := range crm.Needs {
		fmt.Println("-", need.Kind, need.Verbs)
	}
	// Output:
	// crm standard soak 0
	// - quiet [extend roll-back]
	// - time [extend roll-back]
}
