// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package inhouse_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/examples/inhouse"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/verify"
)

const (
	gateway    = "https://gateway.example.com"
	credential = "payment-gateway-api"
)

// payments is the service under test. It pays with the live key, and rotates that key itself.
type payments struct {
	key     *consumer.Handle
	client  *http.Client
	rotator *rotation.Rotator
}

func newPayments(ctx context.Context, secrets rotation.SecretStore, network http.RoundTripper) (*payments, error) {
	key, err := consumer.Follow(ctx, consumer.Source{Store: secrets, Credential: credential})
	if err != nil {
		return nil, err
	}
	plain := &http.Client{Transport: network}
	rotator, err := rotation.New(rotation.Config{
		Journal: journal.NewMemory(), Store: secrets,
		Credentials: []rotation.Credential{{
			Name: credential, Type: rotation.APIKey,
			Policy:    rotation.Policy{Overlap: 48 * time.Hour},
			Issuer:    inhouse.Issuer{URL: gateway + "/keys", Admin: plain},
			Verifier:  verify.Probe{URL: gateway + "/whoami", Client: plain},
			Consumers: []rotation.Binding{{Name: "payments", Consumer: key}},
		}},
	})
	live := &http.Client{Transport: &consumer.Transport{Handle: key, Origin: gateway, Base: network}}
	return &payments{key, live, rotator}, err
}

func (p *payments) pay(ctx context.Context) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, gateway+"/payments", nil)
	if err != nil {
		return 0, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// world is the service with everything around it: a key service and a store, both in memory, and a key whose age nobody
// knows, which is due for rotation.
func world(t *testing.T, ctx context.Context) (*payments, *rotationtest.Provider, *rotationtest.Store) {
	keys, secrets := rotationtest.NewProvider(), rotationtest.NewStore()
	old := keys.Mint()
	require.NoError(t, store.Seed(ctx, secrets, credential, rotation.Key{ID: old.ID, Secret: old.Secret}))
	service, err := newPayments(ctx, secrets, direct{keyService(keys)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, service.key.Close()) })
	return service, keys, secrets
}

// trade pays for three days, in step with nothing: otherwise a gap could go unseen.
func trade(t *testing.T, ctx context.Context, service *payments) rotation.Status {
	for end := time.Now().Add(3 * 24 * time.Hour); time.Now().Before(end); time.Sleep(277 * time.Second) {
		status, err := service.pay(ctx)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status)
	}
	st, err := service.rotator.Status(ctx, credential)
	require.NoError(t, err)
	return st
}

// The first answer of the key service gets lost, the store is sealed for an hour, both keys live for 48 hours, and no payment
// is refused. The three days take some hundred milliseconds.
func TestNoPaymentIsRefusedWhileTheKeyRotates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service, keys, secrets := world(t, t.Context())
		keys.Inject(rotationtest.Fault{Op: "Issue", Call: 1, After: true}) // minted, and nobody heard of it
		sealed := time.Now().Add(time.Minute)
		for _, op := range []string{"Load", "Save"} {
			secrets.Inject(rotationtest.Fault{Op: op, From: sealed, Until: sealed.Add(time.Hour), Err: errors.New("sealed")})
		}
		go service.rotator.Run(t.Context())

		st := trade(t, t.Context(), service)
		require.Nil(t, st.Open)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
		require.GreaterOrEqual(t, st.Last.RevokedAt.Sub(st.Last.DeployedAt), 48*time.Hour)
		require.Equal(t, 2, keys.Calls("Issue"))
		require.Empty(t, keys.Unmet(), "the answer that was to get lost did")
		require.Equal(t, []string{service.key.Key().ID}, keys.Live(), "the old key is dead, and so is the lost one")
	})
}

// A service that keeps the key that it began with is not cut off: the key service sees the old key in use, and the rotation
// waits and says so.
func TestAServiceThatKeepsItsKeyIsNotCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service, keys, _ := world(t, t.Context())
		service.client.Transport.(*consumer.Transport).Handle = consumer.Static(service.key.Key()) // the mistake
		go service.rotator.Run(t.Context())

		st := trade(t, t.Context(), service)
		require.NotNil(t, st.Open)
		require.ErrorIs(t, st.Open.Problem, rotation.OldKeyInUse)
		require.Len(t, keys.Live(), 2)
	})
}
