// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// elsewhere is the verifier of a consumer, somewhere else.
type elsewhere struct {
	name string
	err  error
}

func (e elsewhere) Verify(context.Context, rotation.Key) error { return e.err }
func (e elsewhere) Identity() string                           { return e.name }

// wrapped is an issuer that gives each value another form.
type wrapped struct {
	rotation.Issuer
	rotation.Verifier
	wrap func(string) string
}

func (w wrapped) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	k, err := w.Issuer.Issue(ctx, req)
	if err == nil {
		k.Secret = secret.New(w.wrap(k.Secret.Reveal()))
	}
	return k, err
}

// What is wrong with a consumer that does not work is named by what is seen of it.
func TestDiagnosisOfAConsumerThatDoesNotWork(t *testing.T) {
	rejected := fmt.Errorf("401: %w", rotation.ErrRejected)
	for name, c := range map[string]struct {
		change func(*world)
		want   rotation.Diagnosis
		says   string
	}{
		"it presents what it had before": {func(w *world) { w.cred.Consumers[0].Verifier = elsewhere{"health of the app", rejected} }, rotation.KeyCached, "drain its connections"},
		"its target is another one": {func(w *world) {
			w.cred.Verifier = elsewhere{"https://test.example.com/v1", nil}
			w.cred.Consumers[0] = rotation.Binding{Name: "c0", Consumer: rotation.ConsumerFunc(func(context.Context, rotation.DeployRequest) error { return nil }), Verifier: elsewhere{"https://api.example.com/v1", rejected}}
		}, rotation.EnvironmentMismatch, "accepted by test.example.com, and refused by api.example.com"},
		"it is not healthy": {func(w *world) { w.cred.Consumers[0].Verifier = elsewhere{"health of the app", errors.New("503")} }, rotation.VerificationTimeout, "does not work"},
		"the value has another form": {func(w *world) {
			w.cred.Issuer = wrapped{w.provider, w.provider, func(s string) string { return base64.StdEncoding.EncodeToString([]byte("{\"key\":\"" + s + "\"}")) }}
			w.cred.Verifier = elsewhere{"the provider", nil}
			w.cred.Consumers[0].Verifier = elsewhere{"health of the app", errors.New("503")}
		}, rotation.FormatChanged, "base64 of a text, and the one before was plain text"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, 1, c.change)
				w.cred.Policy.Patience = time.Hour
				r := w.rotator()
				_, _ = r.Rotate(t.Context(), "payment-gateway-api", rotation.Trigger{})
				st := w.paces(r, 20*time.Minute)
				require.NotNil(t, st.Open, "%s", st)
				require.NotNil(t, st.Open.Problem, "%s", st)
				require.ErrorIs(t, st.Open.Problem, c.want, "%s", st.Open)
				require.Contains(t, st.Open.String(), c.says)
			})
		})
	}
}

// A service that answers for itself under its own address is no other environment than its provider.
func TestAServiceIsNoOtherEnvironment(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.cred.Verifier = elsewhere{"https://api.provider.example/v1", nil}
		w.cred.Consumers[0] = rotation.Binding{Name: "c0", Consumer: rotation.ConsumerFunc(told), Verifier: elsewhere{"http://web.internal:8080/healthz", fmt.Errorf("401: %w", rotation.ErrRejected)}}
		r := w.rotator()
		_, _ = r.Rotate(t.Context(), name, rotation.Trigger{})
		st := w.paces(r, 10*time.Minute)
		require.NotNil(t, st.Open.Problem)
		require.NotErrorIs(t, st.Open.Problem, rotation.EnvironmentMismatch, "%s", st.Open.Problem)
	})
}
