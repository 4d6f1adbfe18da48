// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import "time"

// Trigger is why a rotation begins before it is due. WithActor says who.
type Trigger struct {
	ID     string // of the caller's own event (a CI run, a ticket): the same ID never begins a second rotation; empty: none
	Reason string
}

// Answer is what a person decides. The person is WithActor's.
type Answer struct {
	Need   string // Need.ID or Debt.ID
	Verb   Verb   // one of Need.Verbs
	Reason string
	KeyID  string    // for VerbSettle of a lost answer: the key that was minted; empty: none was
	Until  time.Time // for VerbExtend
}

// Verb is an answer that a Need admits.
type Verb string

// Verbs.
const (
	VerbDone     Verb = "done"     // the task is done: look again
	VerbAttest   Verb = "attest"   // I saw this consumer work with the new key
	VerbForget   Verb = "forget"   // this consumer is gone
	VerbExtend   Verb = "extend"   // keep both keys longer
	VerbAdopt    Verb = "adopt"    // what the store holds is right: go on from there
	VerbReassert Verb = "reassert" // it was a mistake: back to what the journal says
	VerbSettle   Verb = "settle"   // I looked at the provider: this key is gone, or that one is ours
	VerbRollBack Verb = "roll-back"
)
