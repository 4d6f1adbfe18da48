// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// Webhook is the sender of a webhook, of which one secret at a time can be set: GitHub, GitLab, Svix and whatever takes it in one
// request. The value is chosen here; Activate tells it to the sender when every receiver accepts it, and Verify makes the sender
// deliver a test. It is safe for concurrent use as far as Body and Make are.
//
// A sender whose API has the secret only when a webhook is made is [Subscriptions]; one that has no API is [ManualWebhook].
//
// Some senders can go on signing with the old secret beside the new one for a while (Svix: gracePeriodSeconds). Ask for none of
// it: the receivers accept both already, and a delivery with two signatures counts as one with the old secret until the
// grace is over, so that nobody can see whether the new one is in use. Where a sender cannot do without it, the rotation only
// takes longer. Traits.Grace is counted from the making of a secret, which does nothing here, so it has to be zero.
type Webhook struct {
	URL    string                 // required: where the secret is set
	Method string                 // PATCH, PUT or POST; empty: PATCH
	Client *http.Client           // carries the authority over the webhook; nil: http.DefaultClient, which carries none
	Field  string                 // JSON field that takes the secret, a path with dots: "config.secret"; empty: "secret"
	Body   func(rotation.Key) any // instead of Field: all that is sent, the secret by key.Secret.Reveal()

	// Read is where GET tells the secret in use, for Check and for senders that do not take the same secret twice: Activate then
	// reads it first, and does nothing if it is the one. A sender that shows a mask is told every time. Empty: it is not read.
	Read      string
	ReadField string // JSON field of that answer, REST's way; empty: "secret,key,token"

	// Test is where POST makes the sender deliver a test; empty: Verify fails with errors.ErrUnsupported, and a genuine delivery is
	// waited for. Test deliveries that are all alike, under a scheme that signs neither time nor id, do not get past a receiver's
	// webhook.Config.Replay twice in a day, and then show nothing.
	Test     string
	TestBody any // what is posted there; nil: nothing

	Make   func() secret.Value // makes a secret; nil: 32 random bytes in hexadecimal. See StandardSecret
	Traits rotation.Traits     // RetryHorizon, and Propagation until a told secret is in use
}

var (
	_ rotation.Issuer     = Webhook{}
	_ rotation.Chooser    = Webhook{}
	_ rotation.Activator  = Webhook{}
	_ rotation.Verifier   = Webhook{}
	_ rotation.Describer  = Webhook{}
	_ rotation.Identifier = Webhook{}
	_ rotation.Checker    = Webhook{}
)

// Choose returns a new secret. Its ID is req.Name, as the sender gives it none.
func (w Webhook) Choose(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	return choose(ctx, w.Make, req)
}

// Issue returns what was chosen, as [Local] does. The sender hears nothing of it yet.
func (w Webhook) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	if err := w.Validate(); err != nil {
		return rotation.Key{}, notIssued(err)
	}
	return Local{}.Issue(ctx, req)
}

// Revoke does nothing: the sender has let go of a secret when it is told another one.
func (w Webhook) Revoke(context.Context, rotation.Key) error { return w.Validate() }

// Activate tells the sender to sign with key, unless it does so already as far as Read can tell. Any 2xx is success. See [Call]
// for its errors, of which ErrNotIssued means nothing here and is never matched.
func (w Webhook) Activate(ctx context.Context, key rotation.Key) error {
	if err := w.Validate(); err != nil {
		return err
	}
	if key.Secret.IsZero() { // many senders take an empty secret for "do not sign"
		return wire.Problem("issuer: Webhook: the key to sign with holds no secret")
	}
	if inUse, err := w.read(ctx); err != nil || inUse.Equal(key.Secret) {
		return err
	}
	in := nested(cmp.Or(w.Field, "secret"), key.Secret.Reveal())
	if w.Body != nil {
		in = w.Body(key)
	}
	return told(Call(ctx, w.Client, cmp.Or(w.Method, http.MethodPatch), w.URL, in, nil))
}

// Verify makes the sender deliver a test. Which secret it was signed with the receivers tell.
func (w Webhook) Verify(ctx context.Context, _ rotation.Key) error {
	if err := w.Validate(); err != nil {
		return err
	}
	if w.Test == "" {
		return fmt.Errorf("issuer: Webhook.Test: %w", errors.ErrUnsupported)
	}
	return told(Call(ctx, w.Client, http.MethodPost, w.Test, w.TestBody, nil))
}

// Describe returns Traits.
func (w Webhook) Describe() rotation.Traits { return w.Traits }

// Identity is URL without user information and query.
func (w Webhook) Identity() string { return wire.Redact(w.URL) }

// Check validates the configuration and reads the secret in use, if Read says where: the authority is there.
func (w Webhook) Check(ctx context.Context) error {
	if err := w.Validate(); err != nil {
		return err
	}
	_, err := w.read(ctx)
	return err
}

// Validate names every field that is missing or wrong. It does no I/O.
func (w Webhook) Validate() error {
	errs := []error{wire.URLProblem("issuer: Webhook.URL", w.URL), notCounted("Webhook", w.Traits)}
	for _, f := range []struct{ name, value string }{{"Read", w.Read}, {"Test", w.Test}} {
		if f.value != "" {
			errs = append(errs, wire.URLProblem("issuer: Webhook."+f.name, f.value))
		}
	}
	switch w.Method {
	case "", http.MethodPatch, http.MethodPut, http.MethodPost:
	default:
		errs = append(errs, wire.Problem("issuer: Webhook.Method is none of PATCH, PUT and POST"))
	}
	switch {
	case w.Field != "" && w.Body != nil:
		errs = append(errs, wire.Problem("issuer: Webhook.Field and Webhook.Body exclude each other"))
	case slices.Contains(strings.Split(cmp.Or(w.Field, "secret"), "."), ""), strings.Contains(w.Field, ","):
		errs = append(errs, wire.Problem("issuer: Webhook.Field is one path, of names with dots between them"))
	}
	if w.ReadField != "" && w.Read == "" {
		errs = append(errs, wire.Problem("issuer: Webhook.ReadField is set, and Webhook.Read is not"))
	}
	if w.TestBody != nil && w.Test == "" {
		errs = append(errs, wire.Problem("issuer: Webhook.TestBody is set, and Webhook.Test is not"))
	}
	return errors.Join(errs...)
}

// read returns the secret in use, zero where nothing tells.
func (w Webhook) read(ctx context.Context) (secret.Value, error) {
	if w.Read == "" {
		return secret.Value{}, nil
	}
	var answer tree
	if err := Call(ctx, w.Client, http.MethodGet, w.Read, nil, &answer); err != nil {
		return secret.Value{}, told(err)
	}
	v, _ := first(answer.v, cmp.Or(w.ReadField, "secret,key,token"))
	text, _ := v.(string)
	return secret.New(text), nil
}

// choose makes a key of what makes secrets; nil: Local's.
func choose(ctx context.Context, makes func() secret.Value, req rotation.IssueRequest) (rotation.Key, error) {
	key, err := Local{}.Choose(ctx, req)
	if err == nil && makes != nil {
		key.Secret = makes()
	}
	return key, err
}

// nested is an object that holds value at a path with dots.
func nested(path, value string) any {
	var v any = value
	for _, field := range slices.Backward(strings.Split(path, ".")) {
		v = map[string]any{field: v}
	}
	return v
}

// told takes from an error of Call that nothing was issued: nothing was to be.
func told(err error) error {
	var e *Error
	if errors.As(err, &e) {
		e.is = slices.DeleteFunc(e.is, func(is error) bool { return is == rotation.ErrNotIssued })
	}
	return err
}

// notCounted refuses traits that speak of a sender which signs with a secret as soon as it is made.
func notCounted(name string, t rotation.Traits) error {
	if t.Grace == 0 && !t.KillsOld {
		return nil
	}
	return wire.Problem("issuer: " + name + ".Traits: Grace and KillsOld are counted from the making of a secret, and this sender signs with it only when it is told to")
}
