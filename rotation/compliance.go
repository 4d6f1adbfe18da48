// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Compliance is the answer to "was every key rotated within so many days?", with the evidence. It marshals to JSON and holds no
// secret; durations are nanoseconds.
type Compliance struct {
	Within    time.Duration `json:"within"`
	AsOf      time.Time     `json:"as_of"`
	Rotated   []Evidence    `json:"rotated,omitzero"`   // by credential
	Unrotated []Evidence    `json:"unrotated,omitzero"` // by credential; each says Why
}

// Evidence is what the record has to show for one credential: the rotation that brought its current key. The zero times are not
// known.
type Evidence struct {
	Credential string    `json:"credential"`
	Contact    string    `json:"contact,omitzero"`
	Rotation   string    `json:"rotation,omitzero"` // Record.ID; empty: there is none in the record
	Actor      string    `json:"actor,omitzero"`    // who began it
	Incident   string    `json:"incident,omitzero"` // that it answered
	OldID      string    `json:"old_id,omitzero"`
	NewID      string    `json:"new_id,omitzero"`
	IssuedAt   time.Time `json:"issued_at,omitzero"` // the new key: what counts
	EndedAt    time.Time `json:"ended_at,omitzero"`
	DeadAt     time.Time `json:"dead_at,omitzero"` // the old key was proven dead; zero: there was none, or it was proven later than the end
	Why        string    `json:"why,omitzero"`     // it does not count as rotated
}

// RotatedWithin says which of the items have a key that a rotation of the record brought within the given time before now, with the
// evidence, and which have not. What nothing shows counts as not rotated: a key that was never rotated or has no date, a record
// that could not be read, a rotation that was rolled back, and one whose old key is a debt. While a rotation is open, the key that it
// replaces is still in use and is the one that counts. The age of a key is what counts, and not how late its rotation ended.
func RotatedWithin(items []Item, within time.Duration, now time.Time) Compliance {
	c := Compliance{Within: within, AsOf: now.Round(0)}
	for _, it := range items {
		e := it.evidence()
		if e.Why = it.unrotated(now.Add(-within)); e.Why == "" {
			c.Rotated = append(c.Rotated, e)
		} else {
			c.Unrotated = append(c.Unrotated, e)
		}
	}
	byName := func(a, b Evidence) int { return cmp.Compare(a.Credential, b.Credential) }
	slices.SortFunc(c.Rotated, byName)
	slices.SortFunc(c.Unrotated, byName)
	return c
}

// Met reports whether every key was rotated in time. Of no keys at all it is true.
func (c Compliance) Met() bool { return len(c.Unrotated) == 0 }

func (it Item) evidence() Evidence {
	e := Evidence{Credential: it.Credential, Contact: it.Contact}
	if s := it.Rotated; s != nil {
		e.Rotation, e.Actor, e.Incident, e.OldID, e.NewID = s.ID, s.Actor, s.Incident, s.OldID, s.NewID
		e.IssuedAt, e.EndedAt, e.DeadAt = it.issuedAt(), s.EndedAt, s.DeadAt
	}
	return e
}

// replacing reports whether the current key is that of the open rotation, and the key that it replaces came from the last one that
// ended.
func (it Item) replacing() bool {
	s, open := it.Rotated, it.Open
	return s != nil && open != nil && open.Generation == it.Generation && s.Generation < open.Generation && s.NewID != "" && s.NewID == open.OldID
}

// issuedAt is when the key was issued that counts.
func (it Item) issuedAt() time.Time {
	if it.replacing() {
		return it.Rotated.IssuedAt
	}
	return it.IssuedAt
}

// unrotated says why a key does not count as rotated since a time; nothing if it does.
func (it Item) unrotated(since time.Time) string {
	s := it.Rotated
	switch {
	case it.Problem != nil:
		return "its record could not be read"
	case it.Generation == 0:
		return "no key of it is known"
	case s == nil && it.Last != nil && it.Last.Outcome == RolledBack:
		return "the last rotation was rolled back, and the record holds no other one"
	case s == nil:
		return "no rotation of it has ended with a new key"
	case s.Generation != it.Generation && !it.replacing(): // adopted by hand, or gone back to
		return "its current key does not come from the last rotation"
	case it.issuedAt().IsZero():
		return "nobody knows when its key was issued"
	case it.issuedAt().Before(since):
		return "its key was issued before that time"
	case slices.ContainsFunc(it.Debts, func(d Debt) bool { return d.Key.named() == s.OldID && s.OldID != "" }):
		return "the key that it replaced is not proven dead"
	default:
		return ""
	}
}

// String is the report for people: first what is missing, then the evidence.
func (c Compliance) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d keys were rotated within %s before %s\n", len(c.Rotated), len(c.Rotated)+len(c.Unrotated), daysText(c.Within), when(c.AsOf))
	for i, e := range c.Unrotated {
		if i == 0 {
			b.WriteString("\nnot rotated\n")
		}
		fmt.Fprintf(&b, "  %-28s %s%s\n", e.Credential, e.Why, e.issuedText())
	}
	for i, e := range c.Rotated {
		if i == 0 {
			b.WriteString("\nrotated\n")
		}
		dead := "no old key, or proven later"
		if !e.DeadAt.IsZero() {
			dead = e.OldID + " dead " + when(e.DeadAt)
		}
		fmt.Fprintf(&b, "  %-28s issued %s by %s, rotation %s, %s\n", e.Credential, when(e.IssuedAt), e.Actor, e.Rotation, dead)
	}
	return b.String()
}

func (e Evidence) issuedText() string {
	if e.IssuedAt.IsZero() {
		return ""
	}
	return ", issued " + when(e.IssuedAt)
}

// daysText is a time in days where it is whole days.
func daysText(d time.Duration) string {
	if d > 0 && d%day == 0 {
		return fmt.Sprintf("%d days", d/day)
	}
	return d.String()
}
