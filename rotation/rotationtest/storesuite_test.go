// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

func TestStoreSuiteAcceptsWhatIsRight(t *testing.T) {
	for name, build := range map[string]func(*rotationtest.Store) rotation.SecretStore{
		"store":       func(s *rotationtest.Store) rotation.SecretStore { return s },
		"no names":    func(s *rotationtest.Store) rotation.SecretStore { return silent{s, true} },
		"unsupported": func(s *rotationtest.Store) rotation.SecretStore { return nameless{silent{s, true}} },
		"coarse times": func(s *rotationtest.Store) rotation.SecretStore {
			return changes(s, func(v *rotation.Versions) {
				for i := range v.Keys {
					v.Keys[i].Key.IssuedAt = v.Keys[i].Key.IssuedAt.Truncate(time.Millisecond).In(time.FixedZone("", 3600))
				}
			})
		},
		"another order": func(s *rotationtest.Store) rotation.SecretStore {
			return changes(s, func(v *rotation.Versions) { slices.Reverse(v.Keys) })
		},
		"empty, not nil": func(s *rotationtest.Store) rotation.SecretStore {
			return changes(s, func(v *rotation.Versions) {
				if v.Metadata == nil {
					v.Metadata = map[string]string{}
				}
			})
		},
		"writes whatever the context": func(s *rotationtest.Store) rotation.SecretStore {
			return badStore{Store: s, save: func(ctx context.Context, name string, v rotation.Versions) error {
				return s.Save(context.WithoutCancel(ctx), name, v)
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := rotationtest.NewStore()
			suite := rotationtest.StoreSuite{Store: build(s), Name: "conformance"}
			for range 2 {
				require.NoError(t, suite.Check(t.Context()), "it can be repeated")
			}
			requireNoKeys(t, s)
		})
	}
}

func requireNoKeys(t *testing.T, s *rotationtest.Store) {
	t.Helper()
	names, err := s.Names(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for _, name := range names {
		v, err := s.Load(t.Context(), name)
		require.NoError(t, err)
		assert.Empty(t, v.Keys, name)
	}
}

func TestStoreSuiteValidates(t *testing.T) {
	err := rotationtest.StoreSuite{}.Check(t.Context())
	require.ErrorContains(t, err, "StoreSuite.Store is required")
	require.ErrorContains(t, err, "StoreSuite.Name is required")
}

// readers tell what other readers of a Store see: the key with role, or what pick makes of it.
func readers(s *rotationtest.Store, pick func(rotation.Versions) rotation.Key) func(context.Context, string) (secret.Value, error) {
	return func(ctx context.Context, name string) (secret.Value, error) {
		v, err := s.Load(ctx, name)
		return pick(v).Secret, err
	}
}

func TestStoreSuiteAsksOtherReaders(t *testing.T) {
	current := func(v rotation.Versions) rotation.Key { return v.Key(rotation.RoleCurrent) }
	var kept rotation.Key
	for what, c := range map[string]struct {
		pick func(rotation.Versions) rotation.Key
		want string // empty: it is right
	}{
		"the current key": {current, ""},
		"the newest key": {func(v rotation.Versions) rotation.Key {
			for _, k := range v.Accepted() {
				return k
			}
			return rotation.Key{}
		}, "another value"},
		"the first key": {func(v rotation.Versions) rotation.Key {
			for _, k := range v.Keys {
				return k.Key
			}
			return rotation.Key{}
		}, "another value"},
		"nothing":     {func(rotation.Versions) rotation.Key { return rotation.Key{} }, "no value"},
		"the old key": {func(v rotation.Versions) rotation.Key { return v.Key(rotation.RolePrevious) }, "no value"},
		"what is gone": {func(v rotation.Versions) rotation.Key {
			if k := current(v); !k.IsZero() {
				kept = k
			}
			return kept
		}, "still see a value"},
	} {
		t.Run(what, func(t *testing.T) {
			s := rotationtest.NewStore()
			err := rotationtest.StoreSuite{Store: s, Name: "conformance", Current: readers(s, c.pick)}.Check(t.Context())
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			requireClause(t, err, "S4")
			require.ErrorContains(t, err, c.want)
		})
	}
	s, down := rotationtest.NewStore(), errors.New("down")
	err := rotationtest.StoreSuite{Store: s, Name: "conformance", Current: func(context.Context, string) (secret.Value, error) {
		return secret.Value{}, down
	}}.Check(t.Context())
	require.ErrorContains(t, err, "StoreSuite.Current: down")
}

type storeMutant struct {
	clause string
	build  func(*rotationtest.Store) rotation.SecretStore
	leaves bool // its mistake is that keys stay
}

func TestStoreSuiteRejectsMutants(t *testing.T) {
	tested := map[string]bool{}
	for name, m := range storeMutants() {
		tested[m.clause] = true
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // mutants that lose a race sleep
				s := rotationtest.NewStore()
				err := rotationtest.StoreSuite{Store: m.build(s), Name: "conformance"}.Check(t.Context())
				requireClause(t, err, m.clause)
				if names, _ := s.Names(t.Context()); len(names) > 0 && !m.leaves {
					requireNoKeys(t, s)
				}
			})
		})
	}
	for _, clause := range (rotationtest.StoreSuite{}).Clauses() {
		assert.True(t, tested[clause], "no mutant for %s", clause)
	}
}
