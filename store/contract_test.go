// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const name = "payment/gateway.api_key-1"

// handle opens one more handle on the same place.
type handle func(t *testing.T) rotation.SecretStore

// places make one empty place each.
var places = map[string]func(t *testing.T) handle{
	"Memory": func(*testing.T) handle {
		s := store.NewMemory()
		return func(*testing.T) rotation.SecretStore { return s }
	},
	"zero Memory": func(*testing.T) handle {
		s := new(store.Memory)
		return func(*testing.T) rotation.SecretStore { return s }
	},
	"File": func(t *testing.T) handle {
		path := filepath.Join(t.TempDir(), "store")
		return func(t *testing.T) rotation.SecretStore { return openFile(t, path) }
	},
	"Mirror": func(*testing.T) handle {
		a, b, c := store.NewMemory(), store.NewMemory(), store.NewMemory()
		return func(*testing.T) rotation.SecretStore { return store.Mirror(a, b, c) }
	},
	"Mirror of File and Memory": func(t *testing.T) handle {
		path, copied := filepath.Join(t.TempDir(), "store"), store.NewMemory()
		return func(t *testing.T) rotation.SecretStore { return store.Mirror(openFile(t, path), copied) }
	},
}

// TestContract holds every store to the clauses of rotation.SecretStore.
func TestContract(t *testing.T) {
	clauses := map[string]func(t *testing.T, open handle){
		"S1 absent":           absent,
		"S1 authoritative":    authoritative,
		"S2 round trip":       roundTrip,
		"S2 removed":          removed,
		"S2 cancelled":        cancelled,
		"S2 deep copies":      deepCopies,
		"S3 conflict":         conflict,
		"S3 concurrent":       concurrent,
		"S4 current":          current,
		"names are opaque":    opaqueNames,
		"bad names":           badNames,
		"bad versions":        badVersions,
		"abilities":           abilities,
		"no secret in errors": quietErrors,
	}
	for place, make := range places {
		for clause, run := range clauses {
			t.Run(place+"/"+clause, func(t *testing.T) { run(t, make(t)) })
		}
	}
}

func testKey(serial int64, value string) rotation.Key {
	return rotation.Key{
		ID: "AK" + strconv.FormatInt(serial, 10), Serial: serial, Generation: int(serial), Name: "key-" + value,
		Secret: secret.New(value), Attributes: map[string]string{"user": "u<&>\u2028" + value},
		IssuedAt: time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.FixedZone("", 7200)),
	}
}

func testVersions() rotation.Versions {
	return rotation.Versions{
		Keys: []rotation.StoredKey{
			{Key: testKey(3, "three"), Role: rotation.RolePending},
			{Key: testKey(2, "two"), Role: rotation.RoleCurrent},
			{Key: testKey(1, "one"), Role: rotation.RolePrevious, Compromised: true},
			{Key: rotation.Key{Secret: secret.New("zero \xff\x00 \ufffd \u2028")}, Role: rotation.RoleRetiring},
			{Key: rotation.Key{ID: "only known by name"}, Role: rotation.RoleRetiring},
		},
		Stamp:    "installation/rotation/1",
		Metadata: map[string]string{"rotated_by": "me"},
	}
}

func single(value string) rotation.Versions {
	return rotation.Versions{Keys: []rotation.StoredKey{{Key: testKey(1, value), Role: rotation.RoleCurrent}}, Stamp: "s"}
}

// requireSame compares everything but the revision.
func requireSame(t *testing.T, want, got rotation.Versions) {
	t.Helper()
	require.Len(t, got.Keys, len(want.Keys))
	for i, k := range want.Keys {
		require.True(t, k.Key.Equal(got.Keys[i].Key), "key %d: %s, %s", i, k.Key, got.Keys[i].Key)
		require.Equal(t, k.Role, got.Keys[i].Role)
		require.Equal(t, k.Compromised, got.Keys[i].Compromised)
	}
	require.Equal(t, want.Stamp, got.Stamp)
	require.Equal(t, want.Metadata, got.Metadata)
}

func load(t *testing.T, s rotation.SecretStore) rotation.Versions {
	t.Helper()
	v, err := s.Load(t.Context(), name)
	require.NoError(t, err)
	return v
}

// save saves v over whatever is there.
func save(t *testing.T, s rotation.SecretStore, v rotation.Versions) {
	t.Helper()
	v.Revision = load(t, s).Revision
	require.NoError(t, s.Save(t.Context(), name, v))
}

func absent(t *testing.T, open handle) {
	s := open(t)
	assert.Equal(t, rotation.Versions{}, load(t, s))
	require.NoError(t, s.Save(t.Context(), "another", single("v")))
	assert.Equal(t, rotation.Versions{}, load(t, s))
}

func authoritative(t *testing.T, open handle) {
	a, b := open(t), open(t)
	for _, value := range []string{"v1", "v2", "v3"} {
		save(t, a, single(value))
		requireSame(t, single(value), load(t, b))
		a, b = b, a
	}
}

func roundTrip(t *testing.T, open handle) {
	s := open(t)
	require.NoError(t, s.Save(t.Context(), name, testVersions()))
	got := load(t, s)
	requireSame(t, testVersions(), got)
	assert.NotEmpty(t, got.Revision)
	requireSame(t, testVersions(), load(t, open(t)))

	long := single(strings.Repeat("long ", 20_000))
	save(t, s, long)
	requireSame(t, long, load(t, open(t)))
}

func removed(t *testing.T, open handle) {
	s := open(t)
	save(t, s, testVersions())
	save(t, s, single("v"))
	requireSame(t, single("v"), load(t, s))
	save(t, s, rotation.Versions{})
	assert.Empty(t, load(t, s).Keys)
	assert.NotEmpty(t, load(t, s).Revision, "an emptied name is not an absent one")
}

func cancelled(t *testing.T, open handle) {
	s := open(t)
	save(t, s, single("before"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	next := single("after")
	next.Revision = load(t, s).Revision
	require.ErrorIs(t, s.Save(ctx, name, next), context.Canceled)
	_, err := s.Load(ctx, name)
	require.ErrorIs(t, err, context.Canceled)
	requireSame(t, single("before"), load(t, s))
}

func deepCopies(t *testing.T, open handle) {
	s := open(t)
	scribble := func(v rotation.Versions) {
		v.Keys[0].Role = rotation.RoleRetiring
		v.Keys[0].Key.Attributes["user"] = "scribbled"
		v.Metadata["rotated_by"] = "scribbled"
	}
	in := testVersions()
	require.NoError(t, s.Save(t.Context(), name, in))
	scribble(in)
	requireSame(t, testVersions(), load(t, s))
	scribble(load(t, s))
	requireSame(t, testVersions(), load(t, s))
}

func conflict(t *testing.T, open handle) {
	a, b := open(t), open(t)
	refused := func(s rotation.SecretStore, revision string) {
		t.Helper()
		before := load(t, s)
		lost := single("lost")
		lost.Revision = revision
		require.ErrorIs(t, s.Save(t.Context(), name, lost), rotation.ErrConflict)
		after := load(t, s)
		requireSame(t, before, after)
		assert.Equal(t, before.Revision, after.Revision)
	}
	refused(a, "made up")
	require.NoError(t, a.Save(t.Context(), name, single("v1")))
	refused(b, "")
	first := load(t, b)
	save(t, a, single("v2"))
	refused(b, first.Revision)
	save(t, a, single("v1"))
	refused(b, first.Revision) // the same content again is another revision

	require.NoError(t, a.Save(t.Context(), "another", single("v")))
	v := load(t, b)
	v.Stamp = "another name does not move the revision"
	require.NoError(t, b.Save(t.Context(), name, v))
}

// count adds one to a number in the store, n times, against others who do the same.
func count(ctx context.Context, s rotation.SecretStore, n int) error {
	for done := 0; done < n; {
		v, err := s.Load(ctx, name)
		if err != nil {
			return err
		}
		sum, _ := strconv.Atoi(v.Metadata["sum"])
		v.Metadata = map[string]string{"sum": strconv.Itoa(sum + 1)}
		switch err := s.Save(ctx, name, v); {
		case err == nil:
			done++
		case !errors.Is(err, rotation.ErrConflict):
			return err
		}
	}
	return nil
}

func concurrent(t *testing.T, open handle) {
	const goroutines, each = 16, 2
	var wg sync.WaitGroup
	for range goroutines {
		s := open(t)
		wg.Go(func() { assert.NoError(t, count(t.Context(), s, each)) })
	}
	wg.Wait()
	assert.Equal(t, strconv.Itoa(goroutines*each), load(t, open(t)).Metadata["sum"])
}

func current(t *testing.T, open handle) {
	s := open(t)
	save(t, s, testVersions())
	v := load(t, s)
	assert.Equal(t, "two", v.Key(rotation.RoleCurrent).Secret.Reveal())
	assert.Equal(t, "three", v.Key(rotation.RolePending).Secret.Reveal())
	assert.True(t, v.Key(rotation.RolePrevious).IsZero(), "compromised")
}

func opaqueNames(t *testing.T, open handle) {
	s := open(t)
	names := []string{
		"a", "A", "a/b", "a//b", "/a", "a/", ".", "..", "../a", "a.lock", "a.tmp", " ", "a b", "a\nb", "a\x00b", "CON", "ä", "a\u0308",
		`"`, `\`, "%2e", "-rf", strings.Repeat("n", 5000), "handover", "<script>",
	}
	for _, n := range names {
		require.NoError(t, s.Save(t.Context(), n, single("value of "+n)), "%q", n)
	}
	for _, n := range names {
		v, err := s.Load(t.Context(), n)
		require.NoError(t, err, "%q", n)
		require.Equal(t, "value of "+n, v.Key(rotation.RoleCurrent).Secret.Reveal())
	}
	e, ok := rotation.As[rotation.Enumerator](s)
	require.True(t, ok)
	got, err := e.Names(t.Context())
	require.NoError(t, err)
	assert.ElementsMatch(t, names, got)
	assert.IsNonDecreasing(t, got)
}

func badNames(t *testing.T, open handle) {
	s := open(t)
	for bad, text := range map[string]string{"": "empty", "a\xff": "UTF-8"} {
		_, err := s.Load(t.Context(), bad)
		require.ErrorContains(t, err, text)
		require.ErrorContains(t, s.Save(t.Context(), bad, single("v")), text)
	}
}

func badVersions(t *testing.T, open handle) {
	s := open(t)
	for text, v := range invalid() {
		require.ErrorContains(t, s.Save(t.Context(), name, v), text)
	}
	assert.Equal(t, rotation.Versions{}, load(t, s))
}

// invalid are Versions by a part of the error that they have to give.
func invalid() map[string]rotation.Versions {
	of := func(ks ...rotation.StoredKey) rotation.Versions { return rotation.Versions{Keys: ks} }
	key := func(k rotation.Key) rotation.StoredKey {
		return rotation.StoredKey{Key: k, Role: rotation.RolePrevious}
	}
	far := time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	return map[string]rotation.Versions{
		"key 2 of 2 has no known role": of(key(testKey(1, "a")), rotation.StoredKey{Key: testKey(2, "b")}),
		"key 1 of 1 has no known role": of(rotation.StoredKey{Role: "Current"}),
		"2 keys are current":           of(rotation.StoredKey{Role: rotation.RoleCurrent}, rotation.StoredKey{Role: rotation.RoleCurrent, Compromised: true}),
		"2 keys are pending":           of(rotation.StoredKey{Role: rotation.RolePending}, rotation.StoredKey{Role: rotation.RolePending}),
		"ID is not":                    of(key(rotation.Key{ID: "\xff"})),
		"Name is not":                  of(key(rotation.Key{Name: "\xff"})),
		"Attributes is not":            of(key(rotation.Key{Attributes: map[string]string{"a": "\xff"}})),
		"Stamp is not":                 {Stamp: "\xff"},
		"Metadata is not":              {Metadata: map[string]string{"\xff": "a"}},
		"IssuedAt is outside":          of(key(rotation.Key{IssuedAt: far})),
		"ExpiresAt is outside":         of(key(rotation.Key{ExpiresAt: far.Add(-time.Second).In(time.FixedZone("", -3600)).Add(time.Hour)})),
	}
}

func abilities(t *testing.T, open handle) {
	s := open(t)
	c, ok := rotation.As[rotation.Conditional](s)
	require.True(t, ok)
	assert.True(t, c.Conditional())
	i, ok := rotation.As[rotation.Identifier](s)
	require.True(t, ok)
	assert.NotEmpty(t, i.Identity())
	assert.Equal(t, i.Identity(), open(t).(rotation.Identifier).Identity())
	if c, ok := rotation.As[rotation.Checker](s); ok {
		require.NoError(t, c.Check(t.Context()))
	}
}

func quietErrors(t *testing.T, open handle) {
	s := open(t)
	const canary = "canary-7f3Kq9ZxW2pL"
	v := single(canary)
	v.Revision = "wrong"
	err := s.Save(t.Context(), name, v)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), canary)
	var public rotation.PublicError
	require.ErrorAs(t, err, &public)
	assert.Contains(t, public.Public(), name)
	v.Keys[0].Role = canary
	err = s.Save(t.Context(), name, v)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), canary)
}
