// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package store

import "fmt"

// failure is an error of this package. Its text is made of names, paths, numbers and the system's own words, so it may be
// recorded: it is a rotation.PublicError.
type failure struct{ err error }

func failf(format string, args ...any) error { return &failure{fmt.Errorf(format, args...)} }

func (e *failure) Error() string  { return e.err.Error() }
func (e *failure) Public() string { return e.err.Error() }
func (e *failure) Unwrap() error  { return e.err }
