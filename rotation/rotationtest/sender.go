// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// Sender is the sender of a webhook in memory, for a Credential of type WebhookSecret: an Issuer whose values are chosen here, an
// Activator, and the Verifier that makes it deliver a test to each of its receivers. NewSender makes one; the zero Sender is
// not usable. It is safe for concurrent use, but set its fields before the first call.
//
// Calls whose context has ended have no effect. Faults can be injected into Choose, Issue, Activate, Revoke, Verify and Deliver.
type Sender struct {
	// Traits is what Describe tells. RetryHorizon and Propagation are kept, the others are promises of the test.
	Traits rotation.Traits

	// Propagate is how long Activate takes to be seen: until then deliveries bear the signature of before. Zero: none.
	Propagate time.Duration

	script    script
	name      string
	receivers []*Receiver

	mu      sync.Mutex // guards the fields below
	signers []signer   // oldest first
	failed  []delivery // that were refused, or met a receiver that was down
}

const senderOps = "Choose Issue Activate Revoke Verify Deliver"

// signer is what it signs with from a time on.
type signer struct {
	key  rotation.Key
	from time.Time
}

// delivery is one delivery to one receiver, signed when it was first made.
type delivery struct {
	to   *Receiver
	by   []secret.Value
	made time.Time
}

// NewSender returns a sender that delivers to these receivers and signs with nothing yet: give it the secret in use with
// Activate. What it does is seen at once and it repeats nothing: its Traits say so with negative times.
func NewSender(receivers ...*Receiver) *Sender {
	if len(receivers) == 0 || slices.Contains(receivers, nil) {
		panic("rotationtest: NewSender needs a Receiver")
	}
	return &Sender{
		Traits: rotation.Traits{Propagation: -1, ListLag: -1, RetryHorizon: -1},
		name:   identity("sender"), receivers: receivers,
	}
}

// Inject adds a fault. It panics for a method that the fake does not have.
func (s *Sender) Inject(f Fault) { s.script.inject("Sender", senderOps, f) }

// Unmet returns the injected faults that no call has met so far, in the order in which they were injected.
func (s *Sender) Unmet() []Fault { return s.script.unmet() }

// Calls returns how often op was called, faults included. It panics for a method that the fake does not have.
func (s *Sender) Calls(op string) int { return s.script.count("Sender", senderOps, op) }

// Describe returns Traits.
func (s *Sender) Describe() rotation.Traits { return s.Traits }

// Identity tells senders in one test apart.
func (s *Sender) Identity() string { return s.name }

// Choose returns a new value. It has no effect.
func (s *Sender) Choose(ctx context.Context, _ rotation.IssueRequest) (rotation.Key, error) {
	return act(ctx, &s.script, "Choose", func() (rotation.Key, error) {
		return rotation.Key{Secret: newValue(), IssuedAt: now()}, nil
	})
}

// Issue returns what was chosen. Errors: ErrNotIssued for a request without a chosen value.
func (s *Sender) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	return act(ctx, &s.script, "Issue", func() (rotation.Key, error) {
		if req.Chosen.Secret.IsZero() {
			return rotation.Key{}, fmt.Errorf("sender in memory: it makes no values: %w", rotation.ErrNotIssued)
		}
		return req.Chosen, nil
	})
}

// Activate makes it sign with key from now on, or after Propagate.
func (s *Sender) Activate(ctx context.Context, key rotation.Key) error {
	return do(ctx, &s.script, "Activate", func() error {
		if key.Secret.IsZero() {
			return errors.New("sender in memory: a key without a value cannot be signed with")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.signers = append(s.signers, signer{key, time.Now().Add(s.Propagate)})
		return nil
	})
}

// Revoke does nothing: the sender keeps one secret.
func (s *Sender) Revoke(ctx context.Context, _ rotation.Key) error {
	return do(ctx, &s.script, "Revoke", func() error { return nil })
}

// Verify makes a test delivery to each receiver, whatever key it is asked about, and returns the first refusal.
func (s *Sender) Verify(ctx context.Context, _ rotation.Key) error {
	return do(ctx, &s.script, "Verify", func() error { return s.deliver(ctx) })
}

// Deliver makes a genuine delivery to each receiver. Errors: ErrRejected where one refuses it. What fails is kept for Repeat, for
// as long as Traits.RetryHorizon says.
func (s *Sender) Deliver(ctx context.Context) error {
	return do(ctx, &s.script, "Deliver", func() error { return s.deliver(ctx) })
}

func (s *Sender) deliver(ctx context.Context) error {
	key := s.Signing()
	var errs []error
	for _, r := range s.receivers {
		errs = append(errs, s.send(ctx, delivery{r, []secret.Value{key.Secret}, time.Now()}))
	}
	return errors.Join(errs...)
}

func (s *Sender) send(ctx context.Context, d delivery) error {
	err := d.to.Receive(ctx, d.by...)
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failed = append(s.failed, d)
	}
	return err
}

// Repeat makes the deliveries that failed once more, each with the signature that it bore, and forgets those that are older than
// Traits.RetryHorizon.
func (s *Sender) Repeat(ctx context.Context) error {
	s.mu.Lock()
	failed := s.failed
	s.failed = nil
	s.mu.Unlock()
	var errs []error
	for _, d := range failed {
		if time.Since(d.made) < s.Traits.RetryHorizon {
			errs = append(errs, s.send(ctx, d))
		}
	}
	return errors.Join(errs...)
}

// Signing returns the key that it signs with now, with its value; a zero Key before the first Activate.
func (s *Sender) Signing() rotation.Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range slices.Backward(s.signers) {
		if !g.from.After(time.Now()) {
			return g.key
		}
	}
	return rotation.Key{}
}
