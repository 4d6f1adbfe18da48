// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

type (
	loadFunc = func(context.Context, string) (rotation.Entry, error)
	saveFunc = func(context.Context, rotation.Entry) error
	dueFunc  = func(context.Context, []string, time.Time, int) ([]rotation.Entry, error)
)

// badJournal is a Journal of which single methods are replaced.
type badJournal struct {
	*rotationtest.Journal
	load loadFunc
	save saveFunc
	due  dueFunc
}

func (j badJournal) Load(ctx context.Context, name string) (rotation.Entry, error) {
	if j.load != nil {
		return j.load(ctx, name)
	}
	return j.Journal.Load(ctx, name)
}

func (j badJournal) Save(ctx context.Context, e rotation.Entry) error {
	if j.save != nil {
		return j.save(ctx, e)
	}
	return j.Journal.Save(ctx, e)
}

func (j badJournal) Due(ctx context.Context, names []string, t time.Time, limit int) ([]rotation.Entry, error) {
	if j.due != nil {
		return j.due(ctx, names, t, limit)
	}
	return j.Journal.Due(ctx, names, t, limit)
}

// tells lets Load and Due change what they tell of what is stored.
func tells(j *rotationtest.Journal, change func(*rotation.Entry)) rotation.Journal {
	return badJournal{
		Journal: j,
		load: func(ctx context.Context, name string) (rotation.Entry, error) {
			e, err := j.Load(ctx, name)
			if e.Revision > 0 {
				change(&e)
			}
			return e, err
		},
		due: func(ctx context.Context, names []string, t time.Time, limit int) ([]rotation.Entry, error) {
			due, err := j.Due(ctx, names, t, limit)
			for i := range due {
				change(&due[i])
			}
			return due, err
		},
	}
}

// records lets Save change what is to be stored, given what is stored.
func records(j *rotationtest.Journal, change func(old, e rotation.Entry) rotation.Entry) rotation.Journal {
	return badJournal{Journal: j, save: func(ctx context.Context, e rotation.Entry) error {
		old, err := j.Load(ctx, e.Credential)
		if err != nil {
			return err
		}
		return j.Save(ctx, change(old, e))
	}}
}

// renames keeps entries under other names.
func renames(j *rotationtest.Journal, change func(string) string) rotation.Journal {
	return badJournal{
		Journal: j,
		load: func(ctx context.Context, name string) (rotation.Entry, error) {
			e, err := j.Load(ctx, change(name))
			if e.Revision > 0 {
				e.Credential = name
			}
			return e, err
		},
		save: func(ctx context.Context, e rotation.Entry) error {
			e.Credential = change(e.Credential)
			return j.Save(ctx, e)
		},
		due: func(ctx context.Context, names []string, t time.Time, limit int) ([]rotation.Entry, error) {
			back := map[string]string{}
			var changed []string
			for _, name := range names {
				back[change(name)] = name
				changed = append(changed, change(name))
			}
			due, err := j.Due(ctx, changed, t, limit)
			for i := range due {
				due[i].Credential = back[due[i].Credential]
			}
			return due, err
		},
	}
}

// answers lets Due change its answer.
func answers(j *rotationtest.Journal, change func([]rotation.Entry) []rotation.Entry) rotation.Journal {
	return badJournal{Journal: j, due: func(ctx context.Context, names []string, t time.Time, limit int) ([]rotation.Entry, error) {
		due, err := j.Due(ctx, names, t, limit)
		return change(due), err
	}}
}

// asks lets Due change the question.
func asks(j *rotationtest.Journal, change func(names []string, t time.Time, limit int) ([]string, time.Time, int)) rotation.Journal {
	return badJournal{Journal: j, due: func(ctx context.Context, names []string, t time.Time, limit int) ([]rotation.Entry, error) {
		names, t, limit = change(slices.Clone(names), t, limit)
		return j.Due(ctx, names, t, limit)
	}}
}

// openJournal is a journal that compares and shares memory with its callers where it does not copy.
type openJournal struct {
	mu            sync.Mutex
	entries       map[string]rotation.Entry
	in, out, dues bool // copied
}

func copied(e rotation.Entry, yes bool) rotation.Entry {
	if yes {
		e.Data = slices.Clone(e.Data)
	}
	return e
}

func (j *openJournal) Load(ctx context.Context, name string) (rotation.Entry, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return copied(j.entries[name], j.out), ctx.Err()
}

func (j *openJournal) Save(ctx context.Context, e rotation.Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if j.entries[e.Credential].Revision != e.Revision {
		return rotation.ErrConflict
	}
	e = copied(e, j.in)
	e.Revision++
	e.SavedAt = time.Now()
	j.entries[e.Credential] = e
	return nil
}

func (j *openJournal) Due(ctx context.Context, names []string, t time.Time, limit int) ([]rotation.Entry, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var due []rotation.Entry
	for name, e := range j.entries {
		if !e.Due.IsZero() && e.Due.Before(t) && slices.Contains(names, name) {
			due = append(due, copied(e, j.dues))
		}
	}
	slices.SortFunc(due, func(a, b rotation.Entry) int {
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Credential, b.Credential))
	})
	return due[:min(len(due), max(limit, 0))], ctx.Err()
}

// ableJournal is a journal with every ability, behind Unwrap where it is wrapped.
type ableJournal struct {
	rotation.Journal
	conditional     bool
	identity        func() string
	check, validate error
}

func (a ableJournal) Conditional() bool           { return a.conditional }
func (a ableJournal) Identity() string            { return a.identity() }
func (a ableJournal) Check(context.Context) error { return a.check }
func (a ableJournal) Validate() error             { return a.validate }

func goodJournal(j rotation.Journal) ableJournal {
	return ableJournal{Journal: j, conditional: true, identity: func() string { return "a table" }}
}

// wrapped hides every ability behind Unwrap.
type wrappedJournal struct{ inner rotation.Journal }

func (w wrappedJournal) Load(ctx context.Context, name string) (rotation.Entry, error) {
	return w.inner.Load(ctx, name)
}

func (w wrappedJournal) Save(ctx context.Context, e rotation.Entry) error {
	return w.inner.Save(ctx, e)
}

func (w wrappedJournal) Due(ctx context.Context, names []string, t time.Time, limit int) ([]rotation.Entry, error) {
	return w.inner.Due(ctx, names, t, limit)
}
func (w wrappedJournal) Unwrap() rotation.Journal { return w.inner }

// onlyJournal hides every ability.
type onlyJournal struct{ rotation.Journal }
