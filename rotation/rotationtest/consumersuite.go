// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/handover-go/handover/rotation"
)

// ConsumerSuite proves a Consumer against C1 to C4, that its errors are silent, that it gives up with its context, that it
// takes no key without a value, and its abilities where it has them: Observer, Lagger, Verifier, Checker, Validator.
//
// It moves the consumer to and fro between new keys, two or three for each clause, and leaves it on one of them: use an
// instance that serves nobody. Requests are what the engine sends: one ID for each key in a rotation, so that a key that was
// rolled back comes again under the ID that it had. Where the consumer reads its key from a store, set Store: the suite
// replaces what is stored under Credential before each request, as the engine does.
//
// A consumer that waits for a person (rotation.ErrManual) is not held to more than its errors and its checks. Every clause takes
// a few times the consumer's lag: where that is long, run Check in a testing/synctest bubble.
type ConsumerSuite struct {
	Consumer rotation.Consumer // required

	// Uses tells which key the consumer uses now, in truth: what its next request to the provider carries. What is known of the
	// key is enough, its value for one. Required unless the Consumer is an Observer, which is believed then; where both are
	// there, the Observer is held against it.
	Uses func(ctx context.Context) (rotation.Key, error)

	// Mint returns a new live key, for consumers that try theirs, or whose keys have a form. They are the caller's to end. nil:
	// keys with random values, which nobody accepts.
	Mint func(ctx context.Context) (rotation.Key, error)

	Store      rotation.SecretStore // where the consumer reads its key; nil: it takes it from the request
	Credential string               // in requests, and the name in Store; empty: "handover-suite"

	// Restarts tells how often the consumer was restarted so far, if that shows. The same request again must not add to it.
	Restarts func(ctx context.Context) (int, error)

	Lag      time.Duration // how long after nil it may go on using the old key, as Binding.Lag; zero: what a Lagger says, else none
	Patience time.Duration // how long ErrNotYet may be the answer, and an Observer behind the truth; zero: neither may be
}

// Run runs one subtest for each clause, named after it.
func (s ConsumerSuite) Run(t *testing.T) {
	t.Helper()
	runClauses(t, s.Validate(), s.clauses())
}

// Check is Run without a test: the error joins the clauses that failed, each line beginning with the name of its clause. It
// holds no value of a key that the suite deployed.
func (s ConsumerSuite) Check(ctx context.Context) error {
	return checkClauses(ctx, s.Validate(), s.clauses())
}

// Validate names every required field that is missing.
func (s ConsumerSuite) Validate() error {
	var errs []error
	if s.Consumer == nil {
		errs = append(errs, errors.New("rotationtest: ConsumerSuite.Consumer is required"))
	}
	if _, ok := rotation.As[rotation.Observer](s.Consumer); !ok && s.Uses == nil {
		errs = append(errs, errors.New("rotationtest: ConsumerSuite.Uses is required: the Consumer is no Observer"))
	}
	if s.Lag < 0 || s.Patience < 0 {
		errs = append(errs, errors.New("rotationtest: ConsumerSuite.Lag and ConsumerSuite.Patience cannot be negative"))
	}
	return errors.Join(errs...)
}

func (s ConsumerSuite) clauses() []clause {
	in := func(check func(context.Context, *rollout) error) func(context.Context) error {
		return func(ctx context.Context) error { r := s.begin(); return r.silent(check(ctx, r)) }
	}
	return []clause{
		{
			"C1", "After nil it uses the key of the request, at once or within its lag, and stays with it: the old key dies after " +
				"that. Also: what tells which key it uses must not name one that it never had, or it proves nothing.", in(keyUsed),
		},
		{
			"C2", "ErrNotYet means that the same request, asked again, gets on and is nil in the end. Each call that begins anew, " +
				"or a failure that is remembered, would hold a rotation up for ever.", in(requestGetsOn),
		},
		{
			"C3", "The same request again does no harm; an older key is obeyed, also in an emergency, and so is a key that comes " +
				"back under the ID that it had: that is how a rotation rolls back, and forward again.", in(oldKeyObeyed),
		},
		{
			"C4", "A request for a pending key is obeyed, or answered with errors.ErrUnsupported: a canary that says nil and goes on " +
				"with the old key proves nothing. Nobody takes a pending key without being told.", in(pendingObeyed),
		},
		{
			"Errors", "No error, no identity and no instance carries a secret: they end in logs, chats and tickets.", in(deploySilent),
		},
		{
			"Context", "Under a context that has ended Deploy fails, leaves a key in use, old or new, and does not count as done: the " +
				"same request is made again.", in(contextEnds),
		},
		{
			"Value", "A key without a value is no key to use: the request fails, and the key in use stays.", in(valueNeeded),
		},
		{
			"Observe", "Observe names the key that each instance uses, not the one that it was told to use; no value; not from the " +
				"future. It is the proof after which the old key dies.", in(observed),
		},
		{
			"Lag", "Lag is not negative, and after it nobody uses the old key: the overlap of two keys is computed from it.", in(lagKept),
		},
		{
			"Verify", "Verify does not speak for a key that the consumer does not use, and changes nothing.", in(worksOnlyWithItsKey),
		},
		{
			"Check", "Check passes for a consumer that works, and has no side effects: it is asked before anything is minted.", in(checkHarmless),
		},
		{
			"Validate", "Validate passes for a consumer that works: rotation.New refuses what does not validate.", in(validates),
		},
	}
}
