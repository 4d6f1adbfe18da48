// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

func svix(api string) issuer.Webhook {
	hook := api + "/app/a1/endpoint/ep1"
	return issuer.Webhook{
		URL: hook + "/secret/rotate", Method: http.MethodPost,
		Body: func(key rotation.Key) any {
			return map[string]any{"key": key.Secret.Reveal(), "gracePeriodSeconds": 0}
		},
		Make: issuer.StandardSecret, Read: hook + "/secret", ReadField: "key",
	}
}

// The engine's order: chosen, made, told; told the old one again in a roll-back; ended.
func TestWebhook(t *testing.T) {
	sender := &endpoint{}
	api := serve(t, sender.ServeHTTP)
	hook := issuer.Webhook{URL: api + "/webhooks/9", Field: "signing_secret"}
	ctx := t.Context()

	var keys [2]rotation.Key
	for n := range keys {
		req := rotation.IssueRequest{Name: "own-v" + string(rune('1'+n))}
		chosen, err := hook.Choose(ctx, req)
		require.NoError(t, err)
		req.Chosen = chosen
		keys[n], err = hook.Issue(ctx, req)
		require.NoError(t, err)
		assert.True(t, keys[n].Secret.Equal(chosen.Secret))
		assert.False(t, keys[n].IssuedAt.IsZero())
	}
	assert.False(t, keys[0].Secret.Equal(keys[1].Secret))
	require.Empty(t, sender.told, "Issue tells the sender nothing")

	for _, n := range []int{0, 1, 0} {
		require.NoError(t, hook.Activate(ctx, keys[n]))
		assert.Equal(t, keys[n].Secret.Reveal(), sender.secret())
	}
	require.NoError(t, hook.Revoke(ctx, keys[1]))
	assert.Len(t, sender.told, 3)
	assert.Zero(t, sender.others)
}

// A lost answer is told again; what the sender uses already it is not told twice.
func TestWebhookReadsFirst(t *testing.T) {
	sender := &endpoint{}
	wire := &lossy{Handler: sender}
	hook := svix(serve(t, wire.ServeHTTP))
	first, err := hook.Choose(t.Context(), rotation.IssueRequest{Name: "svix-v1"})
	require.NoError(t, err)
	second, err := hook.Choose(t.Context(), rotation.IssueRequest{Name: "svix-v2"})
	require.NoError(t, err)
	require.NoError(t, hook.Activate(t.Context(), first))

	wire.lose("POST /app/a1/endpoint/ep1/secret/rotate")
	require.Error(t, hook.Activate(t.Context(), second))
	for range 20 { // more than Svix takes
		require.NoError(t, hook.Activate(t.Context(), second))
	}
	assert.Equal(t, []string{first.Secret.Reveal(), second.Secret.Reveal()}, sender.told)
	assert.Equal(t, []any{0.0, 0.0}, sender.grace, "no grace: it would hide what the sender signs with")

	require.NoError(t, hook.Activate(t.Context(), first)) // the roll-back
	assert.Equal(t, first.Secret.Reveal(), sender.secret())
}

// What cannot be read is not assumed: a sender that takes a secret only so often must not be told blindly.
func TestWebhookReadFails(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"denied": answer(http.StatusForbidden, canary), "no JSON": answer(http.StatusOK, canary), "down": answer(http.StatusBadGateway, canary),
	} {
		t.Run(name, func(t *testing.T) {
			told := false
			hook := svix(serve(t, func(w http.ResponseWriter, r *http.Request) {
				told = told || r.Method == http.MethodPost
				answer(w, r)
			}))
			err := hook.Activate(t.Context(), rotation.Key{ID: "k", Secret: secret.New(canary)})
			clean(t, err)
			clean(t, hook.Check(t.Context()))
			assert.False(t, told)
		})
	}
	for name, body := range map[string]string{"no such field": `{}`, "null": `{"key":null}`, "mask": `{"key":"****"}`, "number": `{"key":7}`} {
		t.Run(name, func(t *testing.T) {
			told := false
			hook := svix(serve(t, func(w http.ResponseWriter, r *http.Request) {
				told = told || r.Method == http.MethodPost
				io.WriteString(w, body)
			}))
			require.NoError(t, hook.Check(t.Context()))
			require.NoError(t, hook.Activate(t.Context(), sign))
			assert.True(t, told, "nothing says that it is the one in use")
		})
	}
}

func TestWebhookErrors(t *testing.T) {
	for status, want := range map[int][]error{
		http.StatusUnauthorized:        {rotation.ErrDenied},
		http.StatusForbidden:           {rotation.ErrDenied},
		http.StatusNotFound:            {rotation.ErrNotFound},
		http.StatusConflict:            {rotation.ErrConflict},
		http.StatusUnprocessableEntity: {},
		http.StatusTooManyRequests:     {},
		http.StatusBadGateway:          {},
		http.StatusFound:               {},
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			api := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "60")
				answer(status, canary)(w, nil)
			})
			hook := issuer.Webhook{URL: api + "/hook?key=" + canary, Test: api + "/test?key=" + canary}
			for _, err := range []error{
				hook.Activate(t.Context(), rotation.Key{ID: "k", Secret: secret.New(canary)}),
				hook.Verify(t.Context(), rotation.Key{ID: "k", Secret: secret.New(canary)}),
			} {
				clean(t, err)
				matches(t, err, want...) // ErrNotIssued never: nothing was to be issued
			}
		})
	}
	t.Run("no answer", func(t *testing.T) {
		hook := issuer.Webhook{URL: "https://hooks.example.com", Client: &http.Client{
			Transport: tripper(func(*http.Request) (*http.Response, error) { return nil, errors.New(canary) }),
		}}
		err := hook.Activate(t.Context(), rotation.Key{Secret: secret.New(canary)})
		clean(t, err)
		matches(t, err)
	})
	t.Run("a body with a Value", func(t *testing.T) {
		hook := issuer.Webhook{URL: "https://hooks.example.com", Body: func(key rotation.Key) any { return key }}
		err := hook.Activate(t.Context(), rotation.Key{Secret: secret.New(canary)})
		clean(t, err)
		require.ErrorIs(t, err, secret.ErrMarshal)
		matches(t, err)
	})
}

// An empty secret switches the signatures of many senders off.
func TestWebhookNeverTellsNothing(t *testing.T) {
	sender := &endpoint{}
	hook := issuer.Webhook{URL: serve(t, sender.ServeHTTP) + "/webhooks/9", Field: "signing_secret"}
	require.ErrorContains(t, hook.Activate(t.Context(), rotation.Key{ID: "k"}), "holds no secret")
	assert.Empty(t, sender.told)
}

func TestWebhookFields(t *testing.T) {
	var body string
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		body = r.Method + " " + string(data)
	})
	key := rotation.Key{Secret: secret.New("s3cr3t")}
	for field, want := range map[string]string{
		"":              `PATCH {"secret":"s3cr3t"}`,
		"token":         `PATCH {"token":"s3cr3t"}`,
		"config.secret": `PATCH {"config":{"secret":"s3cr3t"}}`,
		"a.b.c":         `PATCH {"a":{"b":{"c":"s3cr3t"}}}`,
	} {
		require.NoError(t, issuer.Webhook{URL: url, Field: field}.Activate(t.Context(), key))
		assert.Equal(t, want, body)
	}
}

func TestWebhookValidate(t *testing.T) {
	good := issuer.Webhook{URL: "https://example.com/hook"}
	require.NoError(t, good.Validate())
	assert.Equal(t, "https://example.com/hook", issuer.Webhook{URL: "https://u:p@example.com/hook?key=x"}.Identity())
	for field, spoil := range map[string]func(*issuer.Webhook){
		"Webhook.URL is required": func(w *issuer.Webhook) { w.URL = "" },
		"Webhook.URL is not":      func(w *issuer.Webhook) { w.URL = "/hook" },
		"Webhook.Read":            func(w *issuer.Webhook) { w.Read = "hook" },
		"Webhook.Test":            func(w *issuer.Webhook) { w.Test = "ftp://example.com" },
		"Webhook.Method":          func(w *issuer.Webhook) { w.Method = http.MethodDelete },
		"Webhook.Body":            func(w *issuer.Webhook) { w.Field, w.Body = "x", func(rotation.Key) any { return nil } },
		"Grace":                   func(w *issuer.Webhook) { w.Traits.Grace = time.Hour },
		"KillsOld":                func(w *issuer.Webhook) { w.Traits.KillsOld = true },
	} {
		t.Run(field, func(t *testing.T) {
			w := good
			w.Client = &http.Client{Transport: tripper(func(*http.Request) (*http.Response, error) {
				t.Error("a request before the configuration was checked")
				return nil, errors.New("no network")
			})}
			spoil(&w)
			_, issueErr := w.Issue(t.Context(), rotation.IssueRequest{Chosen: sign})
			require.ErrorIs(t, issueErr, rotation.ErrNotIssued)
			for _, err := range []error{
				w.Validate(), w.Check(t.Context()), w.Activate(t.Context(), sign), w.Verify(t.Context(), sign), w.Revoke(t.Context(), sign), issueErr,
			} {
				require.ErrorContains(t, err, field)
			}
		})
	}
}

func TestWebhookWithoutTest(t *testing.T) {
	err := issuer.Webhook{URL: "https://example.com/hook"}.Verify(t.Context(), sign)
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

func TestStandardSecret(t *testing.T) {
	one, other := issuer.StandardSecret(), issuer.StandardSecret()
	assert.False(t, one.Equal(other))
	text, ok := strings.CutPrefix(one.Reveal(), "whsec_")
	raw, err := base64.StdEncoding.DecodeString(text)
	require.NoError(t, err)
	assert.True(t, ok)
	assert.Len(t, raw, 32)
}
