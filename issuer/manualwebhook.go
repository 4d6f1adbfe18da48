// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// ManualWebhook is the sender of a webhook whose secret is set by a person, at its console. The value is chosen here, unless Create is
// set: then a person makes it there and hands it over with Rotator.Supply. When every receiver accepts it, the person is asked to have
// the sender sign with it (Tell), and answers with rotation.VerbDone. The person finds a value that was chosen here in the secret
// store, as the credential's pending key, in an emergency as the current one, and in a roll-back under the name that the text gives.
// It is safe for concurrent use as far as Make is.
//
// The texts are shown and recorded, so they must hold no secret. In them {name} is replaced by the name of the key that the text is
// about, {id} by its id, {generation} by its generation, and in Create {current} by the id of the key in use. What is not known reads
// "(unknown)".
//
// A console at which a new secret is used as soon as it is made is a [Manual] with Traits.Grace or Traits.KillsOld.
type ManualWebhook struct {
	Tell   string              // required: how to have the sender sign with a key. It is asked for again, with the old key, in a roll-back
	Create string              // how to make a secret at the sender that it does not sign with yet; empty: it is chosen here
	End    string              // how to end a secret at the sender; empty: there is nothing to end, as with a sender that has only one
	Make   func() secret.Value // makes a secret where Create is empty; nil: 32 random bytes in hexadecimal. See StandardSecret
	Traits rotation.Traits
}

var (
	_ rotation.Issuer    = ManualWebhook{}
	_ rotation.Chooser   = ManualWebhook{}
	_ rotation.Activator = ManualWebhook{}
	_ rotation.Handmade  = ManualWebhook{}
	_ rotation.Describer = ManualWebhook{}
	_ rotation.Checker   = ManualWebhook{}
)

// Choose returns a new secret whose ID is req.Name. With Create set it fails with errors.ErrUnsupported.
func (i ManualWebhook) Choose(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	if i.Create != "" {
		return rotation.Key{}, wire.Problem("issuer: ManualWebhook.Create: a person makes the secret", errors.ErrUnsupported)
	}
	return choose(ctx, i.Make, req)
}

// Issue returns what was chosen, as [Local] does. With Create set it makes nothing and returns those instructions, in an error that
// matches rotation.ErrManual.
func (i ManualWebhook) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	if err := i.Validate(); err != nil {
		return rotation.Key{}, notIssued(err)
	}
	if i.Create == "" {
		return Local{}.Issue(ctx, req)
	}
	return rotation.Key{}, ask(i.Create, rotation.Key{Name: req.Name, Generation: req.Generation}, req.Current)
}

// Activate returns the instructions of Tell, in an error that matches rotation.ErrManual.
func (i ManualWebhook) Activate(_ context.Context, key rotation.Key) error {
	if err := i.Validate(); err != nil {
		return err
	}
	return ask(i.Tell, key, rotation.Key{})
}

// Revoke returns the instructions of End, in an error that matches rotation.ErrManual, or nil where there are none.
func (i ManualWebhook) Revoke(_ context.Context, key rotation.Key) error {
	if err := i.Validate(); err != nil || i.End == "" {
		return err
	}
	return ask(i.End, key, rotation.Key{})
}

// Handmade is true, also where the value is chosen here: a person tells the sender. People are warned ahead of time.
func (i ManualWebhook) Handmade() bool { return true }

// Describe returns Traits.
func (i ManualWebhook) Describe() rotation.Traits { return i.Traits }

// Check is Validate: there is nobody to ask.
func (i ManualWebhook) Check(context.Context) error { return i.Validate() }

// Validate names every field that is missing or wrong. It does no I/O.
func (i ManualWebhook) Validate() error {
	errs := []error{notCounted("ManualWebhook", i.Traits)}
	if strings.TrimSpace(i.Tell) == "" {
		errs = append(errs, wire.Problem("issuer: ManualWebhook.Tell is required"))
	}
	if i.Create != "" && i.Make != nil {
		errs = append(errs, wire.Problem("issuer: ManualWebhook.Create and ManualWebhook.Make exclude each other"))
	}
	return errors.Join(errs...)
}

// ask fills in what a person has to do.
func ask(text string, key, current rotation.Key) error {
	generation := ""
	if key.Generation != 0 {
		generation = strconv.Itoa(key.Generation)
	}
	text = strings.ReplaceAll(text, "{generation}", known(generation))
	return rotation.Manual(fill(text, known(key.Name), shown(key), shown(current)))
}
