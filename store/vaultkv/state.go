// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package vaultkv

import (
	"context"
	"slices"

	"github.com/handover-go/handover/rotation"
)

// state is what a secret holds.
//
// A Save that takes values away first writes a version without them, which names the versions that hold them, and then destroys those
// with all that was before. A value that is still in one of them is a retiring key, whatever was written since: so a Save that was
// interrupted in between is repeated, and what others wrote meanwhile is seen, and stays.
type state struct {
	versions  rotation.Versions // what Load returns
	holders   []holder          // the versions with these values, the latest one at the end
	destroyed int               // nothing is left of the history up to this version; zero: not known
}

// holder is a version with values.
type holder struct {
	revision string
	keys     []rotation.StoredKey
}

// state tells what the secret at p holds, whose latest version is given.
func (s *Store) state(ctx context.Context, p string, latest version) (state, error) {
	if latest.fields == nil {
		return state{}, s.gone(p, latest)
	}
	c, err := s.decode(p, latest.fields)
	if err != nil {
		return state{}, err
	}
	old, swept, err := s.undestroyed(ctx, p, latest, c.condemned)
	if err != nil {
		return state{}, err
	}
	st := state{holders: append(old, holder{latest.revision(), c.shown().Keys})}
	if swept {
		st.destroyed = c.condemned[len(c.condemned)-1].version
	}
	for _, h := range old {
		for _, k := range h.keys {
			if !k.Key.Secret.IsZero() && !holds(c.document, k.Key.Secret) {
				k.Role = rotation.RoleRetiring
				c.document.Keys = append(c.document.Keys, k)
			}
		}
	}
	st.versions = c.shown()
	st.versions.Revision = latest.revision()
	return st, nil
}

// undestroyed returns those of the condemned versions that still hold values. swept: there were some, and all of them are destroyed.
func (s *Store) undestroyed(ctx context.Context, p string, latest version, condemned []version) (holders []holder, swept bool, err error) {
	if len(condemned) == 0 || s.isSwept(p, latest) {
		return nil, len(condemned) > 0, nil
	}
	swept = true
	for _, named := range condemned {
		if named.version >= latest.version { // of a secret that was removed, and whose fields were written back by hand
			swept = false
			continue
		}
		is, err := s.read(ctx, p, named.version)
		if err != nil {
			return nil, false, err
		}
		if is.destroyed || is.version == 0 { // zero: Vault itself drops the oldest
			continue
		}
		swept = false
		if is.fields == nil || is.revision() != named.revision() { // nil: it is deleted, and can be brought back. Another revision: as above
			continue
		}
		c, err := s.decode(p, is.fields)
		if err != nil {
			return nil, false, err
		}
		holders = append(holders, holder{is.revision(), c.shown().Keys})
	}
	if swept {
		s.setSwept(p, latest)
	}
	return holders, swept, nil
}

// leave returns the revisions that hold a value which is not in v.
func (st state) leave(v rotation.Versions) []string {
	var revisions []string
	for _, h := range st.holders {
		if slices.ContainsFunc(h.keys, func(k rotation.StoredKey) bool { return !k.Key.Secret.IsZero() && !holds(v, k.Key.Secret) }) {
			revisions = append(revisions, h.revision)
		}
	}
	return revisions
}

func (s *Store) isSwept(p string, latest version) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.swept[p] == latest.revision()
}

func (s *Store) setSwept(p string, latest version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.swept[p] = latest.revision()
}
