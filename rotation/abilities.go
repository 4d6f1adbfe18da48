// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"time"
)

// As finds an ability of v, looking through wrappers that have an Unwrap method returning one of the interfaces Issuer,
// SecretStore, Consumer, Verifier, Journal or Sink. An ability that depends on configuration answers
// errors.ErrUnsupported where it is absent.
func As[T any](v any) (T, bool) {
	for v != nil {
		if t, ok := v.(T); ok {
			return t, true
		}
		switch w := v.(type) {
		case interface{ Unwrap() Issuer }:
			v = w.Unwrap()
		case interface{ Unwrap() SecretStore }:
			v = w.Unwrap()
		case interface{ Unwrap() Consumer }:
			v = w.Unwrap()
		case interface{ Unwrap() Verifier }:
			v = w.Unwrap()
		case interface{ Unwrap() Journal }:
			v = w.Unwrap()
		case interface{ Unwrap() Sink }:
			v = w.Unwrap()
		default:
			v = nil
		}
	}
	var zero T
	return zero, false
}

// Lister is an Issuer that can list its keys, with their use where it is known. Without it a lost answer of Issue becomes a
// hold for a person, and quiet cannot be proven. List returns every key of the credential, or an error: one that is not listed
// counts as absent, and the first page of many is not a list.
type Lister interface {
	List(ctx context.Context) ([]KeyInfo, error)
}

// Chooser is an Issuer whose values are chosen here and not by the provider. Choose has no effect at the provider; the key is
// stored before Issue gets it as IssueRequest.Chosen, so that nothing is lost if the answer is. Issue may get the same
// Chosen key again when it is certain that the provider does not accept it.
type Chooser interface {
	Choose(ctx context.Context, req IssueRequest) (Key, error)
}

// Disabler is an Issuer with a revocation that can be undone. Both methods are safe to repeat. Where disabling is all that the
// provider has, it is what Revoke does, and there is no Disabler.
type Disabler interface {
	Disable(ctx context.Context, key Key) error
	Enable(ctx context.Context, key Key) error
}

// Activator is the Issuer of a WebhookSecret that can tell the sender to sign with key from now on. It is told the same again
// after a lost answer, and the old one in a roll-back. ErrManual: a person does it, at the sender's console.
type Activator interface {
	Activate(ctx context.Context, key Key) error
}

// UsageReporter is a Consumer of a WebhookSecret, or its binding's Verifier, that can tell when a delivery last matched key:
// over all its instances, the latest match, the latest start of counting, and the earliest time up to which all have told.
type UsageReporter interface {
	Usage(ctx context.Context, key Key) (Usage, error)
}

// Handmade is an Issuer that says whether a person has to act in every rotation: then people are told as a warning that a key will
// be due, and not only that it is. See EventDue.
type Handmade interface {
	Handmade() bool
}

// Describer is an Issuer that states how its provider behaves.
type Describer interface {
	Describe() Traits
}

// Traits of a provider. Zero is the cautious assumption for each field.
type Traits struct {
	MaxKeys     int           // live keys at one time; zero: no limit known
	Propagation time.Duration // until an issue or a revocation is seen everywhere; zero: 15 min, negative: none
	ListLag     time.Duration // until a new key is listed; zero: 1 min, negative: none
	Grace       time.Duration // the provider ends the old key this long after issuing; zero: it does not

	// RetryHorizon is how long the sender of a WebhookSecret repeats a failed delivery, which may still bear the old signature;
	// zero: 72 h, negative: it does not.
	RetryHorizon time.Duration

	KillsOld    bool // issuing ends the old key at once: standard needs Policy.AllowOutage
	NoReplay    bool // a second Issue with the same current key ends the whole family: after a lost answer a person makes the next one (Supply)
	Exclusive   bool // nobody else makes keys here: an unnamed new key in the attempt's window is ours
	Independent bool // issuing needs no live key of this credential; false: an emergency issues before it revokes
}

// Observer is a Consumer, or a binding's Verifier, that can see which key each instance uses: the proof of adoption. No
// instances is no evidence. A receiver of a WebhookSecret shows one Instance for each key that a process accepts, and one without a
// key for a process that accepts none.
type Observer interface {
	Observe(ctx context.Context) ([]Instance, error)
}

// Identifier names what it talks to (account, address, path). A change under an open rotation stops it, so that no key is
// looked for, or killed, in the wrong place. Without it the Go type stands for the identity.
type Identifier interface {
	Identity() string
}

// Conditional is a SecretStore (or a Journal that lies in one) that says whether Save compares revisions. New refuses a
// store that does not say so, or says false: where the last write wins, two writers can lose a key.
type Conditional interface {
	Conditional() bool
}

// Lagger is a Consumer that knows the longest time it may go on using the old key after Deploy returned nil.
type Lagger interface {
	Lag() time.Duration
}

// Checker is anything given to a Credential that can say, without side effects, that it will be able to do its part. It is
// asked before anything is minted.
type Checker interface {
	Check(ctx context.Context) error
}

// Validator is anything given to a Credential that can say, without I/O, whether it was configured right. New and Register
// ask it and name the field it stands in.
type Validator interface {
	Validate() error
}

// Enumerator is a SecretStore that can list its names, to compare with the inventory.
type Enumerator interface {
	Names(ctx context.Context) ([]string, error)
}

// Discoverer names who uses a credential, to compare with its bindings.
type Discoverer interface {
	Discover(ctx context.Context, credential string) ([]string, error)
}

// PublicError is an error whose text may be recorded, logged and shown: it holds no secret and nothing of a provider's
// answer. The text of any other error stays out of every record; its sentinel and its kind are kept.
type PublicError interface {
	error
	Public() string
}
