// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/notify"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

// whsec is the base64 of "CANARY-83451267-CANARY-83451267".
const whsec = "whsec_Q0FOQVJZLTgzNDUxMjY3LUNBTkFSWS04MzQ1MTI2Nw=="

func standard(t testing.TB) (*webhook.Signer, *webhook.Verifier) {
	t.Helper()
	key := webhook.Secret{ID: "1", Value: secret.New(whsec)}
	signer, err := webhook.NewSigner(webhook.Standard, key)
	require.NoError(t, err)
	verifier, err := webhook.NewVerifier(webhook.Config{
		Scheme: webhook.Standard, Secrets: []webhook.Secret{key}, Replay: webhook.NewReplayCache(100),
	})
	require.NoError(t, err)
	return signer, verifier
}

// delivered is what a receiver with a replay cache makes of deliveries.
type delivered struct {
	ids    []string
	events []rotation.Event
	errs   []error
}

func (d *delivered) handler(v *webhook.Verifier) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		d.ids = append(d.ids, r.Header.Get("Webhook-Id"))
		if _, err := v.Verify(r.Context(), r.Header, body); err != nil {
			d.errs = append(d.errs, err)
			w.WriteHeader(http.StatusNoContent) // what is known is taken
			return
		}
		var e rotation.Event
		if err := json.Unmarshal(body, &e); err != nil {
			d.errs = append(d.errs, err)
		}
		d.events = append(d.events, e)
	}
}

// A repetition that the receiver refuses as one has been taken: it would be offered for ever else.
func TestWebhookToAMiddleware(t *testing.T) {
	signer, verifier := standard(t)
	taken := 0
	server := httptest.NewServer(verifier.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { taken++ })))
	defer server.Close()
	w := notify.Webhook{URL: server.URL, Signer: signer}
	require.NoError(t, w.Deliver(t.Context(), event()))
	require.NoError(t, w.Deliver(t.Context(), event()), "the answer to the first one was lost, perhaps")
	require.Equal(t, 1, taken)
	conflict := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusConflict) }))
	defer conflict.Close()
	require.Error(t, notify.Slack{URL: secret.New(conflict.URL)}.Deliver(t.Context(), event()), "a chat knows no repetitions")
}

func TestWebhook(t *testing.T) {
	signer, verifier := standard(t)
	var got delivered
	server := httptest.NewServer(got.handler(verifier))
	defer server.Close()
	w := notify.Webhook{URL: server.URL + "/hook?a=b", Signer: signer}
	require.NoError(t, w.Deliver(t.Context(), event()))
	require.Equal(t, []rotation.Event{event()}, got.events)
	require.Empty(t, got.errs)

	require.NoError(t, w.Deliver(t.Context(), event()), "the engine delivers at least once")
	require.Len(t, got.events, 1)
	require.Len(t, got.errs, 1)
	require.ErrorIs(t, got.errs[0], webhook.ErrReplayed)
	require.Equal(t, []string{"payments%2Eapi/w1/3/17", "payments%2Eapi/w1/3/17"}, got.ids)

	require.Equal(t, "webhook "+server.URL+"/hook", w.Identity())
}

func TestWebhookIDs(t *testing.T) {
	signer, verifier := standard(t)
	var got delivered
	server := httptest.NewServer(got.handler(verifier))
	defer server.Close()
	w := notify.Webhook{URL: server.URL, Signer: signer}
	ids := []string{"a.b", "a%2Eb", "a%b", "INC 1\r\nX: y/unrecorded", "ü", strings.Repeat("a", 512), strings.Repeat("a", 513), strings.Repeat("a", 514), strings.Repeat(".", 300)}
	for _, id := range ids {
		require.NoError(t, w.Deliver(t.Context(), rotation.Event{ID: id}), id)
	}
	require.Empty(t, got.errs, "every id is another one")
	require.Len(t, got.events, len(ids))
	for i, e := range got.events {
		assert.Equal(t, ids[i], e.ID)
	}
	requireSilent(t, w.Deliver(t.Context(), rotation.Event{}))
}

func TestWebhookFails(t *testing.T) {
	signer, _ := standard(t)
	status := http.StatusInternalServerError
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, canary)
	}))
	address := strings.Replace(server.URL, "http://", "http://user:"+canary+"@", 1) + "/hook?token=" + canary
	w := notify.Webhook{URL: address, Signer: signer}
	for status = range map[int]bool{301: true, 400: true, 401: true, 404: true, 429: true, 500: true, 503: true} {
		err := w.Deliver(t.Context(), event())
		requireSilent(t, err)
		require.ErrorContains(t, err, "notify: Webhook "+server.URL+"/hook: ")
	}
	server.Close()
	err := w.Deliver(t.Context(), event())
	requireSilent(t, err)
	require.ErrorContains(t, err, "connection refused")
	require.NotContains(t, w.Identity(), "CANARY")

	empty, err := webhook.NewSigner(webhook.Standard)
	require.NoError(t, err)
	w.Signer = empty
	err = w.Deliver(t.Context(), event())
	requireSilent(t, err)
	require.ErrorIs(t, err, webhook.ErrNoSecret)
}

func TestWebhookHangs(t *testing.T) {
	signer, _ := standard(t)
	synctest.Test(t, func(t *testing.T) {
		client := pipeClient(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		w := notify.Webhook{URL: "http://hook.example/a", Signer: signer, Client: client}
		err := w.Deliver(ctx, event())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(begin), "the caller's deadline is sooner")
		require.ErrorIs(t, w.Deliver(t.Context(), event()), context.DeadlineExceeded)
		require.Equal(t, 6*time.Second, time.Since(begin))
	})
}

func TestWebhookValidate(t *testing.T) {
	signer, _ := standard(t)
	for want, w := range map[string]notify.Webhook{
		"notify: Webhook.URL is required\nnotify: Webhook.Signer is required": {},
		"notify: Webhook.URL is not an absolute http or https URL":            {URL: "ftp://" + canary, Signer: signer},
		"notify: Webhook.Timeout is negative":                                 {URL: "https://hook.example", Signer: signer, Timeout: -1},
	} {
		requireSilent(t, w.Validate())
		require.EqualError(t, w.Validate(), want)
		require.EqualError(t, w.Check(t.Context()), want)
		require.EqualError(t, w.Deliver(t.Context(), event()), want)
	}
	require.NoError(t, notify.Webhook{URL: "https://hook.example", Signer: signer}.Check(t.Context()))
}
