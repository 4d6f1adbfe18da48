// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awssecrets

import (
	"context"

	"github.com/handover-go/handover/store/awssecrets/internal/smerr"
)

// The errors of this package are public: no text of an answer of AWS is in them.
func problem(text string, is ...error) error    { return smerr.New(text, is...) }
func problemf(format string, args ...any) error { return smerr.Newf(format, args...) }
func code(err error) string                     { return smerr.Code(err) }

// fail says what became of one operation on one secret.
func fail(ctx context.Context, op, id string, err error) error {
	return smerr.Fail(ctx, "awssecrets", op, id, err)
}
