// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/handover-go/handover/rotation"
)

// Seed stores the key that is in use today as the current key of the credential name: it is how an existing credential is
// put under rotation. Do it once, before the first rotation. key.Secret is required; give key.ID where the provider has
// one, because a key without an ID may need a person to revoke it, and key.IssuedAt, because an unknown age counts as
// overdue, and is rotated at once. Generation defaults to 1; Serial is left to the engine.
//
// Seed asks nobody whether the value is accepted. Log in with it first, as it will be stored: a line feed at its end is part of it.
// A seeded key that is refused, and that was never seen accepted, holds its rotation (rotation.CurrentRejected): nothing is made and
// nothing is ended until the right value stands in its place, or a person says that the key is dead. To put it right, Load, change the
// value and Save.
//
// A value that was in the store before this library (see Unmarshal) is a current key without an ID, and Seed with the same value and
// no other attributes completes it, until the first rotation. Against any other current key Seed fails with rotation.ErrConflict, and changes nothing. Other keys of the
// credential stay as they are.
func Seed(ctx context.Context, s rotation.SecretStore, name string, key rotation.Key) error {
	if err := checkSeed(s, name, key); err != nil {
		return err
	}
	v, err := s.Load(ctx, name)
	if err != nil {
		return err
	}
	key.Serial = 0
	if key.Generation == 0 {
		key.Generation = 1
	}
	seeded := rotation.StoredKey{Key: key, Role: rotation.RoleCurrent}
	i := slices.IndexFunc(v.Keys, func(k rotation.StoredKey) bool { return k.Role == rotation.RoleCurrent })
	switch {
	case i < 0:
		v.Keys = append(v.Keys, seeded)
	case v.Stamp != "" || !bare(v.Keys[i], key):
		return failf("store: Seed: %q has a current key already, and is under rotation: there is nothing to seed: %w", name, rotation.ErrConflict)
	case v.Keys[i].Key.Secret.Equal(key.Secret):
		v.Keys = slices.Clone(v.Keys)
		if found := maps.Clone(v.Keys[i].Key.Attributes); found != nil {
			maps.Copy(found, key.Attributes)
			seeded.Key.Attributes = found
		}
		v.Keys[i] = seeded
	default:
		return failf("store: Seed: %q has a current key already, with another value: seed that value, or take it away first: %w", name, rotation.ErrConflict)
	}
	v.Stamp = "" // no rotation wrote this state
	return s.Save(ctx, name, v)
}

// bare reports whether k is a value that nobody has said more about than the store's own fields do, and nothing that key contradicts.
func bare(k rotation.StoredKey, key rotation.Key) bool {
	for name, value := range k.Key.Attributes {
		if given, ok := key.Attributes[name]; ok && given != value {
			return false
		}
	}
	return !k.Compromised && k.Key.Equal(rotation.Key{Secret: k.Key.Secret, Attributes: k.Key.Attributes})
}

func checkSeed(s rotation.SecretStore, name string, key rotation.Key) error {
	var errs []error
	if s == nil {
		errs = append(errs, failf("store: Seed: the store is required"))
	}
	if err := checkName(name); err != nil {
		errs = append(errs, err)
	}
	if key.Secret.IsZero() {
		errs = append(errs, failf("store: Seed: key.Secret is required"))
	}
	if key.Generation < 0 {
		errs = append(errs, failf("store: Seed: key.Generation is negative"))
	}
	return errors.Join(errs...)
}
