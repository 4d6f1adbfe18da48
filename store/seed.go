// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"

	"github.com/handover-go/handover/rotation"
)

// Seed stores the key that is in use today as the current key of the credential name: it is how an existing credential is
// put under rotation. Do it once, before the first rotation. key.Secret is required; give key.ID where the provider has
// one, because a key without an ID may need a person to revoke it, and key.IssuedAt, because an unknown age counts as
// overdue. Generation defaults to 1; Serial is left to the engine.
//
// It fails with rotation.ErrConflict, and changes nothing, if the store has a current key: a bare value that Unmarshal
// reads is one, and needs no Seed. Other keys of the credential stay as they are.
func Seed(ctx context.Context, s rotation.SecretStore, name string, key rotation.Key) error {
	if err := checkSeed(s, name, key); err != nil {
		return err
	}
	v, err := s.Load(ctx, name)
	if err != nil {
		return err
	}
	for _, k := range v.Keys {
		if k.Role == rotation.RoleCurrent {
			return failf("store: Seed: %q has a current key already: %w", name, rotation.ErrConflict)
		}
	}
	key.Serial = 0
	if key.Generation == 0 {
		key.Generation = 1
	}
	v.Keys = append(v.Keys, rotation.StoredKey{Key: key, Role: rotation.RoleCurrent})
	v.Stamp = "" // no rotation wrote this state
	return s.Save(ctx, name, v)
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
