// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"sync/atomic"
	"testing"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
)

var sink rotation.Key

// BenchmarkKey compares Handle.Key with the least that it could cost: one atomic load and a copy.
func BenchmarkKey(b *testing.B) {
	b.Run("handle", func(b *testing.B) {
		h := consumer.Static(key(1))
		b.ReportAllocs()
		for b.Loop() {
			sink = h.Key()
		}
	})
	b.Run("bare", func(b *testing.B) {
		var p atomic.Pointer[rotation.Key]
		k := key(1)
		p.Store(&k)
		b.ReportAllocs()
		for b.Loop() {
			sink = *p.Load()
		}
	})
}
