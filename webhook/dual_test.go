// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

// A sender that signs with both secrets needs only the newer one, whichever matched before.
func TestTheNewestOfSeveralSignaturesCounts(t *testing.T) {
	older := webhook.Secret{ID: "older", Value: secret.Random(32)}
	newer := webhook.Secret{ID: "newer", Value: secret.Random(32)}
	v, err := webhook.NewVerifier(webhook.Config{Scheme: webhook.Stripe, Secrets: []webhook.Secret{newer, older}})
	require.NoError(t, err)
	body := []byte(`{"id":"evt_1"}`)
	for _, signing := range [][]webhook.Secret{{older}, {newer, older}, {older}, {newer}} {
		s, err := webhook.NewSigner(webhook.Stripe, signing...)
		require.NoError(t, err)
		h := http.Header{}
		require.NoError(t, s.Sign(h, "", time.Now(), body))
		m, err := v.Verify(t.Context(), h, body)
		require.NoError(t, err)
		require.Equal(t, signing[0].ID, m.SecretID)
	}
}
