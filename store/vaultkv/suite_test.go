// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package vaultkv_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// TestStoreSuite sees with the eyes of a reader who knows only the field api_key.
func TestStoreSuite(t *testing.T) { suite(t, newPlace(t)) }

func TestSimulate(t *testing.T) { simulate(t, newPlace(t)) }

// TestEndpoint runs the same against a server of yours: Vault, Vault Enterprise or OpenBao. The token has to be able to mount.
func TestEndpoint(t *testing.T) {
	address, token := os.Getenv("HANDOVER_VAULT_ADDR"), os.Getenv("HANDOVER_VAULT_TOKEN")
	if address == "" || token == "" {
		t.Skip("skipped: HANDOVER_VAULT_ADDR and HANDOVER_VAULT_TOKEN are not set")
	}
	p := mountOn(t, address, token, map[string]string{"version": "2"})
	t.Run("Suite", func(t *testing.T) { suite(t, p) })
	t.Run("Simulate", func(t *testing.T) { simulate(t, p) })
}

func suite(t *testing.T, p *place) {
	rotationtest.StoreSuite{Store: p.store(), Name: name, Current: p.current}.Run(t)
}

func simulate(t *testing.T, p *place) {
	rotationtest.Simulate(t, rotationtest.Simulation{
		Store: func(context.Context, *rotationtest.World) (rotation.SecretStore, error) {
			return p.store(), nil // another one each time, as another process has
		},
		RealClock:   true,
		CallTimeout: 600 * time.Millisecond, // the machine may be busy
		Sample:      6,
	})
}
