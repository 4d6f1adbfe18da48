// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// longName is the longest that an IssueRequest.Name can be.
const longName = 64

// fillLimit is how many keys the suite makes, to see how a provider says that it is full.
const fillLimit = 10

// newKey proves I1.
func newKey(ctx context.Context, r *trial) error {
	first, err := r.first(ctx)
	if err != nil {
		return err
	}
	never := first
	never.Secret = secret.Random(24)
	if r.Verifier != nil && r.Verifier.Verify(ctx, never) == nil {
		return errors.New("the Verifier accepts a value that nobody issued: it proves nothing")
	}
	second, err := r.issue(ctx, first)
	if err != nil {
		return err
	}
	if r.Current != nil && r.roomForThree() {
		if _, err := r.issue(ctx, second); err != nil { // the second one that was issued
			return err
		}
	}
	if r.traits.KillsOld || (r.traits.Grace > 0 && r.traits.Grace <= 2*r.Patience) {
		return nil // the provider ends it, and says so
	}
	return r.stillAccepted(ctx, first, "the old key, after Issue of another one,")
}

// roomForThree reports whether three keys may live at one time.
func (r *trial) roomForThree() bool { return r.traits.MaxKeys <= 0 || r.traits.MaxKeys > 2 }

// nameKept proves I2. A provider without names lists none, and neither must one that gives a key its predecessor's.
func nameKept(ctx context.Context, r *trial) error {
	if _, can, err := r.list(ctx); !can || err != nil {
		return cmpErr(err, skip("not a Lister: names cannot be seen"))
	}
	root, err := r.root(ctx)
	if err != nil {
		return err
	}
	key, err := r.named(ctx, root)
	if err != nil || (r.Current != nil && !r.roomForThree()) {
		return err
	}
	if _, err := r.named(ctx, key); err != nil {
		return fmt.Errorf("the successor of a key: %w", err)
	}
	return nil
}

// named issues a key under a long name and looks under which name it is listed.
func (r *trial) named(ctx context.Context, current rotation.Key) (rotation.Key, error) {
	req := r.request(current)
	req.Name += "-" + strings.Repeat("x", longName-1-len(req.Name))
	req, err := r.choose(ctx, req)
	if err != nil {
		return rotation.Key{}, err
	}
	key, err := r.send(ctx, req)
	if errors.Is(err, rotation.ErrManual) {
		return key, r.person(err)
	}
	if err != nil {
		return key, r.failed(fmt.Sprintf("Issue with a name of %d characters", longName), err)
	}
	info, err := r.listedKey(ctx, key)
	if err == nil && info.Key.Name != "" && info.Key.Name != req.Name {
		err = fmt.Errorf("the key was asked for as %q and is listed as %q", req.Name, info.Key.Name)
	}
	return key, err
}

// cmpErr is err, or otherwise if err is nil.
func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// listedKey waits until a key is listed, by its id or without one by its name.
func (r *trial) listedKey(ctx context.Context, key rotation.Key) (rotation.KeyInfo, error) {
	var found rotation.KeyInfo
	err := within(ctx, r.Patience, func() error {
		infos, _, err := r.list(ctx)
		for _, info := range infos {
			if is(info, key) {
				found = info
				return nil
			}
		}
		return cmpErr(err, fmt.Errorf("a new key (%s) is %w after %v", key.ID, errNotListed, r.Patience))
	})
	return found, err
}

func is(info rotation.KeyInfo, key rotation.Key) bool {
	if key.ID != "" {
		return info.Key.ID == key.ID
	}
	return info.Key.Name == key.Name
}

// definite reports whether an error of Issue says that nothing was minted.
func definite(err error) bool {
	return errors.Is(err, rotation.ErrNotIssued) || errors.Is(err, rotation.ErrDenied) ||
		errors.Is(err, rotation.ErrNoSlot) || errors.Is(err, rotation.ErrManual)
}

// failuresTold proves I3, as far as a failure can be brought about from outside.
func failuresTold(ctx context.Context, r *trial) error {
	req, err := r.askChosen(ctx)
	if err != nil {
		return err
	}
	_, err = r.send(ended(ctx), req)
	if err == nil {
		return errors.New("Issue reports success although its context had ended")
	}
	if err := r.minted(ctx, req.Name, err); err != nil {
		return err
	}
	if r.traits.NoReplay { // another one to begin with: that key has been used
		if req, err = r.ask(ctx); err != nil {
			return err
		}
	}
	return r.fill(ctx, req.Current)
}

// minted fails if Issue said for certain that nothing was minted, and something was.
func (r *trial) minted(ctx context.Context, name string, said error) error {
	if !definite(said) {
		return nil
	}
	if info, ok := r.byName(ctx, name); ok {
		return r.failed(fmt.Sprintf("Issue minted %s and answered that it had not", info.Key.ID), said)
	}
	return nil
}

// fill issues, beginning with a successor of current, until the provider says that it is full.
func (r *trial) fill(ctx context.Context, current rotation.Key) error {
	if r.traits.MaxKeys <= 0 || r.traits.MaxKeys > fillLimit || r.traits.KillsOld || r.traits.Grace > 0 {
		return nil
	}
	for range r.traits.MaxKeys + 1 {
		req, err := r.choose(ctx, r.request(current))
		if err != nil {
			return err
		}
		next, err := r.send(ctx, req)
		switch {
		case err == nil:
			current = next
		case errors.Is(err, rotation.ErrNoSlot), errors.Is(err, rotation.ErrManual):
			return r.minted(ctx, req.Name, err)
		default:
			return r.failed(fmt.Sprintf("Issue of more than %d keys is not ErrNoSlot", r.traits.MaxKeys), err)
		}
	}
	return nil // its slots come back
}

// revoked proves I4.
func revoked(ctx context.Context, r *trial) error {
	first, err := r.first(ctx)
	if err != nil {
		return err
	}
	second, err := r.issue(ctx, first)
	if err != nil {
		return err
	}
	if err := r.revoke(ctx, first); err != nil {
		return err
	}
	if err := r.stillAccepted(ctx, second, "another key, after Revoke,"); err != nil {
		return err
	}
	third, err := r.issue(ctx, second) // where ids come back, it gets that of the first
	if err != nil {
		return err
	}
	if err := r.Issuer.Revoke(ctx, first); err != nil {
		return r.failed("Revoke of a key that is already gone", err)
	}
	if err := r.stillAccepted(ctx, third, "another key, after Revoke of one that was gone,"); err != nil {
		return err
	}
	// Last: what does not revoke at all has been told so before this could be blamed for it.
	if r.Issuer.Revoke(ended(ctx), third) != nil {
		return nil
	}
	return r.refused(ctx, third, "a key whose Revoke reported success under an ended context")
}

// errorsSilent proves I5: it makes calls that cannot succeed, with keys in them.
func errorsSilent(ctx context.Context, r *trial) error {
	key, err := r.fresh(ctx)
	if isSkip(err) { // a person's key will do: no call is meant to succeed
		key, err = rotation.Key{ID: "handover-suite", Secret: secret.Random(16)}, nil
		r.secrets = append(r.secrets, key.Secret)
	}
	if err != nil {
		return err
	}
	// Bytes that no address, statement or document takes as they are make clients fail in their own words.
	odd := key
	odd.ID = "no such key/%zz'\";\x7f" + secret.Random(16).Reveal()
	odd.Secret = secret.Random(32)
	r.secrets = append(r.secrets, odd.Secret)

	over := ended(ctx)
	var errs []error
	see := func(what string, err error) {
		if leaks(err, r.secrets) {
			errs = append(errs, fmt.Errorf("the error of %s carries a secret", what))
		}
	}
	for _, c := range []struct {
		what string
		ctx  context.Context
		key  rotation.Key
	}{
		{"under an ended context", over, key},
		{"with an impossible key", ctx, odd},
	} {
		see("Revoke "+c.what, r.Issuer.Revoke(c.ctx, c.key))
		if d, ok := rotation.As[rotation.Disabler](r.Issuer); ok {
			see("Disable "+c.what, d.Disable(c.ctx, c.key))
			see("Enable "+c.what, d.Enable(c.ctx, c.key))
		}
		see("Issue "+c.what, r.tryIssue(ctx, c.ctx, c.key))
	}
	if l, ok := rotation.As[rotation.Lister](r.Issuer); ok {
		_, err := l.List(over)
		see("List under an ended context", err)
	}
	err = r.activateSilent(ctx, key, odd, see)
	return errors.Join(append(errs, err)...)
}

// tryIssue returns Issue's own error. Its value is chosen while that is possible.
func (r *trial) tryIssue(ctx, issueCtx context.Context, current rotation.Key) error {
	req := r.request(current)
	if c, ok := rotation.As[rotation.Chooser](r.Issuer); ok {
		key, err := c.Choose(ctx, req)
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		r.secrets = append(r.secrets, key.Secret)
		req.Chosen = key
	}
	_, err := r.send(issueCtx, req)
	return err
}
