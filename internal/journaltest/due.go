// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package journaltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/handover-go/handover/rotation"
)

func wantDue(t *testing.T, j rotation.Journal, names []string, before time.Time, limit int, expected ...string) {
	t.Helper()
	due, err := j.Due(t.Context(), names, before, limit)
	if err != nil {
		t.Fatalf("Due: %v", err)
	}
	var got []string
	for _, e := range due {
		got = append(got, e.Credential)
		if whole := load(t, j, e.Credential); !same(e, whole) || !e.SavedAt.Equal(whole.SavedAt) {
			t.Errorf("Due returned %+v, Load returns %+v", e, whole)
		}
	}
	if !slices.Equal(got, expected) {
		t.Errorf("Due returned %q, want %q", got, expected)
	}
}

func testOrder(t *testing.T, s Setup) {
	j := s.Open(t)
	wantDue(t, j, []string{"a"}, after(100), 10)
	for name, n := range map[string]int{"a": 5, "b": 1, "c": 3, "d": 3, "B": 3, "e": 4} {
		save(t, j, rotation.Entry{Credential: name, Due: after(n), Data: []byte(name)})
	}
	names := []string{"e", "d", "c", "b", "a", "B"}
	wantDue(t, j, names, after(100), 10, "b", "B", "c", "d", "e", "a")
	wantDue(t, j, names, after(4), 10, "b", "B", "c", "d") // before t, and not at t
	wantDue(t, j, names, after(4).Add(1), 10, "b", "B", "c", "d", "e")
	wantDue(t, j, names, after(1), 10)
	wantDue(t, j, names, time.Time{}, 10)
}

func testLimit(t *testing.T, s Setup) {
	j := s.Open(t)
	names := []string{"a", "b", "c"}
	for n, name := range names {
		save(t, j, rotation.Entry{Credential: name, Due: after(n)})
	}
	wantDue(t, j, names, after(9), 2, "a", "b")
	wantDue(t, j, names, after(9), 1, "a")
	wantDue(t, j, names, after(9), 0)
	wantDue(t, j, names, after(9), -1)
	wantDue(t, j, names, after(9), 1<<31, "a", "b", "c")
	wantDue(t, j, []string{"c", "b"}, after(9), 1, "b")
}

func testNever(t *testing.T, s Setup) {
	j := s.Open(t)
	save(t, j, rotation.Entry{Credential: "a", Data: []byte("x")})
	save(t, j, rotation.Entry{Credential: "handover/installation", Data: []byte("x")})
	save(t, j, rotation.Entry{Credential: "b", Due: after(1)})
	if due := load(t, j, "a").Due; !due.IsZero() {
		t.Errorf("a zero Due came back as %v", due)
	}
	wantDue(t, j, []string{"a", "b", "handover/installation"}, after(9), 10, "b")
}

func testMoved(t *testing.T, s Setup) {
	j := s.Open(t)
	names := []string{"a", "b", "c"}
	for n, name := range names {
		save(t, j, rotation.Entry{Credential: name, Due: after(n)})
	}
	save(t, j, rotation.Entry{Credential: "a", Revision: 1, Due: after(8)})
	wantDue(t, j, names, after(9), 10, "b", "c", "a")
	save(t, j, rotation.Entry{Credential: "b", Revision: 1})
	wantDue(t, j, names, after(9), 10, "c", "a")
	save(t, j, rotation.Entry{Credential: "c", Revision: 1, Due: after(20)})
	wantDue(t, j, names, after(9), 10, "a")
	save(t, j, rotation.Entry{Credential: "b", Revision: 2, Due: after(-1)})
	wantDue(t, j, names, after(30), 10, "b", "a", "c")
}

func testDueNames(t *testing.T, s Setup) {
	j := s.Open(t)
	for n, name := range []string{"a", "b", "c", "d"} {
		save(t, j, rotation.Entry{Credential: name, Due: after(n)})
	}
	wantDue(t, j, nil, after(9), 10)
	wantDue(t, j, []string{"x"}, after(9), 10)
	wantDue(t, j, []string{"d", "b"}, after(9), 10, "b", "d")
	wantDue(t, j, []string{"d", "b", "d", "x", "b"}, after(9), 10, "b", "d")
}

// testForeign has more names than a statement takes, and entries of another inventory in front of, between and behind ours.
func testForeign(t *testing.T, s Setup) {
	j := s.Open(t)
	const ours, foreign = 700, 2300
	var names []string
	for n := range ours {
		names = append(names, fmt.Sprintf("ours-%04d", n))
	}
	due := []string{names[3], names[650], names[7], names[699], names[0]}
	for n := range foreign {
		save(t, j, rotation.Entry{Credential: fmt.Sprintf("foreign-%04d", n), Due: after(n)})
	}
	for n, at := range []int{0, 50, 1500, 2200, 5000} {
		save(t, j, rotation.Entry{Credential: due[n], Due: after(at), Data: []byte("x")})
	}
	unsorted := slices.Clone(names)
	slices.Reverse(unsorted)
	unsorted = append(unsorted, names[650])
	for _, names := range [][]string{names, unsorted} {
		wantDue(t, j, names, after(10000), 100, due...)
		wantDue(t, j, names, after(10000), 2, due[:2]...)
		wantDue(t, j, names, after(10000), 4, due[:4]...)
		wantDue(t, j, names, after(2000), 100, due[:3]...)
		wantDue(t, j, names[:10], after(0).Add(1), 100, intersect(due[:1], names[:10])...)
	}
	many := slices.Clone(names)
	for n := range 5000 {
		many = append(many, fmt.Sprintf("without-entry-%04d", n))
	}
	wantDue(t, j, many, after(10000), 100, due...) // cheaper by the index than by name
	wantDue(t, j, many, after(10000), 4, due[:4]...)
	var all []string
	for n := range foreign {
		all = append(all, fmt.Sprintf("foreign-%04d", n))
	}
	wantDue(t, j, all, after(10000), 1700, all[:1700]...)
}

// testPages has more due entries than a page, two at each time, and names in the opposite order of the times.
func testPages(t *testing.T, s Setup) {
	j := s.Open(t)
	const n = 1500
	var names, expected []string
	for i := range n {
		names = append(names, fmt.Sprintf("name-%04d", i))
		save(t, j, rotation.Entry{Credential: names[i], Due: after((n - i) / 2)})
	}
	for i := n; i >= 0; i -= 2 {
		for _, k := range []int{i - 1, i} {
			if k >= 0 && k < n {
				expected = append(expected, names[k])
			}
		}
	}
	for i := range 3 * n { // so many that the names are not asked for one by one
		names = append(names, fmt.Sprintf("without-entry-%04d", i))
	}
	wantDue(t, j, names, after(n), n+1, expected...)
	wantDue(t, j, names, after(n), n-100, expected[:n-100]...)
	wantDue(t, j, names, after(n), 101, expected[:101]...)
}

func intersect(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(name string) bool { return !slices.Contains(b, name) })
}

func testTimes(t *testing.T, s Setup) {
	j := s.Open(t)
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

func testSavedAt(t *testing.T, s Setup) {
	j := s.Open(t)
	save(t, j, rotation.Entry{Credential: "a", Due: base, SavedAt: base})
	first := load(t, j, "a").SavedAt
	if age := time.Since(first).Abs(); age > time.Hour || first.Location() != time.UTC {
		t.Errorf("SavedAt is %v, want the time of Save in UTC", first)
	}
	for revision := int64(1); revision < 4; revision++ {
		save(t, j, rotation.Entry{Credential: "a", Revision: revision, Due: base, SavedAt: base})
	}
	if second := load(t, j, "a").SavedAt; second.Before(first) {
		t.Errorf("SavedAt went from %v to %v", first, second)
	}
}

func testCancelled(t *testing.T, s Setup) {
	j := s.Open(t)
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
	want(t, j, rotation.Entry{Credential: "a", Revision: 1, Due: base})
}
