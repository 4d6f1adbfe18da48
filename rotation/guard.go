// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"errors"
	"time"
)

var (
	errPanicked  = recorded("panicked")
	errNoReturn  = recorded("ended its goroutine instead of returning")
	errAbandoned = recorded("did not return when its time was over")
)

// guard is how all user code is called: it has succeeded only if it returned. A panic becomes an error whose text is dropped,
// since it may hold a secret; a runtime.Goexit does too; and a call that ignores the end of its context is left behind, and
// counts as ambiguous like every other call that ran out of time.
//
// The call is cut off from the caller's cancellation: an effect that has begun is finished.
func guard(ctx context.Context, limit time.Duration, call func(context.Context) error) error {
	_, err := guarded(ctx, limit, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, call(ctx)
	})
	return err
}

// guarded is guard for a call with a result.
func guarded[T any](ctx context.Context, limit time.Duration, call func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	done := make(chan answer, 1)
	go func() {
		a := answer{err: errNoReturn}
		defer func() {
			if recover() != nil {
				a.err = errPanicked
			}
			done <- a
		}()
		a.value, a.err = call(ctx)
	}()
	select {
	case a := <-done:
		return a.value, a.err
	case <-ctx.Done():
	}
	late := time.NewTimer(limit / 10) // a call that heeds its context returns now, perhaps with a result
	defer late.Stop()
	select {
	case a := <-done:
		return a.value, a.err
	case <-late.C:
		var none T
		return none, errAbandoned
	}
}

// unsupported reports that an ability is absent after all.
func unsupported(err error) bool { return errors.Is(err, errors.ErrUnsupported) }
