// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
)

// deafSink takes its first event, and does not return from the second one before it is released.
type deafSink struct {
	calls   atomic.Int64
	release chan struct{}
}

func (s *deafSink) Deliver(context.Context, rotation.Event) error {
	if s.calls.Add(1) > 1 {
		<-s.release
	}
	return nil
}

// A delivery that was given up goes on with its own event, whatever becomes of the outbox meanwhile. Only the race detector sees
// the difference, on the real clock: a bubble would order what nothing orders.
func TestAbandonedDeliveryKeepsItsEvent(t *testing.T) {
	provider, secrets := rotationtest.NewProvider(), store.NewMemory()
	require.NoError(t, store.Seed(t.Context(), secrets, "api", provider.Mint()))
	sink := &deafSink{release: make(chan struct{})}
	defer close(sink.release)
	r, err := rotation.New(rotation.Config{
		Journal: journal.NewMemory(), Store: secrets, Sinks: []rotation.Sink{sink},
		CallTimeout: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		Credentials: []rotation.Credential{{Name: "api", Type: rotation.APIKey, Issuer: provider}},
	})
	require.NoError(t, err)
	_, err = r.Rotate(t.Context(), "api", rotation.Trigger{Reason: "test"})
	require.NoError(t, err)
	require.Equal(t, int64(2), sink.calls.Load(), "one was taken, one was given up")
}
