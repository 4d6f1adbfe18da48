// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package journaltest has the tests that every journal of package journal has to pass: the clauses of rotation.Journal and
// what package journal promises beside them. It is for the tests of this repository; users have rotationtest.
package journaltest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Setup makes journals to test.
type Setup struct {
	// Open returns an empty journal. Required.
	Open func(t *testing.T) rotation.Journal
	// Reopen returns another journal over what j has written, as another process would. Nil: it cannot be done.
	Reopen func(t *testing.T, j rotation.Journal) rotation.Journal
}

// Run runs every test.
func Run(t *testing.T, s Setup) {
	for name, test := range map[string]func(*testing.T, Setup){
		"J1/absent":      testAbsent,
		"J1/round trip":  testRoundTrip,
		"J1/names":       testNames,
		"J2/create only": testCreateOnly,
		"J2/revisions":   testRevisions,
		"J2/race":        testRace,
		"J2/durable":     testDurable,
		"J2/own copy":    testOwnCopy,
		"J2/bad entries": testBadEntries,
		"J3/order":       testOrder,
		"J3/limit":       testLimit,
		"J3/never":       testNever,
		"J3/moved":       testMoved,
		"J3/names":       testDueNames,
		"J3/foreign":     testForeign,
		"J3/pages":       testPages,
		"times":          testTimes,
		"saved at":       testSavedAt,
		"cancelled":      testCancelled,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
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

func conflict(t *testing.T, j rotation.Journal, e rotation.Entry) {
	t.Helper()
	before := load(t, j, e.Credential)
	if err := j.Save(t.Context(), e); !errors.Is(err, rotation.ErrConflict) {
		t.Errorf("Save(%q, revision %d) = %v, want ErrConflict", e.Credential, e.Revision, err)
	}
	if after := load(t, j, e.Credential); !same(before, after) || !before.SavedAt.Equal(after.SavedAt) {
		t.Errorf("a Save that failed changed %+v into %+v", before, after)
	}
}

// same compares all but SavedAt.
func same(a, b rotation.Entry) bool {
	return a.Credential == b.Credential && a.Revision == b.Revision && a.Due.Equal(b.Due) && bytes.Equal(a.Data, b.Data)
}

func want(t *testing.T, j rotation.Journal, e rotation.Entry) {
	t.Helper()
	if got := load(t, j, e.Credential); !same(got, e) {
		t.Errorf("Load(%q) = %+v, want %+v", e.Credential, got, e)
	}
}

func testAbsent(t *testing.T, s Setup) {
	j := s.Open(t)
	save(t, j, rotation.Entry{Credential: "b", Data: []byte("x")})
	for _, name := range []string{"a", "b/handover", "B", "handover/installation"} {
		e := load(t, j, name)
		if e.Credential != "" || e.Revision != 0 || !e.Due.IsZero() || !e.SavedAt.IsZero() || e.Data != nil {
			t.Errorf("Load(%q) = %+v, want a zero Entry", name, e)
		}
	}
}

func testRoundTrip(t *testing.T, s Setup) {
	j := s.Open(t)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for name, data := range map[string][]byte{"bytes": all, "nil": nil, "empty": {}, "big": bytes.Repeat(all, 4000)} {
		save(t, j, rotation.Entry{Credential: name, Due: base, Data: data})
		want(t, j, rotation.Entry{Credential: name, Revision: 1, Due: base, Data: data})
		if len(data) == 0 && load(t, j, name).Data != nil {
			t.Errorf("%s Data did not come back as nil", name)
		}
	}
}

func testNames(t *testing.T, s Setup) {
	j := s.Open(t)
	names := []string{"a", "A", "a/b", "a'b\"c", "a b", "zażółć-鍵", "%_?$1", "handover/incident/42"}
	for n, name := range names {
		save(t, j, rotation.Entry{Credential: name, Due: after(n), Data: []byte(name)})
	}
	for n, name := range names {
		want(t, j, rotation.Entry{Credential: name, Revision: 1, Due: after(n), Data: []byte(name)})
	}
	wantDue(t, j, names, after(100), 100, names...)
}

func testCreateOnly(t *testing.T, s Setup) {
	j := s.Open(t)
	conflict(t, j, rotation.Entry{Credential: "a", Revision: 1})
	save(t, j, rotation.Entry{Credential: "a", Due: base, Data: []byte("one")})
	conflict(t, j, rotation.Entry{Credential: "a", Data: []byte("two")})
	want(t, j, rotation.Entry{Credential: "a", Revision: 1, Due: base, Data: []byte("one")})
}

func testRevisions(t *testing.T, s Setup) {
	j := s.Open(t)
	for n := range 5 {
		save(t, j, rotation.Entry{Credential: "a", Revision: int64(n), Due: after(n), Data: []byte{byte(n)}})
		want(t, j, rotation.Entry{Credential: "a", Revision: int64(n) + 1, Due: after(n), Data: []byte{byte(n)}})
		for _, stale := range []int64{0, int64(n), int64(n) + 2} {
			conflict(t, j, rotation.Entry{Credential: "a", Revision: stale, Data: []byte("stale")})
		}
	}
	save(t, j, rotation.Entry{Credential: "b"}) // each credential counts for itself
	want(t, j, rotation.Entry{Credential: "b", Revision: 1})
}

// testRace lets many writers at each revision: one of them wins, the others get a conflict and nothing else.
func testRace(t *testing.T, s Setup) {
	j := s.Open(t)
	const writers, revisions = 16, 8
	for revision := range int64(revisions) {
		results := make(chan error)
		start := make(chan struct{})
		for writer := range writers {
			go func() {
				<-start
				e := rotation.Entry{Credential: "a", Revision: revision, Due: base, Data: []byte{byte(writer)}}
				results <- j.Save(context.Background(), e)
			}()
		}
		close(start)
		winners := 0
		for range writers {
			switch err := <-results; {
			case err == nil:
				winners++
			case !errors.Is(err, rotation.ErrConflict):
				t.Errorf("Save at revision %d: %v", revision, err)
			}
		}
		if got := load(t, j, "a").Revision; winners != 1 || got != revision+1 {
			t.Fatalf("revision %d: %d writers won and the stored revision is %d", revision, winners, got)
		}
	}
}

func testDurable(t *testing.T, s Setup) {
	if s.Reopen == nil {
		t.Skip("it does not outlive the process")
	}
	j := s.Open(t)
	save(t, j, rotation.Entry{Credential: "a", Due: base, Data: []byte("one")})
	save(t, j, rotation.Entry{Credential: "a", Revision: 1, Due: after(1), Data: []byte("two")})
	savedAt := load(t, j, "a").SavedAt
	again := s.Reopen(t, j)
	want(t, again, rotation.Entry{Credential: "a", Revision: 2, Due: after(1), Data: []byte("two")})
	if got := load(t, again, "a").SavedAt; !got.Equal(savedAt) {
		t.Errorf("SavedAt was %v and is %v", savedAt, got)
	}
	wantDue(t, again, []string{"a"}, after(2), 1, "a")
	save(t, again, rotation.Entry{Credential: "a", Revision: 2})
	conflict(t, j, rotation.Entry{Credential: "a", Revision: 2})
}

func testOwnCopy(t *testing.T, s Setup) {
	j := s.Open(t)
	data := []byte("one")
	save(t, j, rotation.Entry{Credential: "a", Due: base, Data: data})
	data[0] = 'X'
	load(t, j, "a").Data[1] = 'X'
	due, err := j.Due(t.Context(), []string{"a"}, after(1), 1)
	if err != nil || len(due) != 1 {
		t.Fatalf("Due = %v, %v", due, err)
	}
	due[0].Data[2] = 'X'
	want(t, j, rotation.Entry{Credential: "a", Revision: 1, Due: base, Data: []byte("one")})
}

func testBadEntries(t *testing.T, s Setup) {
	j := s.Open(t)
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
