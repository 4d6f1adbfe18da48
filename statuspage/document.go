// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package statuspage

import "time"

// Document is what the page shows, as JSON. It holds texts, numbers and times and nothing else: no secret fits into it. It shares
// memory with other answers: do not modify it.
type Document struct {
	Title       string       `json:"title"`
	AsOf        time.Time    `json:"as_of"`              // the journal was read then
	Summary     Summary      `json:"summary"`            // of the whole inventory, whatever is asked for
	Problems    []string     `json:"problems,omitempty"` // what could not be read
	Total       int          `json:"total"`              // how many credentials match
	Page        int          `json:"page"`               // of Pages, from 1
	Pages       int          `json:"pages"`
	Limit       int          `json:"limit"`       // credentials on a page
	Credentials []Credential `json:"credentials"` // of this page; never null
}

// Summary counts credentials. One is counted in every line that it belongs to, and Debts counts keys.
type Summary struct {
	Credentials int `json:"credentials"`
	Emergencies int `json:"emergencies"` // open ones
	Person      int `json:"person"`      // that wait for a person
	Overdue     int `json:"overdue"`
	Soon        int `json:"soon"` // see StateSoon
	Open        int `json:"open"`
	Failing     int `json:"failing"`
	Held        int `json:"held"`
	Debts       int `json:"debts"`
	Unread      int `json:"unread"`
}

// State is one thing to know of a credential. One can have several.
type State string

// States, the most urgent first.
const (
	StateEmergency State = "emergency" // an emergency rotation is open
	StatePerson    State = "person"    // the open rotation waits for a person
	StateOverdue   State = "overdue"   // its key is older than the policy allows, or nobody knows how old
	StateDebt      State = "debt"      // a key should be dead and is not proven so
	StateUnread    State = "unread"    // where it stands could not be read
	StateFailing   State = "failing"   // something stands in the way of the open rotation, and no person is asked; or the current key is refused
	StateOpen      State = "open"      // a rotation is open
	StateHeld      State = "held"      // a person has stopped it for a time: see rotation.Rotator.Hold
	StateSoon      State = "soon"      // due within 14 days, and its key has lived for half of its time
	StateNew       State = "new"       // the journal knows no key of it: it was never driven, or has none
	StateOK        State = "ok"        // none of these
)

// Credential is one line of the inventory and where it stands.
type Credential struct {
	Name       string        `json:"name"`
	States     []State       `json:"states"`               // the most urgent first; never empty
	Type       string        `json:"type,omitempty"`       // empty: it is not registered any more
	Risk       string        `json:"risk,omitempty"`       // high, or empty
	Scope      string        `json:"scope,omitempty"`      // read-only, broad, full-access, or empty
	Contact    string        `json:"contact,omitempty"`    // who is told
	Issuer     string        `json:"issuer,omitempty"`     // its Identity, where it has one
	Verifier   string        `json:"verifier,omitempty"`   // its Identity, where one is set and has one
	Store      string        `json:"store,omitempty"`      // its Identity; empty: the rotator's default, or it tells none
	MaxAge     time.Duration `json:"max_age,omitempty"`    // what the policy allows
	Generation int           `json:"generation,omitempty"` // of the current key; zero: the journal knows none
	IssuedAt   time.Time     `json:"issued_at,omitzero"`   // of the current key; zero with a generation: nobody knows
	Due        time.Time     `json:"due,omitzero"`
	CheckedAt  time.Time     `json:"checked_at,omitzero"` // when the current key was last found stored and accepted
	Problem    *Problem      `json:"problem,omitempty"`   // while no rotation is open: what is wrong with the current key
	Begins     time.Time     `json:"begins,omitzero"`     // the next rotation by itself, by the policy's windows, notice and jitter
	HeldUntil  time.Time     `json:"held_until,omitzero"`
	Next       time.Time     `json:"next,omitzero"` // when there is something to do
	Open       *Rotation     `json:"open,omitempty"`
	Needs      []Need        `json:"needs,omitempty"` // what stands between Open and its end
	Debts      []Debt        `json:"debts,omitempty"`
	Last       *Rotation     `json:"last,omitempty"`     // the last one that ended
	Bindings   []Binding     `json:"bindings,omitempty"` // only with ?credential=
}

// Binding is one registered use of a credential.
type Binding struct {
	Name     string `json:"name"`
	Consumer string `json:"consumer,omitempty"` // its Identity, where it has one
}

// Rotation is the account of one rotation, as in rotation.Record.
type Rotation struct {
	ID            string        `json:"id"`
	Strategy      string        `json:"strategy"` // standard, roll-back or emergency
	Phase         string        `json:"phase"`
	Outcome       string        `json:"outcome,omitempty"` // rotated, rolled-back, taken-over; empty: it is open
	Generation    int           `json:"generation"`        // of the new key
	OldID         string        `json:"old_id,omitempty"`
	NewID         string        `json:"new_id,omitempty"`
	Reason        string        `json:"reason,omitempty"`
	Actor         string        `json:"actor,omitempty"`
	Trigger       string        `json:"trigger,omitempty"`
	Incident      string        `json:"incident,omitempty"`
	Problem       *Problem      `json:"problem,omitempty"`
	BeganAt       time.Time     `json:"began_at,omitzero"`
	EndedAt       time.Time     `json:"ended_at,omitzero"`
	IssuedAt      time.Time     `json:"issued_at,omitzero"`
	DeployedAt    time.Time     `json:"deployed_at,omitzero"`
	RevokedAt     time.Time     `json:"revoked_at,omitzero"`
	DeadAt        time.Time     `json:"dead_at,omitzero"`
	Deadline      time.Time     `json:"deadline,omitzero"` // of an emergency: for the revocation
	DeadlineMet   bool          `json:"deadline_met,omitempty"`
	Outage        time.Duration `json:"outage,omitempty"` // the longest of a consumer
	RollbackUntil time.Time     `json:"rollback_until,omitzero"`
	RollbackTakes time.Duration `json:"rollback_takes,omitempty"`
	Steps         []Step        `json:"steps"`
	Consumers     []Consumer    `json:"consumers,omitempty"` // only with ?credential=
	Timeline      []Moment      `json:"timeline,omitempty"`  // only with ?credential=
}

// Step is one phase of a rotation's strategy.
type Step struct {
	Phase    string    `json:"phase"`
	Progress string    `json:"progress"`    // done, current, ahead, or stopped: where it was taken over
	At       time.Time `json:"at,omitzero"` // of the last line that the timeline has of it
}

// Need is one thing that an open rotation waits for.
type Need struct {
	ID    string    `json:"id"` // for rotation.Answer
	Kind  string    `json:"kind"`
	Name  string    `json:"name,omitempty"` // of the binding, if it is one
	Text  string    `json:"text"`
	Until time.Time `json:"until,omitzero"`  // when it is looked at again
	Verbs []string  `json:"verbs,omitempty"` // the answers that it takes
}

// Debt is a key that should be dead and is not proven so.
type Debt struct {
	ID         string    `json:"id"` // for rotation.Answer, with the verb settle
	Key        string    `json:"key"`
	Generation int       `json:"generation,omitempty"`
	Since      time.Time `json:"since"`
	Problem    *Problem  `json:"problem,omitempty"`
}

// Problem is what went wrong.
type Problem struct {
	Text      string `json:"text"` // one line: where (but for the credential), what, and what was seen
	Diagnosis string `json:"diagnosis,omitempty"`
	Consumer  string `json:"consumer,omitempty"`
	Action    string `json:"action,omitempty"` // what to do next
}

// Consumer is the progress of one binding in a rotation.
type Consumer struct {
	Name       string        `json:"name"`
	DeployedAt time.Time     `json:"deployed_at,omitzero"`
	ObservedAt time.Time     `json:"observed_at,omitzero"`
	VerifiedAt time.Time     `json:"verified_at,omitzero"`
	Proof      string        `json:"proof,omitempty"`
	Outage     time.Duration `json:"outage,omitempty"`
	Problem    *Problem      `json:"problem,omitempty"`
}

// Moment is one line of a timeline.
type Moment struct {
	At    time.Time `json:"at"`
	Phase string    `json:"phase,omitempty"`
	Actor string    `json:"actor,omitempty"`
	Text  string    `json:"text"`
}
