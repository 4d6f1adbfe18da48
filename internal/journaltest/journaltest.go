// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package journaltest has tests of what every journal of package journal promises beside the contract of rotation.Journal,
// which rotationtest.JournalSuite proves. It is for the tests of this repository.
package journaltest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Run runs every test, each in an empty journal that open makes.
func Run(t *testing.T, open func(t *testing.T) rotation.Journal) {
	for name, test := range map[string]func(*testing.T, rotation.Journal){
		"nil":         testNil,
		"bad entries": testBadEntries,
		"ties":        testTies,
		"times":       testTimes,
		"saved at":    testSavedAt,
		"cancelled":   testCancelled,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// base is a time with nanoseconds, in a zone that is not UTC.
var base = time.Date(2026, 3, 4, 5, 6, 7, 123456789, time.FixedZone("test", 3600))

func after(n int) time.Time { return base.Add(time.Duration(n) * time.Second) }

func load(t *testing.T, j rotation.Journal, credential string) rotation.Entry {
	t.Helper()
	e, err := j.Load(t.Context(), credential)
	if err != nil {
		t.Fatalf("Load(%q): %v", credential, err)
	}
	return e
}

func save(t *testing.T, j rotation.Journal, e rotation.Entry) {
	t.Helper()
	if err := j.Save(t.Context(), e); err != nil {
		t.Fatalf("Save(%q, revision %d): %v", e.Credential, e.Revision, err)
	}
}

func wantDue(t *testing.T, j rotation.Journal, names []string, before time.Time, limit int, expected ...string) {
	t.Helper()
	due, err := j.Due(t.Context(), names, before, limit)
	if err != nil {
		t.Fatalf("Due: %v", err)
	}
	var got []string
	for _, e := range due {
		got = append(got, e.Credential)
	}
	if !slices.Equal(got, expected) {
		t.Errorf("Due returned %q, want %q", got, expected)
	}
}

// testNil has empty Data, which comes back as nil; so does that of an absent entry.
func testNil(t *testing.T, j rotation.Journal) {
	for name, data := range map[string][]byte{"nil": nil, "empty": {}} {
		save(t, j, rotation.Entry{Credential: name, Due: base, Data: data})
	}
	due, err := j.Due(t.Context(), []string{"empty", "nil"}, after(1), 2)
	if err != nil || len(due) != 2 {
		t.Fatalf("Due = %v, %v", due, err)
	}
	for _, e := range append(due, load(t, j, "nil"), load(t, j, "empty"), load(t, j, "absent")) {
		if e.Data != nil {
			t.Errorf("Data of %q did not come back as nil", e.Credential)
		}
	}
}

func testBadEntries(t *testing.T, j rotation.Journal) {
	for _, e := range []rotation.Entry{
		{Credential: ""},
		{Credential: "a\x00b"},
		{Credential: "a\xff"},
		{Credential: "a", Revision: -1},
		{Credential: "a", Revision: 1<<63 - 1},
	} {
		if err := j.Save(t.Context(), e); err == nil || errors.Is(err, rotation.ErrConflict) {
			t.Errorf("Save(%q, revision %d) = %v", e.Credential, e.Revision, err)
		}
	}
	for _, name := range []string{"", "a\x00b", "a\xff"} {
		if _, err := j.Load(t.Context(), name); err == nil {
			t.Errorf("Load(%q) did not fail", name)
		}
		wantDue(t, j, []string{name}, after(1), 1)
	}
}

// testTies has entries that are due at the same time: their names decide, byte by byte.
func testTies(t *testing.T, j rotation.Journal) {
	for name, n := range map[string]int{"a": 5, "b": 1, "c": 3, "d": 3, "B": 3, "ż": 3, "e": 4} {
		save(t, j, rotation.Entry{Credential: name, Due: after(n), Data: []byte(name)})
	}
	names := []string{"ż", "e", "d", "c", "b", "a", "B"}
	wantDue(t, j, names, after(100), 10, "b", "B", "c", "d", "ż", "e", "a")
	wantDue(t, j, names, after(100), 3, "b", "B", "c")
	for n := range 600 { // so many that they are not asked for one by one
		names = append(names, "without-entry-"+time.Duration(n).String())
	}
	wantDue(t, j, names, after(100), 10, "b", "B", "c", "d", "ż", "e", "a")
	wantDue(t, j, names, after(100), 3, "b", "B", "c")
}

func testTimes(t *testing.T, j rotation.Journal) {
	first, last := time.Unix(0, -1<<63), time.Unix(0, 1<<63-1)
	for name, c := range map[string]struct{ due, want time.Time }{
		"nanoseconds": {base, base},
		"1970":        {time.Unix(0, 0), time.Unix(0, 0)},
		"before 1970": {time.Unix(-1, 999), time.Unix(-1, 999)},
		"first":       {first, first},
		"last":        {last, last},
		"too early":   {time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), first},
		"too late":    {time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC), last},
	} {
		save(t, j, rotation.Entry{Credential: name, Due: c.due})
		got := load(t, j, name).Due
		if !got.Equal(c.want) || got.Location() != time.UTC {
			t.Errorf("%s: Due %v came back as %v", name, c.due, got)
		}
	}
	wantDue(t, j, []string{"nanoseconds"}, base, 1)
	wantDue(t, j, []string{"nanoseconds"}, base.Add(time.Nanosecond), 1, "nanoseconds")
	wantDue(t, j, []string{"1970", "before 1970", "last"}, base, 9, "before 1970", "1970")
}

func testSavedAt(t *testing.T, j rotation.Journal) {
	save(t, j, rotation.Entry{Credential: "a", Due: base, SavedAt: base})
	at := load(t, j, "a").SavedAt
	if age := time.Since(at).Abs(); age > time.Hour || at.Location() != time.UTC {
		t.Errorf("SavedAt is %v, want the time of Save in UTC", at)
	}
}

func testCancelled(t *testing.T, j rotation.Journal) {
	save(t, j, rotation.Entry{Credential: "a", Due: base})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, loadErr := j.Load(ctx, "a")
	_, dueErr := j.Due(ctx, []string{"a"}, after(1), 1)
	saveErr := j.Save(ctx, rotation.Entry{Credential: "a", Revision: 1})
	for _, err := range []error{loadErr, dueErr, saveErr} {
		if !errors.Is(err, context.Canceled) || errors.Is(err, rotation.ErrConflict) {
			t.Errorf("with a cancelled context: %v", err)
		}
	}
}
