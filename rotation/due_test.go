// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The whole table of ages, in days: type, risk, scope.
func TestMaxAge(t *testing.T) {
	want := map[Type]map[Risk]map[Scope]int{
		APIKey: {
			StandardRisk: {ScopeReadOnly: 90, ScopeWrite: 90, ScopeBroad: 90, ScopeFull: 90},
			HighRisk:     {ScopeReadOnly: 30, ScopeWrite: 30, ScopeBroad: 30, ScopeFull: 30},
		},
		OAuthClient: {
			StandardRisk: {ScopeReadOnly: 180, ScopeWrite: 180, ScopeBroad: 91, ScopeFull: 91},
			HighRisk:     {ScopeReadOnly: 90, ScopeWrite: 90, ScopeBroad: 90, ScopeFull: 90},
		},
		ServiceAccount: {
			StandardRisk: {ScopeReadOnly: 90, ScopeWrite: 90, ScopeBroad: 90, ScopeFull: 90},
			HighRisk:     {ScopeReadOnly: 30, ScopeWrite: 30, ScopeBroad: 30, ScopeFull: 30},
		},
		WebhookSecret: {
			StandardRisk: {ScopeReadOnly: 180, ScopeWrite: 180, ScopeBroad: 91, ScopeFull: 91},
			HighRisk:     {ScopeReadOnly: 90, ScopeWrite: 90, ScopeBroad: 90, ScopeFull: 90},
		},
		Database: {
			StandardRisk: {ScopeReadOnly: 90, ScopeWrite: 90, ScopeBroad: 90, ScopeFull: 90},
			HighRisk:     {ScopeReadOnly: 30, ScopeWrite: 30, ScopeBroad: 30, ScopeFull: 30},
		},
	}
	require.Len(t, want, len(cadence), "a type has no line here")
	for typ, risks := range want {
		for risk, scopes := range risks {
			require.Len(t, scopes, len(scopeCadence), "a scope has no line here")
			for scope, days := range scopes {
				c := Credential{Type: typ, Risk: risk, Scope: scope}
				require.Equal(t, time.Duration(days)*day, c.MaxAge(), "%s, risk %q, scope %q", typ, risk, scope)
				c.Policy.MaxAge = 7 * day
				require.Equal(t, 7*day, c.MaxAge(), "a policy decides alone")
				c.Policy.MaxAge = 999 * day
				require.Equal(t, 999*day, c.MaxAge(), "a policy decides alone")
			}
		}
	}
}

// The scopes that the types' own ages hide are there too.
func TestScopeCadence(t *testing.T) {
	require.Equal(t, map[Scope]time.Duration{ScopeReadOnly: 365 * day, ScopeWrite: 182 * day, ScopeBroad: 91 * day, ScopeFull: 91 * day}, scopeCadence)
}

func TestEmergencyDelay(t *testing.T) {
	for typ, want := range map[Type]time.Duration{
		APIKey: 15 * time.Minute, OAuthClient: 15 * time.Minute, ServiceAccount: 15 * time.Minute, Database: 4 * time.Hour, WebhookSecret: 24 * time.Hour,
	} {
		require.Equal(t, want, emergencyDelay(typ), typ)
	}
}

func TestDueAt(t *testing.T) {
	reg := consumersOf("web")
	reg.Bindings[0].Lag = time.Hour
	reg.Policy.Overlap, reg.Policy.Quiet = 24*time.Hour, 24*time.Hour
	before := 49 * time.Hour // overlap, quiet and lag: what a rotation takes at least
	for what, c := range map[string]struct {
		key  *keyState
		want time.Time
	}{
		"no key":                     {nil, time.Time{}},
		"unknown date":               {&keyState{}, time.Time{}},
		"unknown date, known end":    {&keyState{Key: Key{ExpiresAt: noon}}, time.Time{}},
		"its age":                    {&keyState{Key: Key{IssuedAt: noon}}, noon.Add(90 * day)},
		"it outlives its age":        {&keyState{Key: Key{IssuedAt: noon, ExpiresAt: noon.Add(365 * day)}}, noon.Add(90 * day)},
		"it expires before":          {&keyState{Key: Key{IssuedAt: noon, ExpiresAt: noon.Add(60 * day)}}, noon.Add(60*day - before)},
		"it expires on the same day": {&keyState{Key: Key{IssuedAt: noon, ExpiresAt: noon.Add(90 * day)}}, noon.Add(90*day - before)},
		"it expires just after":      {&keyState{Key: Key{IssuedAt: noon, ExpiresAt: noon.Add(90*day + before)}}, noon.Add(90 * day)},
		"it lives for three days":    {&keyState{Key: Key{IssuedAt: noon, ExpiresAt: noon.Add(3 * day)}}, noon.Add(36 * time.Hour)},
		"it lives for an hour":       {&keyState{Key: Key{IssuedAt: noon, ExpiresAt: noon.Add(time.Hour)}}, noon.Add(30 * time.Minute)},
	} {
		require.Equal(t, c.want, dueAt(reg, c.key), what)
	}
}

// However short a key lives, it is never due when it is made: that would be a rotation after the other.
func TestAFreshKeyIsNotDue(t *testing.T) {
	reg := consumersOf("web")
	reg.Policy.Overlap, reg.Policy.Quiet = 24*time.Hour, 24*time.Hour
	for life := time.Minute; life < 400*day; life *= 2 {
		due := dueAt(reg, &keyState{Key: Key{IssuedAt: noon, ExpiresAt: noon.Add(life)}})
		require.True(t, due.After(noon), "%v", life)
		require.True(t, due.Before(noon.Add(life)), "%v: due after its end", life)
	}
}
