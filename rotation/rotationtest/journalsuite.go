// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/handover-go/handover/rotation"
)

// JournalSuite proves a Journal against J1 to J3, that SavedAt is the journal's own, and its abilities Conditional, Identity
// and Check where it has them.
//
// It writes entries whose names begin with Name, or with "handover/" and Name, and asks for no others: it can run in a journal
// that is in use. Nearly all of them are due in the year 2100, so that no service has to pass over them. A journal has no way to
// delete, so they stay, without Data and never due; the next run uses them again. That two writers who create an entry at the same time are told apart is
// proven only in the first run with a Name. Do not run two suites with one Name at the same time.
//
// What is seen from outside is not everything: what Due costs (J3) and what a power failure leaves (J2) are for the
// implementation's own tests.
type JournalSuite struct {
	Journal rotation.Journal // required
	Name    string           // required: it may overwrite what begins with this name

	// Reopen opens the same journal as another process would, to see that what was saved is in it; the caller closes it. Nil:
	// only Journal itself is asked.
	Reopen func(context.Context) (rotation.Journal, error)

	// Entries is how many entries J3 looks through, half of them of another inventory. A journal that reads in pages should be
	// given more than two of them. Zero: 40.
	Entries int
}

// Run runs one subtest for each clause, named after it.
func (s JournalSuite) Run(t *testing.T) {
	t.Helper()
	runClauses(t, s.Validate(), s.clauses())
}

// Check is Run without a test: the error joins the clauses that failed, each line beginning with the name of its clause.
func (s JournalSuite) Check(ctx context.Context) error {
	return checkClauses(ctx, s.Validate(), s.clauses())
}

// Validate names every required field that is missing.
func (s JournalSuite) Validate() error {
	var errs []error
	if s.Journal == nil {
		errs = append(errs, errors.New("rotationtest: JournalSuite.Journal is required"))
	}
	if s.Name == "" {
		errs = append(errs, errors.New("rotationtest: JournalSuite.Name is required"))
	}
	if s.Entries < 0 {
		errs = append(errs, errors.New("rotationtest: JournalSuite.Entries is negative"))
	}
	return errors.Join(errs...)
}

func (s JournalSuite) clauses() []clause {
	in := func(check func(context.Context, *journalTrial) error) func(context.Context) error {
		return func(ctx context.Context) error { return s.try(ctx, check) }
	}
	return []clause{
		{
			"J1", "An absent credential is a zero Entry and no error, and Load tells what the last Save wrote: from an old answer the " +
				"engine would repeat what is done.", in(journalTellsTheTruth),
		},
		{
			"J2", "Save keeps every byte of Data, and Due to the millisecond, under exactly this name; it counts Revision up by one; " +
				"it compares revisions, also for what is absent and among 16 writers at one time, and writes nothing if they differ " +
				"or its context has ended. Revisions are all that keeps two processes from driving one rotation.", in(journalCompares),
		},
		{
			"J3", "Due returns what is due before t and not at t, of names and of nobody else, soonest first, at most limit, each as " +
				"Load returns it. What it leaves out is never rotated; what comes late is rotated late.", in(dueInOrder),
		},
		{
			"SavedAt", "SavedAt is by the journal's clock and moves with every Save, whatever the caller put there: by it the engine " +
				"sees that another process is gone, and that a clock is wrong.", in(savedAtIsTheJournals),
		},
		{
			"Conditional", "A Conditional journal compares revisions: rotation.New refuses one that says it does not.",
			func(context.Context) error { return comparing(s.Journal) },
		},
		{
			"Identity", "An Identifier names its place, always by the same text.",
			func(context.Context) error { return identityKept(s.Journal, nil) },
		},
		{
			"Check", "A journal that works says so, as Validator and as Checker.",
			func(ctx context.Context) error { return readyToWork(ctx, s.Journal, nil) },
		},
	}
}

func (s JournalSuite) entries() int { return cmp.Or(s.Entries, 40) }

// journalTrial is the proof of one clause. It remembers what it wrote.
type journalTrial struct {
	JournalSuite
	written map[string]int64 // the revision that is stored, as far as is known
}

// try proves one clause and makes what it wrote harmless.
func (s JournalSuite) try(ctx context.Context, check func(context.Context, *journalTrial) error) error {
	r := &journalTrial{JournalSuite: s, written: map[string]int64{}}
	err := guard(func() error { return check(ctx, r) })
	limit := cleanupTime + time.Duration(len(r.written))*100*time.Millisecond
	over, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	return errors.Join(err, guard(func() error { return r.cleanUp(over) }))
}

// cleanUp leaves entries that are never due and hold nothing.
func (r *journalTrial) cleanUp(ctx context.Context) error {
	var errs []error
	for name, revision := range r.written {
		if err := r.emptied(ctx, name, revision); err != nil {
			errs = append(errs, fmt.Errorf("clean-up of %q: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (r *journalTrial) emptied(ctx context.Context, name string, revision int64) error {
	if revision == 0 { // a Save failed, and may have written
		e, err := r.Journal.Load(ctx, name)
		if err != nil || e.Revision == 0 {
			return err
		}
	}
	return r.save(ctx, rotation.Entry{Credential: name})
}

// name is one of the names that the suite may write.
func (r *journalTrial) name(part string) string { return r.Name + "-" + part }

func (r *journalTrial) absent() string { return r.name("absent-" + newUUID()[:8]) }

// save writes e over what is stored, whatever its revision is.
func (r *journalTrial) save(ctx context.Context, e rotation.Entry) error {
	revision := r.written[e.Credential] // unknown: most likely absent
	for try := 0; ; try++ {
		r.written[e.Credential] = revision
		e.Revision = revision
		err := r.Journal.Save(ctx, e)
		if err == nil {
			r.written[e.Credential]++
			return nil
		}
		if !errors.Is(err, rotation.ErrConflict) || try > 0 {
			return fmt.Errorf("Save at revision %d: %w", revision, err)
		}
		stored, err := r.Journal.Load(ctx, e.Credential)
		if err != nil {
			return fmt.Errorf("Load: %w", err)
		}
		revision = stored.Revision
	}
}

// put is save, seen to be exact. It returns what is stored then.
func (r *journalTrial) put(ctx context.Context, e rotation.Entry) (rotation.Entry, error) {
	if err := r.save(ctx, e); err != nil {
		return rotation.Entry{}, err
	}
	e.Revision = r.written[e.Credential]
	return r.expect(ctx, r.Journal, e, "after Save")
}

// expect loads an entry and compares it with want, but for SavedAt.
func (r *journalTrial) expect(ctx context.Context, j rotation.Journal, want rotation.Entry, when string) (rotation.Entry, error) {
	got, err := j.Load(ctx, want.Credential)
	if err != nil {
		return got, fmt.Errorf("%s: Load: %w", when, err)
	}
	if diff := differentEntry(want, got); diff != "" {
		return got, fmt.Errorf("%s: %s", when, diff)
	}
	return got, nil
}
