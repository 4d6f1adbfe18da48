// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

func TestManualWebhook(t *testing.T) {
	ctx := t.Context()
	i := issuer.ManualWebhook{Tell: "Set it to {name}, {id}, generation {generation}.", Make: issuer.StandardSecret}
	req := rotation.IssueRequest{Name: "c-v2-abcdef"}
	var err error
	req.Chosen, err = i.Choose(ctx, req)
	require.NoError(t, err)
	assert.Contains(t, req.Chosen.Secret.Reveal(), "whsec_")
	key, err := i.Issue(ctx, req)
	require.NoError(t, err)
	assert.True(t, key.Secret.Equal(req.Chosen.Secret))

	err = i.Activate(ctx, key)
	require.ErrorIs(t, err, rotation.ErrManual)
	assert.EqualError(t, err, "Set it to (unknown), c-v2-abcdef, generation (unknown).")
	key.Name, key.Generation = req.Name, 2 // as the engine does
	assert.EqualError(t, i.Activate(ctx, key), "Set it to c-v2-abcdef, c-v2-abcdef, generation 2.")
	assert.EqualError(t, i.Activate(ctx, rotation.Key{ID: "by-hand", Generation: 1}), "Set it to (unknown), by-hand, generation 1.")
	assert.NoError(t, i.Revoke(ctx, key), "a sender with one secret has forgotten it")
}

func TestManualWebhookThatMakesSecrets(t *testing.T) {
	ctx := t.Context()
	i := issuer.ManualWebhook{
		Create: "Add a secret {name} (generation {generation}) beside {current}, and supply it.",
		Tell:   "Make {id} the primary one.", End: "Delete the secret {id}.",
	}
	_, err := i.Choose(ctx, rotation.IssueRequest{Name: "c-v2"})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = i.Issue(ctx, rotation.IssueRequest{Name: "c-v2", Generation: 2, Current: rotation.Key{ID: "s1"}})
	require.ErrorIs(t, err, rotation.ErrManual)
	assert.EqualError(t, err, "Add a secret c-v2 (generation 2) beside s1, and supply it.")
	assert.EqualError(t, i.Activate(ctx, rotation.Key{ID: "s2"}), "Make s2 the primary one.")
	err = i.Revoke(ctx, rotation.Key{ID: "s1"})
	require.ErrorIs(t, err, rotation.ErrManual)
	assert.EqualError(t, err, "Delete the secret s1.")

	nobody := rotation.VerifierFunc(func(context.Context, rotation.Key) error { return rotation.ErrRejected })
	require.NoError(t, rotationtest.IssuerSuite{Issuer: i, Verifier: nobody}.Check(ctx))
}

func TestManualWebhookValidate(t *testing.T) {
	require.NoError(t, issuer.ManualWebhook{Tell: "x"}.Check(t.Context()))
	for field, i := range map[string]issuer.ManualWebhook{
		"ManualWebhook.Tell": {Tell: " "},
		"ManualWebhook.Make": {Tell: "x", Create: "x", Make: issuer.StandardSecret},
		"Grace":              {Tell: "x", Traits: rotation.Traits{Grace: time.Hour}},
		"KillsOld":           {Tell: "x", Traits: rotation.Traits{KillsOld: true}},
	} {
		t.Run(field, func(t *testing.T) {
			_, issueErr := i.Issue(t.Context(), rotation.IssueRequest{Chosen: sign})
			require.ErrorIs(t, issueErr, rotation.ErrNotIssued)
			for _, err := range []error{i.Validate(), i.Check(t.Context()), i.Activate(t.Context(), sign), i.Revoke(t.Context(), sign), issueErr} {
				require.ErrorContains(t, err, field)
				require.NotErrorIs(t, err, rotation.ErrManual)
			}
		})
	}
}
