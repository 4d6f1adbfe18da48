// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// VerifierSuite proves a Verifier against V1 and V2, that it tells no secret, and its abilities Observe, Identity and Check
// where it has them. Give it Dead for a Credential.Verifier, which presents keys to the accepting side, and Other for a
// Binding.Verifier, which asks a consumer. That of a webhook's receiver is for ReceiverSuite.
//
// It asks some 60 times, and changes nothing itself. It presents a dead or random value about 30 times, two of them under
// the name of Live: where failed attempts lock a user out, use an account where that does no harm.
//
// What is seen from outside is not everything: that no error carries the text of an answer is for the implementation's own
// tests.
type VerifierSuite struct {
	Verifier rotation.Verifier // required

	Live  rotation.Key // required: accepted while the suite runs; for a Binding.Verifier the key that the consumer uses
	Dead  rotation.Key // refused for certain: it was revoked, and that has been seen everywhere. This or Other is required
	Other rotation.Key // of a Binding.Verifier: a key that the consumer does not use, though it may be alive

	// Down are the same Verifier where nobody can answer, one for each way that can happen: a closed port, a proxy's 502, a
	// firewall's 403, a rate limit. Empty: only a context that has ended is tried.
	Down []rotation.Verifier
}

// Run runs one subtest for each clause, named after it.
func (s VerifierSuite) Run(t *testing.T) {
	t.Helper()
	runClauses(t, s.Validate(), s.clauses())
}

// Check is Run without a test: the error joins the clauses that failed, each line beginning with the name of its clause. It
// holds no secret of the keys.
func (s VerifierSuite) Check(ctx context.Context) error {
	return checkClauses(ctx, s.Validate(), s.clauses())
}

// Validate names every required field that is missing.
func (s VerifierSuite) Validate() error {
	var errs []error
	mistake := func(text string) { errs = append(errs, errors.New("rotationtest: VerifierSuite."+text)) }
	if s.Verifier == nil {
		mistake("Verifier is required")
	}
	if s.Live.IsZero() {
		mistake("Live is required")
	}
	switch {
	case s.Dead.IsZero() == s.Other.IsZero():
		mistake("Dead or Other is required, and only one of them")
	case s.presents() && (s.Live.Secret.IsZero() || s.Dead.Secret.IsZero()):
		mistake("Live and Dead need their secrets: a Verifier presents them")
	case s.Live.Equal(s.Dead), s.Live.Equal(s.Other), s.presents() && s.Live.Secret.Equal(s.Dead.Secret):
		mistake("Live is not the key that is dead, or not in use")
	}
	for i, v := range s.Down {
		if v == nil {
			mistake(fmt.Sprintf("Down[%d] is nil", i))
		}
	}
	return errors.Join(errs...)
}

func (s VerifierSuite) clauses() []clause {
	in := func(check func(context.Context, VerifierSuite) error) func(context.Context) error {
		return func(ctx context.Context) error { return check(ctx, s) }
	}
	return []clause{
		{
			"V1", "nil is said of a live key, ErrRejected of a dead one for certain, and neither where it is not known: a firewall that " +
				"is taken for a refusal proves a living key dead, or makes a rotation throw a good one away.", in(verdictsDefinite),
		},
		{
			"V2", "Asking changes nothing: the engine asks again and again, about several keys at the same time.", in(verdictsRepeat),
		},
		{
			"Errors", "No error carries a secret: errors end in logs, chats and tickets.", in(verdictsSilent),
		},
		{
			"Observe", "An Observer tells of each instance its name and which key it uses, never its secret, as of a time that has been: " +
				"it is the proof of adoption.", in(liveObserved),
		},
		{
			"Identity", "An Identifier names its place, always by the same text, without a secret.",
			func(context.Context) error { return identityKept(s.Verifier, s.secrets()) },
		},
		{
			"Check", "A Verifier that works says so, as Validator and as Checker.",
			func(ctx context.Context) error { return readyToWork(ctx, s.Verifier, s.secrets()) },
		},
	}
}

// presents reports whether it is about a Credential.Verifier.
func (s VerifierSuite) presents() bool { return !s.Dead.IsZero() }

// other is the key that is not accepted.
func (s VerifierSuite) other() rotation.Key {
	if s.presents() {
		return s.Dead
	}
	return s.Other
}

// secrets are those of the keys.
func (s VerifierSuite) secrets() []secret.Value {
	var all []secret.Value
	for _, key := range []rotation.Key{s.Live, s.Dead, s.Other} {
		if !key.Secret.IsZero() {
			all = append(all, key.Secret)
		}
	}
	return all
}
