// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// Subscriptions is the sender of a webhook, of which a secret is for the life of one subscription: PagerDuty, Gitea. The new
// secret comes with a second subscription, which is made switched off (Issue). Activate switches it on and then the other one off,
// so that between the two calls the receivers may get a delivery twice, signed with either secret, and never none. Activate of the
// old one, in a roll-back, is the mirror. Revoke deletes a subscription. It is safe for concurrent use as far as its functions are.
//
// Everything that delivers to Address is taken to be this credential's: Activate switches off whatever else does so. An address
// that two subscriptions need at the same time (for other events, say) needs two, and be it by a query; Check fails while more
// than one is switched on. Narrow REST.ListURL where the provider can.
//
// Whether a sender goes on repeating a failed delivery of a subscription that was switched off is for its documentation to say.
// A receiver that answers with an error in the moment of the switch may miss what it refused.
//
// A key whose answer was lost is found in the list and deleted: by its name, if Body puts req.Name into a field that the list
// shows (REST.Name), else where Traits.Exclusive says that nobody else makes subscriptions to Address. Put the id of the
// subscription that is in use today into the key that the store begins with.
type Subscriptions struct {
	// REST is how subscriptions are made, listed and deleted. Required in it: URL, and Body, which makes a subscription that is
	// switched off and delivers to Address. A list is needed, and there is no Rotate. Its Client carries the authority.
	REST

	Address      string // required: where the subscriptions of this credential deliver, as the list shows it
	AddressField string // JSON field of an item of the list; empty: "config.url,delivery_method.url,url"

	// Make makes the secret, for a sender that takes one: Body then finds it as req.Chosen. nil: the sender makes it, and
	// the answer holds it (REST.Secret).
	Make func() secret.Value

	Method string         // of the call to URL/id that switches a subscription; empty: PATCH
	Switch func(bool) any // its body, which must leave everything else as it is; nil: {"active": true}, or false
	Test   string         // where POST makes the sender deliver a test, {id} is the subscription; empty: a genuine delivery is waited for
}

var (
	_ rotation.Issuer     = Subscriptions{}
	_ rotation.Lister     = Subscriptions{}
	_ rotation.Activator  = Subscriptions{}
	_ rotation.Verifier   = Subscriptions{}
	_ rotation.Describer  = Subscriptions{}
	_ rotation.Identifier = Subscriptions{}
	_ rotation.Checker    = Subscriptions{}
)

// Issue makes a subscription that is switched off. See [REST.Issue] for its errors.
func (s Subscriptions) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	if err := s.Validate(); err != nil {
		return rotation.Key{}, notIssued(err)
	}
	if s.Make != nil {
		if req.Chosen = (rotation.Key{Secret: s.Make()}); req.Chosen.Secret.IsZero() {
			return rotation.Key{}, notIssued(wire.Problem("issuer: Subscriptions.Make made nothing"))
		}
	}
	return s.REST.Issue(ctx, req)
}

// Revoke deletes the subscription. One that is not there any more is deleted.
func (s Subscriptions) Revoke(ctx context.Context, key rotation.Key) error {
	if err := s.Validate(); err != nil {
		return err
	}
	return told(s.REST.Revoke(ctx, key))
}

// List returns the subscriptions that deliver to Address, see [REST.List]. None counts as disabled: it is the receivers who accept
// a secret or do not, whether its subscription is switched on or off.
func (s Subscriptions) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	infos, err := s.list(ctx)
	for n := range infos {
		infos[n].Disabled = false
	}
	return infos, err
}

// list is List in which disabled means switched off.
func (s Subscriptions) list(ctx context.Context) ([]rotation.KeyInfo, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	list := s.REST
	list.only = func(item any) bool {
		return word(first(item, cmp.Or(s.AddressField, "config.url,delivery_method.url,url"))) == s.Address
	}
	infos, err := list.List(ctx)
	return infos, told(err)
}

// Activate switches the subscription of key on and every other one off. No other one is switched off before the list shows that
// this one is on: an error may leave deliveries that come twice, never none. It is safe to repeat.
func (s Subscriptions) Activate(ctx context.Context, key rotation.Key) error {
	infos, err := s.list(ctx)
	if err != nil {
		return err
	}
	if !on(infos, key.ID) {
		if err := s.turn(ctx, key.ID, true); err != nil {
			return err
		}
		if infos, err = s.list(ctx); err != nil {
			return err
		}
	}
	if !on(infos, key.ID) {
		return wire.Problem("issuer: Subscriptions: the list does not show the subscription switched on at Address; no other one was switched off")
	}
	var errs []error
	for _, info := range infos {
		if info.Key.ID == key.ID || info.Disabled {
			continue
		}
		if err := s.turn(ctx, info.Key.ID, false); !errors.Is(err, rotation.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Verify makes the sender deliver a test through the subscription of key.
func (s Subscriptions) Verify(ctx context.Context, key rotation.Key) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if s.Test == "" {
		return fmt.Errorf("issuer: Subscriptions.Test: %w", errors.ErrUnsupported)
	}
	if err := usableID(key.ID); err != nil {
		return err
	}
	target := strings.ReplaceAll(s.Test, "{id}", url.PathEscape(key.ID))
	return told(Call(ctx, s.Client, http.MethodPost, target, nil, nil))
}

// Identity is URL and Address without user information and query.
func (s Subscriptions) Identity() string {
	return s.REST.Identity() + " to " + wire.Redact(s.Address)
}

// Check validates the configuration, lists the subscriptions, and fails if more than one of them is switched on.
func (s Subscriptions) Check(ctx context.Context) error {
	infos, err := s.list(ctx)
	if err != nil {
		return err
	}
	live := slices.DeleteFunc(infos, func(i rotation.KeyInfo) bool { return i.Disabled })
	if len(live) > 1 {
		return wire.Problem("issuer: Subscriptions: more than one subscription that is switched on delivers to Address; all but one would be switched off")
	}
	return nil
}

// Validate names every field that is missing or wrong. It does no I/O.
func (s Subscriptions) Validate() error {
	errs := []error{
		s.REST.Validate(), notCounted("Subscriptions", s.Traits),
		wire.URLProblem("issuer: Subscriptions.Address", s.Address),
	}
	if s.Body == nil {
		errs = append(errs, wire.Problem("issuer: Subscriptions.Body is required: it makes a subscription that is switched off"))
	}
	if s.NoList {
		errs = append(errs, wire.Problem("issuer: Subscriptions.NoList: without a list nothing can be switched off"))
	}
	if s.Rotate != "" {
		errs = append(errs, wire.Problem("issuer: Subscriptions.Rotate: each secret has a subscription of its own"))
	}
	switch s.Method {
	case "", http.MethodPatch, http.MethodPut, http.MethodPost:
	default:
		errs = append(errs, wire.Problem("issuer: Subscriptions.Method is none of PATCH, PUT and POST"))
	}
	if s.Test != "" {
		errs = append(errs, wire.URLProblem("issuer: Subscriptions.Test", strings.ReplaceAll(s.Test, "{id}", "id")))
		if !strings.Contains(s.Test, "{id}") {
			errs = append(errs, wire.Problem("issuer: Subscriptions.Test does not contain {id}"))
		}
	}
	return errors.Join(errs...)
}

// turn switches one subscription on or off.
func (s Subscriptions) turn(ctx context.Context, id string, on bool) error {
	target, err := keyURL(s.URL, id)
	if err != nil {
		return err
	}
	var in any = map[string]bool{"active": on}
	if s.Switch != nil {
		in = s.Switch(on)
	}
	return told(Call(ctx, s.Client, cmp.Or(s.Method, http.MethodPatch), target, in, nil))
}

// on reports whether a subscription is listed and switched on.
func on(infos []rotation.KeyInfo, id string) bool {
	return slices.ContainsFunc(infos, func(i rotation.KeyInfo) bool { return i.Key.ID == id && !i.Disabled })
}
