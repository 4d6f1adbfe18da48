// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix && !race

package bench_test

import (
	"syscall"
	"time"
)

// cpuTime is what all threads of the process have used, those of the garbage collector included.
func cpuTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
