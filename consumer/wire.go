// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
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

// reportJSON is what a process says of itself.
type reportJSON struct {
	Instance string `json:"instance"`
	identityJSON
	AsOf         time.Time `json:"as_of"`
	DerivedError bool      `json:"derived_error,omitzero"`
}

// orderJSON is a rotation.DeployRequest as it travels.
type orderJSON struct {
	Deploy     string        `json:"deploy,omitzero"` // DeployRequest.ID
	Credential string        `json:"credential,omitzero"`
	Consumer   string        `json:"consumer,omitzero"`
	Role       rotation.Role `json:"role,omitzero"`
	identityJSON
	Emergency bool `json:"emergency,omitzero"`
}

func order(req rotation.DeployRequest) orderJSON {
	return orderJSON{
		Deploy: req.ID, Credential: req.Credential, Consumer: req.Consumer, Role: req.Role,
		identityJSON: identity(req.Key), Emergency: req.Emergency,
	}
}

func (o orderJSON) request() rotation.DeployRequest {
	return rotation.DeployRequest{
		ID: o.Deploy, Credential: o.Credential, Consumer: o.Consumer, Role: o.Role,
		Key: o.key(), Emergency: o.Emergency,
	}
}
