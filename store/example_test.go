// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"fmt"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

// The key that a service uses today goes into the store once. From then on it can be rotated.
func ExampleSeed() {
	ctx := context.Background()
	s := store.NewMemory()
	err := store.Seed(ctx, s, "payment-gateway", rotation.Key{
		ID:       "AK1",
		Secret:   secret.New("sk_live_1"), // os.Getenv, the old secret manager
		IssuedAt: time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := s.Load(ctx, "payment-gateway")
	if err != nil {
		fmt.Println(err)
		return
	}
	key := v.Key(rotation.RoleCurrent)
	fmt.Println(key)
	fmt.Println(key.Secret)
	fmt.Println(store.Seed(ctx, s, "payment-gateway", key))
	// Output:
	// AK1 (generation 1)
	// [secret]
	// store: Seed: "payment-gateway" has a current key already, and is under rotation: there is nothing to seed: conflicting change
}
