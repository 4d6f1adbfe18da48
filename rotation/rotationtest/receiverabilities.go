// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// verdictsOfReceiver proves V1.
func verdictsOfReceiver(ctx context.Context, r *reception) error {
	if r.verifier == nil {
		return skip("not a Verifier")
	}
	one, two, err := r.newer(ctx)
	if err != nil {
		return err
	}
	if r.verifier == nil {
		return skip("not a Verifier: ErrUnsupported")
	}
	empty := two
	empty.Secret = secret.Value{}
	// What the engine asks first: whoever accepts it, or cannot say, proves nothing. It knows of no scheme.
	nobodys := rotation.Key{ID: "a secret that nobody has", Secret: secret.Random(32)}
	for _, q := range []question{
		{what: "a secret that is accepted", key: two, right: []verdict{accepts}},
		{what: "one that is not accepted any more", key: one, right: []verdict{refuses}},
		{what: "one that was never accepted", key: r.stranger, right: []verdict{refuses}},
		{what: "a random one, as the engine asks first", key: nobodys, right: []verdict{refuses}},
		{what: "a key without a value, with which nothing can be signed", key: empty, right: []verdict{open}},
		{what: "no key at all", right: []verdict{open}},
		{what: "a secret that is accepted, under an ended context", ctx: ended, key: two, right: []verdict{accepts, open}},
		{what: "one that is not accepted any more, under an ended context", ctx: ended, key: one, right: []verdict{refuses, open}},
	} {
		asking := ctx
		if q.ctx != nil {
			asking = q.ctx(ctx)
		}
		err := r.verifier.Verify(asking, q.key)
		if got := verdictOf(err); !slices.Contains(q.right, got) {
			return r.wrong(fmt.Sprintf("%s: got %s, want %s", q.what, got, oneOf(q.right)), err)
		}
	}
	return nil
}

// wrong is text with the error of an answer, if there is one.
func (r *reception) wrong(text string, err error) error {
	if err == nil {
		return errors.New(text)
	}
	return r.failed(text, err)
}

// asking proves V2.
func asking(ctx context.Context, r *reception) error {
	if r.verifier == nil {
		return skip("not a Verifier")
	}
	one, two, err := r.newer(ctx)
	if err != nil {
		return err
	}
	if r.verifier == nil {
		return skip("not a Verifier: ErrUnsupported")
	}
	r.questions(ctx, one, two)
	return r.remains(ctx, []rotation.Key{two}, []rotation.Key{one}, "after questions")
}

// questions asks about everything, more than once.
func (r *reception) questions(ctx context.Context, keys ...rotation.Key) {
	for range 2 {
		for _, key := range slices.Concat(keys, []rotation.Key{r.stranger, {}}) {
			for _, asked := range []context.Context{ctx, ended(ctx)} {
				_ = r.verifier.Verify(asked, key) // V1 looks at the answers
			}
		}
	}
}

// verdictsTrue proves what Verify says where deliveries can be made.
func verdictsTrue(ctx context.Context, r *reception) error {
	switch {
	case r.verifier == nil:
		return skip("not a Verifier")
	case r.deliver == nil:
		return skip("there is no ReceiverSuite.Deliver to hold the Verifier against")
	}
	return r.stepwise(ctx, "Verify", func(set, not []rotation.Key, _ time.Time) (bool, error) {
		err := r.verified(ctx, set, not)
		return r.verifier != nil, err
	})
}

// stepwise moves from one secret to two, to the newer one, and to none, and each time holds what tells of it against deliveries. It
// stops where that cannot tell.
func (r *reception) stepwise(ctx context.Context, tells string, look func(set, not []rotation.Key, since time.Time) (bool, error)) error {
	one, two, err := r.second(ctx)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		what string
		keys []rotation.StoredKey
		req  rotation.DeployRequest
		not  []rotation.Key
	}{
		{
			"a second secret",
			[]rotation.StoredKey{as(rotation.RoleCurrent, one), as(rotation.RolePending, two)},
			r.accept(rotation.RolePending, two, two, one), nil,
		},
		{
			"the newer secret alone",
			[]rotation.StoredKey{as(rotation.RoleCurrent, two), as(rotation.RoleRetiring, one)},
			r.accept(rotation.RoleCurrent, two, two),
			[]rotation.Key{one},
		},
		{"a set without any secret", nil, r.accept(rotation.RoleCurrent, rotation.Key{}), []rotation.Key{two, one}},
	} {
		if err := r.store(ctx, step.keys...); err != nil {
			return err
		}
		if _, err := r.deploy(ctx, step.req); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		since := time.Now()
		can := true
		err := r.evidence(ctx, step.req.Accept, step.not, tells, func() (err error) {
			can, err = look(step.req.Accept, step.not, since)
			return err
		})
		if !can {
			return skip("not a Verifier or an Observer: ErrUnsupported")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		if err := r.comes(ctx, step.req.Accept, step.not, step.what); err != nil {
			return err
		}
	}
	return nil
}

// setObserved proves an Observer.
func setObserved(ctx context.Context, r *reception) error {
	if r.observer == nil {
		return skip("not an Observer")
	}
	var wrong error // whenever it was
	err := r.stepwise(ctx, "Observe", func(set, _ []rotation.Key, since time.Time) (bool, error) {
		if r.observer != nil && wrong == nil {
			wrong = r.sane(ctx, r.observer)
		}
		err := r.observed(ctx, set, since)
		return r.observer != nil, err
	})
	return cmpErr(wrong, err)
}

// receiptsTold proves a UsageReporter: what it tells before any delivery, after questions, and after deliveries.
func receiptsTold(ctx context.Context, r *reception) error {
	if r.usage == nil {
		return skip("not a UsageReporter")
	}
	deliver := r.deliver
	r.deliver = nil // they would count
	one, two, err := r.both(ctx)
	if err != nil {
		return err
	}
	if err := r.unmatched(ctx, "before there was any", one, two); err != nil {
		return err
	}
	if r.verifier != nil {
		r.questions(ctx, one, two)
		if err := r.unmatched(ctx, "after nothing but questions", one, two); err != nil {
			return err
		}
	}
	if deliver == nil {
		return nil
	}
	if err := wait(ctx, r.lag()+r.Patience); err != nil { // what it was told is in effect
		return err
	}
	if err := r.match(ctx, deliver, one); err != nil {
		return err
	}
	if deliver(ctx, r.stranger) == nil {
		return errors.New("it takes a delivery signed with a secret that nobody has")
	}
	if err := r.unmatched(ctx, "after those that were signed with the other secret, and with one that nobody has", two); err != nil {
		return err
	}
	if err := r.match(ctx, deliver, two); err != nil {
		return err
	}
	return r.remembers(ctx, one, two)
}

// unmatched sees that nothing has matched keys so far.
func (r *reception) unmatched(ctx context.Context, when string, keys ...rotation.Key) error {
	for _, key := range keys {
		u, err := r.figures(ctx, key)
		if err != nil {
			return err
		}
		if !u.LastUsed.IsZero() {
			return fmt.Errorf("Usage tells of a delivery that matched %s %s", r.called(key), when)
		}
	}
	return nil
}

// moment is long enough for two times to differ.
const moment = 10 * time.Millisecond

// match makes a delivery and waits until it is told.
func (r *reception) match(ctx context.Context, deliver func(context.Context, rotation.Key) error, key rotation.Key) error {
	if err := wait(ctx, moment); err != nil {
		return err
	}
	at := time.Now()
	if err := deliver(ctx, key); err != nil {
		return r.failed("a delivery signed with "+r.called(key)+", which it has to accept", err)
	}
	return within(ctx, r.Patience, func() error {
		u, err := r.figures(ctx, key)
		if err == nil && u.LastUsed.Before(at.Add(-clocks)) {
			err = fmt.Errorf("a delivery signed with %s was taken, and Usage does not tell of it after %v", r.called(key), r.Patience)
		}
		return err
	})
}

// remembers sees that what was told is told again after the next requests, or that Since says that it is not counted any more.
func (r *reception) remembers(ctx context.Context, one, two rotation.Key) error {
	var before []rotation.Usage
	keys := []rotation.Key{two, one}
	for _, key := range keys {
		u, err := r.figures(ctx, key)
		if err != nil {
			return err
		}
		before = append(before, u)
	}
	if err := r.store(ctx, as(rotation.RoleCurrent, two), as(rotation.RolePrevious, one)); err != nil {
		return err
	}
	steps := []rotation.DeployRequest{r.accept(rotation.RolePending, two, keys...), r.accept(rotation.RoleCurrent, two, two)}
	for n, req := range steps {
		if err := r.obeys(ctx, req, "the next request, after deliveries"); err != nil {
			return err
		}
		for i, key := range req.Accept {
			u, err := r.figures(ctx, key)
			if err != nil {
				return err
			}
			if last := before[i].LastUsed; u.LastUsed.Before(last.Add(-clocks)) && u.Since.Before(last) {
				return fmt.Errorf("Usage told of a delivery that matched %s, and tells of none after another request, although "+
					"it has counted since before that (Since)", r.called(key))
			}
		}
		if n == 0 {
			if err := r.store(ctx, as(rotation.RoleCurrent, two), as(rotation.RoleRetiring, one)); err != nil {
				return err
			}
		}
	}
	return nil
}

// setWithinLag proves a Lagger.
func setWithinLag(ctx context.Context, r *reception) error {
	l, ok := rotation.As[rotation.Lagger](r.Consumer)
	if !ok {
		return skip("not a Lagger")
	}
	if lag := l.Lag(); lag < 0 {
		return fmt.Errorf("its lag is %v", lag)
	}
	r.Lag = 0 // its own word counts here
	one, two, err := r.newer(ctx)
	if err != nil {
		return err
	}
	return r.remains(ctx, []rotation.Key{two}, []rotation.Key{one}, "after its lag")
}

// parts are the Consumer and the Verifier beside it.
func (r *reception) parts() []any {
	if r.beside == nil {
		return []any{r.Consumer}
	}
	return []any{r.Consumer, r.beside}
}

// ofParts checks every part, and skips what applies to none.
func (r *reception) ofParts(check func(part any) error) error {
	var errs []error
	var skipped error
	for _, part := range r.parts() {
		if err := check(part); isSkip(err) {
			skipped = err
		} else {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		return skipped
	}
	return errors.Join(errs...)
}

// identities are those of the parts that have one.
func (r *reception) identities() []string {
	var names []string
	for _, part := range r.parts() {
		if i, ok := rotation.As[rotation.Identifier](part); ok {
			names = append(names, i.Identity())
		}
	}
	return names
}

// receiverIdentity proves an Identifier.
func receiverIdentity(ctx context.Context, r *reception) error {
	_, err := r.first(ctx)
	before := r.identities()
	if err == nil {
		_, _, err = r.both(ctx)
	}
	if err != nil && !isSkip(err) {
		return err
	}
	err = r.ofParts(func(part any) error { return identityKept(part, r.secrets) })
	if err == nil && !slices.Equal(before, r.identities()) {
		err = errors.New("Identity changes with what it accepts")
	}
	return err
}

// receiverReady proves a Validator and a Checker.
func receiverReady(ctx context.Context, r *reception) error {
	one, err := r.first(ctx)
	byHand := isSkip(err)
	if err != nil && !byHand {
		return err
	}
	err = r.ofParts(func(part any) error { return readyToWork(ctx, part, r.secrets) })
	if err != nil || byHand {
		return err
	}
	return r.remains(ctx, []rotation.Key{one}, nil, "after Check and Validate")
}
