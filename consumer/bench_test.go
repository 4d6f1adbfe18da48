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

// BenchmarkKey compares Handle.Key with the least that it could cost: one atomic load and a copy, handed over by a function, and
// the same written where it is used, which saves a copy of the result.
func BenchmarkKey(b *testing.B) {
	b.Run("handle", func(b *testing.B) {
		h := consumer.Static(key(1))
		b.ReportAllocs()
		for range b.N { // B.Loop would keep one more copy alive
			sink = h.Key()
		}
	})
	k := key(1)
	var p pointer
	p.Store(&k)
	b.Run("bare function", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			sink = p.key()
		}
	})
	b.Run("bare expression", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			sink = *p.Load()
		}
	})
}

type pointer struct{ atomic.Pointer[rotation.Key] }

func (p *pointer) key() rotation.Key { return *p.Load() }
