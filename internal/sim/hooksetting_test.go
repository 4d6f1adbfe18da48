// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"cmp"
	"time"

	"github.com/handover-go/handover/rotation"
)

// Webhooks are the settings of a webhook secret. The first is the one for singles.
func Webhooks() []Setting {
	policy := rotation.Policy{Overlap: time.Hour, Quiet: time.Hour, Patience: 90 * time.Second}
	quick := rotation.Traits{Propagation: -1, ListLag: -1, RetryHorizon: 3 * time.Hour}
	slow := rotation.Traits{Propagation: time.Minute, ListLag: 30 * time.Second, RetryHorizon: 3 * time.Hour}
	grace := slow
	grace.Grace = 24 * time.Hour
	once := quick
	once.RetryHorizon = -1
	skews := []time.Duration{-2 * time.Second, 2 * time.Second}
	return []Setting{
		{
			Name: "webhook", Signing: Activates, Traits: quick, Policy: policy, Receivers: []Kind{Told, Follows, Renewed},
			Past: true, Renewed: 190 * time.Minute, // when it has just verified the last delivery that bears the old secret
		},
		{
			Name: "webhook, slow", Signing: Activates, Traits: slow, Policy: policy, Propagate: 50 * time.Second,
			Receivers: []Kind{Renewed, Follows, Told, Idle}, OneID: true, Skews: skews, Renewed: -1,
		},
		{
			Name: "webhook, signs at once", Signing: AtOnce, Traits: grace, ListLag: 20 * time.Second, UsageLag: 10 * time.Minute, Past: true,
			Policy:    rotation.Policy{Overlap: time.Hour, Quiet: time.Hour, Patience: 90 * time.Second, AllowProviderDeadline: true},
			Receivers: []Kind{Told, Follows, Renewed},
		},
		{
			Name: "webhook, by hand", Signing: Console, Traits: once, Policy: policy, NoPing: true,
			Receivers: []Kind{Unseen, Told, Follows}, Skews: skews, AbortIn: rotation.PhaseProve,
		},
	}
}

// abortIn is where the new secret is given up.
func (s Setting) abortIn() rotation.Phase { return cmp.Or(s.AbortIn, rotation.PhaseSoak) }
