// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/handover-go/handover/rotation"
)

const (
	lookLimit  = 30 * time.Second // of one look at a store that hangs
	firstRetry = time.Second
)

// first looks at the store until it gives a definite answer or ctx ends.
func (h *Handle) first(ctx context.Context) error {
	retry := newRetry(h.src.every())
	for {
		err := h.look(ctx)
		switch {
		case err == nil, errors.Is(err, rotation.ErrNotFound), errors.Is(err, rotation.ErrDenied):
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
func (h *Handle) follow() {
	every := h.src.every()
	wait, retry := jitter(every), newRetry(every)
	for {
		select {
		case <-h.life.Done():
			return
		case <-time.After(wait):
		}
		if err := h.look(h.life); err != nil {
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
func (h *Handle) look(ctx context.Context) error {
	for joined := false; ; joined = true {
		if h.life.Err() != nil {
			return errClosed
		}
		led := false
		done := h.flights.DoChan("", func() (any, error) {
			led = true
			return nil, h.load()
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

var errClosed = fail(nil, "the handle is closed")

// load asks the store and takes the key to use. A failure leaves the key as it is.
func (h *Handle) load() error {
	wish := h.wish.Load()
	versions, err := h.ask()
	if err == nil {
		key, canary := choose(versions, wish)
		if !canary {
			h.wish.CompareAndSwap(wish, nil) // unless another wish came meanwhile: it has not been looked for yet
		}
		if key.IsZero() {
			err = fail(rotation.ErrNotFound, "the store has no current key of %s", h.src.Credential)
		} else {
			h.adopt(key)
		}
	}
	h.note(err)
	return err
}

func (h *Handle) ask() (v rotation.Versions, err error) {
	ctx, cancel := context.WithTimeout(h.life, lookLimit)
	defer cancel()
	err = guard("the store", func() (err error) {
		v, err = h.src.Store.Load(ctx, h.src.Credential)
		return err
	})
	return v, err
}

// note logs the first failure in a row, and its end.
func (h *Handle) note(err error) {
	h.mu.Lock()
	before, closed := h.failing, h.closed
	h.failing = err != nil
	h.mu.Unlock()
	if before == (err != nil) || closed {
		return
	}
	if err == nil {
		h.src.logger().Info("consumer: the store answers again", "credential", h.src.Credential)
		return
	}
	public := &rotation.Error{Credential: h.src.Credential, Err: err} // the text of err may hold anything
	text := "consumer: no key from the store; the last one stays in use"
	if h.Key().IsZero() {
		text = "consumer: no key from the store yet"
	}
	h.src.logger().Warn(text, "error", public.Error())
}
