// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/handover-go/handover/rotation"
)

// listed proves a Lister.
func listed(ctx context.Context, r *trial) error {
	if _, can, err := r.list(ctx); !can || err != nil {
		return cmpErr(err, skip("not a Lister"))
	}
	key, err := r.fresh(ctx)
	if err != nil {
		return err
	}
	info, err := r.listedKey(ctx, key)
	if err != nil {
		return err
	}
	if info.Disabled {
		return fmt.Errorf("a new key (%s) is listed as disabled", key.ID)
	}
	if err := r.listSane(ctx); err != nil {
		return err
	}
	if err := r.listWhole(ctx, key); err != nil {
		return err
	}
	if err := r.revoke(ctx, key); err != nil {
		return err
	}
	return within(ctx, r.Patience, func() error {
		infos, _, err := r.list(ctx)
		for _, info := range infos {
			if is(info, key) && !info.Disabled {
				return fmt.Errorf("a revoked key (%s) is listed as live after %v", key.ID, r.Patience)
			}
		}
		return err
	})
}

// listWhole asks for a list that cannot be fetched: an error, or every key nevertheless, but no list without them.
func (r *trial) listWhole(ctx context.Context, key rotation.Key) error {
	return within(ctx, r.Patience, func() error {
		infos, can, err := r.list(ended(ctx))
		if !can || err != nil || slices.ContainsFunc(infos, func(i rotation.KeyInfo) bool { return is(i, key) }) {
			return nil
		}
		return fmt.Errorf("List under an ended context reports success without a live key (%s): where its error is "+
			"swallowed, a key that is not listed counts as gone", key.ID)
	})
}

// listSane looks at every key that is listed, also at those that are not the suite's.
func (r *trial) listSane(ctx context.Context) error {
	infos, _, err := r.list(ctx)
	for _, info := range infos {
		u := info.Usage
		switch {
		case !info.Key.Secret.IsZero():
			return fmt.Errorf("List tells a secret (of %s)", info.Key.ID)
		case u.AsOf.IsZero() && !u.LastUsed.IsZero():
			return fmt.Errorf("List tells the last use (of %s) without AsOf: that is no evidence", info.Key.ID)
		case u.LastUsed.After(u.AsOf) || u.Since.After(u.AsOf):
			return fmt.Errorf("List tells of a use (of %s) after AsOf", info.Key.ID)
		}
	}
	return err
}

// disabled proves a Disabler.
func disabled(ctx context.Context, r *trial) error {
	d, ok := rotation.As[rotation.Disabler](r.Issuer)
	if !ok {
		return skip("not a Disabler")
	}
	key, err := r.fresh(ctx)
	if err != nil {
		return err
	}
	for _, when := range []string{"", ", repeated,"} {
		err := d.Disable(ctx, key)
		if errors.Is(err, errors.ErrUnsupported) {
			return skip("not a Disabler: ErrUnsupported")
		}
		if err != nil {
			return r.failed("Disable"+when, err)
		}
		if err := r.refused(ctx, key, "a disabled key"); err != nil {
			return err
		}
	}
	if err := r.listedDisabled(ctx, key); err != nil {
		return err
	}
	for _, when := range []string{"", ", repeated,"} {
		if err := d.Enable(ctx, key); err != nil {
			return r.failed("Enable"+when, err)
		}
		if err := r.stillAccepted(ctx, key, "an enabled key"); err != nil {
			return err
		}
	}
	return nil
}

// listedDisabled waits until a Lister tells that the key is disabled.
func (r *trial) listedDisabled(ctx context.Context, key rotation.Key) error {
	return within(ctx, r.Patience, func() error {
		infos, _, err := r.list(ctx)
		for _, info := range infos {
			if is(info, key) && !info.Disabled {
				return fmt.Errorf("a disabled key (%s) is listed as live after %v", key.ID, r.Patience)
			}
		}
		return err
	})
}

// chosen proves a Chooser.
func chosen(ctx context.Context, r *trial) error {
	c, ok := rotation.As[rotation.Chooser](r.Issuer)
	if !ok {
		return skip("not a Chooser")
	}
	req, err := r.ask(ctx)
	if err != nil {
		return err
	}
	other, err := c.Choose(ctx, r.request(req.Current))
	if errors.Is(err, errors.ErrUnsupported) {
		return skip("not a Chooser: ErrUnsupported")
	}
	if err != nil {
		return r.failed("Choose", err)
	}
	r.secrets = append(r.secrets, other.Secret)
	if req, err = r.choose(ctx, req); err != nil {
		return err
	}
	switch want := req.Chosen; {
	case want.Secret.IsZero():
		return errors.New("a key without a secret and no error from Choose")
	case want.Secret.Equal(other.Secret):
		return errors.New("the same value twice from Choose")
	}
	if err := wait(ctx, r.Patience); err != nil {
		return err
	}
	if r.Verifier != nil && r.Verifier.Verify(ctx, req.Chosen) == nil {
		r.keys = append(r.keys, req.Chosen, other) // to be cleaned up
		return errors.New("a chosen value is accepted before Issue")
	}
	key, err := r.send(ctx, req)
	if err != nil {
		return r.failed("Issue", err)
	}
	if !key.Secret.Equal(req.Chosen.Secret) {
		return errors.New("Issue returned another value than the chosen one")
	}
	return r.accepted(ctx, key, "a chosen key")
}
