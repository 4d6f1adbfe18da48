// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

// TestStoreSuite runs the suite that is shipped for stores, as the writer of one would.
func TestStoreSuite(t *testing.T) {
	for place, make := range places {
		t.Run(place, func(t *testing.T) {
			open := make(t)
			rotationtest.StoreSuite{Store: open(t), Name: name, Current: readBy(open(t))}.Run(t) // by another handle
		})
	}
}

// TestStoreSuiteOfACopy sees with the eyes of those who read a copy: they follow the primary.
func TestStoreSuiteOfACopy(t *testing.T) {
	t.Run("Memory", func(t *testing.T) {
		copied := store.NewMemory()
		rotationtest.StoreSuite{Store: store.Mirror(store.NewMemory(), copied), Name: name, Current: readBy(copied)}.Run(t)
	})
	t.Run("File", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "store")
		mirror := store.Mirror(store.NewMemory(), openFile(t, path))
		rotationtest.StoreSuite{Store: mirror, Name: name, Current: readBy(openFile(t, path))}.Run(t)
	})
}

// readBy is what somebody sees who reads the current key from s.
func readBy(s rotation.SecretStore) func(context.Context, string) (secret.Value, error) {
	return func(ctx context.Context, name string) (secret.Value, error) {
		v, err := s.Load(ctx, name)
		return v.Key(rotation.RoleCurrent).Secret, err
	}
}

// TestStoreSimulate rotates with each store, in which processes die at every step.
func TestStoreSimulate(t *testing.T) {
	for place, make := range places {
		t.Run(place, func(t *testing.T) {
			open := make(t) // one place, for every schedule
			rotationtest.Simulate(t, rotationtest.Simulation{
				Store:  func(context.Context, *rotationtest.World) (rotation.SecretStore, error) { return open(t), nil },
				Sample: 8,
			})
		})
	}
}
