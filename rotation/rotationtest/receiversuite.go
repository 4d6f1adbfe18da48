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

// ReceiverSuite proves a receiver of webhooks, that is a Consumer of a WebhookSecret with the Verifier beside it, against C1 to C4,
// V1 and V2, and what else a rotation of a webhook's secret relies on: a set without any secret, emergencies, contexts that have
// ended, secrets without a value, silent errors; and its abilities where it has them: Observer, UsageReporter, Lagger, Identifier,
// Checker, Validator.
//
// It tells the receiver to accept new secrets, a few for each clause, and leaves it with one or two of them: use an instance that
// serves nobody. Requests are what the engine sends: one ID for each set in a rotation, so that a set comes again under the ID
// that it had. Where the receiver reads what it accepts from a store, set Store: the suite replaces what is stored under Credential
// before each request, as the engine does.
//
// What a receiver accepts is seen in genuine deliveries (Deliver), by its Verifier and by its Observer, which have to agree. Where
// there is none of them only the answers to Deploy are looked at, and the clause is skipped. A receiver that waits for a person
// (rotation.ErrManual) is not held to more than its errors and its checks. Every clause takes a few times the receiver's lag:
// where that is long, run Check in a testing/synctest bubble.
//
// What is seen from outside is not everything: that no delivery meets a set half changed is for the implementation's own tests.
type ReceiverSuite struct {
	Consumer rotation.Consumer // required

	// Verifier is the Binding.Verifier. nil: the Consumer, if it is one. A part whose Verify answers errors.ErrUnsupported, because
	// it cannot sign, counts as none.
	Verifier rotation.Verifier

	// Deliver makes a genuine delivery that is signed with key, to every process of the receiver: nil if it is taken, an error that
	// matches rotation.ErrRejected if it is refused. Asked to sign without a value, it signs with an empty secret, as a forger
	// would, or returns any error. nil: the Verifier and the Observer are believed.
	Deliver func(ctx context.Context, key rotation.Key) error

	// Mint returns a new secret in the form that the receiver's scheme needs, another one each time. nil: keys with random values,
	// which share one ID, as the secrets of one webhook do.
	Mint func(ctx context.Context) (rotation.Key, error)

	Store      rotation.SecretStore // where the receiver reads what to accept; nil: it takes that from the request
	Credential string               // in requests, and the name in Store; empty: "handover-suite"

	Lag      time.Duration // how long after nil it may go on as before, as Binding.Lag; zero: what a Lagger says, else none
	Patience time.Duration // how long ErrNotYet may be the answer, and what it tells behind the truth; zero: neither may be
}

// Run runs one subtest for each clause, named after it.
func (s ReceiverSuite) Run(t *testing.T) {
	t.Helper()
	runClauses(t, s.Validate(), s.clauses())
}

// Check is Run without a test: the error joins the clauses that failed, each line beginning with the name of its clause. It holds
// no value of a secret that the suite deployed.
func (s ReceiverSuite) Check(ctx context.Context) error {
	return checkClauses(ctx, s.Validate(), s.clauses())
}

// Validate names every field that is missing or wrong.
func (s ReceiverSuite) Validate() error {
	var errs []error
	if s.Consumer == nil {
		errs = append(errs, errors.New("rotationtest: ReceiverSuite.Consumer is required"))
	}
	if s.Lag < 0 || s.Patience < 0 {
		errs = append(errs, errors.New("rotationtest: ReceiverSuite.Lag and ReceiverSuite.Patience cannot be negative"))
	}
	return errors.Join(errs...)
}

func (s ReceiverSuite) clauses() []clause {
	in := func(check func(context.Context, *reception) error) func(context.Context) error {
		return func(ctx context.Context) error { r := s.begin(); return r.silent(check(ctx, r)) }
	}
	seen := func(check func(context.Context, *reception) error) func(context.Context) error {
		return in(func(ctx context.Context, r *reception) error { return r.sighted(check(ctx, r)) })
	}
	return []clause{
		{
			"C1", "After nil it accepts each secret of the set and no other, at once or within its lag, and stays with that: the " +
				"sender is told of a secret when it is accepted. A secret that nobody has is never accepted.", seen(setAccepted),
		},
		{
			"C2", "ErrNotYet means that the same request, asked again, gets on and is nil in the end. What it accepted before, and " +
				"still has to, it accepts meanwhile.", seen(setGetsOn),
		},
		{
			"C3", "The same request again changes nothing; a set with an older secret is obeyed, and so is one that comes back under " +
				"the ID that it had: that is how a rotation rolls back, and forward again.", seen(olderSetObeyed),
		},
		{
			"C4", "A set with a pending secret is obeyed. Other than a consumer that presents its key, a receiver cannot do without: " +
				"the secret is pending until its sender uses it, and ErrUnsupported is no answer.", seen(pendingAccepted),
		},
		{
			"Empty", "A set without any secret has everything refused, what is signed with no secret too; the next set is obeyed. " +
				"Where no secret means no check, everybody can forge.", seen(noneAccepted),
		},
		{
			"Emergency", "An emergency request is obeyed like any other, down to the one that leaves no secret: a leaked secret " +
				"dies at the receivers and nowhere else.", seen(leakRefused),
		},
		{
			"Context", "Under a context that has ended Deploy fails, what stays in the set stays accepted, and nothing counts as " +
				"done: the same request is made again.", seen(setOutlivesContext),
		},
		{
			"Value", "A secret without a value is none: the request fails, nobody can sign with it, and the others stay.", seen(valueOfEach),
		},
		{
			"Errors", "No error, no identity, no instance and no usage carries a secret: they end in logs, chats and tickets.", in(receiverSilent),
		},
		{
			"V1", "Verify is nil for a secret that is accepted, ErrRejected for one that is refused, whatever its form, and nothing " +
				"definite where it cannot tell: ErrRejected is the proof that a secret is dead.", seen(verdictsOfReceiver),
		},
		{
			"V2", "Asking changes nothing and is safe to repeat.", seen(asking),
		},
		{
			"Deliver", "Verify says what deliveries meet, at no time more: a sender that is told too early, or a secret that is thought " +
				"dead and is not, is what it is there to prevent.", seen(verdictsTrue),
		},
		{
			"Observe", "Observe shows for each process exactly the secrets that it accepts, one instance for each, and one without a " +
				"key where there is none; no value; not from the future; and nothing that deliveries do not meet.", seen(setObserved),
		},
		{
			"Usage", "Usage tells when a delivery last matched a secret, asked for by its identity. Questions are no deliveries, and " +
				"one secret's delivery is none of another. What it forgets it counts no more: Since says so. The old secret dies " +
				"when nothing has matched it for long enough.", in(receiptsTold),
		},
		{
			"Lag", "Lag is not negative, and after it every set is in effect.", seen(setWithinLag),
		},
		{
			"Identity", "Identity is not empty, stays the same whatever is accepted, and is no secret: a change under an open rotation " +
				"stops it.", in(receiverIdentity),
		},
		{
			"Check", "Check and Validate pass for a receiver that works and change nothing: they are asked before anything is minted.",
			in(receiverReady),
		},
	}
}
