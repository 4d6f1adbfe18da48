// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package vaultdb_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

func TestIssuerSuite(t *testing.T) {
	p := newPlace(t)
	p.role("suite", "1h")
	rotationtest.IssuerSuite{Issuer: p.issuer("suite"), Verifier: p.login()}.Run(t)
}

// TestSimulate gives each schedule a role of its own: the issuer's leases are nobody else's.
func TestSimulate(t *testing.T) {
	p := newPlace(t)
	rotationtest.Simulate(t, rotationtest.Simulation{
		Issuer: func(_ context.Context, w *rotationtest.World) (rotation.Issuer, rotation.Verifier, error) {
			role := strings.ReplaceAll(w.Credential, "/", "-")
			p.role(role, "1h")
			return p.issuer(role), p.login(), nil
		},
		RealClock:   true,
		CallTimeout: 600 * time.Millisecond, // the machine may be busy
		Sample:      4,
	})
}
