// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// explained is a credential with its key, as Register and a rotation leave them.
func explained(c Credential, k *keyState) (*registration, *state) {
	reg := &registration{Name: "api", given: c, Type: c.Type, Scope: c.Scope, MaxAge: c.MaxAge(), Policy: policy{Calendar: &calendar{}}}
	reg.Policy.Overlap, reg.Policy.Quiet = day, day
	st := &state{}
	if k != nil {
		k.Key.Serial = oldSerial
		st.Current, st.Keys = oldSerial, []*keyState{k}
	}
	return reg, st
}

// Each rule decides once, and the others are shown.
func TestExplainRules(t *testing.T) {
	aged := func(end time.Time) *keyState {
		return &keyState{Key: Key{IssuedAt: noon, ExpiresAt: end, Generation: 3}}
	}
	for what, c := range map[string]struct {
		cred  Credential
		key   *keyState
		rule  RuleKind
		due   time.Time
		kinds []RuleKind
	}{
		"type":                {Credential{Type: APIKey}, aged(time.Time{}), RuleType, noon.Add(90 * day), []RuleKind{RuleType, RuleScope, RuleYear}},
		"type at high risk":   {Credential{Type: Database, Risk: HighRisk}, aged(time.Time{}), RuleType, noon.Add(30 * day), []RuleKind{RuleType, RuleScope, RuleYear}},
		"scope":               {Credential{Type: OAuthClient, Scope: ScopeBroad}, aged(time.Time{}), RuleScope, noon.Add(91 * day), []RuleKind{RuleScope, RuleType, RuleYear}},
		"a shorter policy":    {Credential{Type: APIKey, Policy: Policy{MaxAge: 7 * day}}, aged(time.Time{}), RulePolicy, noon.Add(7 * day), []RuleKind{RulePolicy, RuleType, RuleScope, RuleYear}},
		"a longer policy":     {Credential{Type: APIKey, Policy: Policy{MaxAge: 999 * day}}, aged(time.Time{}), RulePolicy, noon.Add(999 * day), []RuleKind{RulePolicy, RuleType, RuleScope, RuleYear}},
		"expiry":              {Credential{Type: APIKey}, aged(noon.Add(60 * day)), RuleExpiry, noon.Add(58 * day), []RuleKind{RuleExpiry, RuleType, RuleScope, RuleYear}},
		"a late expiry":       {Credential{Type: APIKey}, aged(noon.Add(300 * day)), RuleType, noon.Add(90 * day), []RuleKind{RuleType, RuleScope, RuleExpiry, RuleYear}},
		"expiry over policy":  {Credential{Type: APIKey, Policy: Policy{MaxAge: 80 * day}}, aged(noon.Add(60 * day)), RuleExpiry, noon.Add(58 * day), []RuleKind{RuleExpiry, RulePolicy, RuleType, RuleScope, RuleYear}},
		"a short life":        {Credential{Type: APIKey}, aged(noon.Add(time.Hour)), RuleExpiry, noon.Add(30 * time.Minute), []RuleKind{RuleExpiry, RuleType, RuleScope, RuleYear}},
		"no date":             {Credential{Type: APIKey}, &keyState{Key: Key{Generation: 3}}, RuleUndated, time.Time{}, []RuleKind{RuleUndated, RuleType, RuleScope, RuleYear}},
		"no date, but an end": {Credential{Type: APIKey}, &keyState{Key: Key{ExpiresAt: noon}}, RuleUndated, time.Time{}, []RuleKind{RuleUndated, RuleType, RuleScope, RuleYear}},
		"no key":              {Credential{Type: APIKey}, nil, RuleUndated, time.Time{}, []RuleKind{RuleUndated, RuleType, RuleScope, RuleYear}},
	} {
		reg, st := explained(c.cred, c.key)
		e := explain(reg, st, noon.Add(day))
		assert.Equal(t, c.rule, e.Rule.Kind, what)
		assert.Equal(t, c.due, e.Due, what)
		var kinds []RuleKind
		for _, r := range e.Rules {
			kinds = append(kinds, r.Kind)
			overruled := c.cred.Policy.MaxAge > 0 && slices.Contains([]RuleKind{RuleType, RuleScope, RuleYear}, r.Kind)
			assert.Equal(t, overruled, r.Overruled, "%s: %s", what, r.Kind)
			if c.rule != RuleUndated && r.Age > 0 {
				assert.Equal(t, noon.Add(r.Age), r.Due, what)
			}
		}
		assert.Equal(t, c.kinds, kinds, what)
		assert.Contains(t, e.String(), string(c.rule), what)
	}
}

// What is explained is what the engine does, whatever the credential.
func TestExplainAgreesWithTheEngine(t *testing.T) {
	for typ := range cadence {
		for scope := range scopeCadence {
			for _, risk := range []Risk{StandardRisk, HighRisk} {
				for _, age := range []time.Duration{0, 5 * day, 400 * day} {
					for _, life := range []time.Duration{0, time.Hour, 3 * day, 31 * day, 92 * day, 500 * day} {
						k := &keyState{Key: Key{IssuedAt: noon}}
						if life > 0 {
							k.Key.ExpiresAt = noon.Add(life)
						}
						reg, st := explained(Credential{Type: typ, Scope: scope, Risk: risk, Policy: Policy{MaxAge: age}}, k)
						e := explain(reg, st, noon)
						require.Equal(t, dueAt(reg, k), e.Due)
						require.Equal(t, e.Due, e.Rule.Due, "%+v", e)
						require.Equal(t, emergencyDelay(typ), e.Emergency)
					}
				}
			}
		}
	}
}

func TestExplainStates(t *testing.T) {
	reg, st := explained(Credential{Type: APIKey}, &keyState{Key: Key{IssuedAt: noon}})
	for _, c := range []struct {
		age  time.Duration
		want DueState
	}{
		{0, NotDue}, {76 * day, NotDue}, {76*day + 1, DueSoon}, {90 * day, DueSoon}, {90*day + 1, PastDue}, {900 * day, PastDue},
	} {
		assert.Equal(t, c.want, explain(reg, st, noon.Add(c.age)).State, c.age)
	}
	reg, st = explained(Credential{Type: APIKey, Policy: Policy{MaxAge: 4 * day}}, &keyState{Key: Key{IssuedAt: noon}})
	assert.Equal(t, NotDue, explain(reg, st, noon.Add(2*day)).State, "a short-lived key is not due soon all its life")
	assert.Equal(t, DueSoon, explain(reg, st, noon.Add(2*day+1)).State)
	reg, st = explained(Credential{Type: APIKey}, nil)
	assert.Equal(t, NeverRotated, explain(reg, st, noon).State)
	reg, st = explained(Credential{Type: APIKey}, &keyState{})
	assert.Equal(t, NeverRotated, explain(reg, st, noon).State)
}

func TestExplainSurroundings(t *testing.T) {
	reg, st := explained(Credential{Type: WebhookSecret, Scope: ScopeFull, Policy: Policy{MaxAge: 400 * day}}, &keyState{Key: Key{IssuedAt: noon}})
	st.NotBefore = noon.Add(time.Hour)
	st.Hold = &hold{Until: noon.Add(2 * time.Hour)}
	st.Run = &run{Strategy: Standard, Actor: "ana", Reason: "a colleague left", BeganAt: noon}
	e := explain(reg, st, noon)
	assert.Equal(t, noon.Add(2*time.Hour), e.NotBefore)
	assert.Equal(t, "standard, begun by ana at 2026-03-04T12:00:00Z: a colleague left", e.Open)
	assert.Equal(t, day, e.Emergency)
	assert.Equal(t, []string{"it can do everything: replace it by narrower keys", "Policy.MaxAge is 400 d, and the built-in table asks for 91 d"}, e.Advice)
	for _, want := range []string{"open: standard", "before 2026-03-04T14:00:00Z", "within 24h0m0s", "advice: it can do", "(overruled)"} {
		assert.Contains(t, e.String(), want)
	}
	assert.Zero(t, explain(reg, st, noon.Add(3*time.Hour)).NotBefore, "gone by")

	for typ, want := range map[Type]int{APIKey: 0, OAuthClient: 0, ServiceAccount: 1, Database: 1, WebhookSecret: 0} {
		reg, st := explained(Credential{Type: typ}, &keyState{Key: Key{IssuedAt: noon}})
		assert.Len(t, explain(reg, st, noon).Advice, want, typ)
		reg, st = explained(Credential{Type: typ}, &keyState{Key: Key{IssuedAt: noon, ExpiresAt: noon.Add(day)}})
		assert.Empty(t, explain(reg, st, noon).Advice, "%s is short-lived already", typ)
	}
}

// A year of 400 credentials, looked at daily: each is warned of for 14 days, and rotated afterwards is not due again.
func TestExplainAYear(t *testing.T) {
	types := types()
	for i := range 400 {
		k := &keyState{Key: Key{IssuedAt: noon}}
		reg, st := explained(Credential{Type: types[i%len(types)], Risk: []Risk{StandardRisk, HighRisk}[i/5%2]}, k)
		warned := 0
		for d := range 365 {
			now := noon.Add(time.Duration(d)*day + time.Hour)
			switch explain(reg, st, now).State {
			case PastDue:
				require.Equal(t, 14, warned, "%s", reg.Type)
				warned, k.Key.IssuedAt = 0, now.Add(-time.Hour)
				require.Equal(t, NotDue, explain(reg, st, now).State)
			case DueSoon:
				warned++
			}
		}
	}
}
