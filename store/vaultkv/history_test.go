// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package vaultkv_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store/vaultkv"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The history keeps no value that has left.
func TestRemovedValuesAreDestroyed(t *testing.T) {
	p := newPlace(t)
	s := p.store()
	p.put(name, map[string]any{"api_key": "long ago"})
	p.put(name, map[string]any{"api_key": "one"})
	save(t, s, stored(1, "one", rotation.RoleCurrent))
	save(t, s, stored(1, "one", rotation.RoleCurrent), stored(2, "two", rotation.RolePending))
	assert.Len(t, p.readable(name), 4, "nothing has left yet")
	save(t, s, stored(1, "one", rotation.RolePrevious), stored(2, "two", rotation.RoleCurrent))
	save(t, s, stored(2, "two", rotation.RoleCurrent))
	requireNowhere(t, p, "one")
	requireNowhere(t, p, "long ago")

	save(t, p.store(), stored(2, "two", rotation.RoleCurrent), stored(3, "three", rotation.RolePending))
	save(t, p.store(), stored(2, "two", rotation.RoleCurrent))
	requireNowhere(t, p, "three")
	v := load(t, p.store())
	require.Len(t, v.Keys, 1)
	assert.Equal(t, "two", value(v, rotation.RoleCurrent))
}

func requireNowhere(t *testing.T, p *place, value string) {
	t.Helper()
	for number, fields := range p.readable(name) {
		require.NotContains(t, fmt.Sprint(fields), value, "version %d", number)
	}
}

// A Save that dies before the old versions are destroyed still owes their values, and is repeated.
func TestInterruptedDestruction(t *testing.T) {
	p := newPlace(t)
	s, down := p.undestroyed()
	before := load(t, s)
	after := before
	after.Keys = []rotation.StoredKey{stored(2, "two", rotation.RoleCurrent)}
	require.Error(t, s.Save(t.Context(), name, after))
	for _, reader := range []*vaultkv.Store{s, p.store()} {
		v := load(t, reader)
		assert.Len(t, v.Keys, 2)
		assert.Equal(t, rotation.RoleCurrent, roleOf(v, 2))
		assert.Equal(t, rotation.RoleRetiring, roleOf(v, 1))
		assert.NotEqual(t, before.Revision, v.Revision)
		assert.ErrorIs(t, reader.Save(t.Context(), name, after), rotation.ErrConflict)
	}
	assert.Empty(t, p.fields(name)["previous_key"], "readers have the new state")

	// One process takes the key up again after all: then nothing is left to destroy.
	again := load(t, s)
	again.Stamp = "again"
	require.NoError(t, s.Save(t.Context(), name, again))
	assert.NotContains(t, p.fields(name), "handover_destroyed")
	for _, reader := range []*vaultkv.Store{s, p.store()} {
		assert.Len(t, load(t, reader).Keys, 2)
		assert.Equal(t, "again", load(t, reader).Stamp)
	}

	after.Revision = load(t, s).Revision
	require.Error(t, s.Save(t.Context(), name, after))
	down.Store(false)
	after.Revision = load(t, s).Revision
	require.NoError(t, s.Save(t.Context(), name, after))
	assert.Len(t, load(t, s).Keys, 1)
	assert.Len(t, load(t, p.store()).Keys, 1)
	requireNowhere(t, p, "one")
}

// A Save dies before it destroys, and then a person writes over api_key: Load tells what readers have, and what is still there.
func TestEditedAfterInterruptedDestruction(t *testing.T) {
	p := newPlace(t)
	s, down := p.undestroyed()
	v := load(t, s)
	v.Keys = []rotation.StoredKey{stored(2, "two", rotation.RoleCurrent)}
	require.Error(t, s.Save(t.Context(), name, v))

	p.patch(name, map[string]any{"api_key": "by hand"})
	v = load(t, s)
	assert.Equal(t, "by hand", value(v, rotation.RoleCurrent))
	assert.Equal(t, rotation.RolePrevious, roleOf(v, 2))
	assert.Equal(t, rotation.RoleRetiring, roleOf(v, 1))

	p.patch(name, map[string]any{"api_key": "one"}) // what was about to go
	back := load(t, s)
	assert.Equal(t, rotation.RoleCurrent, roleOf(back, 1))
	assert.Equal(t, rotation.RolePrevious, roleOf(back, 2))
	assert.Len(t, back.Keys, 2)

	p.patch(name, map[string]any{"api_key": "by hand"})
	down.Store(false)
	v.Revision = load(t, s).Revision
	v.Keys = v.Keys[:0:0]
	for _, k := range load(t, s).Keys {
		if k.Role != rotation.RoleRetiring {
			v.Keys = append(v.Keys, k)
		}
	}
	require.NoError(t, s.Save(t.Context(), name, v))
	assert.Equal(t, "by hand", value(load(t, p.store()), rotation.RoleCurrent))
	assert.Equal(t, "by hand", p.fields(name)["api_key"])
	requireNowhere(t, p, "one")
}

// Another writer loads and saves after the write of a Save and before its destruction: no key of either is lost.
func TestWriterBeforeTheDestruction(t *testing.T) {
	p := newPlace(t)
	other := p.store()
	save(t, other, stored(2, "two", rotation.RoleCurrent), stored(1, "one", rotation.RolePrevious))
	met := atomic.Bool{}
	front := inFront(t, p.address, func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/destroy/") && met.CompareAndSwap(false, true) {
			v := load(t, other)
			v.Stamp = "other"
			assert.NoError(t, other.Save(t.Context(), name, v))
		}
		return false
	})
	s := p.store(func(c *vaultkv.Config) { c.Client = client(t, front, p.admin.Token()) })
	v := load(t, s)
	v.Keys = []rotation.StoredKey{stored(2, "two", rotation.RoleCurrent), stored(3, "three", rotation.RolePending)}
	require.NoError(t, s.Save(t.Context(), name, v))
	require.True(t, met.Load())
	for _, reader := range []*vaultkv.Store{s, other, p.store()} {
		v := load(t, reader)
		assert.Equal(t, "other", v.Stamp)
		assert.Equal(t, "three", value(v, rotation.RolePending))
		assert.Equal(t, rotation.RoleRetiring, roleOf(v, 1), "the other writer has taken it up")
	}
	save(t, other, stored(2, "two", rotation.RoleCurrent))
	requireNowhere(t, p, "one")
	requireNowhere(t, p, "three")
}

// Several Saves die, each with another value to destroy: none is forgotten, whichever versions the late ones destroy.
func TestInterruptedAgainAndAgain(t *testing.T) {
	p := newPlace(t)
	s, down := p.undestroyed()
	interrupted := func(keys ...rotation.StoredKey) {
		t.Helper()
		v := load(t, s)
		v.Keys = keys
		require.Error(t, s.Save(t.Context(), name, v))
	}
	interrupted(stored(2, "two", rotation.RoleCurrent), stored(3, "three", rotation.RolePending))
	interrupted(stored(2, "two", rotation.RolePrevious), stored(4, "four", rotation.RoleCurrent))
	for range 3 {
		interrupted(stored(4, "four", rotation.RoleCurrent))
	}
	v := load(t, p.store())
	assert.Len(t, v.Keys, 4)
	assert.Equal(t, "four", value(v, rotation.RoleCurrent))
	for serial := range int64(3) {
		assert.Equal(t, rotation.RoleRetiring, roleOf(v, serial+1))
	}
	requireHolders(t, p, 3)

	require.NoError(t, p.admin.KVv2(p.mount).Destroy(t.Context(), name, []int{1})) // the first one comes through after all
	v = load(t, p.store())
	assert.Len(t, v.Keys, 3)
	assert.Empty(t, roleOf(v, 1))

	down.Store(false)
	save(t, s, stored(4, "four", rotation.RoleCurrent))
	assert.Len(t, load(t, s).Keys, 1)
	assert.Len(t, load(t, p.store()).Keys, 1)
	for _, value := range []string{"one", "two", "three"} {
		requireNowhere(t, p, value)
	}
}

// requireHolders says how many versions the latest one names: those, and not each that was written since, are read again.
func requireHolders(t *testing.T, p *place, n int) {
	t.Helper()
	text, _ := p.fields(name)["handover_destroyed"].(string)
	require.Len(t, strings.Split(text, ", "), n, text)
}

// The fields are written back by hand after the secret was removed with its metadata: the numbers of versions begin anew, and the
// ones that the fields name are none of this history.
func TestWrittenBackAfterRemoval(t *testing.T) {
	p := newPlace(t)
	s := p.store()
	save(t, s, stored(1, "one", rotation.RoleCurrent))
	save(t, s, stored(2, "two", rotation.RoleCurrent)) // version 1 is destroyed
	save(t, s, stored(3, "three", rotation.RoleCurrent))
	fields := p.fields(name)
	require.NoError(t, p.admin.KVv2(p.mount).DeleteMetadata(t.Context(), name))

	p.put(name, fields)
	p.patch(name, map[string]any{"api_key": "hand one"})
	p.patch(name, map[string]any{"api_key": "hand two"})
	p.patch(name, map[string]any{"api_key": "hand three"})
	v := load(t, p.store())
	require.Len(t, v.Keys, 2)
	assert.Equal(t, "hand three", value(v, rotation.RoleCurrent))
	assert.Equal(t, rotation.RolePrevious, roleOf(v, 3))

	save(t, p.store(), rotation.StoredKey{Key: rotation.Key{ID: "AK4", Serial: 4, Secret: secret.New("hand three")}, Role: rotation.RoleCurrent})
	for _, value := range []string{"hand one", "hand two", "\"three"} {
		requireNowhere(t, p, value)
	}
	assert.Len(t, load(t, p.store()).Keys, 1)

	require.NoError(t, p.admin.KVv2(p.mount).DeleteMetadata(t.Context(), name))
	p.put(name, fields) // its first version names a later one
	save(t, p.store(), stored(4, "four", rotation.RoleCurrent))
	requireNowhere(t, p, "\"three")
}

// A version that is only deleted can be brought back, and its values with it.
func TestDeletedIsNotDestroyed(t *testing.T) {
	p := newPlace(t)
	s, down := p.undestroyed()
	v := load(t, s)
	v.Keys = []rotation.StoredKey{stored(2, "two", rotation.RoleCurrent)}
	require.Error(t, s.Save(t.Context(), name, v))
	require.NoError(t, p.admin.KVv2(p.mount).DeleteVersions(t.Context(), name, []int{1}))
	assert.Len(t, load(t, s).Keys, 1)

	down.Store(false)
	save(t, s, stored(3, "three", rotation.RoleCurrent))
	require.NoError(t, p.admin.KVv2(p.mount).Undelete(t.Context(), name, []int{1}))
	requireNowhere(t, p, "one")
}
