// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log"
	"net/http"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/webhook"
)

// The essence of this program, for one sender. These stand for what yours has.
var (
	ctx      = context.Background()
	secrets  = store.NewMemory() // a program takes store.OpenFile, or the store that it has
	handler  = http.NotFoundHandler()
	internal = http.NewServeMux()
	github   = http.DefaultClient // one that adds the token
	rotator  *rotation.Rotator
)

const githubHook = "https://api.github.com/repos/acme/web/hooks/12345"

// The receiver.
func Example() {
	verifier, err := webhook.NewVerifier(webhook.Config{Scheme: webhook.GitHub, Replay: webhook.NewReplayCache(100_000)})
	if err != nil {
		log.Fatal(err)
	}
	receiver, err := consumer.Receive(ctx, consumer.Source{Store: secrets, Credential: "github"}, verifier)
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("POST /hooks/github", verifier.Middleware(handler)) // with either secret; in this process each delivery once
	internal.Handle("/rotation/github", receiver)                   // on another port, for the rotator
}

// What its rotator is told.
func Example_rotator() {
	err := rotator.Register(rotation.Credential{
		Name: "github", Type: rotation.WebhookSecret,
		Issuer:    issuer.Webhook{URL: githubHook + "/config", Test: githubHook + "/pings", Client: github},
		Consumers: []rotation.Binding{{Name: "receiver", Consumer: consumer.Replicas{URL: "http://receiver-headless.prod.svc:9090/rotation/github"}}}, // every pod
	})
	if err != nil {
		log.Fatal(err)
	}
}
