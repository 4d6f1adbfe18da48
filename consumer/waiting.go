// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Polling is a consumer that looks at the store by itself at least every Every: there is nothing to do but wait. It is a
// rotation.Consumer and Lagger. It says nothing of what the consumer really does: give the binding a Verifier that is an
// Observer, or a person has to attest.
type Polling struct {
	Every time.Duration // required
}

var (
	_ rotation.Consumer  = Polling{}
	_ rotation.Lagger    = Polling{}
	_ rotation.Checker   = Polling{}
	_ rotation.Validator = Polling{}
	_ rotation.Reloader  = Polling{}
)

// Validate reports every mistake in the fields. Deploy and Check return the same error.
func (p Polling) Validate() error {
	if p.Every <= 0 {
		return required("Polling.Every")
	}
	return nil
}

// Check is Validate.
func (p Polling) Check(context.Context) error { return p.Validate() }

// Deploy returns nil: the consumer will find the key. A pending key it would not find, which is an error that matches
// errors.ErrUnsupported: this cannot be a canary. So is a set of secrets to accept: who looks for the current key finds one of them.
func (p Polling) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	return errors.Join(p.Validate(), oneKey("Polling", req), onlyCurrent("Polling", req), alive(ctx))
}

// Lag is Every.
func (p Polling) Lag() time.Duration { return p.Every }

// Reloads says live: the consumer looks for the key while it runs.
func (p Polling) Reloads() rotation.Reload { return rotation.ReloadLive }

func onlyCurrent(what string, req rotation.DeployRequest) error {
	if req.Role == rotation.RolePending {
		return fail(errors.ErrUnsupported, "%s: what it stands for reads the current key and cannot be a canary", what)
	}
	return nil
}

// Manual is a consumer that a person updates. Its binding's Verifier, or VerbDone, says that it is done.
type Manual struct {
	// Instructions are required. {credential}, {id}, {generation} and {name} stand for the credential and for the key that is
	// to be used: its identity, never its value. {accept} stands for all secrets that a receiver of webhooks is to accept.
	Instructions string
}

var (
	_ rotation.Consumer  = Manual{}
	_ rotation.Checker   = Manual{}
	_ rotation.Validator = Manual{}
	_ rotation.Reloader  = Manual{}
)

// Validate reports every mistake in the fields. Deploy and Check return the same error.
func (m Manual) Validate() error {
	if m.Instructions == "" {
		return required("Manual.Instructions")
	}
	return nil
}

// Check is Validate.
func (m Manual) Check(context.Context) error { return m.Validate() }

// Reloads says manual.
func (m Manual) Reloads() rotation.Reload { return rotation.ReloadManual }

// Deploy returns the instructions, as an error that matches rotation.ErrManual. Where they are about what to accept and have no
// {accept}, that follows them: who reads of the newest secret alone would drop the others.
func (m Manual) Deploy(_ context.Context, req rotation.DeployRequest) error {
	if err := m.Validate(); err != nil {
		return err
	}
	text, key := m.Instructions, req.Key
	if isSet(req) && !strings.Contains(text, "{accept}") {
		text += " It has to accept {accept}, and nothing else."
	}
	if key.IsZero() && len(req.Accept) > 0 {
		key = req.Accept[0]
	}
	return rotation.Manual(strings.NewReplacer(
		"{credential}", req.Credential,
		"{id}", key.ID,
		"{generation}", strconv.Itoa(key.Generation),
		"{name}", key.Name,
		"{accept}", keyList(req.Accept),
	).Replace(text))
}
