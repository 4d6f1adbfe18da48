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

// IssuerSuite proves an Issuer against I1 to I5, and its abilities List, Disable, Choose and Activate where it has them.
//
// It makes keys at the provider, at most two that live at one time (three if Current is set and Traits.MaxKeys lets it; up to
// Traits.MaxKeys, where that is 10 or less, to see how the limit is told), and revokes every one of them, also when a clause
// fails. The first key of a clause is asked for without a current key, or is what Current returns. Use an account where that
// does no harm: IssueRequest.Credential is "handover-suite" and every name begins so. All in all it takes 10 to 20 times
// Patience.
//
// Where Issue says that a person has to act (rotation.ErrManual), nothing but that is proven and that its errors are silent.
//
// The sender of a webhook that is a rotation.Activator needs no Verifier: its receivers accept what it signs with, and for those
// there is ReceiverSuite. The suite has it sign with keys of its own, and afterwards with the one before if Signs tells its value:
// use a webhook that serves nobody. A sender that signs with a key as soon as it is made has nothing to activate, and needs a
// Verifier: one that tells whether the sender holds the key.
//
// What is seen from outside is not everything: that no error carries the text of a provider's answer (I5) is for the
// implementation's own tests, and so is a lost answer (I3). Pages are not seen either: a List that reads only the first one
// passes. Use an account with more keys than a page holds, or make the page small.
type IssuerSuite struct {
	Issuer rotation.Issuer // required

	// Verifier asks the accepting side; without it revocation cannot be proven. Required unless the Issuer is a rotation.Activator:
	// leave it nil where Verify would make the sender deliver a test, which proves nothing of a key.
	Verifier rotation.Verifier

	// Signs tells which key an Activator's sender signs with now, in truth: what its next delivery bears. What is known of the key is
	// enough, its value for one; a zero Key if it signs with nothing. nil: only the answers of Activate are looked at.
	Signs func(ctx context.Context) (rotation.Key, error)

	// Current returns a live key to begin with, for an Issuer that can only succeed a key: another one each time, as every key
	// that the suite touched is revoked. nil: the Issuer makes the first key, too.
	Current func(ctx context.Context) (rotation.Key, error)

	Patience time.Duration // how long the provider takes to agree with itself; zero: it does at once
}

// Run runs one subtest for each clause, named after it.
func (s IssuerSuite) Run(t *testing.T) {
	t.Helper()
	runClauses(t, s.Validate(), s.clauses())
}

// Check is Run without a test: the error joins the clauses that failed, each line beginning with the name of its clause. It
// holds no secret of a key that the suite made.
func (s IssuerSuite) Check(ctx context.Context) error {
	return checkClauses(ctx, s.Validate(), s.clauses())
}

// Validate names every required field that is missing.
func (s IssuerSuite) Validate() error {
	var errs []error
	if s.Issuer == nil {
		errs = append(errs, errors.New("rotationtest: IssuerSuite.Issuer is required"))
	}
	if _, sends := rotation.As[rotation.Activator](s.Issuer); s.Verifier == nil && !sends {
		errs = append(errs, errors.New("rotationtest: IssuerSuite.Verifier is required"))
	}
	if s.Patience < 0 {
		errs = append(errs, errors.New("rotationtest: IssuerSuite.Patience is negative"))
	}
	return errors.Join(errs...)
}

func (s IssuerSuite) clauses() []clause {
	in := func(check func(context.Context, *trial) error) func(context.Context) error {
		return func(ctx context.Context) error { return s.try(ctx, check) }
	}
	return []clause{
		{
			"I1", "Issue returns a new key and leaves every other key as it is. If the old key dies or the new one does not work, " +
				"a rotation is an outage. Also: the Verifier has to refuse a value that nobody issued, or it proves nothing.", in(newKey),
		},
		{
			"I2", "A key has the name that it was asked for, up to 64 characters, or none at all. By its name the engine finds a key " +
				"again whose answer was lost; one under another name it would take for somebody else's, and leave alive.", in(nameKept),
		},
		{
			"I3", "ErrNotIssued, ErrDenied, ErrNoSlot and ErrManual say that nothing was minted; Issue says nothing of the kind when " +
				"it does not know. A provider that is full answers ErrNoSlot.", in(failuresTold),
		},
		{
			"I4", "Revoke ends the key, only that key, and says nil when it is already gone: it is repeated after every " +
				"interruption. Where an ID comes back, the ID alone must not kill its new holder.", in(revoked),
		},
		{
			"I5", "No error carries a secret: errors end in logs, chats and tickets.", in(errorsSilent),
		},
		{
			"List", "A new key is listed within Patience and a revoked one is not, or as disabled; no secret is listed. A List that " +
				"lags without saying so lets the engine issue a second key beside a lost one, and one that cannot answer has to fail: " +
				"without an error, what it leaves out is gone.", in(listed),
		},
		{
			"Disable", "A disabled key is refused until it is enabled, and both can be repeated.", in(disabled),
		},
		{
			"Choose", "Choose makes a new value each time and has no effect at the provider; Issue takes exactly that value.", in(chosen),
		},
		{
			"Activate", "A sender signs with a key when it is told to and not before, with the older one when it is told that, and " +
				"with the same one when it is told twice. A key that is signed with too early is refused by every receiver.", in(activated),
		},
	}
}
