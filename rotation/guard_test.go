// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// What a part of the user can do to a call, and what the engine makes of it. Success is only what returned success.
func TestGuard(t *testing.T) {
	const limit = 10 * time.Second
	own := errors.New("its own error")
	for what, c := range map[string]struct {
		call func(context.Context) (string, error)
		want string
		err  error
		took time.Duration
	}{
		"it returns":              {func(context.Context) (string, error) { return "value", nil }, "value", nil, 0},
		"it fails":                {func(context.Context) (string, error) { return "", own }, "", own, 0},
		"it fails with a value":   {func(context.Context) (string, error) { return "half", own }, "half", own, 0},
		"it panics":               {func(context.Context) (string, error) { panic("hunter2") }, "", errPanicked, 0},
		"it panics with an error": {func(context.Context) (string, error) { panic(own) }, "", errPanicked, 0},
		"it panics with nil":      {func(context.Context) (string, error) { panic(nil) }, "", errPanicked, 0}, //nolint:govet // on purpose
		"it breaks at run time":   {func(context.Context) (string, error) { var m []string; return m[0], nil }, "", errPanicked, 0},
		"it ends its goroutine":   {func(context.Context) (string, error) { runtime.Goexit(); return "never", nil }, "", errNoReturn, 0},
		"it hangs and obeys": {func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}, "", context.DeadlineExceeded, limit},
		"it comes a little late": {func(ctx context.Context) (string, error) {
			<-ctx.Done()
			time.Sleep(limit / 20)
			return "value", nil
		}, "value", nil, limit + limit/20},
		"it hangs and does not obey": {func(context.Context) (string, error) {
			time.Sleep(time.Hour)
			return "too late", nil
		}, "", errAbandoned, limit + limit/10},
		"it is slow": {func(context.Context) (string, error) {
			time.Sleep(limit - 1)
			return "value", nil
		}, "value", nil, limit - 1},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				defer time.Sleep(2 * time.Hour) // a call that was left behind ends too
				began := time.Now()
				got, err := guarded(t.Context(), limit, c.call)
				require.Equal(t, c.want, got)
				require.Equal(t, c.took, time.Since(began))
				if c.err == nil {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, c.err)
				require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), "hunter2")
			})
		})
	}
}

// An effect that has begun is finished, although whoever asked for it goes away.
func TestGuardIsNotCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), actorKey{}, "ann"))
		cancel()
		err := guard(ctx, time.Minute, func(ctx context.Context) error {
			time.Sleep(30 * time.Second)
			require.Equal(t, "ann", ctx.Value(actorKey{}))
			return ctx.Err()
		})
		require.NoError(t, err)
	})
}

// The goroutine of a call that was given up ends with the call, and its answer goes nowhere.
func TestGuardLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		err := guard(t.Context(), time.Second, func(context.Context) error {
			defer close(ended)
			time.Sleep(time.Minute)
			return nil
		})
		require.ErrorIs(t, err, errAbandoned)
		select {
		case <-ended:
			t.Fatal("it was waited for")
		default:
		}
		<-ended // and the bubble ends: no goroutine is left in it
	})
}

func TestUnsupported(t *testing.T) {
	require.True(t, unsupported(fmt.Errorf("list: %w", errors.ErrUnsupported)))
	require.False(t, unsupported(nil))
	require.False(t, unsupported(ErrDenied))
}
