// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import "fmt"

// failure is an error of this package. Its text is of paths, numbers and hashes, never of an event, so that it may be
// recorded: it is a rotation.PublicError.
type failure struct{ err error }

func failf(format string, args ...any) error { return &failure{fmt.Errorf(format, args...)} }

func (e *failure) Error() string  { return e.err.Error() }
func (e *failure) Public() string { return e.err.Error() }
func (e *failure) Unwrap() error  { return e.err }

// BrokenError is what Check found: the first line of a trail that does not fit. Its text holds nothing of an event.
type BrokenError struct {
	File string // its name in the folder; empty: the reader of CheckReader, or no file at all
	Line int    // from 1, of that file; zero: the file as a whole
	Why  string
}

// Error is one line: where and why.
func (e *BrokenError) Error() string {
	where := e.File
	if where == "" {
		where = "trail"
	}
	if e.Line > 0 {
		where = fmt.Sprintf("%s:%d", where, e.Line)
	}
	return fmt.Sprintf("audit: %s: %s", where, e.Why)
}

// Public is the same as Error.
func (e *BrokenError) Public() string { return e.Error() }
