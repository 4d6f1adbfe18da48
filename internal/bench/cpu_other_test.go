// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix && !race

package bench_test

import "time"

var start = time.Now()

// cpuTime is the time on the wall: run the benchmarks on a machine that does nothing else.
func cpuTime() time.Duration { return time.Since(start) }
