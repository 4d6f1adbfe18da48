// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// What an implementation of an interface can say, each a different decision for the engine. Wrap them with %w.
var (
	ErrRejected  = errors.New("key rejected")               // Verifier: a definite no
	ErrNotYet    = errors.New("not yet")                    // ask again
	ErrManual    = errors.New("a person has to act")        // wrap it with the instructions
	ErrConflict  = errors.New("conflicting change")         // SecretStore, Journal: revision moved. Rotator: somebody else drives
	ErrNotFound  = errors.New("not found")                  // no such credential, key or name
	ErrDenied    = errors.New("permission denied")          // the caller's authority, not the key
	ErrNoSlot    = errors.New("no free slot at the issuer") // the provider's limit of live keys
	ErrNotIssued = errors.New("nothing was issued")         // Issuer: a definite failure
)

var sentinels = []error{ErrRejected, ErrNotYet, ErrManual, ErrConflict, ErrNotFound, ErrDenied, ErrNoSlot, ErrNotIssued}

// RetryAt wraps err so that nothing is tried before t: a rate limit's reset time. A nil err stays nil.
func RetryAt(err error, t time.Time) error {
	if err == nil {
		return nil
	}
	return &retryAt{err, t}
}

type retryAt struct {
	err error
	at  time.Time
}

func (e *retryAt) Error() string { return e.err.Error() }
func (e *retryAt) Unwrap() error { return e.err }

// Manual returns an error that matches ErrManual and whose text, the instructions for a person, is public: it is shown in
// Need.Text. It must hold no secret.
func Manual(instructions string) error { return &manual{instructions} }

type manual struct{ text string }

func (e *manual) Error() string  { return e.text }
func (e *manual) Public() string { return e.text }
func (e *manual) Unwrap() error  { return ErrManual }

// Error is what went wrong with one credential, with its diagnosis. It marshals to JSON. Its text and its JSON hold what may
// be recorded of Err and nothing more (see PublicError); errors.Is and errors.As see all of it.
type Error struct {
	Credential string    `json:"credential,omitzero"`
	Rotation   string    `json:"rotation,omitzero"`
	Consumer   string    `json:"consumer,omitzero"`
	Phase      Phase     `json:"phase,omitzero"`
	Diagnosis  Diagnosis `json:"diagnosis,omitzero"` // empty: none of the known ones
	Evidence   string    `json:"evidence,omitzero"`  // what was seen
	Action     string    `json:"action,omitzero"`    // what to do next
	Err        error     `json:"-"`
}

// Error is one line: where, what, and what was seen.
func (e *Error) Error() string { return "rotation: " + e.text() }

func (e *Error) text() string {
	var parts []string
	for _, part := range []string{e.Credential, e.Consumer, string(e.Phase), string(e.Diagnosis), e.Evidence} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if e.Err != nil {
		parts = append(parts, publicText(e.Err))
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the Diagnosis, if there is one, and Err.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.Diagnosis != "" {
		errs = append(errs, e.Diagnosis)
	}
	if e.Err != nil {
		errs = append(errs, hide(e.Err))
	}
	return errs
}

// GoString keeps %#v as silent as %v.
func (e *Error) GoString() string { return e.Error() }

type errorJSON struct {
	*errorFields
	Text string `json:"error,omitzero"`
}

type errorFields Error

// MarshalJSON adds the public text of Err.
func (e *Error) MarshalJSON() ([]byte, error) {
	j := errorJSON{errorFields: (*errorFields)(e)}
	if e.Err != nil {
		j.Text = publicText(e.Err)
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON wrote: Err is then an error with the same text, matching the same sentinel.
func (e *Error) UnmarshalJSON(data []byte) error {
	j := errorJSON{errorFields: (*errorFields)(e)}
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	if j.Text != "" {
		e.Err = recorded(j.Text)
	}
	return nil
}

// recorded is the public text of an error that came back from the journal.
type recorded string

func (e recorded) Error() string  { return string(e) }
func (e recorded) Public() string { return string(e) }

func (e recorded) Is(target error) bool {
	for part := range strings.SplitSeq(string(e), ": ") { // publicText puts the sentinels first
		i := slices.IndexFunc(sentinels, func(s error) bool { return s.Error() == part })
		if i < 0 {
			return false
		}
		if sentinels[i] == target {
			return true
		}
	}
	return false
}

// hidden lets errors.Is and errors.As see err and fmt only its public text.
type hidden struct{ err error }

func hide(err error) error {
	if err == nil {
		return nil
	}
	switch err.(type) {
	case *Error, *hidden, recorded, Diagnosis:
		return err
	}
	return &hidden{err}
}

func (h *hidden) Error() string        { return publicText(h.err) }
func (h *hidden) Public() string       { return publicText(h.err) }
func (h *hidden) GoString() string     { return publicText(h.err) }
func (h *hidden) Is(target error) bool { return errors.Is(h.err, target) }
func (h *hidden) As(target any) bool   { return errors.As(h.err, target) }

// publicText is what may be recorded of err: the sentinels it matches, its own public text, its kind.
func publicText(err error) string {
	if text, ok := err.(recorded); ok {
		return string(text) // its sentinels are in it
	}
	joined := joinedErrors(err)
	var parts []string
	for _, s := range sentinels {
		told := slices.ContainsFunc(joined, func(e error) bool { return e != s && errors.Is(e, s) }) // by its own text, below
		if errors.Is(err, s) && !told {
			parts = append(parts, s.Error())
		}
	}
	var texts []string
	for _, e := range joined {
		if !slices.Contains(sentinels, e) {
			texts = append(texts, publicText(e))
		}
	}
	var public PublicError
	var own *Error
	var timeout net.Error
	switch {
	case len(texts) > 0:
		parts = append(parts, some(texts))
	case errors.As(err, &own):
		return following(parts, own.text())
	case errors.As(err, &public):
		return following(parts, public.Public())
	case errors.Is(err, context.DeadlineExceeded):
		parts = append(parts, "timed out")
	case errors.Is(err, context.Canceled):
		parts = append(parts, "cancelled")
	case errors.As(err, &timeout) && timeout.Timeout():
		parts = append(parts, "timed out")
	case len(parts) == 0:
		parts = append(parts, "failed ("+kindOf(err)+")")
	}
	return strings.Join(parts, ": ")
}

// following puts text behind the sentinels that it does not name.
func following(sentinels []string, text string) string {
	sentinels = slices.DeleteFunc(sentinels, func(s string) bool { return strings.Contains(text, s) })
	return strings.Join(append(sentinels, text), ": ")
}

// joinedErrors are the errors that err gathers, by errors.Join or go-multierror.
func joinedErrors(err error) []error {
	switch e := err.(type) {
	case *Error, PublicError:
		return nil
	case interface{ WrappedErrors() []error }:
		return e.WrappedErrors()
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	default:
		return nil
	}
}

// kindOf is the type of the innermost error: it says more than that of a wrapper.
func kindOf(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return fmt.Sprintf("%T", err)
		}
		err = inner
	}
}

// Diagnosis is a known cause of trouble. It is an error, so that errors.Is(err, rotation.OldKeyInUse) works.
type Diagnosis string

// Error is the diagnosis as text.
func (d Diagnosis) Error() string { return string(d) }

// Troubles that a rotation meets.
const (
	ConsumerNotUpdated     Diagnosis = "consumer-not-updated"     // it is seen using an older key
	PartialRollout         Diagnosis = "partial-rollout"          // some of its instances are
	NewKeyRejected         Diagnosis = "new-key-rejected"         // by the provider, or by what the consumer does with it
	KeyCached              Diagnosis = "key-cached"               // a consumer has the new key and goes on presenting the old one
	FormatChanged          Diagnosis = "format-changed"           // the new value looks other than the old one: base64, JSON, a line end
	EnvironmentMismatch    Diagnosis = "environment-mismatch"     // accepted in one place and refused in another
	OldKeyInUse            Diagnosis = "old-key-in-use"           // after everybody known has moved
	StoreDenied            Diagnosis = "store-denied"             // the store refuses this process
	VerificationTimeout    Diagnosis = "verification-timeout"     // the consumer did not get healthy in time
	IssuerRateLimited      Diagnosis = "issuer-rate-limited"      // until a time that the provider named
	JobHoldsOldKey         Diagnosis = "job-holds-old-key"        // a run that began before the deployment goes on
	SenderOnOldSecret      Diagnosis = "sender-on-old-secret"     // a webhook's sender was told to sign with another secret
	RevocationPropagating  Diagnosis = "revocation-propagating"   // the revoked key is still accepted, within Traits.Propagation
	RevocationNotEffective Diagnosis = "revocation-not-effective" // the revoked key is still accepted, after it
)

// Findings of Inspect.
const (
	Overdue         Diagnosis = "overdue"
	CurrentRejected Diagnosis = "current-key-rejected" // it died; or, if it was never seen accepted, its stored value may be wrong: VerbDone gives it up
	UnknownKey      Diagnosis = "unknown-key"          // looks ours, and is in no record: nothing kills it but a person
	UnknownConsumer Diagnosis = "unknown-consumer"     // a Discoverer sees it, no Binding names it
	Unlisted        Diagnosis = "unlisted-secret"      // in the store, not in the inventory
	TooBroad        Diagnosis = "scope-too-broad"
	GraceTooShort   Diagnosis = "grace-too-short" // the provider ends the old key before the slowest consumer has moved
	NoSlot          Diagnosis = "no-slot"
)

// Holds.
const (
	Unproven       Diagnosis = "unproven"        // nothing can see whether a consumer moved: VerbAttest
	AmbiguousIssue Diagnosis = "ambiguous-issue" // minted or not: VerbSettle
	Drift          Diagnosis = "drift"           // somebody else changed the store: VerbAdopt, VerbReassert
	ConsumerGone   Diagnosis = "consumer-gone"   // a touched binding is no longer registered: VerbForget
	PartsChanged   Diagnosis = "parts-changed"   // issuer, store or verifier became another one
	ForeignOwner   Diagnosis = "foreign-owner"   // another installation rotates this: VerbAdopt
	JournalBehind  Diagnosis = "journal-behind"  // the journal was restored from a backup: VerbAdopt
	ClockSkew      Diagnosis = "clock-skew"      // this machine's clock is not the journal's
)
