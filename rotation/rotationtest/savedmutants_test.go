// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// reopenMutants are journals whose second opening shows that they are not durable.
func reopenMutants() map[string]func(*rotationtest.Journal) (rotation.Journal, error) {
	behind := func(change func(*rotation.Entry)) func(*rotationtest.Journal) (rotation.Journal, error) {
		return func(j *rotationtest.Journal) (rotation.Journal, error) { return tells(j, change), nil }
	}
	return map[string]func(*rotationtest.Journal) (rotation.Journal, error){
		"nothing is there":      func(*rotationtest.Journal) (rotation.Journal, error) { return rotationtest.NewJournal(), nil },
		"the last is not there": behind(func(e *rotation.Entry) { e.Revision--; e.Data = []byte("one") }),
		"another SavedAt":       behind(func(e *rotation.Entry) { e.SavedAt = e.SavedAt.Add(time.Second) }),
		"does not open":         func(*rotationtest.Journal) (rotation.Journal, error) { return nil, errors.New("locked") },
		"what it saves is not seen": func(j *rotationtest.Journal) (rotation.Journal, error) {
			return badJournal{Journal: j, save: func(context.Context, rotation.Entry) error { return nil }}, nil
		},
		"does not save": func(j *rotationtest.Journal) (rotation.Journal, error) {
			return badJournal{Journal: j, save: func(context.Context, rotation.Entry) error { return rotation.ErrConflict }}, nil
		},
	}
}

func mutantsOfSavedAt(add addJournal) {
	told := func(what string, change func(*rotation.Entry)) {
		add("SavedAt", what, func(j *rotationtest.Journal) rotation.Journal { return tells(j, change) })
	}
	told("none", func(e *rotation.Entry) { e.SavedAt = time.Time{} })
	told("the time of the question", func(e *rotation.Entry) { e.SavedAt = time.Now() })
	told("the time of the first Save", func(e *rotation.Entry) {
		e.SavedAt = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	})
	told("goes back", func(e *rotation.Entry) { e.SavedAt = time.Unix(2e9-e.Revision, 0) })
	add("SavedAt", "the caller's", func(j *rotationtest.Journal) rotation.Journal {
		given := map[string]time.Time{}
		inner := tells(j, func(e *rotation.Entry) {
			if t := given[e.Credential]; !t.IsZero() {
				e.SavedAt = t
			}
		}).(badJournal)
		inner.save = func(ctx context.Context, e rotation.Entry) error {
			err := j.Save(ctx, e)
			if err == nil && strings.HasSuffix(e.Credential, "-saved") {
				given[e.Credential] = e.SavedAt
			}
			return err
		}
		return inner
	})
	add("SavedAt", "Due has none", func(j *rotationtest.Journal) rotation.Journal {
		return answers(j, func(due []rotation.Entry) []rotation.Entry {
			for i := range due {
				due[i].SavedAt = time.Time{}
			}
			return due
		})
	})
}

func mutantsOfJournalAbility(add addJournal) {
	ability := func(clause, what string, change func(*ableJournal)) {
		add(clause, what, func(j *rotationtest.Journal) rotation.Journal {
			a := goodJournal(j)
			change(&a)
			return a
		})
	}
	ability("Conditional", "does not compare", func(a *ableJournal) { a.conditional = false })
	ability("Identity", "empty", func(a *ableJournal) { a.identity = func() string { return " " } })
	ability("Identity", "another each time", func(a *ableJournal) {
		n := 0
		a.identity = func() string { n++; return fmt.Sprint("table ", n) }
	})
	ability("Check", "fails", func(a *ableJournal) { a.check = errors.New("down") })
	ability("Check", "is not valid", func(a *ableJournal) { a.validate = errors.New("table is required") })
	add("Check", "behind a wrapper", func(j *rotationtest.Journal) rotation.Journal {
		a := goodJournal(j)
		a.check = errors.New("down")
		return wrappedJournal{a}
	})
}
