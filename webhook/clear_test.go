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

func TestClearRefusesEverything(t *testing.T) {
	one := webhook.Secret{ID: "1", Value: secret.New("sixteen bytes and more")}
	v, err := webhook.NewVerifier(webhook.Config{Scheme: webhook.GitHub, Secrets: []webhook.Secret{one}})
	require.NoError(t, err)
	signer, err := webhook.NewSigner(webhook.GitHub, one)
	require.NoError(t, err)
	h := http.Header{}
	require.NoError(t, signer.Sign(h, "", time.Now(), []byte("body")))
	_, err = v.Verify(t.Context(), h, []byte("body"))
	require.NoError(t, err)

	for range 2 {
		v.Clear()
		_, err = v.Verify(t.Context(), h, []byte("body"))
		require.ErrorIs(t, err, webhook.ErrNoSecret)
		require.Empty(t, v.Usage())
	}
	require.NoError(t, v.Set(one))
	_, err = v.Verify(t.Context(), h, []byte("body"))
	require.NoError(t, err)
}
