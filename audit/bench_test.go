// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"context"
	"crypto/ed25519"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/audit"
)

func BenchmarkDeliver(b *testing.B) {
	key, _ := newKey(b)
	for name, skip := range map[string]bool{"sync": false, "skip sync": true} {
		b.Run(name, func(b *testing.B) {
			trail := open(b, audit.Config{Dir: b.TempDir(), Key: key, SkipSync: skip})
			n := 0
			for b.Loop() {
				n++
				if err := trail.Deliver(context.Background(), event(n)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCheck(b *testing.B) {
	dir := b.TempDir()
	key, public := newKey(b)
	trail := open(b, audit.Config{Dir: dir, Key: key, SkipSync: true})
	deliver(b, trail, 1, 10_000)
	require.NoError(b, trail.Close())
	want := audit.Expect{Keys: []ed25519.PublicKey{public}}
	for b.Loop() {
		if _, err := audit.Check(os.DirFS(dir), want); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/10_000, "µs/event")
}
