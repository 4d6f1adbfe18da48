// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Item is one credential of the inventory: what is registered of it, and what the journal knows. It marshals to JSON and holds no
// secret. Durations are nanoseconds.
type Item struct {
	Credential string        `json:"credential"`
	Type       Type          `json:"type"`
	Risk       Risk          `json:"risk,omitzero"`
	Scope      Scope         `json:"scope,omitzero"`
	Contact    string        `json:"contact,omitzero"`
	Issuer     string        `json:"issuer"` // its identity: see Identifier
	Store      string        `json:"store"`
	Verifier   string        `json:"verifier"`
	Bindings   []ItemBinding `json:"bindings,omitzero"`

	Generation int           `json:"generation,omitzero"` // of the current key; zero: none is known yet
	KeyID      string        `json:"key_id,omitzero"`
	KeyName    string        `json:"key_name,omitzero"`
	IssuedAt   time.Time     `json:"issued_at,omitzero"`  // zero: nobody knows
	ExpiresAt  time.Time     `json:"expires_at,omitzero"` // by itself; zero: it does not
	Age        time.Duration `json:"age,omitzero"`        // zero: nobody knows when it was issued
	MaxAge     time.Duration `json:"max_age"`
	Due        time.Time     `json:"due,omitzero"` // zero: now
	Overdue    bool          `json:"overdue,omitzero"`
	DueBy      string        `json:"due_by,omitzero"`     // the rule that says so: see Rotator.Explain
	State      DueState      `json:"state,omitzero"`      // how near that is
	Begins     time.Time     `json:"begins,omitzero"`     // the next rotation by itself; zero while one is open
	CheckedAt  time.Time     `json:"checked_at,omitzero"` // see Status.CheckedAt

	Open       *Summary  `json:"open,omitzero"`        // the rotation in progress
	Last       *Summary  `json:"last,omitzero"`        // the last one that ended, whatever came of it
	Rotated    *Summary  `json:"rotated,omitzero"`     // the last one in the record that ended with a new key: see RotatedWithin
	VerifiedAt time.Time `json:"verified_at,omitzero"` // every consumer that can say so worked at that time or later; zero: one has not said so
	Debts      []Debt    `json:"debts,omitzero"`
	HeldUntil  time.Time `json:"held_until,omitzero"`

	Problem *Error `json:"problem,omitzero"` // its record could not be read: nothing of what the journal knows is here
}

// ItemBinding is one use of a credential: see Binding.
type ItemBinding struct {
	Name       string        `json:"name"`
	Consumer   string        `json:"consumer"` // its identity: see Identifier
	Reload     Reload        `json:"reload,omitzero"`
	Lag        time.Duration `json:"lag,omitzero"`
	Group      string        `json:"group,omitzero"`
	Verifiable bool          `json:"verifiable"`           // something says whether it works
	Observable bool          `json:"observable"`           // something sees which key it uses
	VerifiedAt time.Time     `json:"verified_at,omitzero"` // in the newest rotation that has seen it work
	ObservedAt time.Time     `json:"observed_at,omitzero"` // in the newest rotation that has seen it on its key
}

// Summary is a Record in short.
type Summary struct {
	ID         string    `json:"id"`
	Strategy   Strategy  `json:"strategy"`
	Phase      Phase     `json:"phase"`
	Outcome    Outcome   `json:"outcome"`
	Generation int       `json:"generation"`
	OldID      string    `json:"old_id,omitzero"`
	NewID      string    `json:"new_id,omitzero"`
	Actor      string    `json:"actor"`
	Reason     string    `json:"reason,omitzero"`
	Trigger    string    `json:"trigger,omitzero"`
	Incident   string    `json:"incident,omitzero"`
	BeganAt    time.Time `json:"began_at"`
	IssuedAt   time.Time `json:"issued_at,omitzero"`
	EndedAt    time.Time `json:"ended_at,omitzero"`
	DeadAt     time.Time `json:"dead_at,omitzero"` // every key that had to die was proven dead
}

func (r Record) summary() *Summary {
	return &Summary{
		ID: r.ID, Strategy: r.Strategy, Phase: r.Phase, Outcome: r.Outcome, Generation: r.Generation, OldID: r.OldID, NewID: r.NewID,
		Actor: r.Actor, Reason: r.Reason, Trigger: r.Trigger, Incident: r.Incident,
		BeganAt: r.BeganAt, IssuedAt: r.IssuedAt, EndedAt: r.EndedAt, DeadAt: r.DeadAt,
	}
}

// Inventory is every registered credential, by name, with what the journal knows of it. It asks the journal and nobody else: see
// Census for what stores and issuers say. The error joins the records that could not be read; their items tell what is registered.
func (r *Rotator) Inventory(ctx context.Context) ([]Item, error) {
	names := r.names()
	items, errs := make([]Item, len(names)), make([]error, len(names))
	var g errgroup.Group
	g.SetLimit(readers)
	for i, name := range names {
		g.Go(func() error {
			items[i], errs[i] = r.item(ctx, name)
			return nil
		})
	}
	_ = g.Wait() // errs holds them
	return slices.DeleteFunc(items, func(it Item) bool { return it.Credential == "" }), errors.Join(errs...)
}

// item is one line of the inventory; empty where the credential was removed meanwhile.
func (r *Rotator) item(ctx context.Context, name string) (Item, error) {
	reg, err := r.registration(name)
	if err != nil {
		return Item{}, nil //nolint:nilerr // it is not in the inventory any more
	}
	it := reg.item()
	_, st, err := r.load(ctx, name)
	if err != nil {
		if !errors.As(err, &it.Problem) {
			it.Problem = &Error{Credential: name, Err: hide(err)}
		}
		return it, err
	}
	st.describe(reg, &it, time.Now())
	return it, nil
}

// item is what the registration says.
func (reg *registration) item() Item {
	it := Item{
		Credential: reg.Name, Type: reg.Type, Risk: reg.given.Risk, Scope: reg.Scope, Contact: reg.Contact,
		Issuer: reg.parts.Issuer, Store: reg.parts.Store, Verifier: reg.parts.Verifier, MaxAge: reg.MaxAge,
	}
	for _, b := range reg.Bindings {
		it.Bindings = append(it.Bindings, ItemBinding{
			Name: b.Name, Consumer: identity(b.Consumer), Reload: reloadOf(b.Consumer), Lag: b.Lag, Group: b.Group,
			Verifiable: b.Verifier != nil, Observable: b.Observer != nil,
		})
	}
	return it
}

// describe adds what the record says.
func (st *state) describe(reg *registration, it *Item, now time.Time) {
	status := st.status(reg)
	it.Generation, it.IssuedAt, it.Due = status.Generation, status.IssuedAt, status.Due
	it.Debts, it.HeldUntil, it.CheckedAt = status.Debts, status.HeldUntil, status.CheckedAt
	why := explain(reg, st, now)
	it.DueBy, it.State, it.Begins = why.Rule.Text, why.State, why.Begins
	if current := st.key(st.Current); current != nil {
		it.KeyID, it.KeyName, it.ExpiresAt = current.Key.ID, current.Key.Name, current.end()
		it.Overdue = !it.Due.After(now)
		if !it.IssuedAt.IsZero() {
			it.Age = max(now.Sub(it.IssuedAt), 0).Round(time.Second)
		}
	}
	if status.Open != nil {
		it.Open = status.Open.summary()
		it.saw(*status.Open)
	}
	for _, e := range slices.Backward(st.Ended) {
		rec := e.record()
		if it.Last == nil {
			it.Last = rec.summary()
		}
		if it.Rotated == nil && rec.Outcome == Rotated {
			it.Rotated = rec.summary()
		}
		it.saw(rec)
	}
	it.VerifiedAt = it.verified()
}

// saw takes from a record when bindings were last seen; records come newest first.
func (it *Item) saw(rec Record) {
	for _, c := range rec.Consumers {
		for i := range it.Bindings {
			if b := &it.Bindings[i]; b.Name == c.Name {
				b.VerifiedAt, b.ObservedAt = latest(b.VerifiedAt, c.VerifiedAt), latest(b.ObservedAt, c.ObservedAt)
			}
		}
	}
}

// verified is when the last look had seen all of them work that can say so.
func (it *Item) verified() time.Time {
	var first time.Time
	for _, b := range it.Bindings {
		if !b.Verifiable {
			continue
		}
		if b.VerifiedAt.IsZero() {
			return time.Time{}
		}
		first = earliest(first, b.VerifiedAt)
	}
	return first
}
