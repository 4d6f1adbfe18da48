// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/handover-go/handover/rotation"
)

// dueInOrder proves J3.
func dueInOrder(ctx context.Context, r *journalTrial) error {
	for _, check := range []func(context.Context, *journalTrial) error{dueOfFew, dueMoves, dueNever, dueOfMany} {
		if err := check(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// dueTrial is a set of entries and the questions about them.
type dueTrial struct {
	*journalTrial
	due map[string]time.Time // as it was saved
}

func (r *journalTrial) dueTrial() *dueTrial {
	return &dueTrial{journalTrial: r, due: map[string]time.Time{}}
}

// dueAt is n seconds after due2100, in whole seconds: what J2 says of milliseconds is not said again.
func dueAt(n int) time.Time { return due2100.Truncate(time.Second).Add(time.Duration(n) * time.Second) }

// set saves when something is due, with Data that tells the entries apart.
func (q *dueTrial) set(ctx context.Context, name string, due time.Time) error {
	q.due[name] = due
	return q.save(ctx, rotation.Entry{Credential: name, Due: due, Data: []byte(name)})
}

// ask calls Due and compares the answer with what was saved. Those due at the same time may come in any order.
func (q *dueTrial) ask(ctx context.Context, names []string, t time.Time, limit int) ([]rotation.Entry, error) {
	given := slices.Clone(names)
	got, err := q.Journal.Due(ctx, names, t, limit)
	what := fmt.Sprintf("Due of %d names before %v, limit %d,", len(names), t, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if !slices.Equal(given, names) {
		return nil, fmt.Errorf("%s changes the names, which are the caller's", what)
	}
	want, asked := q.wanted(names, t, limit)
	seen := map[string]bool{}
	for i, e := range got {
		due, ours := q.due[e.Credential]
		switch {
		case i >= len(want):
			return nil, fmt.Errorf("%s returns %d entries and not %d", what, len(got), len(want))
		case seen[e.Credential]:
			return nil, fmt.Errorf("%s returns %q twice", what, e.Credential)
		case !ours || !asked[e.Credential]:
			return nil, fmt.Errorf("%s returns %q, which is not asked for", what, e.Credential)
		case due.IsZero() || !due.Before(t):
			return nil, fmt.Errorf("%s returns %q, which is due at %v", what, e.Credential, due)
		case !due.Equal(want[i]):
			return nil, fmt.Errorf("%s returns %q, due at %v, in place %d, where something due at %v belongs", what, e.Credential, due, i, want[i])
		}
		seen[e.Credential] = true
	}
	if len(got) < len(want) {
		return nil, fmt.Errorf("%s returns %d entries and not %d", what, len(got), len(want))
	}
	return got, nil
}

// wanted is when that is due which has to be returned, and names as a set.
func (q *dueTrial) wanted(names []string, t time.Time, limit int) (want []time.Time, asked map[string]bool) {
	asked = make(map[string]bool, len(names))
	for _, name := range names {
		if due := q.due[name]; !asked[name] && !due.IsZero() && due.Before(t) {
			want = append(want, due)
		}
		asked[name] = true
	}
	slices.SortFunc(want, time.Time.Compare)
	return want[:min(len(want), max(limit, 0))], asked
}

// whole compares what Due returned with what Load returns.
func (q *dueTrial) whole(ctx context.Context, entries []rotation.Entry) error {
	for _, e := range entries {
		loaded, err := q.Journal.Load(ctx, e.Credential)
		if err != nil {
			return fmt.Errorf("Load: %w", err)
		}
		if e.Revision != loaded.Revision || !e.Due.Equal(loaded.Due) || !bytes.Equal(e.Data, loaded.Data) {
			return fmt.Errorf("Due returns another entry of %q than Load", e.Credential)
		}
	}
	return nil
}

// dueOfFew asks for some entries in every way.
func dueOfFew(ctx context.Context, r *journalTrial) error {
	q := r.dueTrial()
	names := []string{r.name("due-e"), r.name("due-b"), r.name("due-a"), r.name("due-d"), r.name("due-c")}
	for i, n := range []int{5, 1, 3, 3, 4} {
		if err := q.set(ctx, names[i], dueAt(n)); err != nil {
			return err
		}
	}
	foreign := r.name("due-foreign")
	if err := q.set(ctx, foreign, dueAt(0)); err != nil {
		return err
	}
	all, err := q.ask(ctx, names, dueAt(100), 10)
	if err != nil {
		return err
	}
	if err := q.whole(ctx, all); err != nil {
		return err
	}
	for _, names := range [][]string{
		names, nil, {foreign}, {r.absent()}, names[1:3], {names[2], names[1], r.absent(), names[2], names[1]}, append(slices.Clone(names), foreign),
	} {
		for _, t := range []time.Time{dueAt(100), dueAt(4), dueAt(4).Add(time.Millisecond), dueAt(1), {}} {
			for _, limit := range []int{10, 1, 2, 0, -1} {
				if _, err := q.ask(ctx, names, t, limit); err != nil {
					return err
				}
			}
		}
	}
	return q.late(ctx, names)
}

// late asks under a context that has ended: nothing due is no answer to that.
func (q *dueTrial) late(ctx context.Context, names []string) error {
	got, err := q.Journal.Due(ended(ctx), names, dueAt(100), 10)
	if err == nil && len(got) != len(names) {
		return errors.New("Due under an ended context returns fewer entries and no error")
	}
	return nil
}

// dueMoves changes when something is due.
func dueMoves(ctx context.Context, r *journalTrial) error {
	q := r.dueTrial()
	names := []string{r.name("moves-a"), r.name("moves-b"), r.name("moves-c")}
	for _, step := range []struct{ name, due int }{{0, 1}, {1, 2}, {2, 3}, {0, 9}, {1, 0}, {2, -5}, {0, 0}, {1, 7}} {
		due := dueAt(step.due)
		if step.due == 0 {
			due = time.Time{}
		}
		if err := q.set(ctx, names[step.name], due); err != nil {
			return err
		}
		for _, limit := range []int{1, 10} {
			if _, err := q.ask(ctx, names, dueAt(100), limit); err != nil {
				return fmt.Errorf("after Due was moved: %w", err)
			}
		}
	}
	return nil
}

// dueNever asks for what is never due, among it an entry of the engine's own.
func dueNever(ctx context.Context, r *journalTrial) error {
	q := r.dueTrial()
	names := []string{r.name("never"), "handover/" + r.name("never"), r.name("never-but-this")}
	for _, name := range names[:2] {
		if err := q.set(ctx, name, time.Time{}); err != nil {
			return err
		}
	}
	if err := q.set(ctx, names[2], dueAt(1)); err != nil {
		return err
	}
	for _, t := range []time.Time{dueAt(100), due2100.AddDate(100, 0, 0)} {
		if _, err := q.ask(ctx, names, t, 10); err != nil {
			return err
		}
	}
	return nil
}

// dueOfMany has Entries entries, three at each time. Every second one is ours, the others are another inventory's; names are
// in no order of the times.
func dueOfMany(ctx context.Context, r *journalTrial) error {
	q, n := r.dueTrial(), r.entries()
	var ours, all []string
	for i := range n {
		name := r.name(fmt.Sprintf("many-%05d", i))
		all = append(all, name)
		if i%2 == 0 {
			ours = append(ours, name)
		}
		if err := q.set(ctx, name, dueAt((n-i)/3)); err != nil {
			return err
		}
	}
	crowd := slices.Clone(ours)
	for i := range 10 * n {
		crowd = append(crowd, r.name(fmt.Sprintf("many-without-entry-%05d", i)))
	}
	unsorted := slices.Clone(crowd)
	slices.Reverse(unsorted)
	for _, names := range [][]string{all, ours, lastTwice(ours, 2), lastTwice(ours, 10), crowd, unsorted} {
		for _, limit := range []int{1, n / 4, n - 1, 1 << 30} {
			for _, t := range []time.Time{dueAt(n), dueAt(n / 4)} {
				if _, err := q.ask(ctx, names, t, limit); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// lastTwice are those of names that are due last, one in so many, unsorted and each of them twice: whatever else is due is in
// front of them.
func lastTwice(names []string, oneIn int) []string {
	few := slices.Clone(names[:(len(names)+oneIn-1)/oneIn])
	slices.Reverse(few)
	return append(few, few...)
}

// savedAtIsTheJournals proves SavedAt.
func savedAtIsTheJournals(ctx context.Context, r *journalTrial) error {
	name := r.name("saved")
	var last time.Time
	for _, given := range []time.Time{{}, time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), due2100.AddDate(50, 0, 0)} {
		at, err := r.savedAt(ctx, name, given)
		switch {
		case err != nil:
			return err
		case at.IsZero():
			return errors.New("Load tells no SavedAt")
		case !given.IsZero() && at.Sub(given).Abs() < time.Hour:
			return errors.New("SavedAt is what the caller gave to Save")
		case at.Before(last):
			return fmt.Errorf("SavedAt went back, from %v to %v", last, at)
		}
		last = at
	}
	if err := wait(ctx, 20*time.Millisecond); err != nil {
		return err
	}
	e, err := r.Journal.Load(ctx, name)
	if err != nil {
		return fmt.Errorf("Load: %w", err)
	}
	if !e.SavedAt.Equal(last) {
		return errors.New("SavedAt moves without a Save")
	}
	return within(ctx, 3*time.Second, func() error { // some clocks count seconds
		at, err := r.savedAt(ctx, name, time.Time{})
		if err == nil && !at.After(last) {
			err = errors.New("SavedAt does not move with Save")
		}
		return err
	})
}

// savedAt saves and returns what Load and Due tell of the time.
func (r *journalTrial) savedAt(ctx context.Context, name string, given time.Time) (time.Time, error) {
	if err := r.save(ctx, rotation.Entry{Credential: name, Due: due2100, SavedAt: given}); err != nil {
		return time.Time{}, err
	}
	e, err := r.Journal.Load(ctx, name)
	if err != nil {
		return time.Time{}, fmt.Errorf("Load: %w", err)
	}
	due, err := r.Journal.Due(ctx, []string{name}, due2100.Add(time.Second), 1)
	if err != nil {
		return time.Time{}, fmt.Errorf("Due: %w", err)
	}
	if slices.ContainsFunc(due, func(d rotation.Entry) bool { return !d.SavedAt.Equal(e.SavedAt) }) {
		return time.Time{}, errors.New("Due tells another SavedAt than Load")
	}
	return e.SavedAt, nil
}
