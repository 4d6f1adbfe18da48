// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package journal has the journals that need nothing but the standard library: a table of SQLite for one machine or of
// PostgreSQL for a fleet ([SQL]), a secret store for jobs that have no database ([Stored]), and memory for tests
// ([Memory]).
//
// Each of them keeps the contract of [rotation.Journal], clauses J1 to J3, and these:
//
//   - The name of a credential is any text in UTF-8 without a zero byte, but not the empty one.
//   - Due is kept to the nanosecond and comes back in UTC. A time before the year 1678 or after 2262 is kept as the first
//     or the last moment between them.
//   - Due orders entries with the same time by name, byte by byte, and answers a limit below 1 with nothing.
//   - Empty Data comes back as nil.
//   - An entry with a zero Due is never returned by Due. That holds for the engine's own entries, whose names begin with
//     "handover/".
//   - No error holds any of Data. A conflict matches [rotation.ErrConflict] and nothing else does; every other error of
//     Save leaves it open whether the entry was written, until a Load tells.
package journal

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/handover-go/handover/rotation"
)

// setupError is a mistake in how a journal is set up. Its text is made of what the program itself configured.
type setupError string

func (e setupError) Error() string  { return string(e) }
func (e setupError) Public() string { return string(e) }

func setupErrorf(format string, args ...any) error { return setupError(fmt.Sprintf(format, args...)) }

// checkLoad is what every Load asks before it does anything.
func checkLoad(ctx context.Context, credential string) error {
	if err := checkName(credential); err != nil {
		return err
	}
	return ctx.Err()
}

// checkSave is what every Save asks before it does anything.
func checkSave(ctx context.Context, e rotation.Entry) error {
	if e.Revision < 0 || e.Revision == math.MaxInt64 {
		return setupErrorf("Entry.Revision %d is out of range", e.Revision)
	}
	return checkLoad(ctx, e.Credential)
}

// checkName refuses what PostgreSQL cannot keep, so that a test with another journal finds it.
func checkName(credential string) error {
	switch {
	case credential == "":
		return setupError("Entry.Credential is required")
	case !utf8.ValidString(credential) || strings.ContainsRune(credential, 0):
		return setupErrorf("Entry.Credential %q is not text", credential)
	}
	return nil
}

// wrap puts the operation in front of err. A nil err stays nil.
func wrap(err error, operation, credential string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("journal: %s %q: %w", operation, credential, err)
}

// wrapDue is wrap for Due.
func wrapDue(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("journal: due: %w", err)
}

// instant is t in UTC and within what 64 bits of nanoseconds hold. A zero t stays zero.
func instant(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return fromNanos(nanos(t))
}

// nanos is t since 1970, or the nearest that 64 bits hold.
func nanos(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time { return time.Unix(0, n).UTC() }

// sortSoonest puts entries into the order of Due.
func sortSoonest(entries []rotation.Entry) {
	slices.SortFunc(entries, func(a, b rotation.Entry) int { return soonest(a.Due, b.Due, a.Credential, b.Credential) })
}

func soonest(a, b time.Time, nameA, nameB string) int {
	if c := a.Compare(b); c != 0 {
		return c
	}
	return strings.Compare(nameA, nameB)
}
