// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/handover-go/handover/rotation"
)

// clocks is how far those who tell the time may differ.
const clocks = time.Minute

// observed proves an Observer.
func observed(ctx context.Context, r *rollout) error {
	o, ok := rotation.As[rotation.Observer](r.Consumer)
	if !ok {
		return skip("not an Observer")
	}
	old, key, err := r.pair(ctx)
	if err != nil {
		return err
	}
	if _, err := o.Observe(ctx); errors.Is(err, errors.ErrUnsupported) {
		return skip("not an Observer: ErrUnsupported")
	}
	if err := r.evidence(ctx, o, old, time.Time{}); err != nil {
		return err
	}
	if r.seen(ctx, key, time.Time{}) == nil {
		return fmt.Errorf("Observe shows that it uses %v, which it never got", key)
	}
	if err := r.promote(ctx, key, old); err != nil {
		return err
	}
	if _, err := r.deploy(ctx, r.request(key, rotation.RoleCurrent)); err != nil {
		return err
	}
	if err := r.evidence(ctx, o, key, time.Now()); err != nil {
		return err
	}
	return r.moved(ctx, key, "after it was observed")
}

// evidence waits until the Observer shows key, and looks at everything that it tells meanwhile: nothing may be too early.
func (r *rollout) evidence(ctx context.Context, o rotation.Observer, key rotation.Key, since time.Time) error {
	var wrong error
	err := within(ctx, r.lag()+r.Patience, func() error {
		if wrong = r.sane(ctx, o); wrong != nil {
			return nil
		}
		err := r.seen(ctx, key, since)
		if err == nil && r.Uses != nil {
			if wrong = r.using(ctx, key, since); wrong != nil {
				wrong = fmt.Errorf("Observe shows it on the new key, and %w", wrong)
			}
		}
		return err
	})
	if wrong != nil {
		return wrong
	}
	if err != nil {
		return fmt.Errorf("%v after Deploy returned nil, %w", r.lag()+r.Patience, err)
	}
	return nil
}

// sane looks at what is wrong at any time.
func (r *rollout) sane(ctx context.Context, o rotation.Observer) error {
	instances, err := o.Observe(ctx)
	if err != nil {
		return nil // it may fail, and is asked again
	}
	for _, i := range instances {
		switch {
		case !i.Key.Secret.IsZero():
			return fmt.Errorf("Observe tells a secret (of instance %q)", i.Name)
		case i.AsOf.After(time.Now().Add(clocks)):
			return fmt.Errorf("Observe tells of instance %q what is in the future", i.Name)
		}
	}
	return nil
}

// lagKept proves a Lagger.
func lagKept(ctx context.Context, r *rollout) error {
	l, ok := rotation.As[rotation.Lagger](r.Consumer)
	if !ok {
		return skip("not a Lagger")
	}
	if lag := l.Lag(); lag < 0 {
		return fmt.Errorf("its lag is %v", lag)
	}
	r.Lag = 0 // its own word counts here
	old, key, err := r.pair(ctx)
	if err != nil {
		return err
	}
	if err := r.promote(ctx, key, old); err != nil {
		return err
	}
	return r.move(ctx, r.request(key, rotation.RoleCurrent), "the lag that it promised")
}

// worksOnlyWithItsKey proves a Consumer that is a Verifier, too.
func worksOnlyWithItsKey(ctx context.Context, r *rollout) error {
	v, ok := rotation.As[rotation.Verifier](r.Consumer)
	if !ok {
		return skip("not a Verifier")
	}
	old, key, err := r.pair(ctx)
	if err != nil {
		return err
	}
	switch err := v.Verify(ctx, key); {
	case errors.Is(err, errors.ErrUnsupported):
		return skip("not a Verifier: ErrUnsupported")
	case err == nil:
		return errors.New("Verify says that it works with a key that it does not use")
	}
	if r.Mint != nil { // others would be refused
		err = within(ctx, r.Patience, func() error { return v.Verify(ctx, old) })
		if err != nil {
			return r.failed("Verify of the key that it uses", err)
		}
	}
	return r.stays(ctx, old, "after Verify")
}

// checkHarmless proves a Checker.
func checkHarmless(ctx context.Context, r *rollout) error {
	c, ok := rotation.As[rotation.Checker](r.Consumer)
	if !ok {
		return skip("not a Checker")
	}
	old, _, err := r.pair(ctx)
	if err != nil && !isSkip(err) {
		return err
	}
	by := isSkip(err)
	before, err := r.restarts(ctx)
	if err != nil {
		return err
	}
	for range 2 {
		err := c.Check(ctx)
		if errors.Is(err, errors.ErrUnsupported) {
			return skip("not a Checker: ErrUnsupported")
		}
		if err != nil {
			return r.failed("Check of a consumer that works", err)
		}
	}
	if by { // a person: there is nothing to look at
		return nil
	}
	if err := r.stays(ctx, old, "after Check"); err != nil {
		return err
	}
	after, err := r.restarts(ctx)
	if err == nil && after != before {
		err = fmt.Errorf("Check restarted it: %d times before, %d after", before, after)
	}
	return err
}

// validates proves a Validator.
func validates(_ context.Context, r *rollout) error {
	v, ok := rotation.As[rotation.Validator](r.Consumer)
	if !ok {
		return skip("not a Validator")
	}
	if err := v.Validate(); err != nil {
		return r.failed("Validate", err)
	}
	return nil
}
