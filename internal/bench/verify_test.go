// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package bench_test

import "testing"

// BenchmarkVerify verifies a body in memory.
func BenchmarkVerify(b *testing.B) {
	for _, m := range []mode{one, rotation, forged} {
		b.Run(m.name, func(b *testing.B) {
			for _, size := range sizes {
				b.Run(size.name, func(b *testing.B) {
					for _, c := range contestants {
						b.Run(c.name, func(b *testing.B) { verify(b, c, m, size.bytes) })
					}
				})
			}
		})
	}
}

func verify(b *testing.B, c contestant, m mode, bytes int) {
	d := deliver(b, c.scheme, m.signer, body(bytes))
	f := m.expect(c.verifier(b, d, m.known))
	report(b, f, contest(b, d.floor(), m.expect(ours(c.scheme)(b, d, m.known)), f))
}

// report takes the times of the floor, of package webhook and of f.
func report(b *testing.B, f func() error, ns []float64) {
	b.ReportMetric(ns[2], "cpu-ns/op")
	b.ReportMetric(ns[2]/ns[0], "xfloor")
	b.ReportMetric(ns[2]/ns[1], "xwebhook")
	reportGarbage(b, f)
}
