// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package inhouse_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/handover-go/handover/examples/inhouse"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/verify"
)

// Is the issuer one that the engine can rely on? Your own test runs this against a staging account.
func TestIssuer(t *testing.T) {
	server := httptest.NewServer(keyService(rotationtest.NewProvider()))
	defer server.Close()
	made := inhouse.Issuer{URL: server.URL + "/keys", Admin: server.Client()}
	probe := verify.Probe{URL: server.URL + "/whoami", Client: server.Client()}
	rotationtest.IssuerSuite{Issuer: made, Verifier: probe}.Run(t)
}

// And does every rotation with it end well, whichever call fails and whenever the process dies? In CI leave Sample away.
func TestIssuerThroughEveryFault(t *testing.T) {
	rotationtest.Simulate(t, rotationtest.Simulation{
		Sample: 6,
		Issuer: func(context.Context, *rotationtest.World) (rotation.Issuer, rotation.Verifier, error) {
			client := &http.Client{Transport: direct{keyService(rotationtest.NewProvider())}}
			made := inhouse.Issuer{URL: gateway + "/keys", Admin: client}
			return made, verify.Probe{URL: gateway + "/whoami", Client: client}, nil
		},
	})
}
