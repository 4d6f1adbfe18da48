// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

// halfMade chooses values, and its first Issue reaches one of two nodes: until Revoke, or Issue again, nobody can say whether the value is accepted.
type halfMade struct {
	rotation.Issuer
	v     rotation.Verifier
	value secret.Value
	half  bool
}

func (h *halfMade) Choose(_ context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	return rotation.Key{ID: req.Name, Secret: secret.Random(16)}, nil
}

func (h *halfMade) Issue(_ context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	h.value, h.half = req.Chosen.Secret, true
	return rotation.Key{}, errors.New("the answer is lost")
}

func (h *halfMade) Revoke(ctx context.Context, key rotation.Key) error {
	if key.Secret.Equal(h.value) {
		h.half = false
		return nil
	}
	return h.Issuer.Revoke(ctx, key)
}

func (h *halfMade) Verify(ctx context.Context, key rotation.Key) error {
	switch {
	case !key.Secret.Equal(h.value):
		return h.v.Verify(ctx, key)
	case h.half:
		return errors.New("the nodes disagree")
	}
	return rotation.ErrRejected
}

func TestHalfMadeValueIsRolledBack(t *testing.T) {
	p, secrets := rotationtest.NewProvider(), store.NewMemory()
	require.NoError(t, store.Seed(t.Context(), secrets, "api", p.Mint()))
	h := &halfMade{Issuer: p, v: p}
	r, err := rotation.New(rotation.Config{
		Journal: journal.NewMemory(), Store: secrets, CallTimeout: 20 * time.Millisecond, ClockSkew: -1,
		Credentials: []rotation.Credential{{Name: "api", Type: rotation.APIKey, Issuer: h, Policy: rotation.Policy{Overlap: -1, Quiet: -1}}},
	})
	require.NoError(t, err)
	_, _ = r.Rotate(t.Context(), "api", rotation.Trigger{Reason: "test"})
	_, _ = r.Abort(t.Context(), "api", "give it up")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, r.Wait(ctx, "api"), "the value is to die: nobody has to know whether it lives")
}
