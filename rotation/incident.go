// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"time"

	"github.com/handover-go/handover/secret"
)

// Incident is what an emergency answers.
type Incident struct {
	Reference   string    `json:"reference"`              // required: "INC-2024-0042"
	Credentials []string  `json:"credentials,omitzero"`   // every key of these that is alive when the reference is first seen
	Keys        []Leak    `json:"keys,omitzero"`          // or exactly these keys
	Reason      string    `json:"reason,omitzero"`        // what leaked, where
	ConfirmedAt time.Time `json:"confirmed_at,omitzero"`  // deadlines count from here; zero, or a time to come: now
	ExposedAt   time.Time `json:"exposed_at,omitzero"`    // the earliest known exposure or misuse, for the record; never after ConfirmedAt
	RevokeFirst bool      `json:"revoke_first,omitempty"` // revoke, and only then issue; false: see Traits.Independent
}

// Leak names one compromised key.
type Leak struct {
	Credential string       `json:"credential"`
	KeyID      string       `json:"key_id,omitzero"`
	Value      secret.Value `json:"-"` // the leaked value, for providers that revoke by value; may be zero
}

// IncidentReport is the record of an incident, one Record for each credential. It marshals to JSON, with its FollowUps, and holds no
// secret.
type IncidentReport struct {
	Incident Incident       `json:"incident"`
	Actor    string         `json:"actor"`
	Records  []Record       `json:"records"`
	Needs    []IncidentNeed `json:"needs,omitzero"`   // what stands between the open records and their end
	Unknown  []string       `json:"unknown,omitzero"` // credentials that no record and no registration knows: none of their keys is killed
	Missing  []IncidentGap  `json:"missing,omitzero"` // known ones that have no rotation under this reference: none of their keys was killed under it
}

// IncidentGap is a credential that an incident names, and that was not taken up under its reference: the call was refused, or its
// process died, or its record cannot be read now.
type IncidentGap struct {
	Credential string   `json:"credential"`
	Contact    string   `json:"contact,omitzero"`    // who is told: see Credential
	CoveredBy  []string `json:"covered_by,omitzero"` // other incidents whose emergency of it is open, or ended after this one was confirmed: it may be the same leak
	Problem    *Error   `json:"problem,omitzero"`    // its record cannot be read: nothing is known of it
}

// IncidentNeed is one thing that the emergency of a credential waits for.
type IncidentNeed struct {
	Credential string `json:"credential"`
	Contact    string `json:"contact,omitzero"` // who is told: see Credential
	Need       Need   `json:"need"`
}
