// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// StoreSuite proves a SecretStore against S1 to S4, and that it lists its names where it is an Enumerator.
//
// It uses Name, Name with "-other" and Name with "-create" behind it, looks at one more that does not exist, and leaves them
// without keys. That two writers who create an entry at the same time are told apart is proven only where "-create" is absent
// yet: use an empty store for that. Do not run two suites with one Name at the same time.
//
// What is seen from outside is not everything: that a value which left is destroyed (S2) is for the implementation's own
// tests, which know where to look, and so is what other readers see (S4) where Current is nil.
type StoreSuite struct {
	Store rotation.SecretStore // required
	Name  string               // required: a name that it may overwrite

	// Current returns what those who read the store by other means see as the value of name; a zero Value if they see none.
	Current func(ctx context.Context, name string) (secret.Value, error)
}

// Run runs one subtest for each clause, named after it.
func (s StoreSuite) Run(t *testing.T) {
	t.Helper()
	runClauses(t, s.Validate(), s.clauses())
}

// Check is Run without a test: the error joins the clauses that failed, each line beginning with the name of its clause.
func (s StoreSuite) Check(ctx context.Context) error {
	return checkClauses(ctx, s.Validate(), s.clauses())
}

// Validate names every required field that is missing.
func (s StoreSuite) Validate() error {
	var errs []error
	if s.Store == nil {
		errs = append(errs, errors.New("rotationtest: StoreSuite.Store is required"))
	}
	if s.Name == "" {
		errs = append(errs, errors.New("rotationtest: StoreSuite.Name is required"))
	}
	return errors.Join(errs...)
}

func (s StoreSuite) clauses() []clause {
	in := func(check func(context.Context, StoreSuite) error) func(context.Context) error {
		return func(ctx context.Context) error { return s.try(ctx, check) }
	}
	return []clause{
		{
			"S1", "An absent name is zero Versions and no error, and Load tells what the last Save wrote: from an old answer the " +
				"engine would take a key for lost.", in(loadTellsTheTruth),
		},
		{
			"S2", "Save keeps every field, times to the millisecond, drops what is not there any more, shares no memory with its " +
				"caller and touches no other name. Interrupted, it leaves the old state or the new one.", in(saveKeepsAll),
		},
		{
			"S3", "Save compares revisions, also for a name that is absent and among 16 writers at one time, and writes nothing if " +
				"they differ: where the last write wins, two writers can lose a key.", in(saveCompares),
		},
		{
			"S4", "The current key is the one with RoleCurrent, before and after a pending one is promoted: also for those who read the " +
				"value by other means, who would else use a key that is not proven, or one that is about to die.", in(currentIsCurrent),
		},
		{
			"Names", "An Enumerator lists what was saved, once, and nothing that was not.", in(namesListed),
		},
	}
}

// try proves one clause and takes the keys away behind it.
func (s StoreSuite) try(ctx context.Context, check func(context.Context, StoreSuite) error) error {
	err := guard(func() error { return check(ctx, s) })
	over, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	left := guard(func() error { return s.cleanUp(over) })
	var reason skip
	if left != nil && errors.As(err, &reason) {
		return left
	}
	if left == nil {
		return err
	}
	return errors.Join(err, left)
}

// The other names of the suite.
func (s StoreSuite) other() string  { return s.Name + "-other" }
func (s StoreSuite) create() string { return s.Name + "-create" }
func (s StoreSuite) absent() string { return s.Name + "-absent-" + newUUID()[:8] }

// cleanUp leaves no key behind.
func (s StoreSuite) cleanUp(ctx context.Context) error {
	var errs []error
	for _, name := range []string{s.Name, s.other(), s.create()} {
		v, err := s.Store.Load(ctx, name)
		if err == nil && len(v.Keys) > 0 {
			err = s.Store.Save(ctx, name, rotation.Versions{Revision: v.Revision})
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("clean-up of %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// put replaces what is stored under name and returns it as it was read back.
func (s StoreSuite) put(ctx context.Context, name string, v rotation.Versions) (rotation.Versions, error) {
	old, err := s.Store.Load(ctx, name)
	if err != nil {
		return rotation.Versions{}, fmt.Errorf("Load: %w", err)
	}
	v.Revision = old.Revision
	if err := s.Store.Save(ctx, name, v); err != nil {
		return rotation.Versions{}, fmt.Errorf("Save at the stored revision: %w", err)
	}
	return s.expect(ctx, name, v, "after Save")
}

// expect loads name and compares it with want, but for the revision.
func (s StoreSuite) expect(ctx context.Context, name string, want rotation.Versions, when string) (rotation.Versions, error) {
	got, err := s.Store.Load(ctx, name)
	if err != nil {
		return got, fmt.Errorf("Load: %w", err)
	}
	if diff := differ(want, got); diff != "" {
		return got, fmt.Errorf("%s: %s", when, diff)
	}
	return got, nil
}

// precision is what has to be kept of a time.
const precision = time.Millisecond

func sameTime(a, b time.Time) bool {
	return a.IsZero() == b.IsZero() && a.Sub(b).Abs() < precision
}
