// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// keyUsed proves C1: a move in peace, and one in an emergency.
func keyUsed(ctx context.Context, r *rollout) error {
	first, second, err := r.pair(ctx)
	if err != nil {
		return err
	}
	if r.using(ctx, second, time.Time{}) == nil {
		return fmt.Errorf("it is seen using %v, which it never got: what tells the key proves nothing", second)
	}
	if err := r.promote(ctx, second, first); err != nil {
		return err
	}
	if err := r.move(ctx, r.request(second, rotation.RoleCurrent), "a new key"); err != nil {
		return err
	}
	if err := r.stays(ctx, second, "a new key, a while later"); err != nil {
		return err
	}
	third, err := r.next(ctx, second)
	if err != nil {
		return err
	}
	if err := r.store(ctx, as(rotation.RoleCurrent, third), leaked(rotation.RolePrevious, second)); err != nil {
		return err
	}
	req := r.request(third, rotation.RoleCurrent)
	req.Emergency = true
	if err := r.move(ctx, req, "a new key in an emergency"); err != nil {
		return err
	}
	return r.stays(ctx, third, "a new key in an emergency, a while later")
}

// requestGetsOn proves C2. A consumer that reads a store is asked before the store shows the key.
func requestGetsOn(ctx context.Context, r *rollout) error {
	old, key, err := r.pair(ctx)
	if err != nil {
		return err
	}
	req, ask := r.request(key, rotation.RoleCurrent), r.deploy
	if r.Store != nil {
		ask = r.insist
		if err := r.early(ctx, req, old); err != nil {
			return err
		}
		if err := r.promote(ctx, key, old); err != nil {
			return err
		}
	}
	calls, err := ask(ctx, req)
	if err != nil {
		return err
	}
	if err := r.moved(ctx, key, "the same request, asked again"); err != nil {
		return err
	}
	if calls == 1 && r.Store == nil {
		return skip("it never said ErrNotYet")
	}
	return nil
}

// early makes a request for a key that the store does not show as current yet. It may say that it has to wait, and it may know
// the key from the request. Only where it has a lag of its own can nil be a promise.
func (r *rollout) early(ctx context.Context, req rotation.DeployRequest, old rotation.Key) error {
	switch err := r.Consumer.Deploy(ctx, req); {
	case err != nil:
		return r.either(ctx, old, req.Key, "a request that came before the store showed its key")
	case r.lag() > 0:
		return nil
	}
	return r.moved(ctx, req.Key, "a request that came before the store showed its key")
}

// oldKeyObeyed proves C3.
func oldKeyObeyed(ctx context.Context, r *rollout) error {
	old, key, err := r.pair(ctx)
	if err != nil {
		return err
	}
	back, forth := r.request(old, rotation.RoleCurrent), r.request(key, rotation.RoleCurrent)
	if err := r.promote(ctx, key, old); err != nil {
		return err
	}
	if err := r.move(ctx, forth, "a new key"); err != nil {
		return err
	}
	if err := r.again(ctx, forth); err != nil {
		return err
	}
	for _, way := range []string{"", ", for the second time"} {
		if err := r.store(ctx, as(rotation.RoleCurrent, old), as(rotation.RolePending, key)); err != nil {
			return err
		}
		if err := r.move(ctx, back, "a roll-back to the older key"+way); err != nil {
			return err
		}
		if err := r.promote(ctx, key, old); err != nil {
			return err
		}
		if err := r.move(ctx, forth, "the newer key under the ID that it had"+way); err != nil {
			return err
		}
	}
	if err := r.store(ctx, as(rotation.RoleCurrent, old), leaked(rotation.RolePrevious, key)); err != nil {
		return err
	}
	r.rotation = newUUID()
	back = r.request(old, rotation.RoleCurrent)
	back.Emergency = true
	if err := r.move(ctx, back, "an older key in an emergency"); err != nil {
		return err
	}
	return r.stays(ctx, old, "an older key in an emergency, a while later")
}

// again repeats a request that was done.
func (r *rollout) again(ctx context.Context, req rotation.DeployRequest) error {
	before, err := r.restarts(ctx)
	if err != nil {
		return err
	}
	for range 2 {
		if err := r.move(ctx, req, "the same request again"); err != nil {
			return err
		}
	}
	if err := r.stays(ctx, req.Key, "the same request again, a while later"); err != nil {
		return err
	}
	after, err := r.restarts(ctx)
	if err == nil && after != before {
		err = fmt.Errorf("the same request again restarted it: %d times before, %d after", before, after)
	}
	return err
}

func (r *rollout) restarts(ctx context.Context) (int, error) {
	if r.Restarts == nil {
		return 0, nil
	}
	n, err := r.Restarts(ctx)
	if err != nil {
		return n, r.failed("ConsumerSuite.Restarts", err)
	}
	return n, nil
}

// pendingObeyed proves C4.
func pendingObeyed(ctx context.Context, r *rollout) error {
	old, key, err := r.pair(ctx)
	if err != nil {
		return err
	}
	if err := r.stays(ctx, old, "while a key is pending that it was not told to use"); err != nil {
		return err
	}
	canary := r.request(key, rotation.RolePending)
	_, err = r.deploy(ctx, canary)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		if err := r.stays(ctx, old, "after ErrUnsupported for a pending key"); err != nil {
			return err
		}
	case err != nil:
		return fmt.Errorf("a pending key: %w", err)
	default:
		if err := r.withdraw(ctx, canary, old); err != nil {
			return err
		}
	}
	if err := r.promote(ctx, key, old); err != nil {
		return err
	}
	// The engine asks for the promoted key under the ID that the canary's request had.
	return r.move(ctx, r.request(key, rotation.RoleCurrent), "a key that was pending and is current now")
}

// withdraw sees the canary on its key, takes the key away again, and brings it back.
func (r *rollout) withdraw(ctx context.Context, canary rotation.DeployRequest, old rotation.Key) error {
	if err := r.moved(ctx, canary.Key, "a pending key"); err != nil {
		return err
	}
	if err := r.stays(ctx, canary.Key, "a pending key, a while later"); err != nil {
		return err
	}
	if err := r.move(ctx, r.request(old, rotation.RoleCurrent), "back from a pending key"); err != nil {
		return err
	}
	return r.move(ctx, canary, "a pending key for the second time")
}

// deploySilent makes calls that cannot succeed, and some that can, with keys in them.
func deploySilent(ctx context.Context, r *rollout) error {
	key, err := r.start(ctx)
	if err != nil && !isSkip(err) {
		return err
	}
	// What files, environments, headers and URLs do not take as it is makes their writers fail in their own words.
	awkward := key
	awkward.Serial++
	awkward.Secret = secret.New("line\nend\x00'\"%zz\\" + secret.Random(16).Reveal())
	unknown := key
	unknown.Serial, unknown.ID = key.Serial+2, "no such key/%zz'\";\x7f"
	unknown.Secret = secret.Random(16)
	r.secrets = append(r.secrets, awkward.Secret, unknown.Secret)

	over := ended(ctx)
	var errs []error
	see := func(what string, err error) {
		if leaks(err, r.secrets) {
			errs = append(errs, fmt.Errorf("the error of %s carries a secret", what))
		}
	}
	for _, c := range []struct {
		what string
		ctx  context.Context
		key  rotation.Key
	}{
		{"under an ended context", over, key},
		{"of an impossible value", ctx, awkward},
		{"of an impossible key", ctx, unknown},
	} {
		for _, role := range []rotation.Role{rotation.RoleCurrent, rotation.RolePending} {
			see("Deploy "+c.what, r.Consumer.Deploy(c.ctx, r.request(c.key, role)))
		}
		if v, ok := rotation.As[rotation.Verifier](r.Consumer); ok {
			see("Verify "+c.what, v.Verify(c.ctx, c.key))
		}
		if k, ok := rotation.As[rotation.Checker](r.Consumer); ok {
			see("Check "+c.what, k.Check(c.ctx))
		}
		if o, ok := rotation.As[rotation.Observer](r.Consumer); ok {
			instances, err := o.Observe(c.ctx)
			see("Observe "+c.what, err)
			see("Observe", shown(instances))
		}
	}
	if id, ok := rotation.As[rotation.Identifier](r.Consumer); ok && leaks(errors.New(id.Identity()), r.secrets) {
		errs = append(errs, errors.New("Identity tells a secret"))
	}
	if isSkip(err) {
		return errors.Join(errs...)
	}
	return errors.Join(append(errs, r.retry(ctx, r.request(key, rotation.RoleCurrent), "a good key, after requests that cannot succeed"))...)
}

// shown is everything in instances that is recorded, as an error to look through.
func shown(instances []rotation.Instance) error {
	var errs []error
	for _, i := range instances {
		errs = append(errs, errors.New(i.Name+" "+i.Key.ID+" "+i.Key.Name))
	}
	return errors.Join(errs...)
}

// contextEnds proves that Deploy gives up with its context.
func contextEnds(ctx context.Context, r *rollout) error {
	old, key, err := r.pair(ctx)
	if err != nil {
		return err
	}
	if err := r.promote(ctx, key, old); err != nil {
		return err
	}
	req := r.request(key, rotation.RoleCurrent)
	if r.Consumer.Deploy(ended(ctx), req) == nil {
		return errors.New("Deploy reports success although its context had ended")
	}
	if err := r.either(ctx, old, key, "Deploy under an ended context"); err != nil {
		return err
	}
	return r.retry(ctx, req, "the same request, after one whose context had ended")
}

// either sees that the consumer uses one of two keys, after something that may have had its effect.
func (r *rollout) either(ctx context.Context, old, key rotation.Key, what string) error {
	if err := wait(ctx, r.lag()); err != nil {
		return err
	}
	if err := r.using(ctx, old, time.Time{}); err != nil && r.using(ctx, key, time.Time{}) != nil {
		return fmt.Errorf("%s left neither the old key nor the new one: %w", what, err)
	}
	return nil
}

// valueNeeded proves that a key without a value is not used. No store knows it: what reads one cannot get it elsewhere.
func valueNeeded(ctx context.Context, r *rollout) error {
	old, err := r.start(ctx)
	if err != nil {
		return err
	}
	key, err := r.key(ctx)
	if err != nil {
		return err
	}
	empty := key
	empty.Secret = secret.Value{}
	if r.Consumer.Deploy(ctx, r.request(empty, rotation.RoleCurrent)) == nil && (r.Store == nil || r.lag() == 0) {
		return errors.New("Deploy reports success for a key without a value, which nothing can use")
	}
	if err := r.stays(ctx, old, "after a request for a key without a value"); err != nil {
		return err
	}
	if err := r.promote(ctx, key, old); err != nil {
		return err
	}
	return r.retry(ctx, r.request(key, rotation.RoleCurrent), "the same key, with its value")
}
