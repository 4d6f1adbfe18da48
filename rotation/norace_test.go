// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package rotation_test

// stride is how many cases the longest tables of cases go on at a time: the race detector makes each ten times as long.
const stride = 1

// schedules is how many of each kind a simulation runs; zero: all.
const schedules = 0
