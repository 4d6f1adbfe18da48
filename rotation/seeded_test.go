// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// stored puts another value into the place of the stored one, as a person does.
func (w *world) correct(value string) {
	v := w.versions()
	v.Keys[0].Key.Secret = secret.New(value)
	require.NoError(w.t, w.store.Save(w.t.Context(), name, v))
}

// misseeded is a world whose store was given the key with a line feed at the end of its value.
func misseeded(t *testing.T) *hazard {
	h := newHazard(t, 1)
	h.correct(h.seeded.Secret.Reveal() + "\n")
	return h
}

// held expects that nothing was made and nothing ended: a person has to look at the current key.
func (h *hazard) held(r *rotation.Rotator) rotation.Need {
	st := h.drive(r, 6*time.Hour)
	require.NotNil(h.t, st.Open)
	require.Equal(h.t, rotation.PhasePrepare, st.Open.Phase)
	require.Equal(h.t, rotation.CurrentRejected, diagnosis(st))
	require.Len(h.t, st.Needs, 1)
	require.Equal(h.t, rotation.NeedPerson, st.Needs[0].Kind)
	require.Contains(h.t, st.Needs[0].Text, "was the right value seeded?")
	require.True(h.t, h.present(h.seeded), "the key that everybody uses was ended")
	require.Equal(h.t, h.others, h.besides(h.seeded), "a key was made")
	return st.Needs[0]
}

// besides are the live keys of the provider, without one.
func (h *hazard) besides(key rotation.Key) []string {
	var ids []string
	for _, id := range h.provider.Live() {
		if id != key.ID {
			ids = append(ids, id)
		}
	}
	return ids
}

// The value in the store was never the one of the key that is in use. That it is refused says nothing of that key.
func TestAWrongSeedEndsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := misseeded(t)
		r := h.rotator()
		h.begin(r)
		h.held(r)
		h.correct(h.seeded.Secret.Reveal()) // the right one
		h.ended(r, 24*time.Hour, rotation.Rotated)
		require.NotContains(t, fmt.Sprint(h.outages()), "c0 ")
	})
}

// Nor does a rotation that begins because the key is old, or of unknown age, end it.
func TestAWrongSeedIsNotOverdue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := misseeded(t)
		v := h.versions()
		v.Keys[0].Key.IssuedAt = time.Time{}
		require.NoError(t, h.store.Save(t.Context(), name, v))
		h.held(h.rotator())
	})
}

func TestAPersonSaysWhatBecameOfASeededKey(t *testing.T) {
	t.Run("it is dead", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := newHazard(t, 1)
			require.NoError(t, h.provider.Revoke(t.Context(), h.seeded))
			r := h.rotator()
			h.begin(r)
			st := h.drive(r, time.Minute)
			require.Equal(t, rotation.CurrentRejected, diagnosis(st))
			h.answer(r, rotation.VerbDone)
			h.ended(r, 5*time.Minute, rotation.Rotated) // without an overlap
			require.True(t, h.present(h.consumers[0].Key()))
		})
	})
	t.Run("not now", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			h := misseeded(t)
			r := h.rotator()
			h.begin(r)
			h.held(r)
			h.answer(r, rotation.VerbRollBack)
			h.ended(r, time.Minute, rotation.RolledBack)
			require.True(t, h.present(h.seeded))
		})
	})
}

// What the issuer tells of an id is told of the true value: it is no evidence for the one in the store.
func TestUseOfAWrongSeedProvesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := misseeded(t)
		r := h.rotator()
		time.Sleep(25 * time.Hour) // it is looked at every day
		st, err := r.Advance(t.Context(), name)
		require.Error(t, err)
		require.ErrorIs(t, st.Problem, rotation.CurrentRejected)
		require.Contains(t, st.Problem.Action, "was the right value seeded?")
		h.begin(r)
		h.held(r)
	})
}

// A plan says so beforehand.
func TestPlanOfAWrongSeed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := misseeded(t)
		plan, err := h.rotator().Plan(t.Context(), name, rotation.Standard)
		require.NoError(t, err)
		require.Contains(t, plan.String(), "was the right value seeded?")
	})
}

// A person names a compromised key: then it dies whatever its stored value is.
func TestAnEmergencyEndsAWrongSeed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := misseeded(t)
		r := h.rotator()
		_, err := r.Emergency(t.Context(), rotation.Incident{Reference: "INC-1", Credentials: []string{name}, Reason: "leaked"})
		require.NoError(t, err)
		h.ended(r, time.Hour, rotation.Rotated)
		require.False(t, h.present(h.seeded))
	})
}

// The receivers of a webhook accept what its sender signs with, which is not what was seeded: whoever told them of a set made from that
// would take the true secret away from them.
func TestAWrongWebhookSecretIsToldToNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		for i, r := range p.receivers {
			p.cred.Consumers[i].Consumer = rotation.ConsumerFunc(r.Deploy)
			p.cred.Consumers[i].Verifier = rotation.VerifierFunc(r.Verify)
		}
		p.correct(p.seeded.Secret.Reveal() + "\n")
		r := p.rotator()
		p.rotate(r)
		p.paces(r, 6*time.Hour)
		st := p.status()
		require.NotNil(t, st.Open, "%s", st.Last)
		require.Equal(t, rotation.CurrentRejected, diagnosis(st))
		require.Empty(t, p.losses())
		p.correct(p.seeded.Secret.Reveal())
		st = p.paces(r, 10*time.Minute)
		require.NotEqual(t, rotation.PhasePrepare, st.Open.Phase)
		require.Empty(t, p.losses())
	})
}
