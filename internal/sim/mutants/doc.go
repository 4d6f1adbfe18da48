// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package mutants asks whether the simulation sees what it is there to see. It holds a list of deliberate faults of the
// engine, each a rule of the protocol that somebody could have forgotten, and no code: nothing of it is ever shipped. The
// tests build the simulation with each fault in turn, as an overlay of the source, and let it hunt. A mutant that survives is a
// rule that nobody watches, and fails the test.
//
// The list is in the order of the protocol, so that it can be read as an account of what each rule is good for. The names C1 to
// C15 are the interleavings of counterexamples_test.go in package rotation, where each is told in words.
//
// A plain go test only looks whether every mutant still fits the engine. This builds and hunts them all, or those whose
// name matches:
//
//	go test ./internal/sim/mutants -v -timeout 30m -sim.mutants
//	go test ./internal/sim/mutants -v -timeout 30m -sim.mutants='lease|settle'
package mutants
