// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/handover-go/handover/rotation"
)

// Store is a store in memory that compares revisions and shares no memory with its callers. NewStore makes one.
// It is safe for concurrent use. Faults can be injected into Load, Save and Names.
type Store struct {
	script script
	name   string

	mu      sync.Mutex // guards the fields below
	entries map[string]rotation.Versions
	saves   map[string]int
}

const storeOps = "Load Save Names"

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{
		name:    identity("store"),
		entries: make(map[string]rotation.Versions),
		saves:   make(map[string]int),
	}
}

// Inject adds a fault. It panics for a method that the fake does not have.
func (s *Store) Inject(f Fault) { s.script.inject("Store", storeOps, f) }

// Unmet returns the injected faults that no call has met so far, in the order in which they were injected.
func (s *Store) Unmet() []Fault { return s.script.unmet() }

// Calls returns how often op was called, faults included. It panics for a method that the fake does not have.
func (s *Store) Calls(op string) int { return s.script.count("Store", storeOps, op) }

// Conditional is true: Save compares revisions.
func (s *Store) Conditional() bool { return true }

// Identity tells stores in one test apart.
func (s *Store) Identity() string { return s.name }

// Load returns what is stored under name, or zero Versions.
func (s *Store) Load(ctx context.Context, name string) (rotation.Versions, error) {
	return act(ctx, &s.script, "Load", func() (rotation.Versions, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return cloneVersions(s.entries[name]), nil
	})
}

// Save stores v under name. Errors: ErrConflict if v.Revision is not the stored one.
func (s *Store) Save(ctx context.Context, name string, v rotation.Versions) error {
	return do(ctx, &s.script, "Save", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.entries[name].Revision != v.Revision {
			return fmt.Errorf("store in memory: %s: %w", name, rotation.ErrConflict)
		}
		s.saves[name]++
		v = cloneVersions(v)
		v.Revision = "r" + strconv.Itoa(s.saves[name])
		s.entries[name] = v
		return nil
	})
}

// Names returns the names under which something is stored, sorted.
func (s *Store) Names(ctx context.Context) ([]string, error) {
	return act(ctx, &s.script, "Names", func() ([]string, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return slices.Sorted(maps.Keys(s.entries)), nil
	})
}

func cloneVersions(v rotation.Versions) rotation.Versions {
	v.Keys = slices.Clone(v.Keys)
	for i := range v.Keys {
		v.Keys[i].Key.Attributes = maps.Clone(v.Keys[i].Key.Attributes)
	}
	v.Metadata = maps.Clone(v.Metadata)
	return v
}
