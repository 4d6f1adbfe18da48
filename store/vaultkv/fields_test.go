// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package vaultkv_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/store/vaultkv"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPrepare is what the documentation says about a secret that was there before: Seed with its value.
func TestPrepare(t *testing.T) {
	p := newPlace(t)
	s := p.store()
	p.put(name, map[string]any{"api_key": "in use", "owner": "payments", "previous_key": "before"})
	v := load(t, s)
	require.Len(t, v.Keys, 1)
	assert.Empty(t, v.Key(rotation.RoleCurrent).ID)
	assert.Equal(t, "in use", value(v, rotation.RoleCurrent))

	issued := time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)
	require.ErrorContains(t, store.Seed(t.Context(), s, name, rotation.Key{ID: "AK1", Secret: secret.New("in used")}), "seed that value")
	require.NoError(t, store.Seed(t.Context(), s, name, rotation.Key{ID: "AK1", Secret: secret.New("in use"), IssuedAt: issued}))
	v = load(t, s)
	require.Len(t, v.Keys, 1)
	assert.Equal(t, "AK1", v.Key(rotation.RoleCurrent).ID)
	fields := p.fields(name)
	assert.Contains(t, fields, "handover")
	delete(fields, "handover")
	assert.Equal(t, map[string]any{"api_key": "in use", "owner": "payments", "previous_key": "before"}, fields)

	// Where the secret is not there yet, Seed makes it.
	require.NoError(t, store.Seed(t.Context(), s, "other", rotation.Key{ID: "AK1", Secret: secret.New("v")}))
	assert.Equal(t, "v", p.fields("other")["api_key"])
}

// What readers see changes with the roles, and nothing of others is touched.
func TestFields(t *testing.T) {
	p := newPlace(t)
	s := p.store(func(c *vaultkv.Config) { c.Attributes = map[string]string{"user": "username", "region": "region"} })
	p.put(name, map[string]any{"number": json.Number("1234567890123"), "nested": map[string]any{"a": []any{"b"}}, "region": "eu"})
	one, two := stored(1, "one", rotation.RoleCurrent), stored(2, "two", rotation.RolePending)
	one.Key.Attributes = map[string]string{"user": "app_a", "other": "x"}
	two.Key.Attributes = map[string]string{"user": "app_b"}

	save(t, s, one, two)
	expect := func(want map[string]any) {
		t.Helper()
		got := p.fields(name)
		for _, own := range []string{"handover", "handover_destroyed"} {
			delete(got, own)
		}
		want["number"], want["nested"], want["region"] = json.Number("1234567890123"), map[string]any{"a": []any{"b"}}, "eu"
		assert.Equal(t, want, got)
	}
	expect(map[string]any{"api_key": "one", "previous_key": "", "username": "app_a"})

	one.Role, two.Role = rotation.RolePrevious, rotation.RoleCurrent
	v := load(t, s)
	v.Keys = []rotation.StoredKey{one, two}
	v.Metadata = map[string]string{"rotated_at": "2026-11-23T10:00:00Z", "rotated_by": "ann", "emergency_rotation": "true", "incident_reference": "INC-1", "version": "2"}
	require.NoError(t, s.Save(t.Context(), name, v))
	want := map[string]any{
		"api_key": "two", "previous_key": "one", "username": "app_b", "rotated_at": "2026-11-23T10:00:00Z", "rotated_by": "ann",
		"emergency_rotation": "true", "incident_reference": "INC-1",
	}
	expect(want)
	assert.Equal(t, v.Metadata, load(t, s).Metadata)

	one.Compromised = true // served to nobody
	v = load(t, s)
	v.Keys = []rotation.StoredKey{one, two}
	p.patch(name, map[string]any{"incident_reference": "INC-1, see also INC-9"}) // by a person: it stays
	v.Revision = load(t, s).Revision
	v.Metadata = map[string]string{"rotated_by": "ann"}
	require.NoError(t, s.Save(t.Context(), name, v))
	want = map[string]any{"api_key": "two", "previous_key": "", "username": "app_b", "rotated_by": "ann", "incident_reference": "INC-1, see also INC-9"}
	expect(want)

	bare := stored(3, "three", rotation.RoleCurrent) // a key without the attribute
	save(t, s, bare)
	want["api_key"] = "three"
	delete(want, "rotated_by")
	want["rotated_by"] = "ann"
	expect(want)
}

// A value that somebody wrote over the current one is seen, and nothing is lost.
func TestEditedByHand(t *testing.T) {
	p := newPlace(t)
	s := p.store()
	save(t, s, stored(2, "two", rotation.RoleCurrent), stored(1, "one", rotation.RolePrevious))

	p.patch(name, map[string]any{"api_key": "by hand"})
	v := load(t, s)
	assert.True(t, v.Key(rotation.RoleCurrent).Equal(rotation.Key{Secret: secret.New("by hand")}))
	assert.Equal(t, rotation.RolePrevious, roleOf(v, 1))
	assert.Equal(t, rotation.RolePrevious, roleOf(v, 2))
	assert.Equal(t, "stamp", v.Stamp)

	p.patch(name, map[string]any{"api_key": "one"}) // put back
	v = load(t, s)
	assert.Equal(t, rotation.RoleCurrent, roleOf(v, 1))
	assert.Equal(t, rotation.RolePrevious, roleOf(v, 2))

	p.patch(name, map[string]any{"api_key": nil}) // taken away
	v = load(t, s)
	assert.True(t, v.Key(rotation.RoleCurrent).IsZero())
	assert.Equal(t, rotation.RolePrevious, roleOf(v, 2))

	p.patch(name, map[string]any{"api_key": 7})
	_, err := s.Load(t.Context(), name)
	require.ErrorContains(t, err, `the field "api_key" is not text`)
	p.patch(name, map[string]any{"api_key": "two", "handover": "mine"})
	_, err = s.Load(t.Context(), name)
	require.ErrorContains(t, err, `the field "handover" is damaged or not handover's`)

	p.put(name, map[string]any{"api_key": "all by hand"}) // vault kv put, which drops every other field
	v = load(t, s)
	require.Len(t, v.Keys, 1)
	assert.Equal(t, "all by hand", value(v, rotation.RoleCurrent))
}

func roleOf(v rotation.Versions, serial int64) rotation.Role {
	for _, k := range v.Keys {
		if k.Key.Serial == serial {
			return k.Role
		}
	}
	return ""
}

// A compromised key that readers are given back by hand is told so that the engine writes again.
func TestCompromisedPutBack(t *testing.T) {
	p := newPlace(t)
	s := p.store()
	bad := stored(1, "one", rotation.RoleCurrent)
	bad.Compromised = true
	save(t, s, bad)
	require.Empty(t, p.fields(name)["api_key"])
	assert.Equal(t, "stamp", load(t, s).Stamp)

	p.patch(name, map[string]any{"api_key": "one"})
	v := load(t, s)
	assert.Empty(t, v.Stamp)
	require.Len(t, v.Keys, 1)
	assert.Equal(t, rotation.RoleCurrent, v.Keys[0].Role)
	assert.True(t, v.Keys[0].Compromised)

	save(t, s, bad)
	assert.Empty(t, p.fields(name)["api_key"])
	assert.Equal(t, "stamp", load(t, s).Stamp)
}

// What lies under odd names is found again, and a name cannot leave its prefix.
func TestNames(t *testing.T) {
	p := newPlace(t)
	s := p.store(func(c *vaultkv.Config) { c.Prefix = "/api-credentials/" })
	empty, err := s.Names(t.Context())
	require.NoError(t, err)
	assert.Empty(t, empty)
	odd := []string{"a b", "a%2Fb", "deep/er/still", "plus+and?question#hash", "x", "é漢"}
	for i, n := range odd {
		require.NoError(t, s.Save(t.Context(), n, rotation.Versions{Keys: []rotation.StoredKey{stored(int64(i+1), n, rotation.RoleCurrent)}}))
	}
	for _, n := range odd {
		v, err := s.Load(t.Context(), n)
		require.NoError(t, err)
		assert.Equal(t, n, value(v, rotation.RoleCurrent))
	}
	names, err := s.Names(t.Context())
	require.NoError(t, err)
	assert.Equal(t, odd, names)
	p.put("beside", map[string]any{"api_key": "another"})
	for _, n := range []string{"", "../beside", "a/../../beside", "a//b", "/a", "a/", ".", "a\nb", "\xff", " a"} {
		_, err := s.Load(t.Context(), n)
		require.ErrorContains(t, err, "the name of the credential", "%q", n)
		require.ErrorContains(t, s.Save(t.Context(), n, rotation.Versions{}), "the name of the credential", "%q", n)
	}
}

// A value that no JSON can hold stays out of the readers' fields, and is not changed in silence.
func TestValueThatIsNotText(t *testing.T) {
	p := newPlace(t)
	s := p.store()
	for _, role := range []rotation.Role{rotation.RoleCurrent, rotation.RolePrevious} {
		err := s.Save(t.Context(), name, rotation.Versions{Keys: []rotation.StoredKey{stored(1, "\xff\xfe", role)}})
		require.ErrorContains(t, err, "not valid UTF-8")
	}
	save(t, s, stored(1, "\xff\xfe", rotation.RoleRetiring))
	assert.True(t, load(t, s).Keys[0].Key.Secret.Equal(secret.New("\xff\xfe")))
}
