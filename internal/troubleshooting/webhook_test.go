// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package troubleshooting_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/webhook"
)

// sender is a service that delivers webhooks: PATCH /hooks/1 sets its secret, POST /hooks/1/test makes a delivery. Its worker signs
// with what it read when it started.
type sender struct {
	network *network

	mu     sync.Mutex
	secret string          // guarded by mu: as configured
	worker *webhook.Signer // guarded by mu
}

func newSender(s *stage, value secret.Value) *sender {
	w := &sender{network: s.network, secret: value.Reveal()}
	w.restart(s.t)
	mux := http.NewServeMux()
	mux.HandleFunc("PATCH /hooks/1", func(rw http.ResponseWriter, r *http.Request) {
		var in struct{ Secret string }
		if json.NewDecoder(r.Body).Decode(&in) != nil || in.Secret == "" {
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.secret = in.Secret
	})
	mux.HandleFunc("POST /hooks/1/test", func(_ http.ResponseWriter, r *http.Request) { w.deliver(r.Context()) })
	s.network.serve("hooks.example.com", mux)
	return w
}

// restart makes the worker read the configuration.
func (w *sender) restart(t *testing.T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	signer, err := webhook.NewSigner(webhook.GitHub, webhook.Secret{ID: "configured", Value: secret.New(w.secret)})
	require.NoError(t, err)
	w.worker = signer
}

// deliver posts one delivery and returns the receiver's answer.
func (w *sender) deliver(ctx context.Context) (status int) {
	w.mu.Lock()
	client := &http.Client{Transport: &webhook.Transport{Signer: w.worker, Base: w.network}}
	w.mu.Unlock()
	body, _ := json.Marshal(map[string]any{"event": "charge.succeeded", "at": time.Now()})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://shop.internal/webhooks", bytes.NewReader(body))
	if err != nil {
		return 0
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// The sender has taken the new secret, and its worker goes on signing with the old one.
func TestSenderOnOldSecret(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		const name = "pay-webhook"
		old := rotation.Key{ID: "by-hand", Secret: secret.Random(32), IssuedAt: time.Now()}
		require.NoError(t, store.Seed(t.Context(), s.secrets, name, old))
		verifier, err := webhook.NewVerifier(webhook.Config{Scheme: webhook.GitHub})
		require.NoError(t, err)
		receiver, err := consumer.Receive(t.Context(), consumer.Source{Store: s.secrets, Credential: name, Logger: s.cfg.Logger}, verifier)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, receiver.Close()) })
		s.network.serve("shop.internal", verifier.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))

		w := newSender(s, old.Secret)
		every(t, time.Minute, func(ctx context.Context) {
			if status := w.deliver(ctx); ctx.Err() == nil {
				require.Equal(t, http.StatusOK, status, "both secrets are accepted, all the time")
			}
		})
		s.cred = rotation.Credential{Name: name, Type: rotation.WebhookSecret, Issuer: issuer.Webhook{
			URL: "http://hooks.example.com/hooks/1", Test: "http://hooks.example.com/hooks/1/test", Client: s.network.client(),
			Traits: rotation.Traits{RetryHorizon: time.Hour},
		}}
		s.begin(rotation.Binding{Name: "shop", Consumer: receiver})
		e := s.until(rotation.SenderOnOldSecret)
		require.Equal(t, "shop", e.Consumer)
		require.Contains(t, e.Evidence, old.ID)
		require.True(t, s.told(rotation.SenderOnOldSecret))
		shows(t, e)

		w.restart(t)
		s.ends(rotation.Rotated)
	})
}
