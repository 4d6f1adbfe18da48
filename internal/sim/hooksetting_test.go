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
	return []Setting{
		{Name: "webhook", Signing: Activates, Traits: quick, Policy: policy, Receivers: []Kind{Told, Follows, Renewed}},
	}
}

// abortIn is where the new secret is given up.
func (s Setting) abortIn() rotation.Phase { return cmp.Or(s.AbortIn, rotation.PhaseSoak) }
