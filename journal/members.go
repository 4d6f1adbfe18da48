// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package journal

import "slices"

// members answers whether a name is one of names, hundreds of thousands of which may be given to every call of Due.
// Building a set of them would cost more than the rest of the call, so it is put off: a name that a binary search finds is a
// member whether names is sorted or not. Only a name that is not found makes it look closer, once: if names is sorted that
// was the answer, if not a set is built. Sorted names and no foreign entries therefore cost next to nothing, and any others
// cost one pass over names.
type members struct {
	names  []string
	looked bool
	set    map[string]struct{} // nil: names is sorted
}

func (m *members) has(name string) bool {
	if m.set == nil {
		if _, found := slices.BinarySearch(m.names, name); found {
			return true
		}
		m.look()
	}
	_, found := m.set[name]
	return found
}

func (m *members) look() {
	if m.looked {
		return
	}
	m.looked = true
	if slices.IsSorted(m.names) {
		return
	}
	m.set = make(map[string]struct{}, len(m.names))
	for _, name := range m.names {
		m.set[name] = struct{}{}
	}
}
