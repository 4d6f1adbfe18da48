// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/handover-go/handover/rotation"
)

// trouble is an error whose text is made of names, key identities and numbers only: it may be recorded. What caused it can
// be matched, and is not in the text.
type trouble struct {
	text  string
	cause error // may be nil
}

var _ rotation.PublicError = (*trouble)(nil)

func (e *trouble) Error() string  { return "consumer: " + e.text }
func (e *trouble) Public() string { return "consumer: " + e.text }
func (e *trouble) Unwrap() error  { return e.cause }

// fail returns an error that matches cause. What it formats must hold no secret.
func fail(cause error, format string, args ...any) error {
	return &trouble{fmt.Sprintf(format, args...), cause}
}

// required is the mistake of an empty field.
func required(field string) error { return fail(nil, "%s is required", field) }

// errUnusable marks what the store has and the verifier cannot take.
var errUnusable = errors.New("not a secret of the scheme")

// alive fails if ctx has ended: what was given up is not begun. Work that asks nobody would not notice by itself.
func alive(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return fail(context.Cause(ctx), "the time was up before anything was begun")
}

// guard calls code that is not ours. A panic becomes an error: here it would end a service that only wanted a key.
func guard(what string, f func() error) (err error) {
	defer func() {
		if recover() != nil { // its text may hold anything
			err = fail(nil, "%s panicked", what)
		}
	}()
	return f()
}
