// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

// A sender that changes to a secret before its receiver has heard of it loses deliveries.
func ExampleSender() {
	ctx := context.Background()
	older, newer := rotation.Key{Serial: 1, Secret: secret.Random(32)}, rotation.Key{Serial: 2, Secret: secret.Random(32)}
	receiver := rotationtest.NewReceiver(older)
	sender := rotationtest.NewSender(receiver)

	_ = sender.Activate(ctx, newer)
	fmt.Println("too early:", sender.Deliver(ctx))

	_ = receiver.Deploy(ctx, rotation.DeployRequest{Accept: []rotation.Key{newer, older}})
	fmt.Println("in time:", sender.Deliver(ctx))
	// Output:
	// too early: receiver in memory: key rejected
	// in time: <nil>
}

// A receiver tells which secrets are still needed. Asking it is no delivery.
func ExampleReceiver() {
	ctx := context.Background()
	older, newer := rotation.Key{Serial: 1, Secret: secret.Random(32)}, rotation.Key{Serial: 2, Secret: secret.Random(32)}
	receiver := rotationtest.NewReceiver(newer, older)
	sender := rotationtest.NewSender(receiver)
	_ = sender.Activate(ctx, newer)

	fmt.Println(sender.Deliver(ctx), receiver.Verify(ctx, older))
	for _, key := range receiver.Accepts() {
		usage, _ := receiver.Usage(ctx, key)
		fmt.Println(key.Serial, "matched:", !usage.LastUsed.IsZero())
	}
	// Output:
	// <nil> <nil>
	// 2 matched: true
	// 1 matched: false
}

// A service that verifies deliveries by the secrets in a field is a receiver by one method, and this is how it is tested. The suite
// finds that it takes whatever it is told for a secret: with an empty one everybody can sign.
func ExampleReceiverSuite_Check() {
	hooks := &hooks{}
	err := rotationtest.ReceiverSuite{
		Consumer: hooks,
		Deliver: func(_ context.Context, key rotation.Key) error { // what its HTTP handler does with a request
			if body := []byte("{}"); !hooks.genuine(body, signature(key.Secret, body)) {
				return rotation.ErrRejected
			}
			return nil
		},
	}.Check(context.Background())
	fmt.Println(err)
	// Output:
	// Value: Deploy reports success for a set with a key without a value, which nobody can accept
}

// hooks receives webhooks.
type hooks struct {
	secrets []secret.Value // a real one needs a lock
}

func (h *hooks) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	if ctx.Err() != nil {
		return errors.New("hooks: too late")
	}
	h.secrets = nil
	for _, key := range req.Accept {
		h.secrets = append(h.secrets, key.Secret)
	}
	return nil
}

func (h *hooks) genuine(body, signed []byte) bool {
	for _, s := range h.secrets {
		if hmac.Equal(signature(s, body), signed) {
			return true
		}
	}
	return false
}

func signature(s secret.Value, body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(s.Reveal()))
	mac.Write(body)
	return mac.Sum(nil)
}
