// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/webhook"
)

func ExampleFollow() {
	ctx := context.Background()
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "paid with ", r.Header.Get("Authorization"))
	}))
	defer provider.Close()
	secrets := newStore(stored(rotation.RoleCurrent, 1)) // any rotation.SecretStore

	key, err := consumer.Follow(ctx, consumer.Source{Store: secrets, Credential: "payments"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer key.Close()
	client := &http.Client{Transport: &consumer.Transport{Handle: key, Origin: provider.URL}}

	resp, err := client.Get(provider.URL + "/pay")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(string(body))
	fmt.Println(key.Key())
	// Output:
	// paid with Bearer hush-b
	// id-b (generation 1)
}

func ExampleDerive() {
	key := consumer.Static(rotation.Key{ID: "key-1", Generation: 1})
	greeting, err := consumer.Derive(key, func(k rotation.Key) (string, error) { return "built from " + k.ID, nil })
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(greeting.Get()) // for each use
	// Output: built from key-1
}

// A receiver of webhooks whose secrets follow the store, with a place for the rotator to ask which of them are accepted and in use.
func ExampleReceive() {
	ctx := context.Background()
	secrets := newStore(as(current, 2), as(previous, 1)) // any rotation.SecretStore

	verifier, err := webhook.NewVerifier(webhook.Config{Scheme: webhook.GitHub})
	if err != nil {
		fmt.Println(err)
		return
	}
	receiver, err := consumer.Receive(ctx, consumer.Source{Store: secrets, Credential: "payments"}, verifier)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer receiver.Close()
	public, internal := http.NewServeMux(), http.NewServeMux() // behind two listeners
	public.Handle("POST /hooks/github", verifier.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m, _ := webhook.FromContext(r.Context())
		fmt.Fprint(w, "verified with secret ", m.SecretID)
	})))
	internal.Handle("/rotation/github", receiver)

	// A sender that does not know of the newest secret yet.
	signer, err := webhook.NewSigner(webhook.GitHub, webhook.Secret{ID: "old", Value: hook(1).Secret})
	if err != nil {
		fmt.Println(err)
		return
	}
	body := `{"action":"opened"}`
	delivery := httptest.NewRequest(http.MethodPost, "/hooks/github", strings.NewReader(body))
	if err := signer.SignRequest(delivery, "", time.Now(), []byte(body)); err != nil {
		fmt.Println(err)
		return
	}
	answer := httptest.NewRecorder()
	public.ServeHTTP(answer, delivery)
	fmt.Println(answer.Code, answer.Body)

	forged := httptest.NewRequest(http.MethodPost, "/hooks/github", strings.NewReader(body))
	answer = httptest.NewRecorder()
	public.ServeHTTP(answer, forged)
	fmt.Println(answer.Code)
	// Output:
	// 200 verified with secret 1-11
	// 401
}
