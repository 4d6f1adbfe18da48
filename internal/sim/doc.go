// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package sim simulates whole rotations and looks for schedules that break a law. It has tests only.
//
// A run is one synctest bubble with a world in it: a provider with two edges, a store, a journal, services that are told a key,
// restarted, or read the store by themselves, and two processes with a Rotator each, whose clocks may differ. There are settings with
// windows and blackouts, a notice and jitter, regular looks, and two credentials that share a consumer: then there is a world for each,
// with one journal, one clock and one plan.
//
// Every call of the engine to that world goes through a seam, where it meets what the run's schedule holds for it: it fails before or after
// its effect, hangs, panics, ends its goroutine, lands after another process has taken over, kills its process, makes it stand
// still, lies, or takes its whole system down; or somebody changes the world beside it: an emergency, a hand in the store, a
// journal from a backup. An oracle that sees what no part of the engine sees watches the laws at every instant.
//
// An explorer runs every single fault at every call, pairs of them, and random schedules; a fault in a state in which the same
// fault was tried before is not tried again. What fails is shrunk and printed with the command that repeats it.
//
//	go test ./internal/sim                                      all single faults, a sample of the rest
//	go test ./internal/sim -run Interventions -sim.meddle 1     every intervention
//	go test ./internal/sim -run PolicySingles -sim.policies 1 -timeout 0   every single fault of windows, notices, looks and groups
//	go test ./internal/sim -run Pairs -sim.pairs -timeout 0     every pair; -sim.part 1/8 does a part of them
//	go test ./internal/sim -run Random -sim.seconds 3600 -timeout 0
package sim
