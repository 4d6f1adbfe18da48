// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// memory is what a Receiver knows beside the document that it looks at: documents do not always come in the order in which
// they were written, and Deploy may be ahead of all of them. It decides by values, and so serials may be given again.
type memory struct {
	accepted []rotation.Key    // by the last document that was taken
	ended    []rotation.Key    // retiring or compromised in that document
	deployed []rotation.Key    // accepted by the last Deploy
	out      map[[32]byte]bool // not accepted by a Deploy: only a Deploy brings it back
	leaked   map[[32]byte]bool // seen compromised: nothing brings it back
}

func digest(v secret.Value) [32]byte { return sha256.Sum256([]byte(v.Reveal())) }

func put(m *map[[32]byte]bool, v secret.Value) {
	if *m == nil {
		*m = map[[32]byte]bool{}
	}
	if !v.IsZero() {
		(*m)[digest(v)] = true
	}
}

// has reports whether keys have the value of k.
func has(keys []rotation.Key, k rotation.Key) bool {
	return slices.ContainsFunc(keys, func(o rotation.Key) bool { return !k.Secret.IsZero() && o.Secret.Equal(k.Secret) })
}

var (
	errOld      = errors.New("an older document")
	errTakenOut = errors.New("taken out by the store")
)

// document returns what is to be accepted after a document, newest first. A document that accepts what was taken out is older than
// that, or nobody's: nothing is taken from it but what it says of leaks.
//
// What a Deploy added, and a document does not list, stays while the document is older: it has nothing newer either.
func (m *memory) document(v rotation.Versions) ([]rotation.Key, error) {
	var ended []rotation.Key
	top := int64(0)
	for _, k := range v.Keys {
		top = max(top, k.Key.Serial)
		if k.Compromised {
			put(&m.leaked, k.Key.Secret)
		}
		if k.Compromised || k.Role == rotation.RoleRetiring {
			ended = append(ended, k.Key)
		}
	}
	accepted := v.Accepted()
	for _, k := range accepted {
		if d := digest(k.Secret); m.out[d] || m.leaked[d] {
			return nil, fail(errOld, "the store shows %v as accepted, which was taken out: the document is older than that", k)
		}
	}
	m.accepted, m.ended = accepted, ended
	keys := slices.Clone(accepted)
	for _, k := range m.deployed {
		if k.Serial > top && !has(accepted, k) && !has(ended, k) && !m.leaked[digest(k.Secret)] {
			keys = append(keys, k)
		}
	}
	slices.SortStableFunc(keys, func(a, b rotation.Key) int { return cmp.Compare(b.Serial, a.Serial) })
	return keys, nil
}

// deploy remembers that keys, and nothing else, are to be accepted. A request for what the store has taken out is one that comes
// too late.
func (m *memory) deploy(keys []rotation.Key) error {
	for _, k := range keys {
		if !k.Secret.IsZero() && (m.leaked[digest(k.Secret)] || has(m.ended, k)) {
			return fail(errTakenOut, "the request accepts %v, which the store has taken out: it is an old one", k)
		}
	}
	for _, k := range slices.Concat(m.accepted, m.deployed) {
		if !has(keys, k) {
			put(&m.out, k.Secret)
		}
	}
	for _, k := range keys {
		delete(m.out, digest(k.Secret))
	}
	m.deployed = slices.Clone(keys)
	return nil
}
