// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/webhook"
)

// Webhook is a Sink that posts the event as JSON, signed, for a program to act on. It is safe for concurrent use.
//
// With [webhook.Standard] the header webhook-id is Event.ID, the same at every delivery, so that a receiver can drop what comes
// again: a [webhook.Verifier] with Replay does. In it a character that a signed id may not have is written as % and two hex
// digits, the dot as %2E, and an id of more than 512 bytes is replaced by its SHA-256. The body has Event.ID as it is.
type Webhook struct {
	URL     string          // required. Errors and Identity show it without user information and query: no secret belongs in its path
	Signer  *webhook.Signer // required: webhook.NewSigner(webhook.Standard, ...). Its Set takes new secrets while it is used
	Client  *http.Client    // nil: http.DefaultClient. No redirect is followed
	Timeout time.Duration   // of one delivery; zero: 5 s
}

var (
	_ rotation.Sink       = Webhook{}
	_ rotation.Identifier = Webhook{}
	_ rotation.Validator  = Webhook{}
	_ rotation.Checker    = Webhook{}
)

// Deliver posts e; any 2xx answer says that it was taken, and 409 that it was before: a [webhook.Middleware] with
// Replay answers so. Timeout has to be longer than that handler takes: while it is at work, a second try is told the same, and counts
// as taken even if the handler fails then. It blocks and fails as that of [Slack]. With a Signer that has no
// secret nothing is sent, and the error matches webhook.ErrNoSecret.
func (w Webhook) Deliver(ctx context.Context, e rotation.Event) error {
	if err := w.Validate(); err != nil {
		return err
	}
	if e.ID == "" {
		return wire.Problem("notify: Webhook: the event has no ID")
	}
	body, err := json.Marshal(e)
	if err != nil {
		return wire.Problem("notify: Webhook: the event does not marshal")
	}
	sign := func(r *http.Request) error {
		if err := w.Signer.SignRequest(r, messageID(e.ID), time.Now(), body); err != nil {
			return wire.Problem("notify: Webhook "+wire.Redact(w.URL)+": it cannot be signed", err)
		}
		return nil
	}
	return destination{name: "Webhook " + wire.Redact(w.URL), url: w.URL, client: w.Client, timeout: w.Timeout, repeats: true}.post(ctx, body, sign)
}

const longestID = 512 // that package webhook signs

// messageID writes an event's ID so that it can be signed: other IDs are others, and the same one is the same.
func messageID(id string) string {
	var b strings.Builder
	for _, c := range []byte(id) {
		if c <= ' ' || c >= 0x7f || c == '.' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	if b.Len() > longestID {
		sum := sha256.Sum256([]byte(id))
		return hex.EncodeToString(sum[:])
	}
	return b.String()
}

// Identity is URL without user information and query.
func (w Webhook) Identity() string { return "webhook " + wire.Redact(w.URL) }

// Validate names every field that is missing or wrong. It does no I/O.
func (w Webhook) Validate() error {
	var signer error
	if w.Signer == nil {
		signer = wire.Problem("notify: Webhook.Signer is required")
	}
	return errors.Join(wire.URLProblem("notify: Webhook.URL", w.URL), signer, timeoutProblem("Webhook", w.Timeout))
}

// Check is Validate: a receiver would take a request for an event.
func (w Webhook) Check(context.Context) error { return w.Validate() }
