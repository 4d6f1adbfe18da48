// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// badStore is a Store of which single methods are replaced.
type badStore struct {
	*rotationtest.Store
	load  func(context.Context, string) (rotation.Versions, error)
	save  func(context.Context, string, rotation.Versions) error
	names func([]string) []string
}

func (s badStore) Load(ctx context.Context, name string) (rotation.Versions, error) {
	if s.load != nil {
		return s.load(ctx, name)
	}
	return s.Store.Load(ctx, name)
}

func (s badStore) Save(ctx context.Context, name string, v rotation.Versions) error {
	if s.save != nil {
		return s.save(ctx, name, v)
	}
	return s.Store.Save(ctx, name, v)
}

func (s badStore) Names(ctx context.Context) ([]string, error) {
	names, err := s.Store.Names(ctx)
	if s.names != nil {
		names = s.names(names)
	}
	return names, err
}

// shared is a store that compares and shares memory with its callers, unless it copies what goes in or what goes out. It has
// no other ability than Conditional.
type shared struct {
	mu      sync.Mutex
	entries map[string]rotation.Versions
	in, out bool // copied
}

func (*shared) Conditional() bool { return true }

func (s *shared) Load(_ context.Context, name string) (rotation.Versions, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out {
		return deepCopy(s.entries[name]), nil
	}
	return s.entries[name], nil
}

func (s *shared) Save(_ context.Context, name string, v rotation.Versions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[name].Revision != v.Revision {
		return rotation.ErrConflict
	}
	if s.in {
		v = deepCopy(v)
	}
	v.Revision += "+"
	s.entries[name] = v
	return nil
}

func deepCopy(v rotation.Versions) rotation.Versions {
	v.Keys, v.Metadata = slices.Clone(v.Keys), maps.Clone(v.Metadata)
	for i := range v.Keys {
		v.Keys[i].Key.Attributes = maps.Clone(v.Keys[i].Key.Attributes)
	}
	return v
}

// silent hides all abilities but Conditional, which it answers as it is told.
type silent struct {
	rotation.SecretStore
	conditional bool
}

func (s silent) Conditional() bool { return s.conditional }

// bare hides all abilities.
type bare struct{ rotation.SecretStore }

// nameless has Names and says that it has not.
type nameless struct{ silent }

func (nameless) Names(context.Context) ([]string, error) { return nil, errors.ErrUnsupported }

// changes lets Load change what it tells of what is stored.
func changes(s *rotationtest.Store, change func(*rotation.Versions)) rotation.SecretStore {
	return badStore{Store: s, load: func(ctx context.Context, name string) (rotation.Versions, error) {
		v, err := s.Load(ctx, name)
		if v.Revision != "" {
			change(&v)
		}
		return v, err
	}}
}

// writes lets Save replace what is to be stored, given what is stored.
func writes(s *rotationtest.Store, change func(old, v rotation.Versions) rotation.Versions) rotation.SecretStore {
	return badStore{Store: s, save: func(ctx context.Context, name string, v rotation.Versions) error {
		old, err := s.Load(ctx, name)
		if err != nil {
			return err
		}
		return s.Save(ctx, name, change(old, v))
	}}
}
