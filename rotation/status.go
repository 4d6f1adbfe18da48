// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import "time"

// Strategy is the order of steps that a rotation follows.
type Strategy string

// Strategies. A rotation begins under Standard or Emergency; Standard turns into RollBack, and back, until a key is
// condemned.
const (
	Standard  Strategy = "standard"
	RollBack  Strategy = "roll-back"
	Emergency Strategy = "emergency"
)

// Phase is the step in which a rotation stands.
type Phase string

// Phases, in the order of the standard strategy. A roll-back begins with PhaseRestore and an emergency with PhaseIssue;
// each goes on with the phases that it has in common with the others.
const (
	PhasePrepare  Phase = "prepare"  // is everything there, is the old key accepted
	PhaseIssue    Phase = "issue"    // the new key is minted and stored as pending
	PhaseProve    Phase = "prove"    // the provider accepts it; of a webhook secret: a delivery has matched it
	PhaseCanary   Phase = "canary"   // the first bindings use it
	PhaseAccept   Phase = "accept"   // webhook secrets only: every receiver accepts it
	PhaseRestore  Phase = "restore"  // roll-back only: the old key is enabled and proven again
	PhaseActivate Phase = "activate" // webhook secrets only: the sender is told to sign with it
	PhasePromote  Phase = "promote"  // it is current in the store
	PhaseDeploy   Phase = "deploy"   // every binding is told
	PhaseVerify   Phase = "verify"   // every binding is seen on it and works
	PhaseSoak     Phase = "soak"     // both keys live until nobody uses the other one
	PhaseDisable  Phase = "disable"  // the other key is switched off where that can be undone
	PhaseRetire   Phase = "retire"   // it is revoked
	PhaseDrop     Phase = "drop"     // webhook secrets only: every receiver is told to forget it
	PhaseConfirm  Phase = "confirm"  // it is proven dead
	PhaseFinish   Phase = "finish"   // its value leaves the store
)

// Status is where a credential stands. It marshals to JSON and holds no secret.
type Status struct {
	Credential string    `json:"credential"`
	Generation int       `json:"generation,omitzero"` // of the current key; zero: none yet
	IssuedAt   time.Time `json:"issued_at,omitzero"`  // of the current key
	Due        time.Time `json:"due,omitzero"`        // when the next rotation is due
	CheckedAt  time.Time `json:"checked_at,omitzero"` // when the store and the accepting side were last found to have the current key; see Config.Check. Zero where nothing can see what the receivers of a webhook accept
	Problem    *Error    `json:"problem,omitzero"`    // while no rotation is open: what is wrong with the current key, or why nothing begins; else see Open
	Open       *Record   `json:"open,omitzero"`       // the rotation in progress, if any
	Last       *Record   `json:"last,omitzero"`       // the last one that ended
	Needs      []Need    `json:"needs,omitzero"`      // what stands between Open and its end
	Debts      []Debt    `json:"debts,omitzero"`      // keys that should be dead and are not proven so
	Begins     time.Time `json:"begins,omitzero"`     // the next rotation by itself: when the key is due, or later, by Policy.Windows, Blackouts, Jitter and Notice, or held; zero while one is open, or no key is known
	HeldUntil  time.Time `json:"held_until,omitzero"` // see Rotator.Hold
	Next       time.Time `json:"next"`                // when there is something to do; never zero
}

// Delay is the time until Next, at least one second: what to give to a queue or a reconcile loop.
func (s Status) Delay() time.Duration { return max(time.Until(s.Next), time.Second) }

// Need is one thing that the open rotation waits for.
type Need struct {
	ID    string    `json:"id"` // for Answer.Need; stable while the need lasts
	Kind  NeedKind  `json:"kind"`
	Name  string    `json:"name,omitzero"`  // of the binding, if it is one
	Until time.Time `json:"until,omitzero"` // when it is looked at again
	Text  string    `json:"text"`           // for people; for a person: the instructions
	Verbs []Verb    `json:"verbs,omitzero"` // the answers that Resolve takes; none: it settles by itself (or, for a key, by Supply)
}

// NeedKind is the kind of a Need.
type NeedKind string

// Kinds of needs.
const (
	NeedTime     NeedKind = "time"     // overlap, lag, propagation
	NeedQuiet    NeedKind = "quiet"    // the old key is still in use, or the evidence is too old
	NeedConsumer NeedKind = "consumer" // a rollout, a job that still runs
	NeedPerson   NeedKind = "person"   // a fact or an act that only a person can give
	NeedRetry    NeedKind = "retry"    // something failed: Record.Problem
	NeedWindow   NeedKind = "window"   // see Policy.Windows
	NeedRelease  NeedKind = "release"  // see Rotator.Hold
)

// Record is the account of one rotation, open or ended. It marshals to JSON and holds no secret.
type Record struct {
	ID            string           `json:"id"`
	Credential    string           `json:"credential"`
	Strategy      Strategy         `json:"strategy"`
	Phase         Phase            `json:"phase"`
	Outcome       Outcome          `json:"outcome"`
	Generation    int              `json:"generation"`           // of the new key
	OldID         string           `json:"old_id,omitzero"`      // of the key that was current at the beginning; its name, where it has no id
	NewID         string           `json:"new_id,omitzero"`      // of the key that takes over; of an emergency: of its successor
	Compromised   []DoomedKey      `json:"compromised,omitzero"` // of an emergency: the keys that have to die
	Reason        string           `json:"reason,omitzero"`      // why it began
	Actor         string           `json:"actor"`                // who began it
	Trigger       string           `json:"trigger,omitzero"`     // Trigger.ID
	Incident      string           `json:"incident,omitzero"`
	Consumers     []ConsumerRecord `json:"consumers,omitzero"`
	Problem       *Error           `json:"problem,omitzero"` // what stands in the way now, or ended it
	BeganAt       time.Time        `json:"began_at"`
	EndedAt       time.Time        `json:"ended_at,omitzero"`
	AsOf          time.Time        `json:"as_of,omitzero"`       // of an emergency that is open: when this was told
	IssuedAt      time.Time        `json:"issued_at,omitzero"`   // the new key, by the engine's clock
	RevokedAt     time.Time        `json:"revoked_at,omitzero"`  // the first revocation was sent
	DeployedAt    time.Time        `json:"deployed_at,omitzero"` // the last consumer was told
	DeadAt        time.Time        `json:"dead_at,omitzero"`     // every key that had to die was proven dead
	Deadline      time.Time        `json:"deadline,omitzero"`    // of an emergency: when the revocation had to be sent
	DeadlineMet   bool             `json:"deadline_met,omitzero"`
	Outage        time.Duration    `json:"outage,omitzero"`         // the longest of a consumer; nanoseconds
	RollbackUntil time.Time        `json:"rollback_until,omitzero"` // a roll-back is possible until here at least; zero: not any more
	RollbackTakes time.Duration    `json:"rollback_takes,omitzero"` // from its decision until every consumer was back; nanoseconds
	Usage         []KeyUsage       `json:"usage,omitzero"`          // of an emergency: the compromised keys, as far as the issuer has told
	Timeline      []Moment         `json:"timeline,omitzero"`
}

// DoomedKey is a key that an incident names. The zero times have not come yet.
type DoomedKey struct {
	Key        string    `json:"key"`                 // its id, or its name; empty: only its value is known
	Generation int       `json:"generation,omitzero"` // zero: no record knew the key before the incident
	RevokedAt  time.Time `json:"revoked_at,omitzero"` // the first revocation was sent
	DeadAt     time.Time `json:"dead_at,omitzero"`    // proven
}

// KeyUsage is what the issuer told of the use of a compromised key: see Usage. It is asked with every look at the current key (see
// Config.Check) and once more beside the revocation, which does not wait for the answer: AsOf says how far it reaches.
type KeyUsage struct {
	Key      string    `json:"key"`                // its id, or its name
	LastUsed time.Time `json:"last_used,omitzero"` // by others than this library
	Since    time.Time `json:"since,omitzero"`
	AsOf     time.Time `json:"as_of"`
	Source   string    `json:"source,omitzero"`
	Probed   time.Time `json:"probed,omitzero"` // the last use that the issuer knows was a look of this library itself: it hides what was before it, but for what LastUsed still tells
}

// Moment is one line of a timeline.
type Moment struct {
	At    time.Time `json:"at"`
	Phase Phase     `json:"phase,omitzero"`
	Actor string    `json:"actor,omitzero"` // a person who asked or answered
	Text  string    `json:"text"`
}

// Outcome of a rotation.
type Outcome string

// Outcomes.
const (
	Unfinished Outcome = ""
	Rotated    Outcome = "rotated"
	RolledBack Outcome = "rolled-back"
	TakenOver  Outcome = "taken-over" // by an emergency, which has a Record of its own
)

// ConsumerRecord is the progress of one binding.
type ConsumerRecord struct {
	Name       string        `json:"name"`
	DeployedAt time.Time     `json:"deployed_at,omitzero"` // Deploy returned nil
	ObservedAt time.Time     `json:"observed_at,omitzero"` // every instance was seen on the key
	VerifiedAt time.Time     `json:"verified_at,omitzero"` // its Verifier returned nil
	Proof      string        `json:"proof,omitzero"`       // observed, quiet, attested by ...
	Outage     time.Duration `json:"outage,omitzero"`      // from the revocation until it worked again, or until now; at most; nanoseconds
	Problem    *Error        `json:"problem,omitzero"`
}

// Debt is a key that should be dead and is not proven so.
type Debt struct {
	ID      string    `json:"id"`  // for Answer.Need, with VerbSettle
	Key     Key       `json:"key"` // Secret is zero
	Since   time.Time `json:"since"`
	Problem *Error    `json:"problem,omitzero"`
}
