// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package vaultkv_test

import (
	"context"
	"errors"
	"log"
	"time"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/store/vaultkv"
	"github.com/hashicorp/vault/api"
)

// The keys of all credentials lie in secret/api-credentials, and the one in use is put under rotation.
func Example() {
	ctx := context.Background()
	client, err := api.NewClient(api.DefaultConfig()) // VAULT_ADDR, VAULT_TOKEN, VAULT_CACERT
	if err != nil {
		log.Fatal(err)
	}
	secrets, err := vaultkv.New(vaultkv.Config{Client: client, Prefix: "api-credentials"})
	if err != nil {
		log.Fatal(err)
	}
	if err := secrets.Check(ctx); err != nil {
		log.Fatal(err)
	}
	err = store.Seed(ctx, secrets, "payment-gateway-api", rotation.Key{
		ID:       "AK1",
		Secret:   secret.New("sk_live_1"), // what stands in api_key
		IssuedAt: time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC),
	})
	if err != nil && !errors.Is(err, rotation.ErrConflict) { // it is under rotation since an earlier start
		log.Fatal(err)
	}
}

// The token that the store works with is a credential as well: its consumer is this process, and the store follows it.
func ExampleConfig_token() {
	var token *consumer.Handle // of the credential "vault-token", in a store that does not need it
	client, err := api.NewClient(api.DefaultConfig())
	if err != nil {
		log.Fatal(err)
	}
	_, err = vaultkv.New(vaultkv.Config{
		Client: client,
		Token:  func() secret.Value { return token.Key().Secret },
	})
	if err != nil {
		log.Fatal(err)
	}
}
