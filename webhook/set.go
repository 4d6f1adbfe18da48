// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// set is what one Set has set. It is never changed but for recent, a hint.
type set struct {
	slots  []slot // newest first
	ends   bool   // some secret has an end
	recent atomic.Int32
}

// slot is a key's place in one set: its end may be another one in the next.
type slot struct {
	*key
	notAfter time.Time // zero: none
}

// newSet makes a set of all secrets or of none. A secret that was in old, with the same id and the same value, keeps its key.
func (s *Scheme) newSet(old *set, secrets []Secret, least int) (*set, error) {
	next := &set{}
	var errs []error
	for _, sec := range secrets {
		if sec.Value.IsZero() {
			continue
		}
		if err := next.check(sec); err != nil {
			errs = append(errs, err)
			continue
		}
		k := old.find(sec)
		if k == nil {
			var err error
			if k, err = s.newKey(sec, least); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		next.slots = append(next.slots, slot{k, sec.NotAfter})
		next.ends = next.ends || !sec.NotAfter.IsZero()
	}
	switch {
	case len(errs) > 0:
		return nil, errors.Join(errs...)
	case len(secrets) == 0:
		return nil, errors.New("webhook: no secrets")
	case len(next.slots) == 0:
		return nil, errors.New("webhook: Secrets: every Value is empty")
	case len(next.slots) > mostSecrets:
		return nil, fmt.Errorf("webhook: %d secrets, at most %d are of use", len(next.slots), mostSecrets)
	}
	next.recent.Store(old.recentIn(next))
	return next, nil
}

// recentIn returns the place in next of the key that matched last in n, or the first place.
func (n *set) recentIn(next *set) int32 {
	if n != nil {
		for i := range next.slots {
			if next.slots[i].key == n.slots[n.recent.Load()].key {
				return int32(i)
			}
		}
	}
	return 0
}

// check compares a secret with those that come before it.
func (n *set) check(sec Secret) error {
	if sec.ID == "" {
		return errors.New("webhook: Secret.ID is required")
	}
	for _, other := range n.slots {
		switch {
		case other.id == sec.ID:
			return fmt.Errorf("webhook: Secret.ID: %q is there twice", sec.ID)
		case other.value.Equal(sec.Value):
			return fmt.Errorf("webhook: secrets %q and %q have the same value", other.id, sec.ID)
		}
	}
	return nil
}

// find returns the key that sec had in n, or nil.
func (n *set) find(sec Secret) *key {
	if n == nil {
		return nil
	}
	for _, sl := range n.slots {
		if sl.id == sec.ID && sl.value.Equal(sec.Value) {
			return sl.key
		}
	}
	return nil
}

// live reports whether any secret may be used at all.
func (n *set) live(now time.Time) bool {
	for i := range n.slots {
		if !n.slots[i].ended(now) {
			return true
		}
	}
	return false
}

func (sl *slot) ended(now time.Time) bool { return !sl.notAfter.IsZero() && now.After(sl.notAfter) }
