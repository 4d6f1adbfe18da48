// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/handover-go/handover/rotation"
)

// vault is the store. It compares revisions, and remembers every document that it ever held.
type vault struct {
	w       *World
	doc     rotation.Versions // guarded by w.mu, like all that follows
	history []rotation.Versions
	n       int
	writer  *process  // of the write under way, unless it is a person
	begun   time.Time // the Advance in which it began
}

func cloneVersions(v rotation.Versions) rotation.Versions {
	v.Keys = slices.Clone(v.Keys)
	for i := range v.Keys {
		v.Keys[i].Key.Attributes = maps.Clone(v.Keys[i].Key.Attributes)
	}
	v.Metadata = maps.Clone(v.Metadata)
	return v
}

func (s *vault) load(name string) rotation.Versions {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if name != s.w.name {
		return rotation.Versions{}
	}
	return cloneVersions(s.doc)
}

func (s *vault) save(p *process, begun time.Time, name string, v rotation.Versions) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if name != s.w.name {
		s.w.oracle.broken("law 10", "a write to %q, which nobody asked for", name)
	}
	if v.Revision != s.doc.Revision {
		return fmt.Errorf("simulated store: %w", rotation.ErrConflict)
	}
	s.w.oracle.stamped(p, s.doc.Stamp, v.Stamp)
	s.writer, s.begun = p, begun
	s.put(v)
	return nil
}

// put replaces the document, whoever does it. The caller holds the lock.
func (s *vault) put(v rotation.Versions) {
	s.history = append(s.history, s.doc)
	s.n++
	s.doc = cloneVersions(v)
	s.doc.Revision = "r" + strconv.Itoa(s.n)
	if s.w.hooks != nil {
		s.w.oracle.storedHook(s.writer, s.begun, s.history[len(s.history)-1], s.doc)
		s.w.hooks.changed()
		return
	}
	s.w.oracle.stored(s.history[len(s.history)-1], s.doc)
	for _, c := range s.w.services {
		c.storeChanged()
	}
}

// served is what readers see.
func (s *vault) served() rotation.Key { return s.doc.Key(rotation.RoleCurrent) }

// has reports whether the value is in the store, under any label.
func (s *vault) has(m *minted) bool {
	return slices.ContainsFunc(s.doc.Keys, func(k rotation.StoredKey) bool { return k.Key.Secret.Equal(m.key.Secret) })
}

// book is a journal. It compares revisions, remembers every entry, and has a clock of its own.
type book struct {
	w       *World
	skew    time.Duration
	entries map[string]rotation.Entry // guarded by w.mu, like all that follows
	history []rotation.Entry          // of the credential

	records map[string]*parsed   // what the oracle reads of them
	digests map[string]*digested // of each credential's record, for the hash of a state
}

// digested is a record as far as it decides anything.
type digested struct {
	template string
	names    naming
	times    []time.Time
	revision int64
}

func newBook(w *World) *book {
	return &book{w: w, entries: map[string]rotation.Entry{}, digests: map[string]*digested{}, records: map[string]*parsed{}}
}

func cloneEntry(e rotation.Entry) rotation.Entry {
	e.Data = bytes.Clone(e.Data)
	return e
}

func (b *book) load(name string) rotation.Entry {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	return cloneEntry(b.entries[name])
}

func (b *book) save(p *process, e rotation.Entry) error {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	old := b.entries[e.Credential]
	if old.Revision != e.Revision {
		return fmt.Errorf("simulated journal: %w", rotation.ErrConflict)
	}
	b.w.oracle.text("the journal", e.Data)
	e = cloneEntry(e)
	e.Revision++
	e.SavedAt = time.Now().Add(b.skew).UTC().Round(0)
	b.entries[e.Credential] = e
	if e.Credential == p.w.name {
		if p.w == b.w {
			b.history = append(b.history, e)
		}
		p.w.oracle.journaled(p, old, e)
	}
	return nil
}

func (b *book) due(names []string, t time.Time, limit int) []rotation.Entry {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	var due []rotation.Entry
	for name, e := range b.entries {
		if !e.Due.IsZero() && e.Due.Before(t) && slices.Contains(names, name) && len(due) < limit {
			due = append(due, cloneEntry(e))
		}
	}
	return due
}

// trail is where events arrive.
type trail struct {
	w      *World
	events []rotation.Event // guarded by w.mu
	ids    map[string]bool  // guarded by w.mu
}

func (t *trail) deliver(e rotation.Event) error {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	w := t.w.of(e.Credential)
	w.oracle.value("an event", e)
	w.oracle.over(e)
	if !t.ids[e.ID] {
		t.ids[e.ID] = true
		t.events = append(t.events, e)
		w.oracle.announced(e)
	}
	return nil
}
