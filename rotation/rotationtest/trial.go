// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// cleanupTime is what the clean-up of a clause may take beside Patience.
const cleanupTime = 30 * time.Second

// trial is the proof of one clause. It remembers what has to be cleaned up and what no error may show.
type trial struct {
	IssuerSuite
	traits  rotation.Traits
	keys    []rotation.Key // issued here
	doubts  []string       // names under which something may have been issued
	secrets []secret.Value
}

// try proves one clause and cleans up behind it.
func (s IssuerSuite) try(ctx context.Context, check func(context.Context, *trial) error) error {
	r := &trial{IssuerSuite: s}
	if d, ok := rotation.As[rotation.Describer](s.Issuer); ok {
		r.traits = d.Describe()
	}
	err := guard(func() error { return check(ctx, r) })
	limit := cleanupTime + time.Duration(len(r.doubts))*s.Patience
	over, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	left := guard(func() error { return r.cleanUp(over) })
	var reason skip
	if left != nil && errors.As(err, &reason) {
		return left // a key that was left says more than a clause that does not apply
	}
	if left == nil {
		return err
	}
	return errors.Join(err, left)
}

// cleanUp revokes every key of the trial: those that Issue returned, and those that it may have made without saying so. What a
// sender holds that only a person can end is of no use to anybody.
func (r *trial) cleanUp(ctx context.Context) error {
	var errs []error
	for _, key := range r.keys {
		err := r.Issuer.Revoke(ctx, key)
		if errors.Is(err, rotation.ErrManual) && r.Verifier == nil {
			continue
		}
		if err != nil {
			errs = append(errs, r.failed(fmt.Sprintf("clean-up: Revoke of %s, which may be left", key.ID), err))
		}
	}
	for _, name := range r.doubts {
		if info, ok := r.byName(ctx, name); ok {
			if err := r.Issuer.Revoke(ctx, info.Key); err != nil {
				errs = append(errs, r.failed(fmt.Sprintf("clean-up: Revoke of %s, which may be left", info.Key.ID), err))
			}
		}
	}
	return errors.Join(errs...)
}

// failed is err with what was tried, or without its text if that would show a secret.
func (r *trial) failed(what string, err error) error {
	if leaks(err, r.secrets) {
		return fmt.Errorf("%s: the error carries a secret (I5); its text is withheld", what)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// person is what ends a clause that only a person could go on with.
func (r *trial) person(err error) error { return skip(r.failed("a person has to act", err).Error()) }

// request asks for a successor of current under a name of its own.
func (r *trial) request(current rotation.Key) rotation.IssueRequest {
	return rotation.IssueRequest{
		Credential: "handover-suite",
		Name:       "handover-suite-v1-" + strings.ToLower(rand.Text()),
		Token:      newUUID(),
		Generation: current.Generation + 1,
		Current:    current,
		Overlap:    24 * time.Hour,
	}
}

// newUUID is a random UUID of version 4.
func newUUID() string {
	b := make([]byte, 16)
	rand.Read(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// choose fills in req.Chosen if the issuer chooses its values.
func (r *trial) choose(ctx context.Context, req rotation.IssueRequest) (rotation.IssueRequest, error) {
	c, ok := rotation.As[rotation.Chooser](r.Issuer)
	if !ok {
		return req, nil
	}
	key, err := c.Choose(ctx, req)
	if errors.Is(err, errors.ErrUnsupported) {
		return req, nil
	}
	if err != nil {
		return req, r.failed("Choose", err)
	}
	r.secrets = append(r.secrets, key.Secret)
	req.Chosen = key
	return req, nil
}

// send calls Issue and remembers what it made, or may have made. Its error is Issue's own.
func (r *trial) send(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	r.doubts = append(r.doubts, req.Name) // until the answer: Issue may panic
	key, err := r.Issuer.Issue(ctx, req)
	if err != nil {
		return rotation.Key{}, err
	}
	r.doubts = r.doubts[:len(r.doubts)-1]
	key.Generation, key.Name = req.Generation, req.Name // as the engine does
	r.keys = append(r.keys, key)
	r.secrets = append(r.secrets, key.Secret)
	return key, nil
}

// issue makes a key that is accepted.
func (r *trial) issue(ctx context.Context, current rotation.Key) (rotation.Key, error) {
	req, err := r.choose(ctx, r.request(current))
	if err != nil {
		return rotation.Key{}, err
	}
	before := len(r.keys)
	key, err := r.send(ctx, req)
	if errors.Is(err, rotation.ErrManual) {
		return rotation.Key{}, r.person(err)
	}
	if err != nil {
		return rotation.Key{}, r.failed("Issue", err)
	}
	if key.Secret.IsZero() {
		return key, errors.New("Issue returned a key without a secret and no error")
	}
	for _, other := range r.keys[:before] {
		if other.Secret.Equal(key.Secret) {
			return key, errors.New("Issue returned the same value twice")
		}
	}
	return key, r.accepted(ctx, key, "a new key")
}

// root is what a first key is asked for with: a zero Key, or the live key of an issuer that needs one.
func (r *trial) root(ctx context.Context) (rotation.Key, error) {
	if r.Current == nil {
		return rotation.Key{}, nil
	}
	key, err := r.Current(ctx)
	if err != nil {
		return rotation.Key{}, r.failed("IssuerSuite.Current", err)
	}
	if key.Secret.IsZero() {
		return key, errors.New("IssuerSuite.Current returned a key without a secret and no error")
	}
	r.keys = append(r.keys, key)
	r.secrets = append(r.secrets, key.Secret)
	return key, r.accepted(ctx, key, "the key of IssuerSuite.Current")
}

// first returns a live key: issued, if that needs no other.
func (r *trial) first(ctx context.Context) (rotation.Key, error) {
	if r.Current != nil {
		return r.root(ctx)
	}
	return r.issue(ctx, rotation.Key{})
}

// fresh returns a live key that was issued.
func (r *trial) fresh(ctx context.Context) (rotation.Key, error) {
	root, err := r.root(ctx)
	if err != nil {
		return root, err
	}
	return r.issue(ctx, root)
}

// ask is a request for a key that may be the first one.
func (r *trial) ask(ctx context.Context) (rotation.IssueRequest, error) {
	root, err := r.root(ctx)
	return r.request(root), err
}

// askChosen is ask, with a value if the issuer chooses them.
func (r *trial) askChosen(ctx context.Context) (rotation.IssueRequest, error) {
	req, err := r.ask(ctx)
	if err != nil {
		return req, err
	}
	return r.choose(ctx, req)
}

// revoke ends a key and sees it refused.
func (r *trial) revoke(ctx context.Context, key rotation.Key) error {
	err := r.Issuer.Revoke(ctx, key)
	if errors.Is(err, rotation.ErrManual) {
		return r.person(err)
	}
	if err != nil {
		return r.failed("Revoke", err)
	}
	return r.refused(ctx, key, "a revoked key")
}

// accepted waits until the key is accepted. Without a Verifier nothing can be said.
func (r *trial) accepted(ctx context.Context, key rotation.Key, what string) error {
	if r.Verifier == nil {
		return nil
	}
	return within(ctx, r.Patience, func() error {
		if err := r.Verifier.Verify(ctx, key); err != nil {
			return r.failed(fmt.Sprintf("%s (%s) is not accepted after %v", what, key.ID, r.Patience), err)
		}
		return nil
	})
}

// stillAccepted is accepted, after anything that was done to the key has had the time to be seen.
func (r *trial) stillAccepted(ctx context.Context, key rotation.Key, what string) error {
	if r.Verifier == nil {
		return nil
	}
	if err := wait(ctx, r.Patience); err != nil {
		return err
	}
	return r.accepted(ctx, key, what)
}

// refused waits until the key is rejected. An answer that is not definite is no proof.
func (r *trial) refused(ctx context.Context, key rotation.Key, what string) error {
	if r.Verifier == nil {
		return nil
	}
	return within(ctx, r.Patience, func() error {
		switch err := r.Verifier.Verify(ctx, key); {
		case errors.Is(err, rotation.ErrRejected):
			return nil
		case err == nil:
			return fmt.Errorf("%s (%s) is still accepted after %v", what, key.ID, r.Patience)
		default:
			return r.failed(fmt.Sprintf("%s (%s) is not rejected after %v", what, key.ID, r.Patience), err)
		}
	})
}

// list calls List; false if the issuer has none.
func (r *trial) list(ctx context.Context) ([]rotation.KeyInfo, bool, error) {
	l, ok := rotation.As[rotation.Lister](r.Issuer)
	if !ok {
		return nil, false, nil
	}
	infos, err := l.List(ctx)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, false, nil
	}
	if err != nil {
		return nil, true, r.failed("List", err)
	}
	return infos, true, nil
}

var errNotListed = errors.New("not listed")

// byName looks for a key by its name until Patience has passed.
func (r *trial) byName(ctx context.Context, name string) (rotation.KeyInfo, bool) {
	var found rotation.KeyInfo
	err := within(ctx, r.Patience, func() error {
		infos, can, err := r.list(ctx)
		if !can {
			return nil
		}
		for _, info := range infos {
			if info.Key.Name == name {
				found = info
				return nil
			}
		}
		return errors.Join(errNotListed, err)
	})
	return found, err == nil && found.Key.Name == name
}
