// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"golang.org/x/sync/singleflight"

	"github.com/handover-go/handover/rotation"
)

const (
	lookLimit  = 30 * time.Second // of one look at a store that hangs
	firstRetry = time.Second
)

// watch looks at the store again and again: what Handle and Receiver share.
type watch struct {
	src      Source
	instance string
	take     func() error    // asks the store and takes what it finds; only one runs at a time
	life     context.Context // ends with Close; not a caller's
	end      context.CancelFunc
	flights  singleflight.Group // looks at the store: one at a time
	work     sync.WaitGroup     // the follower, and looks that are not a caller's

	mu      sync.Mutex // guards what follows, and what is said of it elsewhere
	closed  bool
	failing string // how the last look failed; empty: it did not
}

// begin is the end of the construction: before it a watch has neither store nor life.
func (w *watch) begin(src Source, take func() error) {
	w.src, w.take, w.instance = src, take, processName(src)
	w.life, w.end = context.WithCancel(context.Background())
}

func processName(src Source) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return cmp.Or(src.Instance, fmt.Sprintf("%s:%d", host, os.Getpid()))
}

// first looks at the store until it gives a definite answer or ctx ends.
func (w *watch) first(ctx context.Context) error {
	retry := newRetry(w.src.every())
	for {
		err := w.look(ctx)
		switch {
		case err == nil, errors.Is(err, rotation.ErrNotFound), errors.Is(err, rotation.ErrDenied), errors.Is(err, errUnusable):
			return err
		case ctx.Err() != nil:
			return errors.Join(context.Cause(ctx), err)
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(retry()):
		}
	}
}

// follow looks at the store until Close: each Every, and sooner after a failure.
func (w *watch) follow() {
	every := w.src.every()
	wait, retry := jitter(every), newRetry(every)
	for {
		select {
		case <-w.life.Done():
			return
		case <-time.After(wait):
		}
		if err := w.look(w.life); err != nil {
			wait = retry()
			continue
		}
		wait, retry = jitter(every), newRetry(every)
	}
}

// jitter is d, a tenth more or less: a fleet that started together shall not ask together.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}

// newRetry returns the waits after failures in a row: about 1 s, growing to at most longest.
func newRetry(longest time.Duration) func() time.Duration {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(min(firstRetry, longest)),
		backoff.WithMultiplier(2),
		backoff.WithMaxInterval(longest),
		backoff.WithMaxElapsedTime(0),
	)
	return func() time.Duration { return min(b.NextBackOff(), longest) }
}

// look looks at the store, with a look that begins after the call, and takes what it finds. However many call it at the same
// time, the store is asked once or twice.
func (w *watch) look(ctx context.Context) error {
	for joined := false; ; joined = true {
		if w.life.Err() != nil {
			return errClosed
		}
		led := false
		done := w.flights.DoChan("", func() (any, error) {
			led = true
			return nil, w.take()
		})
		select {
		case r := <-done:
			if led || joined {
				return r.Err
			}
			// That look began before the call and may have missed what the caller was told of. The next one has not.
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

var errClosed = fail(nil, "it is closed")

func (w *watch) ask() (v rotation.Versions, err error) {
	ctx, cancel := context.WithTimeout(w.life, lookLimit)
	defer cancel()
	err = guard("the store", func() (err error) {
		v, err = w.src.Store.Load(ctx, w.src.Credential)
		return err
	})
	return v, err
}

// note logs the first failure of a kind in a row, as text, and its end.
func (w *watch) note(err error, text string) {
	if err == nil {
		text = ""
	}
	w.mu.Lock()
	before, closed := w.failing, w.closed
	w.failing = text
	w.mu.Unlock()
	if before == text || closed {
		return
	}
	if err == nil {
		w.src.logger().Info("consumer: the store answers again", "credential", w.src.Credential)
		return
	}
	public := &rotation.Error{Credential: w.src.Credential, Err: err} // the text of err may hold anything
	w.src.logger().Warn("consumer: "+text, "error", public.Error())
}

// close stops following and returns when nothing runs any more.
func (w *watch) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	if w.end == nil { // it follows nothing
		return
	}
	w.end()
	w.work.Wait()
	<-w.flights.DoChan("", func() (any, error) { return nil, nil }) // after the one under way
}

// open fails once it is closed.
func (w *watch) open() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errClosed
	}
	return nil
}

// suits fails if req is about another credential, or not about a key in use.
func (w *watch) suits(what string, req rotation.DeployRequest) error {
	if req.Role != "" && req.Role != rotation.RoleCurrent && req.Role != rotation.RolePending {
		return fail(nil, "a %s key is not for use", req.Role)
	}
	if mine := w.src.Credential; mine != "" && req.Credential != "" && mine != req.Credential {
		return fail(nil, "this %s follows %s, not %s", what, mine, req.Credential)
	}
	return nil
}

// identity names the credential, and the store where that can be named.
func (w *watch) identity(what, none string) string {
	text := what + " of " + cmp.Or(w.src.Credential, none)
	if id, ok := rotation.As[rotation.Identifier](w.src.Store); ok {
		text += " in " + id.Identity()
	}
	return text
}
