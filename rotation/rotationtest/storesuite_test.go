// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
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
