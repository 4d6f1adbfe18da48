// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSeed(t *testing.T) {
	for place, make := range places {
		t.Run(place, func(t *testing.T) {
			s := make(t)(t)
			require.NoError(t, store.Seed(t.Context(), s, name, testKey(7, "in use")))
			v := load(t, s)
			want := testKey(7, "in use")
			want.Serial = 0
			requireSame(t, rotation.Versions{Keys: []rotation.StoredKey{{Key: want, Role: rotation.RoleCurrent}}}, v)

			require.ErrorIs(t, store.Seed(t.Context(), s, name, testKey(8, "other")), rotation.ErrConflict)
			require.ErrorIs(t, store.Seed(t.Context(), s, name, testKey(7, "in use")), rotation.ErrConflict)
			assert.Equal(t, v.Revision, load(t, s).Revision)
		})
	}
}

// A value that was there before this library has no ID. Seed says what there is to say about it.
func TestSeedCompletesABareValue(t *testing.T) {
	for place, make := range places {
		t.Run(place, func(t *testing.T) {
			s := make(t)(t)
			v := rotation.Versions{Keys: []rotation.StoredKey{
				{Key: testKey(3, "older"), Role: rotation.RolePrevious},
				{Key: rotation.Key{Secret: secret.New("in use")}, Role: rotation.RoleCurrent},
			}}
			require.NoError(t, s.Save(t.Context(), name, v))
			err := store.Seed(t.Context(), s, name, testKey(7, "another"))
			require.ErrorIs(t, err, rotation.ErrConflict)
			require.ErrorContains(t, err, "seed that value, or take it away first")

			want := testKey(7, "in use")
			require.NoError(t, store.Seed(t.Context(), s, name, want))
			want.Serial = 0
			v.Keys[1].Key = want
			requireSame(t, v, load(t, s))
			require.ErrorIs(t, store.Seed(t.Context(), s, name, want), rotation.ErrConflict)
		})
	}
}

// A key that a rotation has numbered is not Seed's any more.
func TestSeedLeavesANumberedKeyAlone(t *testing.T) {
	key := rotation.StoredKey{Key: rotation.Key{Secret: secret.New("v")}, Role: rotation.RoleCurrent}
	numbered, compromised := key, key
	numbered.Key.Serial, compromised.Compromised = 4, true
	for what, v := range map[string]rotation.Versions{
		"numbered":    {Keys: []rotation.StoredKey{numbered}},
		"compromised": {Keys: []rotation.StoredKey{compromised}},
		"stamped":     {Keys: []rotation.StoredKey{key}, Stamp: "a rotation was here"},
	} {
		t.Run(what, func(t *testing.T) {
			s := store.NewMemory()
			save(t, s, v)
			require.ErrorIs(t, store.Seed(t.Context(), s, name, rotation.Key{ID: "AK1", Secret: secret.New("v")}), rotation.ErrConflict)
			assert.Empty(t, load(t, s).Keys[0].Key.ID)
		})
	}
}

// What the store's other fields say, such as the user's name, is no more than Seed says, unless Seed says otherwise.
func TestSeedCompletesAValueWithAttributes(t *testing.T) {
	for what, c := range map[string]struct {
		given    map[string]string
		conflict bool
	}{
		"not given": {},
		"the same":  {given: map[string]string{"username": "orders", "host": "db1"}},
		"another":   {given: map[string]string{"username": "billing"}, conflict: true},
	} {
		t.Run(what, func(t *testing.T) {
			s := store.NewMemory()
			found := rotation.Key{Secret: secret.New("v"), Attributes: map[string]string{"username": "orders"}}
			save(t, s, rotation.Versions{Keys: []rotation.StoredKey{{Key: found, Role: rotation.RoleCurrent}}})
			err := store.Seed(t.Context(), s, name, rotation.Key{ID: "orders_a", Secret: secret.New("v"), Attributes: c.given})
			if c.conflict {
				require.ErrorIs(t, err, rotation.ErrConflict)
				return
			}
			require.NoError(t, err)
			key := load(t, s).Key(rotation.RoleCurrent)
			assert.Equal(t, "orders_a", key.ID)
			assert.Equal(t, "orders", key.Attributes["username"])
			assert.Equal(t, c.given["host"], key.Attributes["host"])
		})
	}
}

func TestSeedGeneration(t *testing.T) {
	s := store.NewMemory()
	require.NoError(t, store.Seed(t.Context(), s, name, rotation.Key{Secret: secret.New("v")}))
	assert.Equal(t, 1, load(t, s).Keys[0].Key.Generation)
	require.NoError(t, store.Seed(t.Context(), s, "other", rotation.Key{Secret: secret.New("v"), Generation: 5}))
	v, err := s.Load(t.Context(), "other")
	require.NoError(t, err)
	assert.Equal(t, 5, v.Keys[0].Key.Generation)
}

func TestSeedArguments(t *testing.T) {
	s := store.NewMemory()
	err := store.Seed(t.Context(), nil, "", rotation.Key{Generation: -1})
	for _, text := range []string{"the store is required", "name of the credential is empty", "key.Secret is required", "key.Generation is negative"} {
		require.ErrorContains(t, err, text)
	}
	require.ErrorContains(t, store.Seed(t.Context(), s, name, rotation.Key{ID: "AK1"}), "key.Secret is required")
	assert.Equal(t, rotation.Versions{}, load(t, s))
}

func TestSeedRefusesACompromisedCurrentKey(t *testing.T) {
	s := store.NewMemory()
	v := single("v")
	v.Keys[0].Compromised = true
	save(t, s, v)
	require.ErrorIs(t, store.Seed(t.Context(), s, name, testKey(2, "w")), rotation.ErrConflict)
}

func TestSeedKeepsOtherKeys(t *testing.T) {
	s := store.NewMemory()
	v := testVersions()
	v.Keys = append(v.Keys[:1], v.Keys[2:]...)
	save(t, s, v)
	require.NoError(t, store.Seed(t.Context(), s, name, testKey(0, "w")))
	got := load(t, s)
	require.Len(t, got.Keys, len(v.Keys)+1)
	assert.Equal(t, "w", got.Key(rotation.RoleCurrent).Secret.Reveal())
	assert.Equal(t, "three", got.Key(rotation.RolePending).Secret.Reveal())
	assert.Empty(t, got.Stamp)
}

// Two people seed at the same time: one of them is told.
func TestSeedRace(t *testing.T) {
	s := store.NewMemory()
	interrupted := &hooked{SecretStore: s, beforeSave: func() {
		require.NoError(t, store.Seed(t.Context(), s, name, testKey(1, "first")))
	}}
	require.ErrorIs(t, store.Seed(t.Context(), interrupted, name, testKey(1, "second")), rotation.ErrConflict)
	assert.Equal(t, "first", load(t, s).Key(rotation.RoleCurrent).Secret.Reveal())
}

func TestSeedReturnsLoadErrors(t *testing.T) {
	down := errors.New("down")
	require.ErrorIs(t, store.Seed(t.Context(), &hooked{SecretStore: store.NewMemory(), loadErr: down}, name, testKey(1, "v")), down)
}

// hooked is a store in whose way things can be put.
type hooked struct {
	rotation.SecretStore
	identity         string
	beforeLoad       func()
	beforeSave       func()
	loadErr, saveErr error
	hang             bool
	loads, saves     int
}

func (h *hooked) Load(ctx context.Context, name string) (rotation.Versions, error) {
	h.loads++
	if h.hang {
		<-ctx.Done()
		return rotation.Versions{}, ctx.Err()
	}
	if f := h.beforeLoad; f != nil {
		h.beforeLoad = nil
		f()
	}
	if h.loadErr != nil {
		return rotation.Versions{}, h.loadErr
	}
	return h.SecretStore.Load(ctx, name)
}

func (h *hooked) Save(ctx context.Context, name string, v rotation.Versions) error {
	h.saves++
	if f := h.beforeSave; f != nil {
		h.beforeSave = nil
		f()
	}
	if h.saveErr != nil {
		return h.saveErr
	}
	return h.SecretStore.Save(ctx, name, v)
}

func (h *hooked) Identity() string { return h.identity }
