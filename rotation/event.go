// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"log/slog"
	"time"
)

// Event is one line of the record. It marshals to JSON and holds no secret.
type Event struct {
	ID         string     `json:"id"` // the same at every delivery
	At         time.Time  `json:"at"`
	Kind       EventKind  `json:"kind"`
	Level      slog.Level `json:"level"` // Info: routine. Warn: a person should look. Error: now
	Credential string     `json:"credential"`
	Contact    string     `json:"contact,omitzero"`
	Rotation   string     `json:"rotation,omitzero"`
	Strategy   Strategy   `json:"strategy,omitzero"`
	Phase      Phase      `json:"phase,omitzero"`
	Generation int        `json:"generation,omitzero"`
	Key        string     `json:"key,omitzero"` // the id of the key that it is about, or its name
	Consumer   string     `json:"consumer,omitzero"`
	Actor      string     `json:"actor,omitzero"`
	Incident   string     `json:"incident,omitzero"`
	Problem    *Error     `json:"problem,omitzero"`
	Need       string     `json:"need,omitzero"`   // of EventWaiting, EventFailed and EventDue: Answer.Need, where a person can answer
	Verbs      []Verb     `json:"verbs,omitzero"`  // and with what
	Record     *Record    `json:"record,omitzero"` // of EventEnded: the whole account
	Text       string     `json:"text"`
}

// EventKind is what happened.
type EventKind string

// Kinds of events.
const (
	EventNotice    EventKind = "notice" // a rotation is going to begin, see Policy.Notice
	EventBegan     EventKind = "began"
	EventIssued    EventKind = "issued"
	EventProven    EventKind = "proven"
	EventPromoted  EventKind = "promoted"
	EventActivated EventKind = "activated" // a webhook's sender was told to sign with it
	EventDeployed  EventKind = "deployed"
	EventVerified  EventKind = "verified"
	EventDisabled  EventKind = "disabled"
	EventRevoked   EventKind = "revoked"
	EventDead      EventKind = "dead"
	EventWaiting   EventKind = "waiting" // on a person, or on a fact for longer than foreseen
	EventFailed    EventKind = "failed"
	EventWarning   EventKind = "warning"  // something is not as it was left, or slower than the policy wants; what follows from it is done
	EventDue       EventKind = "due"      // within 14 days, or overdue: once a week, under a hold and where a rotation stands too
	EventAnswered  EventKind = "answered" // a person held, aborted or resolved something
	EventRollBack  EventKind = "roll-back"
	EventEnded     EventKind = "ended"
	EventDebt      EventKind = "debt"
)
