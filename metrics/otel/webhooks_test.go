// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package otelmetrics_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/metrics"
	otelmetrics "github.com/handover-go/handover/metrics/otel"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

var (
	older = webhook.Secret{ID: "3-7", Value: secret.New("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")}
	newer = webhook.Secret{ID: "4-9", Value: secret.New("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")}
)

// Which secret senders use still, and why deliveries are refused.
func TestWebhooks(t *testing.T) {
	r := newReader()
	w, err := otelmetrics.NewWebhooks(r.provider)
	require.NoError(t, err)
	v, err := webhook.NewVerifier(webhook.Config{
		Scheme: webhook.Standard, Secrets: []webhook.Secret{newer, older}, MaxBody: 100, Replay: webhook.NewReplayCache(100),
		Observe: w.Observe("orders"),
	})
	require.NoError(t, err)
	deliver := func(s webhook.Secret, id string, at time.Time, body string) {
		signer, err := webhook.NewSigner(webhook.Standard, s)
		require.NoError(t, err)
		h := http.Header{}
		require.NoError(t, signer.Sign(h, id, at, []byte("{}")))
		_, _ = v.Verify(t.Context(), h, []byte(body))
	}
	now := time.Now()
	deliver(newer, "msg_1", now, "{}")
	deliver(newer, "msg_2", now, "{}")
	deliver(older, "msg_3", now, "{}")
	deliver(older, "msg_3", now, "{}")
	deliver(newer, "msg_4", now, "{ }")
	deliver(newer, "msg_5", now.Add(-time.Hour), "{}")
	deliver(newer, "msg_6", now, strings.Repeat(" ", 101))
	_, err = v.Verify(t.Context(), http.Header{}, nil)
	require.ErrorIs(t, err, webhook.ErrUnsigned)

	assert.Equal(t, []string{
		"handover.webhook.deliveries 1 handover.webhook.secret=3-7 handover.webhook.verifier=orders",
		"handover.webhook.deliveries 2 handover.webhook.secret=4-9 handover.webhook.verifier=orders",
		"handover.webhook.refusals 1 error.type=mismatch handover.webhook.verifier=orders",
		"handover.webhook.refusals 1 error.type=replayed handover.webhook.verifier=orders",
		"handover.webhook.refusals 1 error.type=stale handover.webhook.verifier=orders",
		"handover.webhook.refusals 1 error.type=too-large handover.webhook.verifier=orders",
		"handover.webhook.refusals 1 error.type=unsigned handover.webhook.verifier=orders",
	}, r.points(t, "handover"))
}

// However many ids there are, and from however many goroutines they come, they are counted, and the series have a limit.
func TestWebhookSeries(t *testing.T) {
	r := newReader()
	w, err := otelmetrics.NewWebhooks(r.provider)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 4 {
		observe := w.Observe("orders")
		wg.Go(func() {
			for i := range metrics.MostSecrets + 10 {
				observe(webhook.Match{SecretID: fmt.Sprint(i)}, nil)
			}
		})
	}
	wg.Wait()
	points := r.points(t, "handover")
	assert.Len(t, points, metrics.MostSecrets+1)
	assert.Contains(t, points, "handover.webhook.deliveries 40 handover.webhook.secret=other handover.webhook.verifier=orders")

	w.Observe("bro\xffken")(webhook.Match{SecretID: "\xff"}, nil)
	assert.Contains(t, r.points(t, "handover"), "handover.webhook.deliveries 1 handover.webhook.secret=\uFFFD handover.webhook.verifier=bro\uFFFDken")
}
