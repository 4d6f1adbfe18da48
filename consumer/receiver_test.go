// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

type noReplay struct{ asked int }

func (r *noReplay) Seen(context.Context, string, time.Duration) (bool, error) {
	r.asked++
	return false, nil
}

func TestReceiverVerifiesByADeliveryOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen, replay := 0, &noReplay{}
		v, err := webhook.NewVerifier(webhook.Config{
			Scheme: webhook.Stripe, Replay: replay, Observe: func(webhook.Match, error) { seen++ },
		})
		require.NoError(t, err)
		s := newStore(as(current, 2), as(previous, 1))
		r := receive(t, s, v)
		require.NoError(t, r.Verify(t.Context(), hook(1)))
		require.NoError(t, r.Verify(t.Context(), hook(2)))
		renamed := hook(1)
		renamed.Serial, renamed.ID = 99, "whatever it is called"
		require.NoError(t, r.Verify(t.Context(), renamed), "the value decides")
		renamed.Secret = hook(3).Secret
		require.ErrorIs(t, r.Verify(t.Context(), renamed), rotation.ErrRejected)
		require.ErrorIs(t, r.Verify(t.Context(), hook(3)), rotation.ErrRejected)
		require.ErrorIs(t, r.Verify(t.Context(), rotation.Key{Secret: secret.Random(32)}), rotation.ErrRejected)
		require.ErrorIs(t, r.Verify(t.Context(), rotation.Key{Secret: secret.New("short")}), rotation.ErrRejected)
		noValue := hook(2)
		noValue.Secret = secret.Value{}
		err = r.Verify(t.Context(), noValue)
		require.Error(t, err)
		require.NotErrorIs(t, err, rotation.ErrRejected)

		require.NoError(t, r.Deploy(t.Context(), accept()))
		require.ErrorIs(t, r.Verify(t.Context(), hook(2)), rotation.ErrRejected)
		require.Zero(t, seen)
		require.Zero(t, replay.asked)
		require.NoError(t, r.Deploy(t.Context(), accept(2)))
		u, err := r.Usage(t.Context(), hook(2))
		require.NoError(t, err)
		require.Zero(t, u.LastUsed)
	})
}

func TestReceiverCannotSignWithAPublicKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		public, _, err := ed25519.GenerateKey(nil)
		require.NoError(t, err)
		k := hook(1)
		k.Secret = secret.New(hex.EncodeToString(public))
		v, err := webhook.NewVerifier(webhook.Config{Scheme: webhook.Discord})
		require.NoError(t, err)
		r := receive(t, newStore(rotation.StoredKey{Key: k, Role: current}), v)
		err = r.Verify(t.Context(), k)
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.NotErrorIs(t, err, rotation.ErrRejected)
		instances, err := r.Observe(t.Context())
		require.NoError(t, err)
		require.Equal(t, identityOf(k), instances[0].Key)
		require.ErrorIs(t, mesh(r).Verify(t.Context(), k), errors.ErrUnsupported)
	})
}

func TestReceiverVerifierSuite(t *testing.T) {
	v := newVerifier(t)
	r := receive(t, newStore(as(current, 2)), v)
	rotationtest.VerifierSuite{Verifier: r, Live: hook(2), Dead: hook(1)}.Run(t)
}

func TestReceiverObservesEachKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := newStore(as(current, 2), as(previous, 1), as(retiring, 0)), newVerifier(t)
		r := receive(t, s, v)
		now := time.Now()
		for _, set := range [][]int{{2, 1}, {}, {3}} {
			want := []rotation.Instance{}
			for _, n := range set {
				want = append(want, rotation.Instance{Name: "me", Key: identityOf(hook(n)), AsOf: now})
			}
			if len(set) == 0 {
				want = append(want, rotation.Instance{Name: "me", AsOf: now})
			}
			require.NoError(t, r.Deploy(t.Context(), accept(set...)))
			instances, err := r.Observe(t.Context())
			require.NoError(t, err)
			require.Equal(t, want, instances)
		}
		// What somebody else sets is seen, too: this process does not accept what it was told.
		require.NoError(t, v.Set(webhook.Secret{ID: "by hand", Value: hook(1).Secret}))
		instances, err := r.Observe(t.Context())
		require.NoError(t, err)
		require.Equal(t, []rotation.Instance{{Name: "me", Key: rotation.Key{ID: "by hand"}, AsOf: now}}, instances)
	})
}

func TestReceiverTellsUsageBySerial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s, v := newStore(as(current, 2), as(previous, 1), as(retiring, 0)), newVerifier(t)
		r := receive(t, s, v)
		deliver := func(n int) time.Time {
			time.Sleep(time.Minute)
			_, err := v.Verify(t.Context(), signed(t, hook(n), "body"), []byte("body"))
			require.NoError(t, err)
			return time.Now()
		}
		usage := func(n int) rotation.Usage {
			time.Sleep(time.Second)
			u, err := r.Usage(t.Context(), rotation.Key{Serial: int64(n + 10)})
			require.NoError(t, err)
			return u
		}
		require.True(t, equalUsage(rotation.Usage{Since: began, AsOf: time.Now().Add(time.Second)}, usage(1)))
		one, two := deliver(1), deliver(2)
		u := usage(1)
		require.True(t, equalUsage(rotation.Usage{LastUsed: one, Since: began, AsOf: time.Now()}, u), "%+v", u)
		u = usage(2)
		require.True(t, equalUsage(rotation.Usage{LastUsed: two, Since: began, AsOf: time.Now()}, u), "%+v", u)
		u = usage(0) // was gone before this process began
		require.True(t, equalUsage(rotation.Usage{Since: began, AsOf: time.Now()}, u), "%+v", u)

		left := time.Now()
		require.NoError(t, r.Deploy(t.Context(), accept(2)))
		time.Sleep(time.Hour)
		u = usage(1) // what comes after it was taken out is not seen
		require.True(t, equalUsage(rotation.Usage{LastUsed: one, Since: began, AsOf: left}, u), "%+v", u)
		back := time.Now()
		require.NoError(t, r.Deploy(t.Context(), accept(2, 1)))
		u = usage(1)
		require.True(t, equalUsage(rotation.Usage{LastUsed: one, Since: back, AsOf: time.Now()}, u), "a new count, and the last match is known: %+v", u)
		_, report, _ := ask(r, http.MethodGet, "")
		require.Len(t, report["former"], 1, "generation 0 alone")
		require.NoError(t, r.Deploy(t.Context(), accept(2)))
		require.True(t, equalUsage(rotation.Usage{LastUsed: one, Since: back, AsOf: time.Now()}, usageNow(t, r, 1)), "nor is it forgotten")
		require.NoError(t, v.Set(webhook.Secret{ID: "by hand", Value: hook(1).Secret}))

		_, err := r.Usage(t.Context(), hook(7))
		require.ErrorIs(t, err, rotation.ErrNotFound)
		_, err = r.Usage(t.Context(), rotation.Key{ID: hookID})
		require.ErrorIs(t, err, rotation.ErrNotFound)
	})
}

func usageNow(t *testing.T, r rotation.UsageReporter, n int) rotation.Usage {
	t.Helper()
	u, err := r.Usage(t.Context(), hook(n))
	require.NoError(t, err)
	return u
}

func equalUsage(a, b rotation.Usage) bool {
	return a.LastUsed.Equal(b.LastUsed) && a.Since.Equal(b.Since) && a.AsOf.Equal(b.AsOf) && a.Source == b.Source
}

// A secret that was put into the store by hand gets its serial at the first rotation. It goes on to be counted, under the name that it
// has, and is known when it is asked for before this process has seen the serial, and after it was taken out.
func TestReceiverKnowsASeededSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seeded := as(current, 1)
		seeded.Key.Serial, seeded.Key.Name = 0, ""
		v := newVerifier(t)
		r := receive(t, newStore(seeded), v)
		began := time.Now()
		deliver := func() time.Time {
			time.Sleep(time.Second)
			m, err := v.Verify(t.Context(), signed(t, hook(1), "body"), []byte("body"))
			require.NoError(t, err)
			require.Equal(t, "1-0", m.SecretID)
			return time.Now()
		}
		first := deliver()
		require.True(t, equalUsage(rotation.Usage{LastUsed: first, Since: began, AsOf: time.Now()}, usageNow(t, r, 1)))
		_, err := r.Usage(t.Context(), hook(2))
		require.ErrorIs(t, err, rotation.ErrNotFound, "another one with the id of the webhook")

		require.NoError(t, r.Deploy(t.Context(), accept(2, 1)))
		last := deliver()
		require.True(t, equalUsage(rotation.Usage{LastUsed: last, Since: began, AsOf: time.Now()}, usageNow(t, r, 1)))
		require.NoError(t, r.Deploy(t.Context(), accept(2)))
		require.True(t, equalUsage(rotation.Usage{LastUsed: last, Since: began, AsOf: time.Now()}, usageNow(t, r, 1)))

		again := receive(t, newStore(seeded), newVerifier(t))
		require.NoError(t, again.Deploy(t.Context(), accept(2)))
		require.Zero(t, usageNow(t, again, 1).LastUsed, "taken out before it was ever seen with its serial")
	})
}

// A request about a key to present is of another sort of credential: nothing is refused because of it.
func TestReceiverIsGivenAKeyToPresent(t *testing.T) {
	s := newStore(as(current, 1))
	r := receive(t, s, newVerifier(t))
	err := r.Deploy(t.Context(), rotation.DeployRequest{ID: "d", Credential: credential, Consumer: "receiver", Role: current, Key: hook(2)})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.NoError(t, r.Verify(t.Context(), hook(1)))
}

// A promotion changes roles and nothing about a secret: its count goes on.
func TestReceiverUsageSurvivesAPromotion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s, v := newStore(as(current, 1), as(pending, 2)), newVerifier(t)
		r := receive(t, s, v)
		time.Sleep(time.Second)
		_, err := v.Verify(t.Context(), signed(t, hook(2), "body"), []byte("body"))
		require.NoError(t, err)
		promoted := as(current, 2)
		promoted.Key.Attributes = map[string]string{"activated": "yes"}
		s.set(as(previous, 1), promoted)
		nextLook()
		u, err := r.Usage(t.Context(), hook(2))
		require.NoError(t, err)
		require.True(t, u.LastUsed.Equal(began.Add(time.Second)) && u.Since.Equal(began), "%+v", u)
	})
}

func TestReceiverIsItsCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := receive(t, newStore(), newVerifier(t))
		require.Equal(t, "receiver of payments", r.Identity())
		require.Zero(t, r.Lag())
		require.NoError(t, r.Check(t.Context()))
	})
}

func TestReceiverServesWhatItAccepts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := newStore(as(current, 2), as(previous, 1), as(retiring, 0)), newVerifier(t)
		r := receive(t, s, v)
		time.Sleep(10 * time.Second)
		_, err := v.Verify(t.Context(), signed(t, hook(1), "body"), []byte("body"))
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		status, report, text := ask(r, http.MethodGet, "")
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, map[string]any{
			"instance": "me", "as_of": "2000-01-01T00:00:20Z",
			"accepts": []any{
				map[string]any{
					"secret": "2-12", "id": hookID, "serial": 12.0, "generation": 2.0, "name": "hook-v2",
					"since": "2000-01-01T00:00:00Z", "as_of": "2000-01-01T00:00:20Z",
				},
				map[string]any{
					"secret": "1-11", "id": hookID, "serial": 11.0, "generation": 1.0, "name": "hook-v1",
					"last_match": "2000-01-01T00:00:10Z", "since": "2000-01-01T00:00:00Z", "as_of": "2000-01-01T00:00:20Z",
				},
			},
			"former": []any{map[string]any{"secret": "0-10", "id": hookID, "serial": 10.0, "name": "hook-v0", "since": "2000-01-01T00:00:00Z", "as_of": "2000-01-01T00:00:20Z"}},
		}, report)
		require.NotContains(t, text, "hush")
		require.Contains(t, text, "no-store")

		require.NoError(t, r.Deploy(t.Context(), accept()))
		_, report, _ = ask(r, http.MethodGet, "")
		require.Equal(t, []any{}, report["accepts"])
		status, _, _ = ask(r, http.MethodDelete, "")
		require.Equal(t, http.StatusMethodNotAllowed, status)
	})
}

// A POST makes it look at the store. Whoever can send one changes nothing else.
func TestReceiverServesALookAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := newStore(as(current, 1)), newVerifier(t)
		r := receive(t, s, v)
		s.set(as(pending, 2), as(current, 1))
		for _, step := range []struct {
			body   string
			status int
		}{
			{"", 200},
			{`{"accept":[{"serial":12},{"serial":11}]}`, 200},
			{`{"accept":[{"serial":11},{"serial":12}]}`, 200},
			{`{"accept":[{"serial":12}],"emergency":true}`, 409},
			{`{"accept":[{"serial":13},{"serial":12},{"serial":11}]}`, 409},
			{`{"accept":[{"serial":12},{"serial":12}]}`, 409},
			{`{"accept":[],"emergency":true}`, 409},
			{`{"serial":12,"role":"pending"}`, 501},
			{`{"accept":[],"role":"previous"}`, 400},
			{`{"accept":[],"credential":"another"}`, 400},
			{`{`, 400},
			{`{"accept":[{"name":"` + strings.Repeat("x", 1<<17) + `"}]}`, 400},
		} {
			status, report, text := ask(r, http.MethodPost, step.body)
			require.Equal(t, step.status, status, step.body)
			require.Len(t, report["accepts"], 2, step.body)
			require.NotContains(t, text, "hush")
		}
		requireAccepts(t, v, 2, 1)
		s.fail(errSealed)
		status, _, text := ask(r, http.MethodPost, `{"accept":[{"serial":12}]}`)
		require.Equal(t, http.StatusServiceUnavailable, status)
		require.NotContains(t, text, "sealed")
		status, _, _ = ask(r, http.MethodPost, "")
		require.Equal(t, http.StatusServiceUnavailable, status)
		status, _, _ = ask(r, http.MethodPost, `{"accept":[{"serial":12},{"serial":11}]}`)
		require.Equal(t, http.StatusOK, status, "it accepts that, whatever the store does")
		require.NoError(t, r.Deploy(t.Context(), accept()))
		status, _, _ = ask(r, http.MethodPost, "")
		require.Equal(t, http.StatusServiceUnavailable, status)
	})
}

// The answer to a probe needs the secret, and teaches nothing that could be used elsewhere.
func TestReceiverProbeIsNoOracle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := newStore(as(current, 1)), newVerifier(t)
		r := receive(t, s, v)
		var overheard []string
		f := consumer.Replicas{
			URL:    "http://receiver.prod.svc/rotation",
			Lookup: func(context.Context, string) ([]string, error) { return []string{"10.0.0.1"}, nil },
			Client: &http.Client{Transport: roundTripper(func(req *http.Request) *http.Response {
				overheard = append(overheard, req.Header.Get("Handover-Probe"))
				return answered(r, req)
			})},
		}
		require.NoError(t, f.Verify(t.Context(), hook(1)))
		require.NoError(t, f.Verify(t.Context(), hook(1)))
		require.NotEqual(t, overheard[0], overheard[1], "each with a nonce of its own")

		// What was overheard is no signature of what was sent, in any part of it.
		nonce, sum := overheard[0][:64], overheard[0][65:]
		raw, err := hex.DecodeString(nonce)
		require.NoError(t, err)
		for _, body := range []string{nonce, string(raw), overheard[0], ""} {
			_, err := v.Verify(t.Context(), http.Header{"X-Hub-Signature-256": {"sha256=" + sum}}, []byte(body))
			require.ErrorIs(t, err, webhook.ErrMismatch)
		}
		for header, want := range map[string]int{
			nonce + "." + nonce: http.StatusOK, "x": http.StatusBadRequest, nonce: http.StatusBadRequest,
			nonce + "." + sum + "00": http.StatusBadRequest, nonce + ".zz" + sum[2:]: http.StatusBadRequest,
		} {
			req := httptest.NewRequest(http.MethodGet, "/rotation", nil)
			req.Header.Set("Handover-Probe", header)
			resp := answered(r, req)
			require.Equal(t, want, resp.StatusCode)
			text, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NotContains(t, string(text), "hush")
			require.Equal(t, want == http.StatusOK, bytes.Contains(text, []byte(`"probe":"refused"`)))
		}
		u, err := r.Usage(t.Context(), hook(1))
		require.NoError(t, err)
		require.Zero(t, u.LastUsed, "nothing of it counts")
	})
}
