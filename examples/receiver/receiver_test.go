// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/webhook"
)

// So a receiver is tested: with a Signer in the place of the sender. The store is what a rotation would make of it.
func TestReplicaFollowsTheStore(t *testing.T) {
	secrets := store.NewMemory()
	old, next := madeUp("stripe"), madeUp("stripe")
	require.NoError(t, store.Seed(t.Context(), secrets, "stripe", rotation.Key{ID: "2019", Secret: old}))
	var handled []string
	r, err := newReplica(t.Context(), "a", secrets, webhook.NewReplayCache(100), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		m, _ := webhook.FromContext(r.Context())
		handled = append(handled, m.SecretID)
	}))
	require.NoError(t, err)
	defer r.close()
	deliver := func(d delivery) int {
		req := httptest.NewRequest(http.MethodPost, "/hooks/stripe", strings.NewReader(string(d.body)))
		req.Header = d.header
		w := httptest.NewRecorder()
		r.hooks.ServeHTTP(w, req)
		return w.Code
	}
	signed := func(value secret.Value) delivery { return signedBy("stripe", value, "") }
	pending := signed(next)

	first := signed(old)
	assert.Equal(t, http.StatusOK, deliver(first))
	assert.Equal(t, http.StatusConflict, deliver(first), "each once")
	assert.Equal(t, http.StatusUnauthorized, deliver(pending), "not yet")

	versions, err := secrets.Load(t.Context(), "stripe")
	require.NoError(t, err)
	versions.Keys = append(versions.Keys, rotation.StoredKey{Role: rotation.RolePending, Key: rotation.Key{ID: "2020", Serial: 2, Generation: 2, Secret: next}})
	require.NoError(t, secrets.Save(t.Context(), "stripe", versions))
	w := httptest.NewRecorder()
	r.internal.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/rotation/stripe", nil)) // the rotator: look at the store now
	require.Equal(t, http.StatusOK, w.Code)
	for _, value := range []secret.Value{old, next} {
		assert.NotContains(t, w.Body.String(), value.Reveal())
	}
	assert.Equal(t, http.StatusOK, deliver(pending))
	assert.Equal(t, http.StatusOK, deliver(signed(old)))
	assert.Equal(t, []string{"1-0", "2-2", "1-0"}, handled)

	w = httptest.NewRecorder()
	r.internal.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	assert.Contains(t, w.Body.String(), `"secret 2-2": 1`)
	w = httptest.NewRecorder()
	r.hooks.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/rotation/stripe", nil))
	assert.Equal(t, http.StatusNotFound, w.Code, "not for the world")
}

// Every forgery is refused by a receiver that accepts the real thing, and a delivery that met with trouble is not one.
func TestForgeriesAreRefused(t *testing.T) {
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			value := madeUp(name)
			verifier, err := webhook.NewVerifier(webhook.Config{
				Scheme: schemes[name], Replay: webhook.NewReplayCache(1000), Secrets: []webhook.Secret{{ID: "only", Value: value}},
			})
			require.NoError(t, err)
			troubled := 1
			server := httptest.NewServer(verifier.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if troubled--; troubled >= 0 {
					w.WriteHeader(http.StatusInternalServerError)
				}
			})))
			defer server.Close()
			a := newAttacker(newLedger(), map[string][]string{name: {server.URL}})
			h := hook{name: name, scheme: schemes[name]}
			require.NoError(t, h.set(value))
			with := h.signsWith()
			genuine, err := h.sign(&with, event{"genuine", payment}, time.Now())
			require.NoError(t, err)
			stale, err := h.sign(&with, event{"stale", payment}, time.Now().Add(-time.Hour))
			require.NoError(t, err)
			for _, want := range []int{http.StatusInternalServerError, http.StatusOK, http.StatusConflict} {
				status, err := post(a.client, server.URL, genuine)
				require.NoError(t, err)
				require.Equal(t, want, status)
			}
			a.hear(genuine)
			a.find(name, secret.Value{}, stale)
			answers := map[int]bool{}
			random := rand.New(rand.NewPCG(1, 1))
			for range 60 {
				forged, ok := a.forge(name, random)
				require.True(t, ok)
				status, err := post(a.client, server.URL, forged)
				require.NoError(t, err)
				require.Contains(t, []int{http.StatusUnauthorized, http.StatusConflict}, status, "%s %s", forged.header, forged.body)
				answers[status] = true
			}
			assert.Len(t, answers, 2, "of both kinds")
		})
	}
}
