// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Simulation says which parts of a rotation are yours. Each function is called once for each schedule, in the order of the
// fields, and returns a part for it: a fresh one, or the same each time, which schedules share under different names. What is
// nil is one of this package's fakes, and so is the rest of the world: a service beside yours, and a reader of the store.
//
// Functions may start goroutines if they end with what World.Cleanup is given. With RealClock they are called from several at
// the same time.
type Simulation struct {
	// Issuer returns an Issuer and the Verifier that asks its accepting side; a nil Verifier: the Issuer is one.
	Issuer func(ctx context.Context, w *World) (rotation.Issuer, rotation.Verifier, error)

	// Current returns a live key to begin with, another one each time, for an Issuer that can only succeed a key. nil: the Issuer
	// makes the first key, too.
	Current func(ctx context.Context, w *World) (rotation.Key, error)

	Store    func(ctx context.Context, w *World) (rotation.SecretStore, error)
	Journal  func(ctx context.Context, w *World) (rotation.Journal, error)
	Consumer func(ctx context.Context, w *World) (Presenter, error)

	// RealClock is for parts that talk to a server: a synctest bubble, where time stands still while anybody computes, cannot wait
	// for the network. Times are then short (both keys live for a tenth of a second), and schedules few and four at a time.
	RealClock bool

	// Sample is how many schedules of each kind are run besides the one without a fault, spread over all that there are; the two in
	// which a key was issued and nobody was told are always run. Zero: all of them, or 12 with RealClock. With -short there are 3 at
	// most. A sample can miss what all of them would find: in CI leave it 0, and leave -short away.
	Sample int

	CallTimeout time.Duration // with RealClock: of one call, and how far clocks may differ; zero: 250 ms
	Patience    time.Duration // with RealClock: how long the provider takes to agree with itself, whatever its Traits; zero: it does at once
}

// World is what is around the parts of one schedule. A field is set once the functions before it have been called.
type World struct {
	Credential string               // name of the credential: another one in each schedule
	Provider   *Provider            // the fake; nil where Simulation.Issuer is set
	Key        rotation.Key         // in use at the beginning; set for Store, Journal and Consumer
	Store      rotation.SecretStore // which holds Key; set for Journal and Consumer
	cleanups   []func()
}

// Cleanup has f called when the schedule has ended. The last one is called first.
func (w *World) Cleanup(f func()) { w.cleanups = append(w.cleanups, f) }

// Presenter is a consumer of your own. It is given World.Key before the schedule begins.
type Presenter struct {
	Consumer rotation.Consumer // required
	Verifier rotation.Verifier // as Binding.Verifier
	Lag      time.Duration     // as Binding.Lag

	// Uses tells which key it uses now, in truth: what its next request to the provider carries. What is known of the key is enough,
	// its value for one. An error says that the request failed. Required unless the Consumer is an Observer, which is believed then.
	Uses func(ctx context.Context) (rotation.Key, error)
}

// Simulate runs rotations of one credential in which everything goes wrong that can, one thing in each schedule, against your
// parts, and checks what this library promises. The rotations are a standard one, one that is rolled back before and one that
// is rolled back after the new key is current, an emergency, and an emergency between any two steps of a standard one. Each is
// run without a fault first. Then, for every effect on an issuer, a store, a journal or a consumer: the process dies before it;
// dies after it; the call fails and nothing happened; it happens and its answer is lost; a write to a store or a journal is held
// up and arrives when another process has finished. Then another process, with a Rotator of its own, carries on. Calls that only
// read fail once, too. While a rotation waits the same calls come again and again: of each kind 40 effects are tried at most, 10
// writes that are held up and 4 reads, from the first to the last.
//
// Promised is, and each failure names it with the schedule and a trace:
//
//   - No presenter ever holds a key that the accepting side refuses, but for the compromised one in an emergency.
//   - Every rotation ends as it should, without a person. A person is played only where no part can know: see the log.
//   - At the end exactly the current key is alive, the store holds it and no other, and every consumer uses it.
//   - A store and a journal return what they said they saved, and refuse a change of what has changed since.
//   - No secret is in a status, an event, a log line, an error or a record of the journal.
//
// Webhooks are not simulated: an Issuer that is an Activator and a Consumer that is a UsageReporter are refused. IssuerSuite and
// ReceiverSuite are for those.
//
// Where the issuer's Traits leave a kind of rotation to people, it is skipped: a roll-back where the old key ends by itself, and
// all of them where a second Issue ends every key (Traits.NoReplay).
//
// It runs in a synctest bubble, about a thousand schedules, which take up to a minute where the parts are in memory or behind an
// HTTP handler in memory; parts that claim long times, or take them, make it more. With -short a few of each kind are run. With
// Simulation.RealClock it runs 65 of them, which take less than a minute where the servers answer at once. A schedule makes two or
// three keys, revokes them in the end, and asks the accepting side about them hundreds of times. Use an account where that does no
// harm, and in which nobody else makes keys meanwhile. What it stored it takes away again; a journal keeps its entries.
func Simulate(t *testing.T, s Simulation) {
	t.Helper()
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, p := range plots {
		t.Run(p.name, func(t *testing.T) {
			result := s.explore(t, p)
			if result.skipped != "" {
				t.Skip(result)
			}
			for _, err := range result.violations {
				t.Error(err)
			}
			t.Log(result)
		})
	}
}

// Validate names what cannot be simulated.
func (s Simulation) Validate() error {
	var errs []error
	mistake := func(text string) { errs = append(errs, errors.New("rotationtest: Simulation."+text)) }
	if s.Current != nil && s.Issuer == nil {
		mistake("Current belongs to an Issuer")
	}
	if s.CallTimeout < 0 || s.Patience < 0 || s.Sample < 0 {
		mistake("CallTimeout, Patience and Sample cannot be negative")
	}
	if !s.RealClock && (s.CallTimeout != 0 || s.Patience != 0) {
		mistake("CallTimeout and Patience need RealClock: in a bubble nothing takes time that does not say so")
	}
	return errors.Join(errs...)
}
