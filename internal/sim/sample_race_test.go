// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build race

package sim

func init() { sample = 100 } // the race detector wants to see every kind of run, not every run
