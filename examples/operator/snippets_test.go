// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

type nobody struct{}

func (nobody) Deliver(context.Context, rotation.Event) error { return nil }

// What the README shows runs.
func TestTheSnippetsRun(t *testing.T) {
	provider := rotationtest.NewProvider()
	seed := provider.Mint()
	dir, postgres, vault, signing = t.TempDir(), journal.NewMemory(), store.NewMemory(), secret.Random(32)
	chat, payments, pager = nobody{}, nobody{}, nobody{}
	require.NoError(t, store.Seed(t.Context(), vault, "payment-gateway-api", seed))
	managed = []rotation.Credential{{Name: "payment-gateway-api", Type: rotation.APIKey, Issuer: provider, Verifier: provider}}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	require.NoError(t, serve(ctx))

	var err error
	rotator, err = rotation.New(rotation.Config{Journal: postgres, Store: vault, Credentials: managed})
	require.NoError(t, err)
	_, err = rotator.Advance(t.Context(), "payment-gateway-api")
	require.NoError(t, err)
	require.NoError(t, ask(t.Context()))
	require.ErrorIs(t, answer(t.Context()), rotation.ErrNotFound, "billing-webhook is not registered here")
}
