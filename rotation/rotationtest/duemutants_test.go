// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

func mutantsOfDue(add addJournal) {
	question := func(what string, change func(names []string, t time.Time, limit int) ([]string, time.Time, int)) {
		add("J3", what, func(j *rotationtest.Journal) rotation.Journal { return asks(j, change) })
	}
	question("what is due at t", func(names []string, t time.Time, limit int) ([]string, time.Time, int) {
		return names, t.Add(time.Nanosecond), limit
	})
	question("t in seconds", func(names []string, t time.Time, limit int) ([]string, time.Time, int) {
		return names, t.Truncate(time.Second), limit
	})
	add("J3", "sorts what it was given", func(j *rotationtest.Journal) rotation.Journal {
		return badJournal{Journal: j, due: func(ctx context.Context, names []string, t time.Time, limit int) ([]rotation.Entry, error) {
			slices.Sort(names)
			return j.Due(ctx, names, t, limit)
		}}
	})
	question("names that are sorted", func(names []string, t time.Time, limit int) ([]string, time.Time, int) {
		known := slices.Clone(names)
		return slices.DeleteFunc(names, func(name string) bool { _, ok := slices.BinarySearch(known, name); return !ok }), t, limit
	})
	question("100 names", func(names []string, t time.Time, limit int) ([]string, time.Time, int) {
		return names[max(0, len(names)-100):], t, limit
	})
	answer := func(what string, change func([]rotation.Entry) []rotation.Entry) {
		add("J3", what, func(j *rotationtest.Journal) rotation.Journal { return answers(j, change) })
	}
	answer("nothing", func([]rotation.Entry) []rotation.Entry { return nil })
	answer("latest first", func(due []rotation.Entry) []rotation.Entry { slices.Reverse(due); return due })
	answer("by name", func(due []rotation.Entry) []rotation.Entry {
		slices.SortFunc(due, func(a, b rotation.Entry) int { return strings.Compare(a.Credential, b.Credential) })
		return due
	})
	answer("without Data", func(due []rotation.Entry) []rotation.Entry {
		for i := range due {
			due[i].Data = nil
		}
		return due
	})
	answer("without Revision", func(due []rotation.Entry) []rotation.Entry {
		for i := range due {
			due[i].Revision = 0
		}
		return due
	})
	answer("another Due", func(due []rotation.Entry) []rotation.Entry {
		for i := range due {
			due[i].Due = due[i].Due.Add(time.Hour)
		}
		return due
	})
	add("J3", "nothing under an ended context", func(j *rotationtest.Journal) rotation.Journal {
		return badJournal{Journal: j, due: func(ctx context.Context, names []string, t time.Time, limit int) ([]rotation.Entry, error) {
			if ctx.Err() != nil {
				return nil, nil
			}
			return j.Due(ctx, names, t, limit)
		}}
	})
	add("J3", "an error", func(j *rotationtest.Journal) rotation.Journal {
		return badJournal{Journal: j, due: func(context.Context, []string, time.Time, int) ([]rotation.Entry, error) {
			return nil, errors.New("no index")
		}}
	}, "J2", "SavedAt")
}

func mutantsOfDueLimit(add addJournal) {
	const all = 1 << 30
	limits := func(what string, change func(int) int) {
		add("J3", what, func(j *rotationtest.Journal) rotation.Journal {
			return asks(j, func(names []string, t time.Time, limit int) ([]string, time.Time, int) {
				return names, t, change(limit)
			})
		})
	}
	limits("no limit", func(int) int { return all })
	limits("one too many", func(limit int) int { return limit + 1 })
	limits("one too few", func(limit int) int { return limit - 1 })
	limits("zero is no limit", func(limit int) int {
		if limit == 0 {
			return all
		}
		return limit
	})
	limits("negative is no limit", func(limit int) int {
		if limit < 0 {
			return all
		}
		return limit
	})
	limits("a page", func(limit int) int { return min(limit, 16) })
	add("J3", "refuses a limit of zero", func(j *rotationtest.Journal) rotation.Journal {
		return badJournal{Journal: j, due: func(ctx context.Context, names []string, t time.Time, limit int) ([]rotation.Entry, error) {
			if limit == 0 {
				return nil, errors.New("limit is required")
			}
			return j.Due(ctx, names, t, limit)
		}}
	})
}

// mutantsOfDueIndex find their answers in an index of their own.
func mutantsOfDueIndex(add addJournal) {
	type index = map[string]rotation.Entry
	indexed := func(what string, note func(index, rotation.Entry), find func(entries []rotation.Entry, names []string, t time.Time, limit int) []rotation.Entry) {
		add("J3", what, func(j *rotationtest.Journal) rotation.Journal {
			known := index{}
			return badJournal{
				Journal: j,
				save: func(ctx context.Context, e rotation.Entry) error {
					err := j.Save(ctx, e)
					if err == nil && !strings.Contains(e.Credential, "race") {
						stored, _ := j.Load(ctx, e.Credential)
						note(known, stored)
					}
					return err
				},
				due: func(ctx context.Context, names []string, t time.Time, limit int) ([]rotation.Entry, error) {
					var entries []rotation.Entry
					for _, e := range known {
						e.Data = slices.Clone(e.Data)
						entries = append(entries, e)
					}
					slices.SortFunc(entries, func(a, b rotation.Entry) int { return a.Due.Compare(b.Due) })
					return find(entries, names, t, max(limit, 0)), ctx.Err()
				},
			}
		})
	}
	keep := func(known index, e rotation.Entry) { known[e.Credential] = e }
	filter := func(entries []rotation.Entry, keep func(rotation.Entry) bool) []rotation.Entry {
		return slices.DeleteFunc(entries, func(e rotation.Entry) bool { return !keep(e) })
	}
	isDue := func(t time.Time) func(rotation.Entry) bool {
		return func(e rotation.Entry) bool { return !e.Due.IsZero() && e.Due.Before(t) }
	}
	cut := func(entries []rotation.Entry, limit int) []rotation.Entry { return entries[:min(len(entries), limit)] }
	right := func(entries []rotation.Entry, names []string, t time.Time, limit int) []rotation.Entry {
		return cut(filter(filter(entries, isDue(t)), func(e rotation.Entry) bool { return slices.Contains(names, e.Credential) }), limit)
	}
	indexed("never is due", keep, func(entries []rotation.Entry, names []string, t time.Time, limit int) []rotation.Entry {
		return cut(filter(entries, func(e rotation.Entry) bool {
			return e.Due.Before(t) && slices.Contains(names, e.Credential)
		}), limit)
	})
	indexed("the engine's own are due", func(known index, e rotation.Entry) {
		if strings.HasPrefix(e.Credential, "handover/") {
			e.Due = time.Unix(0, 0)
		}
		known[e.Credential] = e
	}, right)
	indexed("whatever is due", keep, func(entries []rotation.Entry, _ []string, t time.Time, limit int) []rotation.Entry {
		return cut(filter(entries, isDue(t)), limit)
	})
	indexed("no names are all names", keep, func(entries []rotation.Entry, names []string, t time.Time, limit int) []rotation.Entry {
		if len(names) == 0 {
			return cut(filter(entries, isDue(t)), limit)
		}
		return right(entries, names, t, limit)
	})
	indexed("others count", keep, func(entries []rotation.Entry, names []string, t time.Time, limit int) []rotation.Entry {
		return right(cut(filter(entries, isDue(t)), limit), names, t, limit)
	})
	indexed("others fill a page", keep, func(entries []rotation.Entry, names []string, t time.Time, limit int) []rotation.Entry {
		return right(cut(filter(entries, isDue(t)), limit+16), names, t, limit)
	})
	indexed("one of a time", keep, func(entries []rotation.Entry, names []string, t time.Time, limit int) []rotation.Entry {
		ours := right(entries, names, t, 1<<30)
		return cut(slices.CompactFunc(ours, func(a, b rotation.Entry) bool { return a.Due.Equal(b.Due) }), limit)
	})
	indexed("one of a time, twice", keep, func(entries []rotation.Entry, names []string, t time.Time, limit int) []rotation.Entry {
		due := right(entries, names, t, limit)
		for i := 1; i < len(due); i++ {
			if due[i].Due.Equal(due[i-1].Due) {
				due[i] = due[i-1]
			}
		}
		return due
	})
	indexed("another's of the same time", keep, func(entries []rotation.Entry, names []string, t time.Time, limit int) []rotation.Entry {
		all := slices.Clone(entries)
		due := right(entries, names, t, limit)
		for i := range due {
			for _, e := range all {
				if e.Due.Equal(due[i].Due) && !slices.Contains(names, e.Credential) {
					due[i] = e
				}
			}
		}
		return due
	})
	indexed("one for each name", keep, func(entries []rotation.Entry, names []string, t time.Time, limit int) []rotation.Entry {
		var due []rotation.Entry
		for _, e := range right(entries, names, t, 1<<30) {
			for _, name := range names {
				if name == e.Credential {
					due = append(due, e)
				}
			}
		}
		return cut(due, limit)
	})
	indexed("as it was first due", func(known index, e rotation.Entry) {
		if first, ok := known[e.Credential]; ok && !first.Due.IsZero() {
			e.Due = first.Due
		}
		known[e.Credential] = e
	}, right)
	indexed("still due", func(known index, e rotation.Entry) {
		if !e.Due.IsZero() {
			known[e.Credential] = e
		}
	}, right)
	indexed("what became never due and due again", func(known index, e rotation.Entry) {
		if _, ok := known[e.Credential]; ok && e.Due.IsZero() {
			known[e.Credential+" gone"] = e
		}
		if _, gone := known[e.Credential+" gone"]; !gone {
			known[e.Credential] = e
		} else {
			delete(known, e.Credential)
		}
	}, right)
}
