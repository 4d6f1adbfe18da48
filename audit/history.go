// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/handover-go/handover/rotation"
)

// KeyHistory is what was known of a key and its use when it ended. Many providers forget the use of a key when it is revoked, so
// list the keys before that (rotation.Lister), and keep this where the incident or the rotation is documented. It marshals to JSON and
// holds no secret.
type KeyHistory struct {
	Version    int       `json:"version"` // of the document: 1
	Credential string    `json:"credential"`
	KeyID      string    `json:"key_id"`
	Generation int       `json:"generation,omitzero"` // zero: not known
	Scopes     []string  `json:"scopes,omitzero"`
	IssuedAt   time.Time `json:"issued_at,omitzero"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`

	// FirstUsed and LastUsed are the earliest and the latest use that any report shows. An issuer tells the last use only: unless
	// it was asked often, the key may have been used before FirstUsed. Zero: no report shows a use.
	FirstUsed time.Time    `json:"first_used,omitzero"`
	LastUsed  time.Time    `json:"last_used,omitzero"`
	Reports   []UsageShown `json:"reports"` // as they were given

	Rotation  string           `json:"rotation"`
	Strategy  string           `json:"strategy"`
	Outcome   string           `json:"outcome"` // empty: unfinished
	Reason    string           `json:"reason,omitzero"`
	Actor     string           `json:"actor,omitzero"` // who began the rotation
	Incident  string           `json:"incident,omitzero"`
	RevokedAt time.Time        `json:"revoked_at,omitzero"` // the first revocation of the rotation was sent
	DeadAt    time.Time        `json:"dead_at,omitzero"`    // every key that the rotation had to end was proven dead
	Events    []rotation.Event `json:"events"`              // of the rotation
}

// UsageShown is one report of the issuer; see rotation.Usage.
type UsageShown struct {
	LastUsed time.Time `json:"last_used,omitzero"` // zero: not used between Since and AsOf
	Since    time.Time `json:"since,omitzero"`     // zero: from the beginning
	AsOf     time.Time `json:"as_of,omitzero"`     // zero: the issuer tells no use
	Source   string    `json:"source,omitzero"`
	Disabled bool      `json:"disabled,omitzero"`
}

// NewKeyHistory gathers the history of one key from what the issuer told of it, once or often, from the record of the rotation that
// ended it (rotation.Status), and from that rotation's events, from Events or elsewhere; those of other rotations are left out. It
// fails if there is no report, if the reports are of different keys or of one without an ID, or if the record is of no rotation.
func NewKeyHistory(seen []rotation.KeyInfo, rec rotation.Record, events []rotation.Event) (KeyHistory, error) {
	h := KeyHistory{
		Version: 1, Credential: rec.Credential, Rotation: rec.ID, Strategy: string(rec.Strategy), Outcome: string(rec.Outcome),
		Reason: rec.Reason, Actor: rec.Actor, Incident: rec.Incident, RevokedAt: rec.RevokedAt, DeadAt: rec.DeadAt,
		Events: []rotation.Event{},
	}
	switch {
	case len(seen) == 0:
		return KeyHistory{}, failf("audit: NewKeyHistory: no report of the key")
	case seen[0].Key.ID == "":
		return KeyHistory{}, failf("audit: NewKeyHistory: the reported key has no ID")
	case rec.ID == "":
		return KeyHistory{}, failf("audit: NewKeyHistory: the record is of no rotation")
	}
	h.KeyID = seen[0].Key.ID
	for _, info := range seen {
		if info.Key.ID != h.KeyID {
			return KeyHistory{}, failf("audit: NewKeyHistory: the reports are of different keys, %s and %s", h.KeyID, info.Key.ID)
		}
		h.report(info)
	}
	if h.Generation == 0 && h.KeyID == rec.NewID { // the rotation was rolled back, and ended what it had issued
		h.Generation = rec.Generation
	}
	for _, e := range events {
		if e.Credential == rec.Credential && e.Rotation == rec.ID {
			h.Events = append(h.Events, e)
		}
	}
	return h, nil
}

func (h *KeyHistory) report(info rotation.KeyInfo) {
	k, u := info.Key, info.Usage
	if k.Generation != 0 {
		h.Generation = k.Generation
	}
	if !k.IssuedAt.IsZero() {
		h.IssuedAt = k.IssuedAt
	}
	if !k.ExpiresAt.IsZero() {
		h.ExpiresAt = k.ExpiresAt
	}
	if info.Scopes != nil {
		h.Scopes = info.Scopes
	}
	h.Reports = append(h.Reports, UsageShown{LastUsed: u.LastUsed, Since: u.Since, AsOf: u.AsOf, Source: u.Source, Disabled: info.Disabled})
	if u.LastUsed.IsZero() {
		return
	}
	if h.FirstUsed.IsZero() || u.LastUsed.Before(h.FirstUsed) {
		h.FirstUsed = u.LastUsed
	}
	if u.LastUsed.After(h.LastUsed) {
		h.LastUsed = u.LastUsed
	}
}

// Write writes the history as indented JSON. It blocks as w does, and returns its error.
func (h KeyHistory) Write(w io.Writer) error {
	data, err := json.MarshalIndent(h, "", "  ")
	if err != nil {
		return errors.New("audit: the history cannot be encoded") // not the cause: it may quote a part
	}
	_, err = w.Write(append(data, '\n'))
	return err
}
