// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"

	"github.com/handover-go/handover/rotation"
)

// Consumer is a consumer in memory: one service with one instance, that remembers the key it was given and uses it at a
// Provider. NewConsumer makes one. It is safe for concurrent use. Faults can be injected into Deploy, Verify and Observe.
type Consumer struct {
	provider *Provider
	script   script
	name     string

	mu  sync.Mutex // guards the fields below
	key rotation.Key
}

const consumerOps = "Deploy Verify Observe"

// NewConsumer returns a consumer of p without a key. Give it the key in use with Deploy.
func NewConsumer(p *Provider) *Consumer {
	if p == nil {
		panic("rotationtest: NewConsumer needs a Provider")
	}
	return &Consumer{provider: p, name: identity("consumer")}
}

// Inject adds a fault. It panics for a method that the fake does not have.
func (c *Consumer) Inject(f Fault) { c.script.inject("Consumer", consumerOps, f) }

// Unmet returns the injected faults that no call has met so far, in the order in which they were injected.
func (c *Consumer) Unmet() []Fault { return c.script.unmet() }

// Calls returns how often op was called, faults included. It panics for a method that the fake does not have.
func (c *Consumer) Calls(op string) int { return c.script.count("Consumer", consumerOps, op) }

// Identity tells consumers in one test apart.
func (c *Consumer) Identity() string { return c.name }

// Key returns the key that it uses, with its secret; a zero Key before the first Deploy.
func (c *Consumer) Key() rotation.Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := c.key
	key.Attributes = maps.Clone(key.Attributes)
	return key
}

// Deploy makes it use req.Key from now on, newer or older.
func (c *Consumer) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	return do(ctx, &c.script, "Deploy", func() error {
		if req.Key.Secret.IsZero() {
			return errors.New("consumer in memory: DeployRequest.Key has no value")
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.key = req.Key
		c.key.Attributes = maps.Clone(req.Key.Attributes)
		return nil
	})
}

// Observe returns its one instance and the key that it uses; none before the first Deploy.
func (c *Consumer) Observe(ctx context.Context) ([]rotation.Instance, error) {
	return act(ctx, &c.script, "Observe", func() ([]rotation.Instance, error) {
		key := c.Key()
		if key.IsZero() {
			return nil, nil
		}
		seen := rotation.Key{ID: key.ID, Serial: key.Serial, Generation: key.Generation, Name: key.Name}
		return []rotation.Instance{{Name: c.name, Key: seen, AsOf: now()}}, nil
	})
}

// Verify sends a request with the key that it uses through Provider.RoundTrip, where it counts as a call and as use. Errors:
// ErrNotYet while it uses another key than this one, or none; ErrRejected if the provider refuses it.
func (c *Consumer) Verify(ctx context.Context, key rotation.Key) error {
	return do(ctx, &c.script, "Verify", func() error {
		own := c.Key()
		if own.IsZero() || !sameKey(own, key) {
			return fmt.Errorf("consumer in memory: it uses %v: %w", own, rotation.ErrNotYet)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://provider.invalid/", nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+own.Secret.Reveal())
		resp, err := c.provider.RoundTrip(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("consumer in memory: %w", rotation.ErrRejected)
		}
		return nil
	})
}

// sameKey compares by value, or by identity where only that is known.
func sameKey(own, asked rotation.Key) bool {
	if !asked.Secret.IsZero() {
		return own.Secret.Equal(asked.Secret)
	}
	return own.ID == asked.ID && (asked.Serial == 0 || own.Serial == asked.Serial)
}
