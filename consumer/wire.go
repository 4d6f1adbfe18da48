// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"slices"
	"time"

	"github.com/handover-go/handover/rotation"
)

// identityJSON is a key as it travels: everything that tells it apart, and no secret.
type identityJSON struct {
	ID         string `json:"id,omitzero"`
	Serial     int64  `json:"serial,omitzero"`
	Generation int    `json:"generation,omitzero"`
	Name       string `json:"name,omitzero"`
}

func identity(k rotation.Key) identityJSON {
	return identityJSON{ID: k.ID, Serial: k.Serial, Generation: k.Generation, Name: k.Name}
}

func (i identityJSON) key() rotation.Key {
	return rotation.Key{ID: i.ID, Serial: i.Serial, Generation: i.Generation, Name: i.Name}
}

// reportJSON is what a process says of itself: of a Handle the key in use, of a Receiver the lists, which are never nil.
type reportJSON struct {
	Instance string `json:"instance"`
	identityJSON
	AsOf         time.Time `json:"as_of"`
	DerivedError bool      `json:"derived_error,omitzero"`

	Accepts []useJSON `json:"accepts,omitzero"`
	Former  []useJSON `json:"former,omitzero"`  // accepted no more
	Problem bool      `json:"problem,omitzero"` // the last look failed, or found what could not be taken
	Probe   verdict   `json:"probe,omitzero"`   // the answer to probeHeader
}

// receives reports whether it is that of a Receiver.
func (r *reportJSON) receives() bool { return r.Accepts != nil }

// sound reports whether it can be a report. Its names are quoted in errors and records.
func (r *reportJSON) sound() bool {
	longest := max(len(r.Instance), len(r.ID), len(r.Name))
	for _, u := range slices.Concat(r.Accepts, r.Former) {
		longest = max(longest, len(u.ID), len(u.Name))
	}
	return r.Instance != "" && longest <= maxText && (r.Accepts == nil || !r.AsOf.IsZero())
}

// useJSON is a key of a Receiver and how it was used.
type useJSON struct {
	Secret string `json:"secret,omitzero"` // its name in matches and metrics
	identityJSON
	LastMatch time.Time `json:"last_match,omitzero"`
	Since     time.Time `json:"since,omitzero"`
	AsOf      time.Time `json:"as_of"`
}

func usesJSON(uses []use) []useJSON {
	out := make([]useJSON, len(uses))
	for i, u := range uses {
		out[i] = useJSON{Secret: u.name, identityJSON: identity(u.key), LastMatch: u.LastUsed.UTC(), Since: u.Since.UTC(), AsOf: u.AsOf.UTC()}
	}
	return out
}

// uses is what a report tells, moved to the clock that asked: ahead is how much further it is than the teller's.
func uses(list []useJSON, ahead time.Duration) []use {
	moved := func(t time.Time) time.Time {
		if t.IsZero() {
			return t
		}
		return t.Add(ahead)
	}
	out := make([]use, len(list))
	for i, u := range list {
		out[i] = use{u.Secret, u.key(), rotation.Usage{LastUsed: moved(u.LastMatch), Since: moved(u.Since), AsOf: moved(u.AsOf)}}
	}
	return out
}

// orderJSON is a rotation.DeployRequest as it travels.
type orderJSON struct {
	Deploy     string        `json:"deploy,omitzero"` // DeployRequest.ID
	Credential string        `json:"credential,omitzero"`
	Consumer   string        `json:"consumer,omitzero"`
	Role       rotation.Role `json:"role,omitzero"`
	identityJSON
	Accept    []identityJSON `json:"accept,omitzero"` // nil: not told; empty: nothing
	Emergency bool           `json:"emergency,omitzero"`
}

func order(req rotation.DeployRequest) orderJSON {
	return orderJSON{
		Deploy: req.ID, Credential: req.Credential, Consumer: req.Consumer, Role: req.Role,
		identityJSON: identity(req.Key), Emergency: req.Emergency,
	}
}

func (o orderJSON) request() rotation.DeployRequest {
	req := rotation.DeployRequest{
		ID: o.Deploy, Credential: o.Credential, Consumer: o.Consumer, Role: o.Role,
		Key: o.key(), Emergency: o.Emergency,
	}
	for _, k := range o.Accept {
		req.Accept = append(req.Accept, k.key())
	}
	return req
}

// identities is never nil.
func identities(keys []rotation.Key) []identityJSON {
	out := make([]identityJSON, len(keys))
	for i, k := range keys {
		out[i] = identity(k)
	}
	return out
}

func keysOf(uses []use) []rotation.Key {
	keys := make([]rotation.Key, len(uses))
	for i, u := range uses {
		keys[i] = u.key
	}
	return keys
}

// acceptsOnly reports whether what is accepted are these keys, in any order.
func acceptsOnly(accepted []use, keys []rotation.Key) bool {
	left := slices.Clone(keys)
	for _, u := range accepted {
		i := slices.IndexFunc(left, func(k rotation.Key) bool { return same(u.key, k) })
		if i < 0 {
			return false
		}
		left = slices.Delete(left, i, i+1)
	}
	return len(left) == 0
}
