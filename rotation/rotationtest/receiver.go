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

// Receiver is a receiver of webhooks in memory, with one process: a Consumer that accepts the secrets it was told to accept and no
// other, its own Verifier, Observer and UsageReporter. NewReceiver makes one. It is safe for concurrent use. Faults can be
// injected into Deploy, Verify, Observe, Usage and Receive.
type Receiver struct {
	script script
	name   string

	mu      sync.Mutex // guards the fields below
	accepts []rotation.Key
	matched map[int64]time.Time // by Serial: the last delivery
	since   time.Time
}

const receiverOps = "Deploy Verify Observe Usage Receive"

// NewReceiver returns a receiver that accepts these keys, and refuses everything without one.
func NewReceiver(accepts ...rotation.Key) *Receiver {
	return &Receiver{name: identity("receiver"), accepts: accepts, matched: map[int64]time.Time{}, since: now()}
}

// Inject adds a fault. It panics for a method that the fake does not have.
func (r *Receiver) Inject(f Fault) { r.script.inject("Receiver", receiverOps, f) }

// Unmet returns the injected faults that no call has met so far, in the order in which they were injected.
func (r *Receiver) Unmet() []Fault { return r.script.unmet() }

// Calls returns how often op was called, faults included. It panics for a method that the fake does not have.
func (r *Receiver) Calls(op string) int { return r.script.count("Receiver", receiverOps, op) }

// Identity tells receivers in one test apart.
func (r *Receiver) Identity() string { return r.name }

// Accepts returns the keys that it accepts, with their values, as it was told them.
func (r *Receiver) Accepts() []rotation.Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.accepts)
}

// Restart makes it forget when it verified what, as a process does that starts again. It goes on accepting what it was told.
func (r *Receiver) Restart() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.matched)
	r.since = now()
}

// Deploy makes it accept req.Accept from now on, and nothing else. nil is no list, but a request about a key to present: an error.
func (r *Receiver) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	return do(ctx, &r.script, "Deploy", func() error {
		if req.Accept == nil {
			return fmt.Errorf("receiver in memory: %v is a key to present: %w", req.Key, errors.ErrUnsupported)
		}
		for _, key := range req.Accept {
			if key.Secret.IsZero() {
				return errors.New("receiver in memory: DeployRequest.Accept has a key without a value")
			}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.accepts = slices.Clone(req.Accept)
		return nil
	})
}

// Verify says whether it accepts what is signed with key. That counts as no delivery. Errors: ErrRejected if it does not.
func (r *Receiver) Verify(ctx context.Context, key rotation.Key) error {
	return do(ctx, &r.script, "Verify", func() error {
		if key.Secret.IsZero() {
			return errors.New("receiver in memory: nothing can be signed with a key without a value")
		}
		if _, ok := r.match(key.Secret); !ok {
			return fmt.Errorf("receiver in memory: %w", rotation.ErrRejected)
		}
		return nil
	})
}

// Receive takes a delivery that was signed with each of these values. Errors: ErrRejected if none of them is accepted.
func (r *Receiver) Receive(ctx context.Context, by ...secret.Value) error {
	return do(ctx, &r.script, "Receive", func() error {
		for _, value := range by {
			if key, ok := r.match(value); ok {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.matched[key.Serial] = now()
				return nil
			}
		}
		return fmt.Errorf("receiver in memory: %w", rotation.ErrRejected)
	})
}

func (r *Receiver) match(value secret.Value) (rotation.Key, bool) {
	for _, key := range r.Accepts() {
		if !value.IsZero() && key.Secret.Equal(value) {
			return key, true
		}
	}
	return rotation.Key{}, false
}

// Observe returns its one process once for each key that it accepts, and once without a key if it accepts none.
func (r *Receiver) Observe(ctx context.Context) ([]rotation.Instance, error) {
	return act(ctx, &r.script, "Observe", func() ([]rotation.Instance, error) {
		var seen []rotation.Instance
		for _, key := range r.Accepts() {
			seen = append(seen, rotation.Instance{Name: r.name, AsOf: now(), Key: rotation.Key{ID: key.ID, Serial: key.Serial, Generation: key.Generation, Name: key.Name}})
		}
		if len(seen) == 0 {
			seen = append(seen, rotation.Instance{Name: r.name, AsOf: now()})
		}
		return seen, nil
	})
}

// Usage says when a delivery last matched key, by its Serial, since it was made or restarted.
func (r *Receiver) Usage(ctx context.Context, key rotation.Key) (rotation.Usage, error) {
	return act(ctx, &r.script, "Usage", func() (rotation.Usage, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return rotation.Usage{LastUsed: r.matched[key.Serial], Since: r.since, AsOf: now(), Source: r.name}, nil
	})
}
