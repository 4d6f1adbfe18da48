// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package prommetrics_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/metrics"
	prommetrics "github.com/handover-go/handover/metrics/prometheus"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

var (
	older = webhook.Secret{ID: "3-7", Value: secret.New("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")}
	newer = webhook.Secret{ID: "4-9", Value: secret.New("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")}
)

// Which secret senders use still, and why deliveries are refused.
func TestWebhooks(t *testing.T) {
	w := prommetrics.NewWebhooks()
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

	want := `
# HELP handover_webhook_deliveries_total Deliveries that verified, by the id of the secret that matched.
# TYPE handover_webhook_deliveries_total counter
handover_webhook_deliveries_total{secret="3-7",verifier="orders"} 1
handover_webhook_deliveries_total{secret="4-9",verifier="orders"} 2
# HELP handover_webhook_refusals_total Deliveries that were refused, by reason.
# TYPE handover_webhook_refusals_total counter
handover_webhook_refusals_total{reason="malformed",verifier="orders"} 0
handover_webhook_refusals_total{reason="mismatch",verifier="orders"} 1
handover_webhook_refusals_total{reason="no-secret",verifier="orders"} 0
handover_webhook_refusals_total{reason="other",verifier="orders"} 0
handover_webhook_refusals_total{reason="replay-store",verifier="orders"} 0
handover_webhook_refusals_total{reason="replayed",verifier="orders"} 1
handover_webhook_refusals_total{reason="stale",verifier="orders"} 1
handover_webhook_refusals_total{reason="too-large",verifier="orders"} 1
handover_webhook_refusals_total{reason="unsigned",verifier="orders"} 1
`
	require.NoError(t, testutil.CollectAndCompare(w, strings.NewReader(want)))
	problems, err := testutil.CollectAndLint(w)
	require.NoError(t, err)
	assert.Empty(t, problems)
}

// However many ids there are, and from however many goroutines they come, they are counted, and the series have a limit.
func TestWebhookSeries(t *testing.T) {
	w := prommetrics.NewWebhooks()
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
	assert.Equal(t, metrics.MostSecrets+1, testutil.CollectAndCount(w, "handover_webhook_deliveries_total"))
	requireLines(t, gathered(t, w), `handover_webhook_deliveries_total{secret="other",verifier="orders"} 40`)

	observe := w.Observe("bro\xffken")
	observe(webhook.Match{SecretID: "\xff"}, nil)
	observe(webhook.Match{}, webhook.ErrStale)
	requireLines(t, gathered(t, w),
		"handover_webhook_deliveries_total{secret=\"\uFFFD\",verifier=\"bro\uFFFDken\"} 1",
		"handover_webhook_refusals_total{reason=\"stale\",verifier=\"bro\uFFFDken\"} 1",
	)
	match := webhook.Match{SecretID: "\xff"}
	assert.Zero(t, testing.AllocsPerRun(100, func() { observe(match, nil) }))
	assert.Zero(t, testing.AllocsPerRun(100, func() { observe(match, webhook.ErrMismatch) }))
}
