// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/handover-go/handover/rotation"
)

// Memory is a store that forgets everything when the process ends: for tests and first steps. The zero Memory is empty
// and ready to use. It is safe for concurrent use and must not be copied.
type Memory struct {
	mu       sync.Mutex
	names    map[string]rotation.Versions // guarded by mu
	revision int64                        // guarded by mu: of the last Save of any name
	identity string
}

// NewMemory returns an empty store with an identity of its own, so that one Memory is not taken for another.
func NewMemory() *Memory { return &Memory{identity: "memory " + rand.Text()[:8]} }

// Load returns a copy of what Save stored.
func (s *Memory) Load(ctx context.Context, name string) (rotation.Versions, error) {
	if err := begin(ctx, name); err != nil {
		return rotation.Versions{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return clone(s.names[name]), nil
}

// Save stores a copy of v. It fails with rotation.ErrConflict if v.Revision is not what is stored, and refuses what
// Marshal would refuse.
func (s *Memory) Save(ctx context.Context, name string, v rotation.Versions) error {
	if err := begin(ctx, name); err != nil {
		return err
	}
	if err := check(v); err != nil {
		return err
	}
	v = clone(v)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names[name].Revision != v.Revision {
		return failf("store: %q changed since it was loaded: %w", name, rotation.ErrConflict)
	}
	s.revision++
	v.Revision = strconv.FormatInt(s.revision, 10)
	if s.names == nil {
		s.names = map[string]rotation.Versions{}
	}
	s.names[name] = v
	return nil
}

// Names returns the names that were saved, in order.
func (s *Memory) Names(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.names)), nil
}

// Conditional is true: Save compares revisions.
func (s *Memory) Conditional() bool { return true }

// Identity is "memory", and for one made by NewMemory a random part that tells it apart.
func (s *Memory) Identity() string {
	if s.identity == "" {
		return "memory"
	}
	return s.identity
}

// begin is what each operation on a name checks first.
func begin(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return checkName(name)
}
