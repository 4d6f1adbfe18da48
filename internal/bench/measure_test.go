// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package bench_test

import (
	"errors"
	"math"
	"runtime"
	"testing"
	"time"
)

// A turn is long enough for some cycles of the garbage collector, for those who give it work: 10 MB or more at the fastest pace
// of the allocating ones, and a cycle begins with every 4. It is short beside what disturbs it.
const turn = 16 * time.Millisecond

// contest lets all run in turn until the benchmark ends, and returns the least CPU time of each, in nanoseconds per call.
func contest(b *testing.B, all ...func() error) []float64 {
	b.Helper()
	// The clock knows for certain what the thread that asks has used. Of others it learns with a delay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	calls, least := make([]int, len(all)), make([]float64, len(all))
	for i, f := range all {
		for calls[i] = 1; run(b, f, calls[i]) < turn; calls[i] *= 2 {
		}
		least[i] = math.Inf(1)
	}
	for b.Loop() {
		for i, f := range all {
			least[i] = min(least[i], float64(run(b, f, calls[i]))/float64(calls[i]))
		}
	}
	b.ReportMetric(0, "ns/op") // of a round: of no interest
	return least
}

func run(b *testing.B, f func() error, calls int) time.Duration {
	began := cpuTime()
	for range calls {
		if err := f(); err != nil {
			b.Fatal(err)
		}
	}
	return cpuTime() - began
}

// reportGarbage reports what f allocates.
func reportGarbage(b *testing.B, f func() error) {
	b.Helper()
	b.ReportAllocs() // shows the two
	const calls = 50
	var before, after runtime.MemStats
	run(b, f, 2) // fills the pools that the collector has emptied
	runtime.ReadMemStats(&before)
	run(b, f, calls)
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64((after.Mallocs-before.Mallocs)/calls), "allocs/op")
	b.ReportMetric(float64((after.TotalAlloc-before.TotalAlloc)/calls), "B/op")
}

var errAccepted = errors.New("a forged delivery was accepted")

// refusing is f, which has to fail.
func refusing(f func() error) func() error {
	return func() error {
		if f() == nil {
			return errAccepted
		}
		return nil
	}
}
