// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

// Clear takes all secrets away: everything is refused with ErrNoSecret until Set. It has a name of its own because a Set that
// happens to be empty is a mistake.
func (v *Verifier) Clear() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.set.Store(nil)
}
