// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package redisreplay

// MostUnsure is the most that Unsure can be.
const MostUnsure = mostUnsure

// Unsure counts the deliveries of which nobody knows whether they are written.
func (s *Store) Unsure() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.unsure)
}
