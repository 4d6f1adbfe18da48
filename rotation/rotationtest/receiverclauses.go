// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"fmt"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// setAccepted proves C1: a secret, a second one beside it, and the second one alone.
func setAccepted(ctx context.Context, r *reception) error {
	one, two, err := r.both(ctx)
	if err != nil {
		return err
	}
	set := []rotation.Key{two, one}
	if err := r.remains(ctx, set, nil, "two secrets, a while later"); err != nil {
		return err
	}
	if err := r.store(ctx, as(rotation.RoleCurrent, two), as(rotation.RoleRetiring, one)); err != nil {
		return err
	}
	if err := r.obeys(ctx, r.accept(rotation.RoleCurrent, two, two), "the newer secret alone", one); err != nil {
		return err
	}
	return r.remains(ctx, set[:1], set[1:], "the newer secret alone, a while later")
}

// setGetsOn proves C2. A receiver that reads a store is asked before the store shows the secret.
func setGetsOn(ctx context.Context, r *reception) error {
	one, two, err := r.second(ctx)
	if err != nil {
		return err
	}
	req, ask := r.accept(rotation.RolePending, two, two, one), r.deploy
	if r.Store != nil {
		ask = r.insist
		if err := r.ahead(ctx, req, one); err != nil {
			return err
		}
		if err := r.stored(ctx, one, two); err != nil {
			return err
		}
	}
	calls, err := ask(ctx, req)
	if err != nil {
		return err
	}
	if err := r.comes(ctx, req.Accept, nil, "the same request, asked again"); err != nil {
		return err
	}
	if calls == 1 && r.Store == nil && r.told {
		return skip("it never said ErrNotYet")
	}
	return nil
}

// ahead makes a request for a secret that the store does not show yet. Only where the receiver has a lag of its own can nil be a
// promise.
func (r *reception) ahead(ctx context.Context, req rotation.DeployRequest, one rotation.Key) error {
	what := "a request that came before the store showed its secret"
	err := r.Consumer.Deploy(ctx, req)
	if err == nil && r.lag() == 0 {
		return r.comes(ctx, req.Accept, nil, what)
	}
	return r.keeps(ctx, one, what)
}

// olderSetObeyed proves C3.
func olderSetObeyed(ctx context.Context, r *reception) error {
	one, two, err := r.both(ctx)
	if err != nil {
		return err
	}
	both := r.accept(rotation.RolePending, two, two, one)
	for range 2 {
		if err := r.obeys(ctx, both, "the same request again"); err != nil {
			return err
		}
	}
	if err := r.remains(ctx, both.Accept, nil, "the same request again, a while later"); err != nil {
		return err
	}
	back := both
	back.Key, back.Role = one, rotation.RoleCurrent
	for _, step := range []struct {
		what string
		keys []rotation.StoredKey
		req  rotation.DeployRequest
		not  []rotation.Key
	}{
		{
			"the newer secret alone",
			[]rotation.StoredKey{as(rotation.RoleCurrent, two)},
			r.accept(rotation.RoleCurrent, two, two),
			[]rotation.Key{one},
		},
		{
			"a roll-back to a set with the older secret",
			[]rotation.StoredKey{as(rotation.RoleCurrent, one), as(rotation.RolePrevious, two)},
			back, nil,
		},
		{
			"the older secret alone",
			[]rotation.StoredKey{as(rotation.RoleCurrent, one)},
			r.accept(rotation.RoleCurrent, one, one),
			[]rotation.Key{two},
		},
		{
			"a set under the ID that it had",
			[]rotation.StoredKey{as(rotation.RoleCurrent, one), as(rotation.RolePending, two)},
			both, nil,
		},
	} {
		if err := r.store(ctx, step.keys...); err != nil {
			return err
		}
		if err := r.obeys(ctx, step.req, step.what, step.not...); err != nil {
			return err
		}
	}
	return r.remains(ctx, both.Accept, nil, "a set under the ID that it had, a while later")
}

// pendingAccepted proves C4.
func pendingAccepted(ctx context.Context, r *reception) error {
	one, two, err := r.second(ctx)
	if err != nil {
		return err
	}
	if err := r.stored(ctx, one, two); err != nil {
		return err
	}
	req := r.accept(rotation.RolePending, two, two, one)
	_, err = r.deploy(ctx, req)
	if errors.Is(err, errors.ErrUnsupported) {
		return r.failed("a set with a pending secret, which every receiver has to accept before its sender uses it", err)
	}
	if err != nil {
		return fmt.Errorf("a set with a pending secret: %w", err)
	}
	if err := r.comes(ctx, req.Accept, nil, "a set with a pending secret"); err != nil {
		return err
	}
	if err := r.store(ctx, as(rotation.RoleCurrent, two), as(rotation.RolePrevious, one)); err != nil {
		return err
	}
	if err := r.remains(ctx, req.Accept, nil, "when the secret that was pending is current"); err != nil {
		return err
	}
	return r.obeys(ctx, r.accept(rotation.RoleCurrent, two, two, one), "the same set, of which the newer secret is current")
}

// noneAccepted proves that no secret means that nothing is accepted.
func noneAccepted(ctx context.Context, r *reception) error {
	one, two, err := r.both(ctx)
	if err != nil {
		return err
	}
	if err := r.store(ctx); err != nil {
		return err
	}
	gone := []rotation.Key{two, one}
	if err := r.obeys(ctx, r.accept(rotation.RoleCurrent, rotation.Key{}), "a set without any secret", gone...); err != nil {
		return err
	}
	if err := r.unsigned(ctx, "after a set without any secret"); err != nil {
		return err
	}
	if err := r.remains(ctx, nil, gone, "a set without any secret, a while later"); err != nil {
		return err
	}
	if err := r.store(ctx, as(rotation.RoleCurrent, two)); err != nil {
		return err
	}
	return r.obeys(ctx, r.accept(rotation.RoleCurrent, two, two), "a secret, after there was none", one)
}

// unsigned sees that what is signed with no secret is not accepted.
func (r *reception) unsigned(ctx context.Context, what string) error {
	unsigned := r.stranger
	unsigned.Secret = secret.Value{}
	if r.deliver != nil && r.deliver(ctx, unsigned) == nil {
		return fmt.Errorf("%s: it takes a delivery signed with an empty secret", what)
	}
	if r.verify(ctx, unsigned) == nil {
		return fmt.Errorf("%s: Verify says that it accepts a key without a value", what)
	}
	return nil
}

// leakRefused proves that an emergency ends a leaked secret, then the last one, and that a successor is accepted after that.
func leakRefused(ctx context.Context, r *reception) error {
	one, two, err := r.both(ctx)
	if err != nil {
		return err
	}
	three, err := r.fresh(ctx)
	if err != nil {
		return err
	}
	r.rotation = newUUID()
	for _, step := range []struct {
		what string
		keys []rotation.StoredKey
		req  rotation.DeployRequest
		not  []rotation.Key
	}{
		{
			"an emergency, of the older secret",
			[]rotation.StoredKey{as(rotation.RoleCurrent, two), leaked(rotation.RolePrevious, one)},
			r.accept(rotation.RoleCurrent, two, two),
			[]rotation.Key{one},
		},
		{
			"an emergency, of every secret",
			[]rotation.StoredKey{leaked(rotation.RoleCurrent, two), leaked(rotation.RoleRetiring, one)},
			r.accept(rotation.RoleCurrent, rotation.Key{}),
			[]rotation.Key{two, one},
		},
		{
			"the successor, in an emergency",
			[]rotation.StoredKey{as(rotation.RolePending, three), leaked(rotation.RoleCurrent, two)},
			r.accept(rotation.RolePending, three, three),
			[]rotation.Key{two, one},
		},
	} {
		if err := r.store(ctx, step.keys...); err != nil {
			return err
		}
		step.req.Emergency = true
		if err := r.obeys(ctx, step.req, step.what, step.not...); err != nil {
			return err
		}
		if err := r.remains(ctx, step.req.Accept, step.not, step.what+", a while later"); err != nil {
			return err
		}
	}
	return nil
}

// setOutlivesContext proves that Deploy gives up with its context, when a secret comes and when one goes.
func setOutlivesContext(ctx context.Context, r *reception) error {
	one, two, err := r.second(ctx)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		what       string
		keys       []rotation.StoredKey
		req        rotation.DeployRequest
		stays      rotation.Key
		comesFirst []rotation.Key
	}{
		{
			"a second secret",
			[]rotation.StoredKey{as(rotation.RoleCurrent, one), as(rotation.RolePending, two)},
			r.accept(rotation.RolePending, two, two, one), one, nil,
		},
		{
			"the newer secret alone",
			[]rotation.StoredKey{as(rotation.RoleCurrent, two), as(rotation.RoleRetiring, one)},
			r.accept(rotation.RoleCurrent, two, two), two,
			[]rotation.Key{one},
		},
	} {
		if err := r.store(ctx, step.keys...); err != nil {
			return err
		}
		if r.Consumer.Deploy(ended(ctx), step.req) == nil {
			return fmt.Errorf("%s: Deploy reports success although its context had ended", step.what)
		}
		if err := r.keeps(ctx, step.stays, step.what+", under an ended context"); err != nil {
			return err
		}
		if err := r.insists(ctx, step.req, step.what+", after a request whose context had ended", step.comesFirst...); err != nil {
			return err
		}
	}
	return nil
}

// valueOfEach proves that a secret without a value is none. No store knows it.
func valueOfEach(ctx context.Context, r *reception) error {
	one, two, err := r.second(ctx)
	if err != nil {
		return err
	}
	empty := two
	empty.Secret = secret.Value{}
	req := r.accept(rotation.RolePending, empty, empty, one)
	if r.Consumer.Deploy(ctx, req) == nil && (r.Store == nil || r.lag() == 0) {
		return errors.New("Deploy reports success for a set with a key without a value, which nobody can accept")
	}
	if err := r.keeps(ctx, one, "after a set with a key without a value"); err != nil {
		return err
	}
	if err := r.unsigned(ctx, "after a set with a key without a value"); err != nil {
		return err
	}
	if err := r.stored(ctx, one, two); err != nil {
		return err
	}
	return r.insists(ctx, r.accept(rotation.RolePending, two, two, one), "the same set, with every value")
}
