// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"time"
)

// Issuer makes and ends keys of one credential at its provider. Implementations are safe for concurrent use.
//
//	I1  Issue returns a new key and leaves every other key as it is (but see Traits.Grace and Traits.KillsOld).
//	I2  Issue gives the key the name req.Name where the provider has names.
//	I3  An error that matches ErrNotIssued, ErrDenied, ErrNoSlot or ErrManual means that nothing was minted. Any other
//	    error is ambiguous: the engine settles the attempt (see Lister, Chooser) before it makes another.
//	I4  Revoke returns nil for a key that is already gone. Where an ID is a slot, it revokes only what the slot holds of key.
//	I5  No error carries a secret or the text of a provider's answer.
type Issuer interface {
	Issue(ctx context.Context, req IssueRequest) (Key, error)
	Revoke(ctx context.Context, key Key) error // key.Secret is zero where only the identity is known
}

// IssueRequest asks for the successor of a key. Each attempt has its own Name and Token.
type IssueRequest struct {
	Credential string        // name of the credential
	Name       string        // a name for the new key, at most 64 characters: "payment-gateway-api-v4-k7q2m9"
	Token      string        // idempotency token (a UUID), where the provider takes one
	Generation int           // of the new key
	Current    Key           // the key to succeed, with its secret; zero for the first key
	Chosen     Key           // what Chooser chose; zero without one
	Overlap    time.Duration // how long Current must stay accepted, for providers that set a grace period when issuing
}

// SecretStore keeps the values. Implementations are safe for concurrent use.
//
//	S1  Load of an absent name returns zero Versions and no error. What it returns is authoritative, not a stale replica.
//	S2  Save writes the state that v describes and returns when it is durable. Interrupted anywhere inside Save, Load still
//	    returns every key held before or after. A key that is not in v any more is destroyed.
//	S3  Save fails with ErrConflict, and writes nothing, if the stored revision is not v.Revision (see Conditional).
//	S4  What other readers of the store see as the value is the key with RoleCurrent.
type SecretStore interface {
	Load(ctx context.Context, name string) (Versions, error)
	Save(ctx context.Context, name string, v Versions) error
}

// Consumer brings a key to something that uses it. Implementations are safe for concurrent use.
//
//	C1  nil: it uses req.Key, or will within its lag (Binding.Lag, Lagger).
//	C2  ErrNotYet: under way, ask again with the same request. ErrManual: a person has to act.
//	C3  The same request again does no harm. A request with an older key is a rollback and is obeyed.
//	C4  errors.ErrUnsupported for RolePending: it reads the current key only, and cannot be a canary.
type Consumer interface {
	Deploy(ctx context.Context, req DeployRequest) error
}

// ConsumerFunc is a Consumer made of a function.
type ConsumerFunc func(ctx context.Context, req DeployRequest) error

// Deploy calls f.
func (f ConsumerFunc) Deploy(ctx context.Context, req DeployRequest) error { return f(ctx, req) }

// DeployRequest asks a consumer to use a key.
type DeployRequest struct {
	ID         string // of this move: stamp it where the consumer can be stamped, and the second call does nothing
	Credential string // name of the credential
	Consumer   string // Binding.Name
	Key        Key    // the key to use from now on, with its secret
	Role       Role   // where the store has it, for consumers that read the store: current, or pending for a canary
	Accept     []Key  // only for a WebhookSecret: every key to accept from now on, newest first, and no other. Empty: refuse everything. nil for every other Type
	Emergency  bool   // the old key is dead or dying: do not drain, do not wait for quiet
}

// Verifier asks the accepting side whether a key is accepted (Credential.Verifier), or a consumer whether it works with the
// key (Binding.Verifier). Implementations are safe for concurrent use.
//
//	V1  nil: accepted. ErrRejected: refused, as a definite answer. Everything else: not known.
//	V2  Asking changes nothing and is safe to repeat.
//
// Of a WebhookSecret the binding's Verifier says whether the receiver accepts what is signed with key, all its processes alike; the
// credential's makes the sender deliver a test, and what that was signed with the receivers tell.
type Verifier interface {
	Verify(ctx context.Context, key Key) error
}

// VerifierFunc is a Verifier made of a function.
type VerifierFunc func(ctx context.Context, key Key) error

// Verify calls f.
func (f VerifierFunc) Verify(ctx context.Context, key Key) error { return f(ctx, key) }

// Journal keeps the progress of rotations, without any secret. Most programs take one from package journal.
// Implementations are safe for concurrent use.
//
//	J1  Load of an absent credential returns a zero Entry and no error.
//	J2  Save is durable on return and fails with ErrConflict if the stored Revision is not e.Revision (zero: absent).
//	    After success the stored Revision is e.Revision+1.
//	J3  Due returns entries with Due before t, only those of names, soonest first, at most limit, at a cost that follows
//	    the result. What another inventory left in the same place is passed over. It leaves names as they are.
type Journal interface {
	Load(ctx context.Context, credential string) (Entry, error)
	Save(ctx context.Context, e Entry) error
	Due(ctx context.Context, names []string, t time.Time, limit int) ([]Entry, error)
}

// Entry is the envelope of one credential's progress. What is inside Data is the engine's business. Names that begin with
// "handover/" are the engine's own: the installation's id, incidents and event overflow.
type Entry struct {
	Credential string
	Revision   int64
	Due        time.Time // when there is something to do; zero: never
	SavedAt    time.Time // by the journal's clock; set by Load and Due, ignored by Save
	Data       []byte    // versioned by the engine; holds no secret
}

// Sink receives the record of what happened. A Sink that fails is asked again, and never holds a rotation up.
// Implementations are safe for concurrent use.
type Sink interface {
	Deliver(ctx context.Context, e Event) error // at least once, in order for each credential
}
