// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

// reception is the proof of one clause of a ReceiverSuite: a rollout in which sets of keys move. What the receiver cannot do is nil.
type reception struct {
	*rollout
	beside   rotation.Verifier // ReceiverSuite.Verifier
	verifier rotation.Verifier
	observer rotation.Observer
	usage    rotation.UsageReporter
	deliver  func(context.Context, rotation.Key) error

	keys     []rotation.Key // every one of this clause
	stranger rotation.Key   // one of them, which nobody is told
	told     bool           // something has told what it accepts
}

// begin makes a reception. It finds the abilities where the engine does.
func (s ReceiverSuite) begin() *reception {
	r := &reception{
		rollout: ConsumerSuite{
			Consumer: s.Consumer, Mint: s.Mint, Store: s.Store, Credential: s.Credential, Lag: s.Lag, Patience: s.Patience,
		}.begin(),
		beside: s.Verifier, verifier: s.Verifier, deliver: s.Deliver,
	}
	r.of = "ReceiverSuite"
	if r.verifier == nil {
		r.verifier, _ = rotation.As[rotation.Verifier](s.Consumer)
	}
	r.observer = abilityOf[rotation.Observer](s.Consumer, r.verifier)
	r.usage = abilityOf[rotation.UsageReporter](s.Consumer, r.verifier)
	return r
}

// abilityOf is that of the consumer, or else of the Verifier beside it.
func abilityOf[T any](c rotation.Consumer, v rotation.Verifier) T {
	t, ok := rotation.As[T](c)
	if !ok {
		t, _ = rotation.As[T](v)
	}
	return t
}

// sighted is err, or what the clause could not prove because nothing tells what the receiver accepts.
func (r *reception) sighted(err error) error {
	if err == nil && !r.told {
		return skip("nothing tells what it accepts: there is no ReceiverSuite.Deliver, and neither a Verifier nor an Observer")
	}
	return err
}

// fresh makes the next secret.
func (r *reception) fresh(ctx context.Context) (rotation.Key, error) {
	before := slices.Clone(r.secrets)
	key, err := r.key(ctx)
	if err != nil {
		return key, err
	}
	for _, other := range before {
		if other.Equal(key.Secret) {
			return key, errors.New("ReceiverSuite.Mint returned the same value twice")
		}
	}
	if r.Mint == nil {
		key.ID = "suite-webhook" // of the webhook, whatever it signs with
	}
	r.keys = append(r.keys, key)
	return key, nil
}

// accept is a request to accept a set. The ID is that of the set in this rotation, as the engine's.
func (r *reception) accept(role rotation.Role, target rotation.Key, set ...rotation.Key) rotation.DeployRequest {
	req := r.request(target, role)
	var serials []string
	for _, k := range set {
		serials = append(serials, fmt.Sprint(k.Serial))
	}
	label := "none"
	if len(serials) > 0 {
		label = strings.Join(serials, "+")
	}
	req.Accept, req.ID = append([]rotation.Key{}, set...), r.rotation+"/suite/"+label
	return req
}

// first has the receiver accept one new secret and nothing else. What follows is another rotation.
func (r *reception) first(ctx context.Context) (rotation.Key, error) {
	one, err := r.fresh(ctx)
	if err != nil {
		return one, err
	}
	if r.stranger, err = r.fresh(ctx); err != nil {
		return one, err
	}
	if err := r.store(ctx, as(rotation.RoleCurrent, one)); err != nil {
		return one, err
	}
	err = r.obeys(ctx, r.accept(rotation.RoleCurrent, one, one), "the first secret")
	r.rotation = newUUID()
	return one, err
}

// second is first, and another secret that nobody has heard of.
func (r *reception) second(ctx context.Context) (one, two rotation.Key, err error) {
	if one, err = r.first(ctx); err != nil {
		return one, two, err
	}
	two, err = r.fresh(ctx)
	return one, two, err
}

// stored is what is in the store while the sender is about to change from one to two, and both are accepted.
func (r *reception) stored(ctx context.Context, one, two rotation.Key) error {
	return r.store(ctx, as(rotation.RoleCurrent, one), as(rotation.RolePending, two))
}

// both has the receiver accept two new secrets.
func (r *reception) both(ctx context.Context) (one, two rotation.Key, err error) {
	if one, two, err = r.second(ctx); err != nil {
		return one, two, err
	}
	if err = r.stored(ctx, one, two); err != nil {
		return one, two, err
	}
	return one, two, r.obeys(ctx, r.accept(rotation.RolePending, two, two, one), "a second secret beside the first")
}

// newer leaves the receiver with the newer one of both.
func (r *reception) newer(ctx context.Context) (one, two rotation.Key, err error) {
	if one, two, err = r.both(ctx); err != nil {
		return one, two, err
	}
	if err = r.store(ctx, as(rotation.RoleCurrent, two), as(rotation.RoleRetiring, one)); err != nil {
		return one, two, err
	}
	return one, two, r.obeys(ctx, r.accept(rotation.RoleCurrent, two, two), "the newer secret alone", one)
}

// obeys makes a request, and sees its set accepted and the others refused.
func (r *reception) obeys(ctx context.Context, req rotation.DeployRequest, what string, not ...rotation.Key) error {
	if _, err := r.deploy(ctx, req); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return r.comes(ctx, req.Accept, not, what)
}

// insists is obeys for a request that failed before.
func (r *reception) insists(ctx context.Context, req rotation.DeployRequest, what string, not ...rotation.Key) error {
	if _, err := r.insist(ctx, req); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return r.comes(ctx, req.Accept, not, what)
}

// comes waits until a set is accepted and others are refused: deliveries for its lag, and what tells of it for Patience more.
func (r *reception) comes(ctx context.Context, set, not []rotation.Key, what string) error {
	since, lag := time.Now(), r.lag()
	for _, source := range []struct {
		limit time.Duration
		look  func() error
	}{
		{lag, func() error { return r.delivered(ctx, set, not) }},
		{lag + r.Patience, func() error { return r.verified(ctx, set, not) }},
		{lag + r.Patience, func() error { return r.observed(ctx, set, since) }},
	} {
		if err := within(ctx, source.limit, source.look); err != nil {
			return fmt.Errorf("%s: %v after Deploy returned nil, %w", what, source.limit, err)
		}
	}
	return nil
}

// remains sees that a set is accepted and others are refused, also when whatever was set off has had the time to be seen.
func (r *reception) remains(ctx context.Context, set, not []rotation.Key, what string) error {
	if err := wait(ctx, r.lag()); err != nil {
		return err
	}
	for _, look := range []func() error{
		func() error { return r.delivered(ctx, set, not) },
		func() error { return r.verified(ctx, set, not) },
		func() error { return r.observed(ctx, set, time.Time{}) },
	} {
		if err := look(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}

// keeps sees that key is accepted, whatever else may be. It waits for nothing: key was accepted before.
func (r *reception) keeps(ctx context.Context, key rotation.Key, what string) error {
	for range 2 { // once more when whatever was set off has had the time to be seen
		err := r.delivered(ctx, []rotation.Key{key}, nil)
		if err == nil {
			err = r.verified(ctx, []rotation.Key{key}, nil)
		}
		if err == nil {
			err = r.includes(ctx, key)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if err := wait(ctx, r.lag()); err != nil {
			return err
		}
	}
	return nil
}

// called is how a key stands in texts.
func (r *reception) called(key rotation.Key) string {
	switch {
	case key.Equal(r.stranger):
		return "a secret that nobody has"
	case key.Secret.IsZero():
		return "no secret"
	}
	return key.String()
}

// delivered says how deliveries meet something else; nil if they do not, or cannot be made.
func (r *reception) delivered(ctx context.Context, set, not []rotation.Key) error {
	if r.deliver == nil {
		return nil
	}
	r.told = true
	for _, key := range set {
		if err := r.deliver(ctx, key); err != nil {
			return r.failed("a delivery signed with "+r.called(key)+", which it has to accept", err)
		}
	}
	for _, key := range slices.Concat(not, []rotation.Key{r.stranger}) {
		switch err := r.deliver(ctx, key); {
		case err == nil:
			return fmt.Errorf("it takes a delivery signed with %s", r.called(key))
		case !errors.Is(err, rotation.ErrRejected):
			return r.failed("a delivery signed with "+r.called(key)+" is not known to be refused (ErrRejected)", err)
		}
	}
	return nil
}

// verified says how the Verifier tells something else; nil if it does not, or there is none.
func (r *reception) verified(ctx context.Context, set, not []rotation.Key) error {
	for _, key := range set {
		switch err := r.verify(ctx, key); {
		case errors.Is(err, errors.ErrUnsupported):
			return nil
		case err != nil:
			return r.failed("Verify of "+r.called(key)+", which it has to accept", err)
		}
	}
	for _, key := range slices.Concat(not, []rotation.Key{r.stranger}) {
		switch err := r.verify(ctx, key); {
		case errors.Is(err, errors.ErrUnsupported):
			return nil
		case err == nil:
			return fmt.Errorf("Verify says that it accepts %s", r.called(key))
		case !errors.Is(err, rotation.ErrRejected):
			return r.failed("Verify does not say that it refuses "+r.called(key), err)
		}
	}
	return nil
}

// verify asks the Verifier. One that cannot tell is none from then on.
func (r *reception) verify(ctx context.Context, key rotation.Key) error {
	if r.verifier == nil {
		return errors.ErrUnsupported
	}
	err := r.verifier.Verify(ctx, key)
	if errors.Is(err, errors.ErrUnsupported) {
		r.verifier = nil
		return err
	}
	r.told = true
	return err
}
