// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

// unknowing is a receiver that knows nothing of a secret that it does not accept.
type unknowing struct{ *rotationtest.Receiver }

func (f unknowing) Usage(ctx context.Context, key rotation.Key) (rotation.Usage, error) {
	if !slices.ContainsFunc(f.Accepts(), func(k rotation.Key) bool { return k.Serial == key.Serial }) {
		return rotation.Usage{}, fmt.Errorf("%v: %w", key, rotation.ErrNotFound)
	}
	return f.Receiver.Usage(ctx, key)
}

// Yesterday's secret leaks, which no receiver accepts any more: the emergency is over when that is proven.
func TestWebhookEmergencyOfASecretThatNobodyAccepts(t *testing.T) {
	for what, leak := range map[string]rotation.Leak{
		"the last one":     {Credential: name, KeyID: "key-001"},
		"nobody's":         {Credential: name, KeyID: "nonsense"},
		"nobody's, a text": {Credential: name, Value: secret.Random(32)},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := newPost(t, 2)
				for i, r := range p.receivers {
					p.cred.Consumers[i].Consumer = unknowing{r}
				}
				r := p.rotator()
				p.rotate(r)
				p.fine(p.ends(r))
				told := p.sender.Calls("Activate")
				_, err := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Keys: []rotation.Leak{leak}})
				require.NoError(t, err)
				st := p.within(r, 10*time.Minute)
				p.fine(st)
				require.LessOrEqual(t, p.sender.Calls("Activate")-told, 1)
			})
		})
	}
}

// While nothing says that a receiver verifies genuine deliveries again, the record of an emergency says so.
func TestWebhookEmergencyTellsTheOutageSoFar(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 1)
		p.sender.Inject(rotationtest.Fault{Op: "Activate", From: time.Now(), Until: time.Now().Add(time.Minute)})
		r := p.rotator()
		_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}})
		time.Sleep(30 * time.Second)
		open := p.status().Open
		require.InDelta(t, 30, open.Outage.Seconds(), 2, "%s", open)
		require.Contains(t, open.String(), "so far")
		p.ends(r)
	})
}

// What tells a sender which secret to sign with is no issuer of keys to present.
func TestAnActivatorIsForAWebhookSecret(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 1)
		p.cred.Type = rotation.APIKey
		cfg := p.cfg
		cfg.Credentials = []rotation.Credential{p.cred}
		_, err := rotation.New(cfg)
		require.ErrorContains(t, err, `Type "api-key"`)
		require.ErrorContains(t, err, "WebhookSecret")
	})
}

// A rotation that cannot begin yet is no drift.
func TestInspectBeforeTheStoreIsClaimed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.provider.Inject(rotationtest.Fault{Op: "Verify", Until: time.Now().Add(time.Minute)})
		r := w.rotator()
		_, err := r.Rotate(t.Context(), name, rotation.Trigger{})
		require.Error(t, err)
		require.Equal(t, rotation.PhasePrepare, w.status().Open.Phase)
		time.Sleep(time.Minute)
		found, err := r.Inspect(t.Context(), name)
		require.NoError(t, err)
		require.Empty(t, found)
	})
}
