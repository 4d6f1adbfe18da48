// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import "testing"

// What the tests of this package see of the suites.

func names(clauses []clause) []string {
	var out []string
	for _, c := range clauses {
		out = append(out, c.name)
	}
	return out
}

func (s IssuerSuite) Clauses() []string   { return names(s.clauses()) }
func (s StoreSuite) Clauses() []string    { return names(s.clauses()) }
func (s ConsumerSuite) Clauses() []string { return names(s.clauses()) }
func (s ReceiverSuite) Clauses() []string { return names(s.clauses()) }
func (s VerifierSuite) Clauses() []string { return names(s.clauses()) }
func (s JournalSuite) Clauses() []string  { return names(s.clauses()) }

// Violations are what is wrong with the parts of s, in the first plot where anything is.
func (s Simulation) Violations(t *testing.T) []error {
	t.Helper()
	for _, p := range plots {
		if found := s.explore(t, p); len(found.violations) > 0 {
			return found.violations
		}
	}
	return nil
}
