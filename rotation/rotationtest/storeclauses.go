// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// writers is how many write at one time.
const writers = 16

// loadTellsTheTruth proves S1.
func loadTellsTheTruth(ctx context.Context, s StoreSuite) error {
	v, err := s.Store.Load(ctx, s.absent())
	if err != nil {
		return fmt.Errorf("Load of an absent name: %w", err)
	}
	if v.Revision != "" || differ(rotation.Versions{}, v) != "" {
		return errors.New("Load of an absent name is not zero Versions")
	}
	for serial := range int64(5) {
		v, err := s.put(ctx, s.Name, small(serial+1))
		if err != nil {
			return err
		}
		if v.Revision == "" {
			return errors.New("Load tells no Revision of what is stored")
		}
	}
	return nil
}

// saveKeepsAll proves S2.
func saveKeepsAll(ctx context.Context, s StoreSuite) error {
	for _, check := range []func(context.Context, StoreSuite) error{roundTrip, ownMemory, otherName, interrupted} {
		if err := check(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// roundTrip saves a full state, takes its keys away one by one, and the rest with the last of them.
func roundTrip(ctx context.Context, s StoreSuite) error {
	v := full()
	for {
		if _, err := s.put(ctx, s.Name, v); err != nil {
			return fmt.Errorf("with %d keys: %w", len(v.Keys), err)
		}
		if len(v.Keys) == 0 {
			return nil
		}
		v.Keys = slices.Clone(v.Keys[1:])
		if len(v.Keys) == 0 {
			v = rotation.Versions{}
		}
	}
}

// ownMemory changes what it gave to Save and what it got from Load.
func ownMemory(ctx context.Context, s StoreSuite) error {
	given := small(1)
	if _, err := s.put(ctx, s.Name, given); err != nil {
		return err
	}
	want := cloneVersions(given)
	spoil(given)
	got, err := s.expect(ctx, s.Name, want, "after the caller changed what it had given to Save")
	if err != nil {
		return err
	}
	spoil(got)
	_, err = s.expect(ctx, s.Name, want, "after the caller changed what it had got from Load")
	return err
}

func spoil(v rotation.Versions) {
	for i := range v.Keys {
		clear(v.Keys[i].Key.Attributes)
		v.Keys[i].Role = rotation.RoleRetiring
		v.Keys[i].Key.Secret = secret.Random(16)
	}
	clear(v.Metadata)
}

// otherName saves under two names.
func otherName(ctx context.Context, s StoreSuite) error {
	mine, theirs := small(1), small(2)
	if _, err := s.put(ctx, s.Name, mine); err != nil {
		return err
	}
	if _, err := s.put(ctx, s.other(), theirs); err != nil {
		return fmt.Errorf("another name: %w", err)
	}
	if _, err := s.expect(ctx, s.Name, mine, "after Save of another name"); err != nil {
		return err
	}
	if _, err := s.put(ctx, s.other(), rotation.Versions{}); err != nil {
		return fmt.Errorf("another name: %w", err)
	}
	_, err := s.expect(ctx, s.Name, mine, "after the keys of another name were taken away")
	return err
}

// interrupted saves under a context that has ended.
func interrupted(ctx context.Context, s StoreSuite) error {
	before := small(1)
	v, err := s.put(ctx, s.Name, before)
	if err != nil {
		return err
	}
	after := full()
	after.Revision = v.Revision
	saved := s.Store.Save(ended(ctx), s.Name, after)
	got, err := s.Store.Load(ctx, s.Name)
	if err != nil {
		return fmt.Errorf("Load after an interrupted Save: %w", err)
	}
	switch {
	case differ(after, got) == "":
		return nil
	case saved == nil:
		return errors.New("Save under an ended context reports success and did not write")
	case differ(before, got) != "":
		return errors.New("an interrupted Save left neither the old state nor the new one")
	}
	return nil
}

// saveCompares proves S3.
func saveCompares(ctx context.Context, s StoreSuite) error {
	if c, ok := rotation.As[rotation.Conditional](s.Store); !ok || !c.Conditional() {
		return errors.New("not Conditional, or says false: rotation.New refuses a store that does not compare revisions")
	}
	first, err := s.put(ctx, s.Name, small(1))
	if err != nil {
		return err
	}
	second, err := s.put(ctx, s.Name, small(2))
	if err != nil {
		return err
	}
	for _, revision := range []string{first.Revision, ""} {
		if err := s.conflict(ctx, s.Name, revision, second); err != nil {
			return err
		}
	}
	if err := s.conflict(ctx, s.absent(), second.Revision, rotation.Versions{}); err != nil {
		return fmt.Errorf("an absent name: %w", err)
	}
	if err := s.race(ctx, s.Name, second.Revision); err != nil {
		return err
	}
	return s.createRace(ctx)
}

// conflict saves at a revision that is not the stored one and expects that nothing happens.
func (s StoreSuite) conflict(ctx context.Context, name, revision string, want rotation.Versions) error {
	v := small(9)
	v.Revision = revision
	switch err := s.Store.Save(ctx, name, v); {
	case err == nil:
		return fmt.Errorf("Save at the revision %q, which is not the stored one, reports success", revision)
	case !errors.Is(err, rotation.ErrConflict):
		return fmt.Errorf("Save at the revision %q, which is not the stored one, is not ErrConflict: %w", revision, err)
	}
	got, err := s.expect(ctx, name, want, "after ErrConflict")
	if err == nil && got.Revision != want.Revision {
		err = errors.New("after ErrConflict: another Revision")
	}
	return err
}

// createRace lets the writers create an entry, where there is none yet.
func (s StoreSuite) createRace(ctx context.Context) error {
	v, err := s.Store.Load(ctx, s.create())
	if err != nil {
		return fmt.Errorf("Load: %w", err)
	}
	if v.Revision != "" {
		return nil
	}
	if err := s.race(ctx, s.create(), ""); err != nil {
		return fmt.Errorf("an absent name: %w", err)
	}
	return nil
}

// race lets all writers save at the same revision. One wins, the others are told so.
func (s StoreSuite) race(ctx context.Context, name, revision string) error {
	states, errs := make([]rotation.Versions, writers), make([]error, writers)
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range writers {
		states[i] = small(int64(100 + i))
		states[i].Revision = revision
		wg.Go(func() {
			<-start
			errs[i] = guard(func() error { return s.Store.Save(ctx, name, cloneVersions(states[i])) })
		})
	}
	close(start)
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			return fmt.Errorf("%d writers at one revision: more than one was told that it had written", writers)
		case err == nil:
			winner = i
		case !errors.Is(err, rotation.ErrConflict):
			return fmt.Errorf("%d writers at one revision: not ErrConflict: %w", writers, err)
		}
	}
	if winner < 0 {
		return fmt.Errorf("%d writers at one revision: nobody wrote", writers)
	}
	_, err := s.expect(ctx, name, states[winner], "after the race, compared with what the winner wrote")
	return err
}

// currentIsCurrent proves S4, as far as this store's own Load and StoreSuite.Current can tell.
func currentIsCurrent(ctx context.Context, s StoreSuite) error {
	old, pending := stored(1), stored(2)
	for _, step := range []struct {
		when     string
		old, new rotation.Role
		want     rotation.Key
	}{
		{"while another key is pending", rotation.RoleCurrent, rotation.RolePending, old},
		{"after the pending key was promoted", rotation.RolePrevious, rotation.RoleCurrent, pending},
		{"after the promotion was taken back", rotation.RoleCurrent, rotation.RolePending, old},
	} {
		keys := []rotation.StoredKey{{Key: pending, Role: step.new}, {Key: old, Role: step.old}}
		got, err := s.put(ctx, s.Name, rotation.Versions{Keys: keys})
		if err != nil {
			return fmt.Errorf("%s: %w", step.when, err)
		}
		if !got.Key(rotation.RoleCurrent).Equal(step.want) {
			return fmt.Errorf("%s: another key is current", step.when)
		}
		if err := s.readersSee(ctx, step.want.Secret); err != nil {
			return fmt.Errorf("%s: %w", step.when, err)
		}
	}
	if _, err := s.put(ctx, s.Name, rotation.Versions{}); err != nil {
		return err
	}
	return s.readersLost(ctx, old.Secret, pending.Secret)
}

// readersSee fails if other readers see another value.
func (s StoreSuite) readersSee(ctx context.Context, want secret.Value) error {
	if s.Current == nil {
		return nil
	}
	switch got, err := s.Current(ctx, s.Name); {
	case err != nil:
		return fmt.Errorf("StoreSuite.Current: %w", err)
	case got.IsZero():
		return errors.New("other readers see no value")
	case !got.Equal(want):
		return errors.New("other readers see another value than that of the current key")
	}
	return nil
}

// readersLost fails if other readers still see one of the values. An error will do: there is nothing to see.
func (s StoreSuite) readersLost(ctx context.Context, values ...secret.Value) error {
	if s.Current == nil {
		return nil
	}
	got, err := s.Current(ctx, s.Name)
	if err == nil && slices.ContainsFunc(values, got.Equal) {
		return errors.New("other readers still see a value after every key was taken away")
	}
	return nil
}

// namesListed proves an Enumerator.
func namesListed(ctx context.Context, s StoreSuite) error {
	e, ok := rotation.As[rotation.Enumerator](s.Store)
	if !ok {
		return skip("not an Enumerator")
	}
	for range 2 {
		if _, err := s.put(ctx, s.Name, small(1)); err != nil {
			return err
		}
	}
	absent := s.absent()
	if _, err := s.Store.Load(ctx, absent); err != nil {
		return fmt.Errorf("Load: %w", err)
	}
	names, err := e.Names(ctx)
	if errors.Is(err, errors.ErrUnsupported) {
		return skip("not an Enumerator: ErrUnsupported")
	}
	if err != nil {
		return fmt.Errorf("Names: %w", err)
	}
	n := 0
	for _, name := range names {
		if name == s.Name {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("%q is listed %d times", s.Name, n)
	}
	if slices.Contains(names, absent) {
		return errors.New("a name that was only asked for is listed")
	}
	return nil
}
