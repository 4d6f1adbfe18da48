// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awssecrets_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/store/awssecrets"
	"github.com/handover-go/handover/store/awssecrets/internal/fakesm"
)

const name = "db"

// transitions are what one Save may have to do.
var transitions = map[string]struct{ before, after []rotation.StoredKey }{
	"first":    {nil, []rotation.StoredKey{as(rotation.RoleCurrent, key(1, "value-one"))}},
	"issue":    {[]rotation.StoredKey{as(rotation.RoleCurrent, key(1, "value-one"))}, []rotation.StoredKey{as(rotation.RoleCurrent, key(1, "value-one")), as(rotation.RolePending, key(2, "value-two"))}},
	"promote":  {[]rotation.StoredKey{as(rotation.RoleCurrent, key(1, "value-one")), as(rotation.RolePending, key(2, "value-two"))}, []rotation.StoredKey{as(rotation.RolePrevious, key(1, "value-one")), as(rotation.RoleCurrent, key(2, "value-two"))}},
	"restore":  {[]rotation.StoredKey{as(rotation.RolePrevious, key(1, "value-one")), as(rotation.RoleCurrent, key(2, "value-two"))}, []rotation.StoredKey{as(rotation.RoleCurrent, key(1, "value-one")), as(rotation.RolePending, key(2, "value-two"))}},
	"finish":   {[]rotation.StoredKey{as(rotation.RolePrevious, key(1, "value-one")), as(rotation.RoleCurrent, key(2, "value-two"))}, []rotation.StoredKey{as(rotation.RoleCurrent, key(2, "value-two"))}},
	"drop":     {[]rotation.StoredKey{as(rotation.RoleCurrent, key(1, "value-one")), as(rotation.RolePending, key(2, "value-two"))}, []rotation.StoredKey{as(rotation.RoleCurrent, key(1, "value-one"))}},
	"again":    {[]rotation.StoredKey{as(rotation.RoleCurrent, key(1, "value-one")), as(rotation.RolePending, key(2, "value-two"))}, []rotation.StoredKey{as(rotation.RoleCurrent, key(1, "value-one")), as(rotation.RolePending, key(3, "value-three"))}},
	"leak":     {[]rotation.StoredKey{as(rotation.RoleCurrent, key(1, "value-one"))}, []rotation.StoredKey{{Key: key(1, "value-one"), Role: rotation.RoleRetiring, Compromised: true}, as(rotation.RoleCurrent, key(2, "value-two"))}},
	"withdraw": {[]rotation.StoredKey{as(rotation.RoleCurrent, key(1, "value-one"))}, []rotation.StoredKey{{Key: key(1, "value-one"), Role: rotation.RoleRetiring, Compromised: true}}},
}

// Save is several calls. Whichever is the last one, Load finds every key from before or from after, says of each key that readers find
// that it is current, and the same Save, repeated, brings the rest.
func TestSaveInterruptedAnywhere(t *testing.T) {
	for transition, c := range transitions {
		for _, after := range []bool{false, true} {
			for n := 1; ; n++ {
				fake := &fakesm.Server{}
				s := open(t, fake, func(cfg *awssecrets.Config) { cfg.Client = once(fake) })
				if c.before != nil {
					require.NoError(t, put(t, s, name, c.before...))
				}
				loaded, err := s.Load(t.Context(), name)
				require.NoError(t, err)
				want := rotation.Versions{Keys: c.after, Stamp: "after", Revision: loaded.Revision}
				fake.Hook(dies(n, after))
				err = s.Save(t.Context(), name, want)
				fake.Hook(nil)
				what := fmt.Sprintf("%s, call %d, after %v", transition, n, after)
				if err == nil {
					require.Greater(t, n, 5, what)
					break // it has fewer calls
				}
				now, err := s.Load(t.Context(), name)
				require.NoError(t, err, what)
				assert.True(t, covers(now, c.before) || covers(now, c.after), what)
				text, _ := fake.Read(name, "AWSCURRENT")
				if !strings.Contains(text, "no current key") && text != "" {
					assert.Equal(t, text, currentOf(now), what)
				}
				if now.Stamp == "after" && slices.EqualFunc(now.Keys, c.after, func(x, y rotation.StoredKey) bool { return x.Role == y.Role && x.Key.Equal(y.Key) }) {
					follow(t, fake, now, what) // the engine takes it for whole
				}
				want.Revision = now.Revision
				require.NoError(t, s.Save(t.Context(), name, want), what)
				now, err = s.Load(t.Context(), name)
				require.NoError(t, err)
				assert.True(t, covers(now, c.after) && len(now.Keys) == len(c.after), what)
				text, _ = fake.Read(name, "AWSCURRENT")
				if served := now.Key(rotation.RoleCurrent); served.IsZero() {
					assert.Contains(t, text, "no current key", what)
				} else {
					assert.Equal(t, served.Secret.Reveal(), text, what)
				}
				follow(t, fake, now, what)
			}
		}
	}
}

func currentOf(v rotation.Versions) string {
	for _, k := range v.Keys {
		if k.Role == rotation.RoleCurrent {
			return k.Key.Secret.Reveal()
		}
	}
	return ""
}

func covers(v rotation.Versions, keys []rotation.StoredKey) bool {
	return !slices.ContainsFunc(keys, func(k rotation.StoredKey) bool {
		return !slices.ContainsFunc(v.Keys, func(o rotation.StoredKey) bool { return o.Key.Equal(k.Key) })
	})
}

// dies has the process die with the nth call: no call gets through any more.
func dies(n int, after bool) func(string, map[string]any) *fakesm.Failure {
	seen := 0
	return func(string, map[string]any) *fakesm.Failure {
		seen++
		if seen < n {
			return nil
		}
		return &fakesm.Failure{Status: http.StatusInternalServerError, Code: "InternalServiceError", After: after && seen == n}
	}
}

// The answer of each call is lost once, and the SDK asks again by itself: that must not look like somebody else's change.
func TestRepeatedCallsAreNoConflict(t *testing.T) {
	for transition, c := range transitions {
		t.Run(transition, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // the SDK waits between its tries
				fake := &fakesm.Server{}
				s := open(t, fake)
				if c.before != nil {
					require.NoError(t, put(t, s, name, c.before...))
				}
				lost := map[string]bool{}
				fake.Hook(func(op string, in map[string]any) *fakesm.Failure {
					text, _ := json.Marshal(in)
					if lost[op+string(text)] || op == "CreateSecret" { // that one has no other answer than that it exists
						return nil
					}
					lost[op+string(text)] = true
					return &fakesm.Failure{Status: http.StatusInternalServerError, Code: "InternalServiceError", After: true}
				})
				require.NoError(t, put(t, s, name, c.after...))
				fake.Hook(nil)
				v, err := s.Load(t.Context(), name)
				require.NoError(t, err)
				assert.True(t, covers(v, c.after))
			})
		})
	}
}

// What is saved again writes the document and no value.
func TestSaveAgainWritesOneVersion(t *testing.T) {
	fake := &fakesm.Server{}
	s := open(t, fake)
	for _, keys := range [][]rotation.StoredKey{
		{as(rotation.RoleCurrent, key(1, "value-one")), as(rotation.RolePending, key(2, "value-two"))},
		{as(rotation.RolePrevious, key(1, "value-one")), as(rotation.RoleCurrent, key(2, "value-two"))},
	} {
		require.NoError(t, put(t, s, name, keys...))
		before := fake.Count(name)
		require.NoError(t, put(t, s, name, keys...))
		assert.Equal(t, before+1, fake.Count(name))
	}
}

// What a person puts under AWSCURRENT is told as the current key, with ours beside it.
func TestHandEditsAreSeen(t *testing.T) {
	fake := &fakesm.Server{}
	s := open(t, fake)
	k1, k2 := key(1, "value-one"), key(2, "value-two")
	require.NoError(t, put(t, s, name, as(rotation.RolePrevious, k1), as(rotation.RoleCurrent, k2)))
	before, err := s.Load(t.Context(), name)
	require.NoError(t, err)

	fake.Edit(name, strings.Repeat("e", 32), "by hand")
	v, err := s.Load(t.Context(), name)
	require.NoError(t, err)
	assert.Equal(t, "by hand", v.Key(rotation.RoleCurrent).Secret.Reveal())
	assert.Len(t, v.Keys, 3)
	require.ErrorIs(t, s.Save(t.Context(), name, before), rotation.ErrConflict, "the edit counts")
	require.NoError(t, put(t, s, name, as(rotation.RolePrevious, k1), as(rotation.RoleCurrent, k2)))
	text, _ := fake.Read(name, "AWSCURRENT")
	assert.Equal(t, "value-two", text, "asserted again")

	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, k1), as(rotation.RolePending, k2)))
	require.NoError(t, put(t, s, name, as(rotation.RolePrevious, k1), as(rotation.RoleCurrent, k2)))
	_, old := fake.Read(name, "AWSPREVIOUS")
	fake.Label(name, "AWSCURRENT", old) // the console's way back
	v, err = s.Load(t.Context(), name)
	require.NoError(t, err)
	assert.Equal(t, "value-one", v.Key(rotation.RoleCurrent).Secret.Reveal())
	assert.Equal(t, "value-two", v.Key(rotation.RolePending).Secret.Reveal())
}

// A secret that was there before is one current key, and putting it under rotation moves nothing that readers see.
func TestValueFromBefore(t *testing.T) {
	fake := &fakesm.Server{}
	text, json := open(t, fake), open(t, fake, inJSON)
	id := strings.Repeat("a", 32)
	fake.Edit(name, id, "before us")
	fake.Edit("json", id, `{"username":"app","password":"before us","port":5432}`)

	v, err := text.Load(t.Context(), name)
	require.NoError(t, err)
	assert.Equal(t, "before us", v.Key(rotation.RoleCurrent).Secret.Reveal())
	v, err = json.Load(t.Context(), "json")
	require.NoError(t, err)
	current := v.Key(rotation.RoleCurrent)
	assert.Equal(t, "before us", current.Secret.Reveal())
	assert.Equal(t, map[string]string{"user": "app"}, current.Attributes)

	current.Serial = 1
	require.NoError(t, put(t, json, "json", as(rotation.RoleCurrent, current)))
	_, now := fake.Read("json", "AWSCURRENT")
	assert.Equal(t, id, now)
}

// store.Seed tells who the key of an existing secret is, and moves nothing.
func TestSeedOfAnExistingSecret(t *testing.T) {
	fake := &fakesm.Server{}
	s := open(t, fake, func(cfg *awssecrets.Config) { cfg.Field = "password" })
	id := strings.Repeat("a", 32)
	fake.Edit(name, id, `{"username":"app","password":"before us"}`)
	other := rotation.Key{ID: "key-1", Secret: secret.New("not that one")}
	require.ErrorIs(t, store.Seed(t.Context(), s, name, other), rotation.ErrConflict)
	require.NoError(t, store.Seed(t.Context(), s, name, rotation.Key{ID: "key-1", Secret: secret.New("before us")}))
	v, err := s.Load(t.Context(), name)
	require.NoError(t, err)
	require.Len(t, v.Keys, 1)
	assert.Equal(t, "key-1", v.Key(rotation.RoleCurrent).ID)
	_, now := fake.Read(name, "AWSCURRENT")
	assert.Equal(t, id, now)
}

// A field that is null is no attribute. Attributes are no secrets: the value must not get there.
func TestFieldsThatHaveNoText(t *testing.T) {
	for _, other := range []string{`null`, `""`, `5`, `{"name":"app"}`} {
		fake := &fakesm.Server{}
		s := open(t, fake, inJSON)
		fake.Edit(name, strings.Repeat("a", 32), `{"password":"before us","username":`+other+`,"key_id":`+other+`}`)
		v, err := s.Load(t.Context(), name)
		require.NoError(t, err)
		assert.True(t, v.Key(rotation.RoleCurrent).Equal(rotation.Key{Secret: secret.New("before us")}), other)
	}
}

// A key without an id or a user, as it is given to store.Seed, writes no empty user name over the one that readers have.
func TestKeyWithoutAttributes(t *testing.T) {
	fake := &fakesm.Server{}
	s := open(t, fake, inJSON)
	fake.Edit(name, strings.Repeat("a", 32), `{"username":"app","key_id":"k-1","password":"before us"}`)
	bare := rotation.Key{Serial: 2, Secret: secret.New("value-two"), Attributes: map[string]string{"user": ""}}
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, bare)))
	text, _ := fake.Read(name, "AWSCURRENT")
	assert.JSONEq(t, `{"username":"app","key_id":"k-1","password":"value-two"}`, text)
}

// Fields that are nobody's stay, also while there is no key; an attribute that a key does not have leaves its field alone.
func TestFieldsOfReaders(t *testing.T) {
	fake := &fakesm.Server{}
	s := open(t, fake, inJSON)
	fake.Edit(name, strings.Repeat("a", 32), `{"username":"app","password":"before us","port":5432,"tls":{"ca":"x"}}`)
	second := key(2, "value-two")
	second.Attributes = nil
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, second)))
	text, _ := fake.Read(name, "AWSCURRENT")
	assert.JSONEq(t, `{"username":"app","password":"value-two","key_id":"key-2","port":5432,"tls":{"ca":"x"}}`, text)

	require.NoError(t, put(t, s, name, rotation.StoredKey{Key: second, Role: rotation.RoleCurrent, Compromised: true}))
	text, _ = fake.Read(name, "AWSCURRENT")
	assert.JSONEq(t, `{"handover":"no current key","port":5432,"tls":{"ca":"x"}}`, text, "a compromised key is served to nobody")

	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, key(3, "value-three"))))
	text, _ = fake.Read(name, "AWSCURRENT")
	assert.JSONEq(t, `{"username":"user-3","password":"value-three","key_id":"key-3","port":5432,"tls":{"ca":"x"}}`, text)

	fake.Edit(name, strings.Repeat("b", 32), "no object")
	_, err := s.Load(t.Context(), name)
	require.EqualError(t, err, "awssecrets: what its readers find is no JSON object, and Config.Field names a field of one")
	fake.Edit(name, strings.Repeat("c", 32), `{"username":"app"}`)
	_, err = s.Load(t.Context(), name)
	require.EqualError(t, err, `awssecrets: what its readers find has no text in the field "password" (Config.Field)`)
}

// A compromised key that an interrupted Save left with its readers is told so that the engine writes again.
func TestCompromisedAndStillServed(t *testing.T) {
	fake := &fakesm.Server{}
	s := open(t, fake, func(cfg *awssecrets.Config) { cfg.Client = once(fake) })
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, key(1, "value-one"))))
	fake.Hook(func(op string, in map[string]any) *fakesm.Failure {
		if op == "UpdateSecretVersionStage" && in["VersionStage"] == "AWSCURRENT" {
			return &fakesm.Failure{Status: http.StatusInternalServerError, Code: "InternalServiceError"}
		}
		return nil
	})
	bad := rotation.StoredKey{Key: key(1, "value-one"), Role: rotation.RoleCurrent, Compromised: true}
	require.Error(t, put(t, s, name, bad))
	fake.Hook(nil)
	v, err := s.Load(t.Context(), name)
	require.NoError(t, err)
	assert.Empty(t, v.Stamp)
	require.NoError(t, put(t, s, name, bad))
	v, err = s.Load(t.Context(), name)
	require.NoError(t, err)
	assert.Equal(t, "stamp", v.Stamp)
}

// A secret made without a value, by a template: its first version gets AWSCURRENT, and must not be the document.
func TestSecretWithoutAVersion(t *testing.T) {
	fake := &fakesm.Server{}
	s := open(t, fake)
	fake.Change(name, func(*fakesm.Secret) {})
	v, err := s.Load(t.Context(), name)
	require.NoError(t, err)
	assert.Empty(t, v.Keys)
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, key(1, "value-one"))))
	text, _ := fake.Read(name, "AWSCURRENT")
	assert.Equal(t, "value-one", text)
}
