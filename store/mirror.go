// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Mirror is one store made of several: one credential whose value is kept in more than one environment. The primary
// decides: revisions and names are its own, its Load is what is read. Save writes the primary first and then brings every
// copy to what the primary holds; a copy that fails does not keep the others from being tried, and the error names it.
// What only a copy holds is overwritten.
//
// Saving again repairs. So that somebody does, Load also looks at the copies, and returns the primary's versions without
// their Stamp while a copy holds something else or cannot be read: a state that nobody has finished writing. Who writes
// target states, as the engine does, sees a difference and saves, even if it is another process that knows nothing of the
// failure. Keys, roles and metadata are always the primary's, so readers are not affected by a copy, and no copy makes
// Load fail. A store that does not give back all that was saved never counts as up to date.
//
// The primary should not be one of the copies. Where ctx has a deadline, the copies share the time that is left, so that
// one that hangs does not take it all. A Mirror is as safe for concurrent use as its stores and implements
// rotation.Conditional, Enumerator, Checker and Identifier as far as they do. A store that is nil is an error of every
// method.
func Mirror(primary rotation.SecretStore, copies ...rotation.SecretStore) rotation.SecretStore {
	return &mirror{primary, copies}
}

type mirror struct {
	primary rotation.SecretStore
	copies  []rotation.SecretStore
}

// attempts to bring a copy up to date. Each conflict means that somebody else wrote it meanwhile, so two are enough unless
// many writers meet.
const attempts = 10

// Load returns what the primary holds, without Stamp unless every copy holds the same.
func (m *mirror) Load(ctx context.Context, name string) (rotation.Versions, error) {
	if err := m.validate(name); err != nil {
		return rotation.Versions{}, err
	}
	v, err := m.primary.Load(ctx, name)
	if err != nil {
		return rotation.Versions{}, err
	}
	for i, c := range m.copies {
		if !m.upToDate(ctx, len(m.copies)-i, c, name, v) {
			v.Stamp = ""
			break
		}
	}
	return v, nil
}

func (m *mirror) upToDate(ctx context.Context, left int, c rotation.SecretStore, name string, v rotation.Versions) bool {
	ctx, cancel := share(ctx, left+1) // one share is the caller's, to get the answer in time
	defer cancel()
	have, err := c.Load(ctx, name)
	return err == nil && same(have, v)
}

// Save saves in the primary, whose error is returned as it is, and then in the copies.
func (m *mirror) Save(ctx context.Context, name string, v rotation.Versions) error {
	if err := m.validate(name); err != nil {
		return err
	}
	if err := m.primary.Save(ctx, name, v); err != nil {
		return err
	}
	var errs mirrorErrors
	for i, c := range m.copies {
		if err := m.update(ctx, len(m.copies)-i, c, name); err != nil {
			errs = append(errs, &copyError{number: i + 1, identity: identity(c), err: err})
		}
	}
	return errs.orNil()
}

// update brings one copy to what the primary holds. It loads the copy before the primary: what it then writes is newer
// than what it replaces, or the copy's revision has moved and it looks again. A writer that was held up between the
// primary and the copy can therefore not put an older state back.
func (m *mirror) update(ctx context.Context, left int, c rotation.SecretStore, name string) error {
	ctx, cancel := share(ctx, left)
	defer cancel()
	var conflict error
	for range attempts {
		have, err := c.Load(ctx, name)
		if err != nil {
			return err
		}
		want, err := m.primary.Load(ctx, name)
		if err != nil {
			return err
		}
		if same(have, want) {
			return nil
		}
		want.Revision = have.Revision
		if conflict = c.Save(ctx, name, want); !errors.Is(conflict, rotation.ErrConflict) {
			return conflict
		}
	}
	return conflict
}

// Names returns the names of the primary, or errors.ErrUnsupported if it has none to give.
func (m *mirror) Names(ctx context.Context) ([]string, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	if e, ok := rotation.As[rotation.Enumerator](m.primary); ok {
		return e.Names(ctx)
	}
	return nil, failf("store: the primary of the mirror does not list names: %w", errors.ErrUnsupported)
}

// Conditional is what the primary says.
func (m *mirror) Conditional() bool {
	c, ok := rotation.As[rotation.Conditional](m.primary)
	return ok && c.Conditional()
}

// Check asks every store that can be asked.
func (m *mirror) Check(ctx context.Context) error {
	if err := m.Validate(); err != nil {
		return err
	}
	var errs mirrorErrors
	for i, s := range append([]rotation.SecretStore{m.primary}, m.copies...) {
		c, ok := rotation.As[rotation.Checker](s)
		if !ok {
			continue
		}
		if err := c.Check(ctx); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			errs = append(errs, &copyError{number: i, identity: identity(s), err: err})
		}
	}
	return errs.orNil()
}

// Identity joins those of the stores.
func (m *mirror) Identity() string {
	all := []string{identity(m.primary)}
	for _, c := range m.copies {
		all = append(all, identity(c))
	}
	return "mirror of " + strings.Join(all, " and ")
}

// Validate reports every store that is missing and what the stores say of themselves.
func (m *mirror) Validate() error {
	var errs []error
	for i, s := range append([]rotation.SecretStore{m.primary}, m.copies...) {
		switch v := s.(type) {
		case nil:
			if i == 0 {
				errs = append(errs, failf("store: Mirror: primary is required"))
				continue
			}
			errs = append(errs, failf("store: Mirror: copy %d is nil", i))
		case interface{ Validate() error }:
			errs = append(errs, v.Validate())
		}
	}
	return errors.Join(errs...)
}

func (m *mirror) validate(name string) error {
	if err := m.Validate(); err != nil {
		return err
	}
	return checkName(name)
}

// identity is what s says, or its type.
func identity(s rotation.SecretStore) string {
	if i, ok := rotation.As[rotation.Identifier](s); ok {
		return i.Identity()
	}
	return fmt.Sprintf("%T", s)
}

// share gives an equal part of the time that is left to each of n.
func share(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || n < 2 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(n))
}

// mirrorErrors are the failures of some of the stores of a Mirror.
type mirrorErrors []*copyError

func (e mirrorErrors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

func (e mirrorErrors) Error() string  { return e.join((*copyError).Error) }
func (e mirrorErrors) Public() string { return e.join((*copyError).Public) }

func (e mirrorErrors) join(text func(*copyError) string) string {
	texts := make([]string, 0, len(e))
	for _, c := range e {
		texts = append(texts, text(c))
	}
	return "store: mirror: " + strings.Join(texts, "; ")
}

func (e mirrorErrors) Unwrap() []error {
	errs := make([]error, 0, len(e))
	for _, c := range e {
		errs = append(errs, c)
	}
	return errs
}

// copyError says which store failed; number 0 is the primary.
type copyError struct {
	number   int
	identity string
	err      error
}

func (e *copyError) Error() string { return e.name() + ": " + e.err.Error() }

// Public holds of err what err itself offers for it.
func (e *copyError) Public() string {
	var public rotation.PublicError
	if errors.As(e.err, &public) {
		return e.name() + ": " + public.Public()
	}
	return e.name() + " failed"
}

func (e *copyError) name() string {
	if e.number == 0 {
		return fmt.Sprintf("primary (%s)", e.identity)
	}
	return fmt.Sprintf("copy %d (%s)", e.number, e.identity)
}

// Unwrap hides a conflict: the primary has been written, and ErrConflict promises that nothing was.
func (e *copyError) Unwrap() error {
	if errors.Is(e.err, rotation.ErrConflict) {
		return nil
	}
	return e.err
}
