// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package gitea_test

import (
	"context"
	"log"
	"net/http"
	"os"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/issuer/gitea"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/webhook"
)

// A service that rotates the token with which it calls Gitea. In a fleet all of it shares one store, and a journal in a database.
func Example() {
	ctx := context.Background()
	tokens, err := gitea.New(gitea.Config{
		URL:      "https://git.example.com",
		User:     "release-bot",
		Admin:    "keys-admin",
		Password: secret.New(os.Getenv("GITEA_ADMIN_TOKEN")),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer tokens.Close()
	values, err := store.OpenFile("/var/lib/release/keys", secret.New(os.Getenv("STORE_KEY")))
	if err != nil {
		log.Fatal(err)
	}
	handle, err := consumer.Follow(ctx, consumer.Source{Store: values, Credential: "release-gitea"})
	if err != nil {
		log.Fatal(err)
	}
	defer handle.Close()
	client := &http.Client{Transport: &consumer.Transport{Handle: handle, Origin: "https://git.example.com"}}
	_ = client // what the service calls Gitea with

	rotator, err := rotation.New(rotation.Config{
		Journal: journal.InStore(values),
		Store:   values,
		Credentials: []rotation.Credential{{
			Name: "release-gitea", Type: rotation.APIKey, Issuer: tokens, Contact: "forge@example.com",
			Consumers: []rotation.Binding{{Name: "release", Consumer: handle}},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(rotator.Run(ctx))
}

// The secret of a webhook that this service receives.
func ExampleHooks() {
	ctx := context.Background()
	values, err := store.OpenFile("/var/lib/release/keys", secret.New(os.Getenv("STORE_KEY")))
	if err != nil {
		log.Fatal(err)
	}
	admin := consumer.Static(rotation.Key{Secret: secret.New(os.Getenv("GITEA_ADMIN_TOKEN"))})
	hooks, err := gitea.Hooks(gitea.HooksConfig{
		URL:     "https://git.example.com",
		Client:  &http.Client{Transport: &consumer.Transport{Handle: admin, Origin: "https://git.example.com"}},
		Owner:   "acme",
		Repo:    "web",
		Address: "https://release.example.com/gitea",
		Events:  []string{"push", "release"},
	})
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := webhook.NewVerifier(webhook.Config{Scheme: webhook.Gitea, Secrets: []webhook.Secret{{ID: "first", Value: secret.New(os.Getenv("HOOK_SECRET"))}}})
	if err != nil {
		log.Fatal(err)
	}
	receiver, err := consumer.Receive(ctx, consumer.Source{Store: values, Credential: "release-hook"}, verifier)
	if err != nil {
		log.Fatal(err)
	}
	defer receiver.Close()
	http.Handle("POST /gitea", verifier.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { /* ... */ })))

	rotator, err := rotation.New(rotation.Config{
		Journal: journal.InStore(values),
		Store:   values,
		Credentials: []rotation.Credential{{
			Name: "release-hook", Type: rotation.WebhookSecret, Issuer: hooks, Verifier: hooks,
			Consumers: []rotation.Binding{{Name: "release", Consumer: receiver}},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(rotator.Run(ctx))
}
