// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"net/http"
	"sync"
	"sync/atomic"
)

// NewVerifierOfVector and NewSignerOfVector take the short secrets of public vectors. An empty one is refused here too.
func NewVerifierOfVector(c Config) (*Verifier, error) { return newVerifier(c, 1) }

// NewSignerOfVector is for vectors.
func NewSignerOfVector(s *Scheme, secrets ...Secret) (*Signer, error) {
	return newSigner(s, 1, secrets...)
}

// Member is for the fuzz test of what reads the time in a body.
func Member(object []byte, name string) (string, bool) { return member(object, name) }

// Same and SameHex are for the tests that compare them with the standard library.
func Same(a []byte, text string) bool { return same(a, text) }

// SameHex compares a MAC with hexadecimal.
func SameHex(mac []byte, text string) bool { return sameHex(mac, text) }

// CountPasses counts how many keys are used for the first time from now on: with one delivery, how often its body is hashed.
func CountPasses(v *Verifier) *atomic.Int64 {
	var n atomic.Int64
	for _, sl := range v.set.Load().slots {
		newState := sl.states.New
		sl.states = &sync.Pool{New: func() any {
			n.Add(1)
			return newState()
		}}
	}
	return &n
}

// ReadBody is for the benchmark of it.
func ReadBody(r *http.Request, most int64, buf *[]byte) error { return readBody(r, most, buf) }
