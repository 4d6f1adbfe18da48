// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/handover-go/handover/rotation"
)

// due2100 is when the suite's entries are due: nobody who uses the journal looks so far. It has milliseconds and a zone.
var due2100 = time.Date(2100, 1, 2, 3, 4, 5, 678e6, time.FixedZone("suite", 3600))

// journalTellsTheTruth proves J1.
func journalTellsTheTruth(ctx context.Context, r *journalTrial) error {
	e, err := r.Journal.Load(ctx, r.absent())
	if err != nil {
		return fmt.Errorf("Load of an absent credential: %w", err)
	}
	if !absentEntry(e) {
		return errors.New("Load of an absent credential is not a zero Entry")
	}
	name, last := r.name("told"), int64(0)
	for range 5 {
		if err := r.save(ctx, rotation.Entry{Credential: name, Data: []byte(name)}); err != nil {
			return err
		}
		e, err := r.Journal.Load(ctx, name)
		switch {
		case err != nil:
			return fmt.Errorf("Load: %w", err)
		case e.Credential != name:
			return fmt.Errorf("Load of %q returns the entry of %q", name, e.Credential)
		case e.Revision <= last:
			return fmt.Errorf("Load after Save tells the revision %d, as it did before", e.Revision)
		}
		last = e.Revision
	}
	// What fails must not look as if nothing were there.
	if e, err := r.Journal.Load(ended(ctx), name); err == nil && e.Revision != last {
		return errors.New("Load under an ended context returns another entry and no error")
	}
	return nil
}

func absentEntry(e rotation.Entry) bool {
	return e.Credential == "" && e.Revision == 0 && e.Due.IsZero() && e.SavedAt.IsZero() && len(e.Data) == 0
}

// differentEntry says what differs between two entries, but for SavedAt; nothing if they are the same. Nil Data and empty Data
// are.
func differentEntry(want, got rotation.Entry) string {
	switch {
	case got.Credential != want.Credential:
		return fmt.Sprintf("Credential is %q, not %q", got.Credential, want.Credential)
	case got.Revision != want.Revision:
		return fmt.Sprintf("Revision is %d, not %d", got.Revision, want.Revision)
	case !sameTime(got.Due, want.Due):
		return fmt.Sprintf("Due is %v, not %v", got.Due, want.Due)
	case !bytes.Equal(got.Data, want.Data):
		return fmt.Sprintf("Data of %d bytes is not the same as what was saved, of %d bytes", len(got.Data), len(want.Data))
	default:
		return ""
	}
}

// journalCompares proves J2.
func journalCompares(ctx context.Context, r *journalTrial) error {
	for _, check := range []func(context.Context, *journalTrial) error{
		keepsData, keepsDue, keepsNames, keepsItsOwnMemory, countsRevisions, refusesOthers, racesOfWriters, writesNothingLate, isDurable,
	} {
		if err := check(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// keepsData saves bytes of all kinds.
func keepsData(ctx context.Context, r *journalTrial) error {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, data := range [][]byte{
		every, nil, []byte("{}"), {}, {0}, []byte("\n"), []byte(" é'\"$1\\\r\n "), bytes.Repeat(every, 1024),
	} {
		if _, err := r.put(ctx, rotation.Entry{Credential: r.name("data"), Data: data}); err != nil {
			return err
		}
	}
	return nil
}

// keepsDue moves Due to and fro, and away.
func keepsDue(ctx context.Context, r *journalTrial) error {
	for _, due := range []time.Time{
		due2100, {}, due2100.Add(-time.Millisecond), time.Unix(0, 0), time.Date(1999, 12, 31, 23, 59, 59, 999e6, time.UTC), {},
	} {
		if _, err := r.put(ctx, rotation.Entry{Credential: r.name("due"), Due: due, Data: []byte("x")}); err != nil {
			return err
		}
	}
	return nil
}

// keepsNames saves under names that something between here and there may take for one.
func keepsNames(ctx context.Context, r *journalTrial) error {
	long := r.name("long-") + strings.Repeat("x", max(0, 200-len(r.name("long-"))))
	names := []string{
		r.name("name"), r.name("NAME"), r.name("name/a"), r.name("name.a"), r.name("name_a"), r.name("name a"), r.name("name%a"),
		r.name("name'a\""), r.name("na\u00efve-\u65e5\u672c"), "handover/" + r.name("name"), long, long + "y",
	}
	var saved []rotation.Entry
	for i, name := range names {
		e := rotation.Entry{Credential: name, Due: due2100.Add(time.Duration(i) * time.Second), Data: []byte(name)}
		stored, err := r.put(ctx, e)
		if err != nil {
			return fmt.Errorf("the name %q: %w", name, err)
		}
		saved = append(saved, stored)
	}
	for _, e := range saved {
		if _, err := r.expect(ctx, r.Journal, e, fmt.Sprintf("the name %q, after Save of others", e.Credential)); err != nil {
			return err
		}
	}
	return nil
}

// keepsItsOwnMemory changes what it gave to Save and what it got from Load and Due.
func keepsItsOwnMemory(ctx context.Context, r *journalTrial) error {
	name, given := r.name("memory"), []byte("one")
	want, err := r.put(ctx, rotation.Entry{Credential: name, Due: due2100, Data: given})
	if err != nil {
		return err
	}
	want.Data = []byte("one")
	clear(given)
	got, err := r.expect(ctx, r.Journal, want, "after the caller changed the Data that it had given to Save")
	if err != nil {
		return err
	}
	clear(got.Data)
	if _, err = r.expect(ctx, r.Journal, want, "after the caller changed the Data that it had got from Load"); err != nil {
		return err
	}
	due, err := r.Journal.Due(ctx, []string{name}, due2100.Add(time.Second), 1)
	if err != nil {
		return fmt.Errorf("Due: %w", err)
	}
	for _, e := range due {
		clear(e.Data)
	}
	_, err = r.expect(ctx, r.Journal, want, "after the caller changed the Data that it had got from Due")
	return err
}

// countsRevisions saves some times; put sees that each adds one.
func countsRevisions(ctx context.Context, r *journalTrial) error {
	for i := range 5 {
		if _, err := r.put(ctx, rotation.Entry{Credential: r.name("counted"), Data: []byte{byte(i)}}); err != nil {
			return err
		}
	}
	return nil
}

// refusesOthers saves at revisions that are not the stored one.
func refusesOthers(ctx context.Context, r *journalTrial) error {
	absent := r.absent()
	nothing, err := r.Journal.Load(ctx, absent)
	if err != nil {
		return fmt.Errorf("Load of an absent credential: %w", err)
	}
	for _, revision := range []int64{1, 2} {
		if err := r.conflict(ctx, rotation.Entry{Credential: absent, Revision: revision}, nothing); err != nil {
			return fmt.Errorf("an absent credential: %w", err)
		}
	}
	name := r.name("compared")
	for i := range 3 {
		stored, err := r.put(ctx, rotation.Entry{Credential: name, Due: due2100, Data: []byte{byte(i)}})
		if err != nil {
			return err
		}
		now := stored.Revision
		for _, revision := range []int64{0, now - 1, now + 1, now + 1000} {
			e := rotation.Entry{Credential: name, Revision: revision, Data: []byte("not to be written")}
			if err := r.conflict(ctx, e, stored); err != nil {
				return err
			}
		}
	}
	return nil
}

// conflict saves e, whose revision is not the stored one, and expects that nothing happens.
func (r *journalTrial) conflict(ctx context.Context, e, want rotation.Entry) error {
	r.written[e.Credential] = want.Revision
	what := fmt.Sprintf("Save at revision %d, where %d is stored,", e.Revision, want.Revision)
	switch err := r.Journal.Save(ctx, e); {
	case err == nil:
		return errors.New(what + " reports success")
	case !errors.Is(err, rotation.ErrConflict):
		return fmt.Errorf("%s is not ErrConflict: %w", what, err)
	}
	got, err := r.Journal.Load(ctx, e.Credential)
	if err != nil {
		return fmt.Errorf("Load: %w", err)
	}
	if diff := differentEntry(want, got); diff != "" {
		return fmt.Errorf("%s wrote nevertheless: %s", what, diff)
	}
	if !got.SavedAt.Equal(want.SavedAt) {
		return fmt.Errorf("%s moved SavedAt", what)
	}
	return nil
}

// racesOfWriters lets 16 writers at one revision, some times, beginning with the creation where there is nothing yet.
func racesOfWriters(ctx context.Context, r *journalTrial) error {
	name := r.name("race")
	e, err := r.Journal.Load(ctx, name)
	if err != nil {
		return fmt.Errorf("Load: %w", err)
	}
	for revision := e.Revision; revision < e.Revision+4; revision++ {
		if err := r.race(ctx, name, revision); err != nil {
			return fmt.Errorf("%d writers at revision %d: %w", writers, revision, err)
		}
	}
	return nil
}

// race lets all writers save at the same revision. One wins, the others are told so.
func (r *journalTrial) race(ctx context.Context, name string, revision int64) error {
	r.written[name] = revision
	data := func(i int) []byte { return fmt.Appendf(nil, "writer %d", i) }
	errs := make([]error, writers)
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range writers {
		wg.Go(func() {
			<-start
			e := rotation.Entry{Credential: name, Revision: revision, Due: due2100, Data: data(i)}
			errs[i] = guard(func() error { return r.Journal.Save(ctx, e) })
		})
	}
	close(start)
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			return errors.New("more than one was told that it had written")
		case err == nil:
			winner = i
		case !errors.Is(err, rotation.ErrConflict):
			return fmt.Errorf("not ErrConflict: %w", err)
		}
	}
	if winner < 0 {
		return errors.New("nobody wrote")
	}
	r.written[name]++
	want := rotation.Entry{Credential: name, Revision: revision + 1, Due: due2100, Data: data(winner)}
	_, err := r.expect(ctx, r.Journal, want, "compared with what the winner wrote")
	return err
}

// writesNothingLate saves under a context that has ended.
func writesNothingLate(ctx context.Context, r *journalTrial) error {
	name := r.name("late")
	before, err := r.put(ctx, rotation.Entry{Credential: name, Due: due2100, Data: []byte("before")})
	if err != nil {
		return err
	}
	e := rotation.Entry{Credential: name, Revision: before.Revision, Data: []byte("after")}
	switch err := r.Journal.Save(ended(ctx), e); {
	case err == nil:
		return errors.New("Save under an ended context reports success: the caller is gone, and another one may hold the lease")
	case errors.Is(err, rotation.ErrConflict):
		return fmt.Errorf("Save under an ended context is ErrConflict, though nobody else wrote: %w", err)
	}
	_, err = r.expect(ctx, r.Journal, before, "after Save under an ended context")
	return err
}

// isDurable asks another opening of the journal.
func isDurable(ctx context.Context, r *journalTrial) error {
	if r.Reopen == nil {
		return nil
	}
	name := r.name("durable")
	var want rotation.Entry
	for _, data := range []string{"one", "two"} {
		var err error
		if want, err = r.put(ctx, rotation.Entry{Credential: name, Due: due2100, Data: []byte(data)}); err != nil {
			return err
		}
	}
	again, err := r.Reopen(ctx)
	if err != nil {
		return fmt.Errorf("cannot Reopen: %w", err)
	}
	got, err := r.expect(ctx, again, want, "in the reopened journal")
	if err != nil {
		return err
	}
	if !got.SavedAt.Equal(want.SavedAt) {
		return errors.New("in the reopened journal: another SavedAt")
	}
	if err := again.Save(ctx, rotation.Entry{Credential: name, Revision: want.Revision, Data: []byte("three")}); err != nil {
		return fmt.Errorf("Save in the reopened journal: %w", err)
	}
	r.written[name]++
	want = rotation.Entry{Credential: name, Revision: want.Revision + 1, Data: []byte("three")}
	if want, err = r.expect(ctx, r.Journal, want, "after Save in the reopened journal"); err != nil {
		return err
	}
	e := rotation.Entry{Credential: name, Revision: want.Revision - 1}
	if err := r.conflict(ctx, e, want); err != nil {
		return fmt.Errorf("after Save in the reopened journal: %w", err)
	}
	return nil
}
