// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package kosli_test

import (
	"context"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer/kosli"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// adding adds an administrator's key to what base sends.
type adding struct {
	key  string
	base http.RoundTripper
}

func (a adding) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+a.key)
	return a.base.RoundTrip(r)
}

func TestSimulate(t *testing.T) {
	for name, grace := range map[string]time.Duration{"create and delete": 0, "rotate with grace": 72 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			rotationtest.Simulate(t, rotationtest.Simulation{
				Issuer: func(context.Context, *rotationtest.World) (rotation.Issuer, rotation.Verifier, error) {
					a := newAccount()
					i := kosli.Issuer{
						Org: "acme", ServiceAccount: "ci", BaseURL: "https://kosli.example.com", Grace: grace, Exclusive: true,
						Client: &http.Client{Transport: adding{"admin", a}}, Prober: &http.Client{Transport: a},
					}
					return i, i, nil
				},
				Sample: 12,
			})
		})
	}
}

// The same suite against the live service, with a service account where that does no harm. HANDOVER_KOSLI_KEY is an
// administrator's key; HANDOVER_KOSLI_URL may be left out.
func TestLive(t *testing.T) {
	i := kosli.Issuer{
		Org: os.Getenv("HANDOVER_KOSLI_ORG"), ServiceAccount: os.Getenv("HANDOVER_KOSLI_SERVICE_ACCOUNT"),
		BaseURL: os.Getenv("HANDOVER_KOSLI_URL"),
		Client:  &http.Client{Transport: adding{os.Getenv("HANDOVER_KOSLI_KEY"), http.DefaultTransport}, Timeout: time.Minute},
		Prober:  &http.Client{Timeout: time.Minute},
	}
	if i.Org == "" || i.ServiceAccount == "" || os.Getenv("HANDOVER_KOSLI_KEY") == "" {
		t.Skip("skipped: set HANDOVER_KOSLI_ORG, HANDOVER_KOSLI_SERVICE_ACCOUNT and HANDOVER_KOSLI_KEY")
	}
	require.NoError(t, i.Check(t.Context()))
	rotationtest.IssuerSuite{Issuer: i, Verifier: i, Patience: 30 * time.Second}.Run(t)
}
