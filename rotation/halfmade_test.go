// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// halfMade chooses values, and its first Issue reaches one of two nodes, some time after the answer was lost: until Revoke nobody can say
// whether the value is accepted.
type halfMade struct {
	rotation.Issuer
	v       rotation.Verifier
	lands   time.Duration
	mu      sync.Mutex
	value   secret.Value // guarded by mu: of the first Issue
	at      time.Time    // guarded by mu: it has landed
	half    bool         // guarded by mu
	issued  int          // guarded by mu
	revoked []time.Time  // guarded by mu: calls about the value
}

func (h *halfMade) Choose(_ context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	return rotation.Key{ID: req.Name, Secret: secret.Random(16)}, nil
}

func (h *halfMade) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.issued++; h.issued > 1 {
		return h.Issuer.Issue(ctx, req)
	}
	h.value = req.Chosen.Secret
	time.AfterFunc(h.lands, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.at, h.half = time.Now(), true
	})
	return rotation.Key{}, errors.New("the answer is lost")
}

func (h *halfMade) Revoke(ctx context.Context, key rotation.Key) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !key.Secret.Equal(h.value) {
		return h.Issuer.Revoke(ctx, key)
	}
	h.half = false
	h.revoked = append(h.revoked, time.Now())
	return nil
}

func (h *halfMade) Verify(ctx context.Context, key rotation.Key) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !key.Secret.Equal(h.value):
		return h.v.Verify(ctx, key)
	case h.half || h.at.IsZero():
		return errors.New("the nodes disagree, or one is silent")
	}
	return rotation.ErrRejected
}

func halfMadeWorld(t *testing.T) (*world, *halfMade) {
	w := newBrief(t, 1)
	h := &halfMade{Issuer: w.provider, v: w.provider, lands: 5 * time.Second}
	w.cred.Issuer, w.cred.Verifier = h, h
	return w, h
}

// A chosen value was set on one of two nodes, and the rotation is given up. Naive: it waits for ever until the provider says
// whether it has the value; or the value is revoked while the call that sets it can still land.
func TestHalfMadeValueIsRolledBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, h := halfMadeWorld(t)
		r := w.rotator()
		w.rotate(r)
		_, err := r.Abort(t.Context(), name, "give it up")
		require.Error(t, err, "the answer is lost, and the call can still land")
		require.Empty(t, h.revoked)
		st := w.ends(r)
		require.Len(t, h.revoked, 1, "nobody has to know whether it lives: it is to die")
		require.True(t, h.revoked[0].After(h.at))
		st = w.paces(r, time.Hour)
		require.False(t, h.half)
		require.Nil(t, st.Open)
		require.Equal(t, rotation.RolledBack, st.Last.Outcome)
		require.Empty(t, st.Debts, "it is refused, by every node")
		require.Equal(t, []string{w.seeded.ID}, w.provider.Live())
		require.Equal(t, w.seeded.ID, w.current().ID)
		require.Len(t, w.versions().Keys, 1, "a value that is dead is kept nowhere")
		require.Equal(t, 1, h.issued)
	})
}

// Nobody gives it up, and it may yet be set everywhere: it is neither revoked nor replaced. Then a person brings a key.
func TestHalfMadeValueIsWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, h := halfMadeWorld(t)
		r := w.rotator()
		w.rotate(r)
		st := w.paces(r, 24*time.Hour)
		require.Equal(t, rotation.PhaseIssue, st.Open.Phase)
		require.ErrorContains(t, st.Open.Problem, "not known whether the provider has the chosen value")
		require.Empty(t, h.revoked)
		require.Equal(t, 1, h.issued)
		require.Len(t, w.versions().Keys, 2, "it may live: its value is kept")

		_, err := r.Supply(t.Context(), name, w.provider.Mint())
		require.NoError(t, err)
		st = w.ends(r)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
		require.Len(t, h.revoked, 1, "another key has taken over")
		st = w.paces(r, time.Hour)
		require.Empty(t, st.Debts)
		require.Equal(t, []string{w.current().ID}, w.provider.Live())
		require.Len(t, w.versions().Keys, 1)
	})
}

// The key in use leaks meanwhile. Naive: its successor is the value of which nobody knows anything, and the outage has no end.
func TestHalfMadeValueHoldsNoEmergencyUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, h := halfMadeWorld(t)
		r := w.rotator()
		w.rotate(r)
		w.paces(r, time.Hour)
		_, _ = r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Keys: []rotation.Leak{{Credential: name, KeyID: w.seeded.ID}}})
		st := w.paces(r, 10*time.Minute)
		require.Equal(t, 2, h.issued, "%s %+v", st.Open, st.Needs)
		st = w.ends(r)
		require.Equal(t, rotation.Rotated, st.Last.Outcome)
		require.NotEmpty(t, h.revoked)
		st = w.paces(r, time.Hour)
		require.Empty(t, st.Debts)
		require.Equal(t, []string{w.current().ID}, w.provider.Live())
		require.Len(t, w.versions().Keys, 1)
	})
}

// The revocation fails as well: what is alive, perhaps, stays a debt, and its value stays in the store.
func TestHalfMadeValueIsOwed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, h := halfMadeWorld(t)
		broken := true
		w.cred.Issuer = deaf{h, &broken}
		r := w.rotator()
		w.rotate(r)
		_, _ = r.Abort(t.Context(), name, "give it up")
		st := w.ends(r)
		require.Len(t, st.Debts, 1)
		require.Len(t, w.versions().Keys, 2)
		broken = false
		st = w.paces(r, time.Hour)
		require.Empty(t, st.Debts)
		require.NotEmpty(t, h.revoked)
		require.Len(t, w.versions().Keys, 1)
	})
}

// deaf revokes nothing while it is broken.
type deaf struct {
	*halfMade
	broken *bool
}

func (d deaf) Revoke(ctx context.Context, key rotation.Key) error {
	if *d.broken {
		return errors.New("no answer")
	}
	return d.halfMade.Revoke(ctx, key)
}
