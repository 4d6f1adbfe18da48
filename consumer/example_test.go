// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
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
