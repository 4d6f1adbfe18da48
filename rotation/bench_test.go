// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"

	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
)

// BenchmarkRotation is a whole standard rotation with three consumers: every step, every gate, every write, on memory parts
// that answer at once and with a policy that waits for nothing.
func BenchmarkRotation(b *testing.B) {
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer() // a new world each time: the fakes remember everything
		r := benchRotator(b)
		b.StartTimer()
		st, err := r.Rotate(ctx, name, rotation.Trigger{Reason: "benchmark"})
		if err != nil {
			b.Fatal(err)
		}
		if st.Open != nil {
			b.Fatalf("it waits for %+v", st.Needs)
		}
	}
}

func benchRotator(b *testing.B) *rotation.Rotator {
	provider, secrets := rotationtest.NewProvider(), store.NewMemory()
	if err := store.Seed(context.Background(), secrets, name, provider.Mint()); err != nil {
		b.Fatal(err)
	}
	cred := rotation.Credential{Name: name, Type: rotation.APIKey, Issuer: provider}
	for i := range 3 {
		cred.Consumers = append(cred.Consumers, rotation.Binding{Name: fmt.Sprint("c", i), Consumer: rotationtest.NewConsumer(provider)})
	}
	r, err := rotation.New(rotation.Config{
		Journal: journal.NewMemory(), Store: secrets, Credentials: []rotation.Credential{cred}, ClockSkew: -1,
		Policy: rotation.Policy{Overlap: -1, Quiet: -1},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		b.Fatal(err)
	}
	return r
}
