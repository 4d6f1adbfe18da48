// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package rotationtest has fakes with faults for tests of services that rotate, and conformance suites for tests of
// implementations of the interfaces of package rotation.
//
// The fakes are a whole small world in memory: [Provider] makes, ends and checks keys and answers HTTP requests that
// present them, [Store] and [Journal] keep values and progress, [Consumer] is one service that uses a key. For webhooks, where it is
// the provider that presents, [Sender] signs deliveries and [Receiver] verifies them. [Fault] says what goes wrong with them, and
// when. They are safe for concurrent use, start no goroutines, and use the real clock: in a
// testing/synctest bubble a soak of 48 hours takes no time.
//
// The suites prove what can be seen from outside. [IssuerSuite], [StoreSuite], [ConsumerSuite], [VerifierSuite] and
// [JournalSuite] have one subtest for each clause of their interface, of the same name, and one for each optional ability that
// the implementation has. [ReceiverSuite] is that for a Consumer, and the Verifier beside it, that receives webhooks; the sender is
// proven by IssuerSuite. Check is the same without a test, for a service that wants to know at its start, or for a synctest
// bubble.
//
// [Simulate] runs whole rotations with your own implementation of any part, in which the process dies before and after every
// effect, and calls fail or lose their answer: a suite proves that a part keeps its clauses, a simulation that rotations with it
// keep their promises. [Simulation] names the parts; the others are the fakes. Webhooks are not simulated.
//
// This package is for tests: it imports package testing. It needs nothing outside the standard library.
package rotationtest
