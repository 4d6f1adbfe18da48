// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// journalMutant is a mistake, and the clauses that find it: the one that is there for it, and those that cannot do without.
type journalMutant struct {
	clause string
	also   []string
	build  func(*rotationtest.Journal) rotation.Journal
	reopen func(*rotationtest.Journal) (rotation.Journal, error)
}

type addJournal func(clause, what string, build func(*rotationtest.Journal) rotation.Journal, also ...string)

func journalMutants() map[string]journalMutant {
	all := map[string]journalMutant{}
	add := func(clause, what string, build func(*rotationtest.Journal) rotation.Journal, also ...string) {
		all[clause+" "+what] = journalMutant{clause: clause, also: also, build: build}
	}
	mutantsOfJournalLoad(add)
	mutantsOfEntry(add)
	mutantsOfName(add)
	mutantsOfMemory(add)
	mutantsOfRevision(add)
	mutantsOfJournalRace(add)
	mutantsOfLateSave(add)
	mutantsOfDue(add)
	mutantsOfDueLimit(add)
	mutantsOfDueIndex(add)
	mutantsOfSavedAt(add)
	mutantsOfJournalAbility(add)
	for what, reopen := range reopenMutants() {
		all["J2 reopened: "+what] = journalMutant{
			clause: "J2", reopen: reopen, build: func(j *rotationtest.Journal) rotation.Journal { return j },
		}
	}
	return all
}

func mutantsOfJournalLoad(add addJournal) {
	absent := func(what string, answer rotation.Entry, err error, also ...string) {
		add("J1", what, func(j *rotationtest.Journal) rotation.Journal {
			return badJournal{Journal: j, load: func(ctx context.Context, name string) (rotation.Entry, error) {
				e, loadErr := j.Load(ctx, name)
				if loadErr == nil && e.Revision == 0 {
					return answer, err
				}
				return e, loadErr
			}}
		}, also...)
	}
	absent("absent is an error", rotation.Entry{}, rotation.ErrNotFound, "J2")
	absent("absent has a name", rotation.Entry{Credential: "conformance"}, nil)
	absent("absent has Data", rotation.Entry{Data: []byte("{}")}, nil)
	absent("absent has a time", rotation.Entry{SavedAt: time.Unix(0, 0)}, nil)
	absent("absent is due", rotation.Entry{Due: time.Unix(0, 0)}, nil)
	add("J1", "an old answer", func(j *rotationtest.Journal) rotation.Journal {
		previous := map[string]rotation.Entry{}
		return badJournal{
			Journal: j,
			load: func(ctx context.Context, name string) (rotation.Entry, error) {
				if old, ok := previous[name]; ok && ctx.Err() == nil {
					return old, nil
				}
				return j.Load(ctx, name)
			},
			save: func(ctx context.Context, e rotation.Entry) error {
				old, err := j.Load(ctx, e.Credential)
				if err == nil && old.Revision == e.Revision && old.Revision > 0 {
					previous[e.Credential] = old
				}
				return errors.Join(err, j.Save(ctx, e))
			},
		}
	}, "J2", "SavedAt")
	add("J1", "the entry of another", func(j *rotationtest.Journal) rotation.Journal {
		return tells(j, func(e *rotation.Entry) { e.Credential = strings.TrimSuffix(e.Credential, "-told") })
	})
	add("J1", "nothing under an ended context", func(j *rotationtest.Journal) rotation.Journal {
		return badJournal{Journal: j, load: func(ctx context.Context, name string) (rotation.Entry, error) {
			if ctx.Err() != nil {
				return rotation.Entry{}, nil
			}
			return j.Load(ctx, name)
		}}
	})
}

func mutantsOfEntry(add addJournal) {
	data := func(what string, change func([]byte) []byte) {
		add("J2", what, func(j *rotationtest.Journal) rotation.Journal {
			return tells(j, func(e *rotation.Entry) { e.Data = change(e.Data) })
		})
	}
	data("64 KiB of Data", func(b []byte) []byte { return b[:min(len(b), 1<<16)] })
	data("Data as text", func(b []byte) []byte { return bytes.ToValidUTF8(b, []byte("?")) })
	data("Data as ASCII", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("é"), []byte("e")) })
	data("Data without spaces at the ends", bytes.TrimSpace)
	data("Data without zero bytes", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte{0}, nil) })
	data("null for no Data", func(b []byte) []byte {
		if len(b) == 0 {
			return []byte("null")
		}
		return b
	})
	add("J2", "the name of another", func(j *rotationtest.Journal) rotation.Journal {
		return tells(j, func(e *rotation.Entry) { e.Credential = strings.TrimSuffix(e.Credential, "-data") })
	})
	add("J2", "no Data keeps the old", func(j *rotationtest.Journal) rotation.Journal {
		return records(j, func(old, e rotation.Entry) rotation.Entry {
			if e.Data == nil {
				e.Data = old.Data
			}
			return e
		})
	})
	due := func(what string, change func(time.Time) time.Time, also ...string) {
		add("J2", what, func(j *rotationtest.Journal) rotation.Journal {
			return tells(j, func(e *rotation.Entry) { e.Due = change(e.Due) })
		}, also...)
	}
	due("Due in seconds", func(t time.Time) time.Time { return t.Truncate(time.Second) })
	due("Due without its zone", func(t time.Time) time.Time {
		return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	})
	due("1970 is never", func(t time.Time) time.Time {
		if t.Unix() == 0 {
			return time.Time{}
		}
		return t
	})
	due("never is 1970", func(t time.Time) time.Time {
		if t.IsZero() {
			return time.Unix(0, 0)
		}
		return t
	})
	add("J2", "never keeps the old Due", func(j *rotationtest.Journal) rotation.Journal {
		return records(j, func(old, e rotation.Entry) rotation.Entry {
			if e.Due.IsZero() {
				e.Due = old.Due
			}
			return e
		})
	}, "J3")
}

func mutantsOfName(add addJournal) {
	name := func(what string, change func(string) string) {
		add("J2", what, func(j *rotationtest.Journal) rotation.Journal { return renames(j, change) })
	}
	name("names without case", strings.ToLower)
	name("names as files", func(s string) string { return strings.ReplaceAll(s, "/", "_") })
	name("names of 200 characters", func(s string) string { return s[:min(len(s), 200)] })
	name("names without the engine's own", func(s string) string { return strings.TrimPrefix(s, "handover/") })
	name("the name of one journal", func(s string) string {
		if strings.Contains(s, "-name") {
			return "conformance-name"
		}
		return s
	})
	add("J2", "refuses names that are not ASCII", func(j *rotationtest.Journal) rotation.Journal {
		return badJournal{Journal: j, save: func(ctx context.Context, e rotation.Entry) error {
			if strings.ContainsFunc(e.Credential, func(r rune) bool { return r > 126 }) {
				return errors.New("bad name")
			}
			return j.Save(ctx, e)
		}}
	})
}

func mutantsOfMemory(add addJournal) {
	shares := func(what string, in, out, dues bool) {
		add("J2", what, func(*rotationtest.Journal) rotation.Journal {
			return &openJournal{entries: map[string]rotation.Entry{}, in: in, out: out, dues: dues}
		})
	}
	shares("shares what Save was given", false, true, true)
	shares("shares what Load gives", true, false, true)
	shares("shares what Due gives", true, true, false)
}

// forces saves over whatever is stored where only says so.
func forces(j *rotationtest.Journal, only func(stored int64, e rotation.Entry) bool) rotation.Journal {
	return badJournal{Journal: j, save: func(ctx context.Context, e rotation.Entry) error {
		for {
			err := j.Save(ctx, e)
			if !errors.Is(err, rotation.ErrConflict) {
				return err
			}
			old, loadErr := j.Load(ctx, e.Credential)
			if loadErr != nil || !only(old.Revision, e) {
				return errors.Join(loadErr, err)
			}
			e.Revision = old.Revision
		}
	}}
}

func mutantsOfRevision(add addJournal) {
	force := func(what string, only func(stored int64, e rotation.Entry) bool, also ...string) {
		add("J2", what, func(j *rotationtest.Journal) rotation.Journal { return forces(j, only) }, also...)
	}
	force("the last write wins", func(int64, rotation.Entry) bool { return true })
	force("revision zero overwrites", func(_ int64, e rotation.Entry) bool { return e.Revision == 0 })
	force("the last revision will do", func(stored int64, e rotation.Entry) bool { return e.Revision > 0 && e.Revision == stored-1 })
	force("a higher revision wins", func(stored int64, e rotation.Entry) bool { return stored > 0 && e.Revision > stored })
	force("a much higher revision wins", func(stored int64, e rotation.Entry) bool { return stored > 0 && e.Revision > stored+1 })
	force("creates at any revision", func(stored int64, _ rotation.Entry) bool { return stored == 0 })
	add("J2", "counts by two", func(j *rotationtest.Journal) rotation.Journal {
		return badJournal{
			Journal: j,
			load: func(ctx context.Context, name string) (rotation.Entry, error) {
				e, err := j.Load(ctx, name)
				e.Revision *= 2
				return e, err
			},
			save: func(ctx context.Context, e rotation.Entry) error {
				if e.Revision%2 != 0 {
					return rotation.ErrConflict
				}
				e.Revision /= 2
				return j.Save(ctx, e)
			},
			due: func(ctx context.Context, names []string, t time.Time, limit int) ([]rotation.Entry, error) {
				due, err := j.Due(ctx, names, t, limit)
				for i := range due {
					due[i].Revision *= 2
				}
				return due, err
			},
		}
	})
	saves := func(what string, f func(*rotationtest.Journal, context.Context, rotation.Entry, error) error, also ...string) {
		add("J2", what, func(j *rotationtest.Journal) rotation.Journal {
			return badJournal{Journal: j, save: func(ctx context.Context, e rotation.Entry) error {
				return f(j, ctx, e, j.Save(ctx, e))
			}}
		}, also...)
	}
	saves("another error for a conflict", func(_ *rotationtest.Journal, _ context.Context, _ rotation.Entry, err error) error {
		if err != nil {
			return fmt.Errorf("duplicate: %v", err)
		}
		return nil
	})
	saves("writes and says ErrConflict", func(j *rotationtest.Journal, ctx context.Context, e rotation.Entry, err error) error {
		if old, _ := j.Load(ctx, e.Credential); errors.Is(err, rotation.ErrConflict) && old.Revision > 0 {
			e.Revision = old.Revision
			_ = j.Save(ctx, e)
		}
		return err
	})
	saves("creates and says ErrConflict", func(j *rotationtest.Journal, ctx context.Context, e rotation.Entry, err error) error {
		if old, _ := j.Load(ctx, e.Credential); errors.Is(err, rotation.ErrConflict) && old.Revision == 0 {
			e.Revision = 0
			_ = j.Save(ctx, e)
		}
		return err
	})
	add("J2", "a conflict moves SavedAt", func(j *rotationtest.Journal) rotation.Journal {
		late := map[string]time.Duration{}
		return badJournal{
			Journal: j,
			load: func(ctx context.Context, name string) (rotation.Entry, error) {
				e, err := j.Load(ctx, name)
				if e.Revision > 0 {
					e.SavedAt = e.SavedAt.Add(late[name])
				}
				return e, err
			},
			save: func(ctx context.Context, e rotation.Entry) error {
				err := j.Save(ctx, e)
				if errors.Is(err, rotation.ErrConflict) && !strings.Contains(e.Credential, "-race") {
					late[e.Credential] += time.Second
				}
				return err
			},
		}
	})
}

func mutantsOfJournalRace(add addJournal) {
	late := func(what string, when func(e rotation.Entry) bool) {
		add("J2", what, func(j *rotationtest.Journal) rotation.Journal {
			inner := forces(j, func(int64, rotation.Entry) bool { return true })
			return badJournal{Journal: j, save: func(ctx context.Context, e rotation.Entry) error {
				if old, err := j.Load(ctx, e.Credential); err != nil || !when(e) || old.Revision != e.Revision {
					return errors.Join(err, j.Save(ctx, e))
				}
				time.Sleep(time.Millisecond)
				return inner.Save(ctx, e)
			}}
		})
	}
	late("compares and then writes", func(e rotation.Entry) bool { return e.Revision > 0 })
	late("compares and then creates", func(e rotation.Entry) bool { return e.Revision == 0 })
	writer := func(e rotation.Entry) bool { return bytes.HasPrefix(e.Data, []byte("writer")) }
	add("J2", "nobody wins", func(j *rotationtest.Journal) rotation.Journal {
		return badJournal{Journal: j, save: func(ctx context.Context, e rotation.Entry) error {
			if writer(e) {
				return rotation.ErrConflict
			}
			return j.Save(ctx, e)
		}}
	})
	add("J2", "tells the wrong writer", func(j *rotationtest.Journal) rotation.Journal {
		return badJournal{Journal: j, save: func(ctx context.Context, e rotation.Entry) error {
			if writer(e) {
				e.Data = []byte("another writer")
			}
			return j.Save(ctx, e)
		}}
	})
	add("J2", "one loser hears of trouble", func(j *rotationtest.Journal) rotation.Journal {
		return badJournal{Journal: j, save: func(ctx context.Context, e rotation.Entry) error {
			err := j.Save(ctx, e)
			if err != nil && writer(e) {
				return errors.New("database is locked")
			}
			return err
		}}
	})
}

func mutantsOfLateSave(add addJournal) {
	late := func(what string, save func(*rotationtest.Journal, context.Context, rotation.Entry) error) {
		add("J2", what, func(j *rotationtest.Journal) rotation.Journal {
			return badJournal{Journal: j, save: func(ctx context.Context, e rotation.Entry) error {
				if ctx.Err() != nil {
					return save(j, context.WithoutCancel(ctx), e)
				}
				return j.Save(ctx, e)
			}}
		})
	}
	late("writes late", (*rotationtest.Journal).Save)
	late("writes late, with an error", func(j *rotationtest.Journal, ctx context.Context, e rotation.Entry) error {
		return errors.Join(j.Save(ctx, e), context.Canceled)
	})
	late("is late and says nothing", func(*rotationtest.Journal, context.Context, rotation.Entry) error { return nil })
	late("is late and says ErrConflict", func(*rotationtest.Journal, context.Context, rotation.Entry) error { return rotation.ErrConflict })
}
