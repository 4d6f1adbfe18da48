// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/internal/journaltest"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	stores "github.com/handover-go/handover/store"
)

func TestMemory(t *testing.T) {
	t.Run("suite", rotationtest.JournalSuite{Journal: journal.NewMemory(), Name: "conformance", Entries: 1000}.Run)
	journaltest.Run(t, func(*testing.T) rotation.Journal { return journal.NewMemory() })
}

func TestStored(t *testing.T) {
	for name, s := range map[string]rotation.SecretStore{
		"store": &store{}, "rotationtest.Store": rotationtest.NewStore(), "store.Memory": stores.NewMemory(),
	} {
		t.Run("suite in "+name, rotationtest.JournalSuite{
			Journal: journal.InStore(s), Name: "conformance",
			Reopen: func(context.Context) (rotation.Journal, error) { return journal.InStore(s), nil },
		}.Run)
	}
	journaltest.Run(t, func(*testing.T) rotation.Journal { return journal.InStore(&store{}) })
}

// store is a SecretStore in memory that compares revisions.
type store struct {
	mu    sync.Mutex // guards what follows
	saved map[string]rotation.Versions
	count int

	unconditional bool
	err           error
	between       func() // runs in Save before it compares: another writer
}

func (s *store) Load(ctx context.Context, name string) (rotation.Versions, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.saved[name]
	v.Metadata = maps.Clone(v.Metadata)
	return v, s.err
}

func (s *store) Save(ctx context.Context, name string, v rotation.Versions) error {
	if s.between != nil {
		s.between()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saved[name].Revision != v.Revision {
		return fmt.Errorf("store: %w", rotation.ErrConflict)
	}
	s.count++
	v.Revision = strconv.Itoa(s.count)
	v.Metadata = maps.Clone(v.Metadata)
	if s.saved == nil {
		s.saved = make(map[string]rotation.Versions)
	}
	s.saved[name] = v
	return s.err
}

func (s *store) Conditional() bool           { return !s.unconditional }
func (s *store) Identity() string            { return "test store" }
func (s *store) Check(context.Context) error { return s.err }

func TestMemoryZeroValue(t *testing.T) {
	var j journal.Memory
	e, err := j.Load(t.Context(), "a")
	require.NoError(t, err)
	assert.Zero(t, e)
	due, err := j.Due(t.Context(), []string{"a"}, time.Now(), 1)
	require.NoError(t, err)
	assert.Empty(t, due)
	require.NoError(t, j.Save(t.Context(), rotation.Entry{Credential: "a"}))
}

// TestSavedAt is exact where the clock is this process's.
func TestSavedAt(t *testing.T) {
	for name, j := range map[string]rotation.Journal{
		"Memory": journal.NewMemory(), "Stored": journal.InStore(&store{}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(1234 * time.Nanosecond)
				now := time.Now()
				require.NoError(t, j.Save(t.Context(), rotation.Entry{Credential: "a", Due: now}))
				time.Sleep(time.Hour)
				e, err := j.Load(t.Context(), "a")
				require.NoError(t, err)
				assert.True(t, e.SavedAt.Equal(now), "%v, %v", e.SavedAt, now)
				due, err := j.Due(t.Context(), []string{"a"}, time.Now(), 1)
				require.NoError(t, err)
				assert.Equal(t, []rotation.Entry{e}, due)
			})
		})
	}
}

// TestMemoryQueue compares the heap with a plain sort, over many changes.
func TestMemoryQueue(t *testing.T) {
	heap, plain := journal.NewMemory(), journal.InStore(&store{})
	base := time.Unix(1e9, 0)
	var names []string
	for n := range 60 {
		names = append(names, fmt.Sprint(n))
	}
	seed := uint32(1)
	random := func(n uint32) int {
		seed = seed*1664525 + 1013904223
		return int((seed >> 8) % n)
	}
	revisions := make(map[string]int64)
	for range 600 {
		name := names[random(60)]
		e := rotation.Entry{Credential: name, Revision: revisions[name]}
		if n := random(50); n > 5 {
			e.Due = base.Add(time.Duration(n) * time.Second)
		}
		revisions[name]++
		for _, j := range []rotation.Journal{heap, plain} {
			require.NoError(t, j.Save(t.Context(), e))
		}
		before, limit := base.Add(time.Duration(random(60))*time.Second), random(70)
		assert.Equal(t, dueNames(t, plain, names[:40], before, limit), dueNames(t, heap, names[:40], before, limit))
	}
}

func dueNames(t *testing.T, j rotation.Journal, names []string, before time.Time, limit int) []string {
	t.Helper()
	due, err := j.Due(t.Context(), names, before, limit)
	require.NoError(t, err)
	var got []string
	for _, e := range due {
		got = append(got, e.Credential)
	}
	return got
}

func TestSimulate(t *testing.T) {
	for name, part := range map[string]func(*rotationtest.World) rotation.Journal{
		"memory":                func(*rotationtest.World) rotation.Journal { return journal.NewMemory() },
		"beside the secrets":    func(w *rotationtest.World) rotation.Journal { return journal.InStore(w.Store) },
		"in a store of its own": func(*rotationtest.World) rotation.Journal { return journal.InStore(stores.NewMemory()) },
	} {
		t.Run(name, func(t *testing.T) {
			rotationtest.Simulate(t, rotationtest.Simulation{
				Journal: func(_ context.Context, w *rotationtest.World) (rotation.Journal, error) { return part(w), nil },
				Sample:  16,
			})
		})
	}
}
