// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/rotation"
)

// Manual is an Issuer for a provider without an API: people make and end the keys. Issue and Revoke return the instructions
// as a [rotation.Manual] error; the new key comes back through Rotator.Supply, and a revocation is done when the credential's
// Verifier sees the key rejected. Both texts are shown and recorded, so they must hold no secret. Safe for concurrent use.
//
// In both texts {name} is replaced by the name of the new key (in End: of the key to end), {id} by the id of the key to end
// and {current} by the id of the key in use. What is not known reads "(unknown)".
type Manual struct {
	Create string // required: how to make a key. {name}, {current}
	End    string // required: how to end a key. {id}, {name}
	Traits rotation.Traits
}

var (
	_ rotation.Issuer    = Manual{}
	_ rotation.Handmade  = Manual{}
	_ rotation.Describer = Manual{}
	_ rotation.Checker   = Manual{}
)

// Issue returns the instructions of Create. It makes nothing: the error matches rotation.ErrManual.
func (i Manual) Issue(_ context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	if err := i.Validate(); err != nil {
		return rotation.Key{}, notIssued(err)
	}
	current := shown(req.Current)
	return rotation.Key{}, rotation.Manual(fill(i.Create, known(req.Name), current, current))
}

// Revoke returns the instructions of End, in an error that matches rotation.ErrManual.
func (i Manual) Revoke(_ context.Context, key rotation.Key) error {
	if err := i.Validate(); err != nil {
		return err
	}
	return rotation.Manual(fill(i.End, known(key.Name), shown(key), shown(key)))
}

// Handmade is true: people are warned ahead of time.
func (i Manual) Handmade() bool { return true }

// Describe returns Traits.
func (i Manual) Describe() rotation.Traits { return i.Traits }

// Check is Validate: there is nobody to ask.
func (i Manual) Check(context.Context) error { return i.Validate() }

// Validate names every field that is missing. It does no I/O.
func (i Manual) Validate() error {
	var errs []error
	for _, f := range []struct{ name, value string }{{"Create", i.Create}, {"End", i.End}} {
		if strings.TrimSpace(f.value) == "" {
			errs = append(errs, wire.Problem("issuer: Manual."+f.name+" is required"))
		}
	}
	return errors.Join(errs...)
}

func fill(text, name, id, current string) string {
	return strings.NewReplacer("{name}", name, "{id}", id, "{current}", current).Replace(text)
}

func shown(key rotation.Key) string { return known(cmp.Or(key.ID, key.Name)) }

func known(s string) string { return cmp.Or(s, "(unknown)") }

// notIssued marks an error that comes before any request: nothing can have been minted.
func notIssued(err error) error { return &unsent{err} }

type unsent struct{ err error }

func (e *unsent) Error() string   { return e.err.Error() }
func (e *unsent) Public() string  { return e.err.Error() } // only for errors made here
func (e *unsent) Unwrap() []error { return []error{rotation.ErrNotIssued, e.err} }
