// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import "github.com/handover-go/handover/rotation"

// same reports whether a and b are one key. Serials decide where both are known, because ids of slots come back. Two
// different values are never one key.
func same(a, b rotation.Key) bool {
	if !a.Secret.IsZero() && !b.Secret.IsZero() && !a.Secret.Equal(b.Secret) {
		return false
	}
	if a.Serial != 0 && b.Serial != 0 {
		return a.Serial == b.Serial
	}
	return a.ID == b.ID && a.Generation == b.Generation && a.Name == b.Name
}

// choose returns the key to use of what the store holds, and whether it is the canary: the key that this process was told to
// use while it is pending. The canary ends when the key is promoted, withdrawn or marked as compromised. A zero Key means
// that the store has nothing to use.
func choose(v rotation.Versions, canary *rotation.Key) (key rotation.Key, isCanary bool) {
	if canary != nil {
		if p := v.Key(rotation.RolePending); !p.Secret.IsZero() && same(p, *canary) {
			return p, true
		}
	}
	if c := v.Key(rotation.RoleCurrent); !c.Secret.IsZero() {
		return c, false
	}
	return rotation.Key{}, false
}
