// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Journal is a journal in memory that compares revisions and shares no memory with its callers. NewJournal makes one.
// It is safe for concurrent use. Faults can be injected into Load, Save and Due.
type Journal struct {
	script script
	name   string

	mu      sync.Mutex // guards the fields below
	entries map[string]rotation.Entry
}

const journalOps = "Load Save Due"

// NewJournal returns an empty journal.
func NewJournal() *Journal {
	return &Journal{name: identity("journal"), entries: make(map[string]rotation.Entry)}
}

// Inject adds a fault. It panics for a method that the fake does not have.
func (j *Journal) Inject(f Fault) { j.script.inject("Journal", journalOps, f) }

// Unmet returns the injected faults that no call has met so far, in the order in which they were injected.
func (j *Journal) Unmet() []Fault { return j.script.unmet() }

// Calls returns how often op was called, faults included. It panics for a method that the fake does not have.
func (j *Journal) Calls(op string) int { return j.script.count("Journal", journalOps, op) }

// Identity tells journals in one test apart.
func (j *Journal) Identity() string { return j.name }

// Load returns the entry of a credential, or a zero Entry.
func (j *Journal) Load(ctx context.Context, credential string) (rotation.Entry, error) {
	return act(ctx, &j.script, "Load", func() (rotation.Entry, error) {
		j.mu.Lock()
		defer j.mu.Unlock()
		return cloneEntry(j.entries[credential]), nil
	})
}

// Save stores e. Errors: ErrConflict if e.Revision is not the stored one.
func (j *Journal) Save(ctx context.Context, e rotation.Entry) error {
	return do(ctx, &j.script, "Save", func() error {
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.entries[e.Credential].Revision != e.Revision {
			return fmt.Errorf("journal in memory: %s: %w", e.Credential, rotation.ErrConflict)
		}
		e = cloneEntry(e)
		e.Revision++
		e.SavedAt = now()
		j.entries[e.Credential] = e
		return nil
	})
}

// Due returns the entries of names that are due before t, soonest first and at most limit.
func (j *Journal) Due(ctx context.Context, names []string, t time.Time, limit int) ([]rotation.Entry, error) {
	return act(ctx, &j.script, "Due", func() ([]rotation.Entry, error) {
		j.mu.Lock()
		defer j.mu.Unlock()
		var due []rotation.Entry
		for name, e := range j.entries {
			if !e.Due.IsZero() && e.Due.Before(t) && slices.Contains(names, name) {
				due = append(due, cloneEntry(e))
			}
		}
		slices.SortFunc(due, func(a, b rotation.Entry) int {
			return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Credential, b.Credential))
		})
		return due[:min(len(due), max(limit, 0))], nil
	})
}

func cloneEntry(e rotation.Entry) rotation.Entry {
	e.Data = slices.Clone(e.Data)
	return e
}
