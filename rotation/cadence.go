// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"maps"
	"slices"
	"time"
)

const day = 24 * time.Hour

// cadence is the age at which a key of a type is due, at standard and at high risk.
var cadence = map[Type]struct{ standard, high time.Duration }{
	APIKey:         {90 * day, 30 * day},
	OAuthClient:    {180 * day, 90 * day},
	ServiceAccount: {90 * day, 30 * day},
	Database:       {90 * day, 30 * day},
	WebhookSecret:  {180 * day, 90 * day},
}

// scopeCadence is the age at which a key of a scope is due.
var scopeCadence = map[Scope]time.Duration{
	ScopeReadOnly: 365 * day,
	ScopeWrite:    182 * day,
	ScopeBroad:    91 * day,
	ScopeFull:     91 * day,
}

// emergencyDelay is how long after the confirmation of a compromise its revocation may be sent.
func emergencyDelay(t Type) time.Duration {
	switch t {
	case Database:
		return 4 * time.Hour
	case WebhookSecret:
		return day
	default:
		return 15 * time.Minute // "immediate"
	}
}

func types() []Type { return slices.Sorted(maps.Keys(cadence)) }

// MaxAge is the age at which a key is due: Policy.MaxAge if it is set, else the shortest that Type, Risk and Scope ask for.
func (c Credential) MaxAge() time.Duration {
	if c.Policy.MaxAge > 0 {
		return c.Policy.MaxAge
	}
	return min(typeAge(c.Type, c.Risk), scopeCadence[c.Scope])
}

// typeAge is the age that the table has for a type.
func typeAge(t Type, r Risk) time.Duration {
	if r == HighRisk {
		return cadence[t].high
	}
	return cadence[t].standard
}

// dueAt is when the current key has to be replaced: at its maximal age, and in time before it expires. A key without a
// date counts as overdue.
func dueAt(reg *registration, current *keyState) time.Time {
	if current == nil || current.Key.IssuedAt.IsZero() {
		return time.Time{}
	}
	due := current.Key.IssuedAt.Add(reg.MaxAge)
	if last, ends := expiryDue(reg, current); ends && last.Before(due) {
		due = last
	}
	return due
}

// expiryDue is when a key that the provider ends has to be replaced in order to be replaced in time; false if nothing ends it.
func expiryDue(reg *registration, current *keyState) (last time.Time, ends bool) {
	if current == nil || current.end().IsZero() {
		return time.Time{}, false
	}
	_, lag := reg.slowest()
	last = current.end().Add(-(reg.Policy.Overlap + reg.Policy.Quiet + lag))
	half := current.Key.IssuedAt.Add(current.end().Sub(current.Key.IssuedAt) / 2)
	return latest(last, half), true // a short-lived key is not replaced the moment it is made
}
