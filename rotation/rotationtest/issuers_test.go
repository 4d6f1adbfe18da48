// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"sync"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

// issuer is a Provider of which single methods are replaced.
type issuer struct {
	*rotationtest.Provider
	issue   func(context.Context, rotation.IssueRequest) (rotation.Key, error)
	revoke  func(context.Context, rotation.Key) error
	disable func(context.Context, rotation.Key) error
	enable  func(context.Context, rotation.Key) error
	list    func([]rotation.KeyInfo) []rotation.KeyInfo
}

func (i issuer) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	if i.issue != nil {
		return i.issue(ctx, req)
	}
	return i.Provider.Issue(ctx, req)
}

func (i issuer) Revoke(ctx context.Context, key rotation.Key) error {
	if i.revoke != nil {
		return i.revoke(ctx, key)
	}
	return i.Provider.Revoke(ctx, key)
}

func (i issuer) Disable(ctx context.Context, key rotation.Key) error {
	if i.disable != nil {
		return i.disable(ctx, key)
	}
	return i.Provider.Disable(ctx, key)
}

func (i issuer) Enable(ctx context.Context, key rotation.Key) error {
	if i.enable != nil {
		return i.enable(ctx, key)
	}
	return i.Provider.Enable(ctx, key)
}

func (i issuer) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	infos, err := i.Provider.List(ctx)
	if i.list != nil {
		infos = i.list(infos)
	}
	return infos, err
}

// chooser adds Choose.
type chooser struct {
	issuer
	choose func(rotation.IssueRequest) (rotation.Key, error)
}

func (c chooser) Choose(_ context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	if c.choose != nil {
		return c.choose(req)
	}
	return rotation.Key{Secret: secret.Random(16)}, nil
}

// plain hides every ability.
type plain struct{ rotation.Issuer }

// decorated hides every ability behind Unwrap.
type decorated struct{ inner rotation.Issuer }

func (d decorated) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	return d.inner.Issue(ctx, req)
}

func (d decorated) Revoke(ctx context.Context, key rotation.Key) error {
	return d.inner.Revoke(ctx, key)
}
func (d decorated) Unwrap() rotation.Issuer { return d.inner }

// unsupported has the abilities and says that it has not.
type unsupported struct{ rotation.Issuer }

func (unsupported) List(context.Context) ([]rotation.KeyInfo, error) {
	return nil, errors.ErrUnsupported
}
func (unsupported) Disable(context.Context, rotation.Key) error { return errors.ErrUnsupported }
func (unsupported) Enable(context.Context, rotation.Key) error  { return errors.ErrUnsupported }
func (unsupported) Choose(context.Context, rotation.IssueRequest) (rotation.Key, error) {
	return rotation.Key{}, errors.ErrUnsupported
}

// slots is a provider of two user names: a third key takes the place of the first. careless revokes by name alone.
type slots struct {
	*rotationtest.Provider
	careless bool
	holders  map[string]rotation.Key
}

func (s slots) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	slot := "app_a"
	if req.Current.ID == slot {
		slot = "app_b"
	}
	key, err := s.Provider.Issue(ctx, req)
	if err != nil {
		return rotation.Key{}, err
	}
	if old, ok := s.holders[slot]; ok {
		err = s.Provider.Revoke(ctx, old)
	}
	s.holders[slot] = key
	key.ID = slot
	return key, err
}

func (s slots) Revoke(ctx context.Context, key rotation.Key) error {
	held := s.holders[key.ID]
	if !s.careless && !held.Secret.Equal(key.Secret) {
		return nil
	}
	if held.IsZero() {
		return nil
	}
	return s.Provider.Revoke(ctx, held)
}

// byValue tells no id.
func byValue(p *rotationtest.Provider) rotation.Issuer {
	return plain{issuer{Provider: p, issue: func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
		key, err := p.Issue(ctx, req)
		key.ID = ""
		return key, err
	}}}
}

// users are two of a database that take turns: each has one password, which is chosen outside.
type users struct {
	mu        sync.Mutex
	passwords map[string]password
}

type password struct {
	value    secret.Value
	attempt  string
	accepted bool
}

func (*users) Describe() rotation.Traits {
	return rotation.Traits{Propagation: -1, ListLag: -1, MaxKeys: 2, Independent: true}
}

func (*users) Choose(_ context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	id := "app_a"
	if req.Current.ID == id {
		id = "app_b"
	}
	return rotation.Key{ID: id, Secret: secret.Random(16)}, nil
}

func (u *users) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	if err := ctx.Err(); err != nil {
		return rotation.Key{}, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.passwords[req.Chosen.ID] = password{req.Chosen.Secret, req.Name, true}
	return req.Chosen, nil
}

// Revoke leaves a password alone that is another one by now.
func (u *users) Revoke(ctx context.Context, key rotation.Key) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	p := u.passwords[key.ID]
	if key.Secret.IsZero() && key.Name != p.attempt || !key.Secret.IsZero() && !key.Secret.Equal(p.value) {
		return nil
	}
	delete(u.passwords, key.ID)
	return nil
}

func (u *users) Verify(_ context.Context, key rotation.Key) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if p := u.passwords[key.ID]; !p.accepted || !p.value.Equal(key.Secret) {
		return rotation.ErrRejected
	}
	return nil
}

func (u *users) List(context.Context) ([]rotation.KeyInfo, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	var all []rotation.KeyInfo
	for id, p := range u.passwords {
		all = append(all, rotation.KeyInfo{Key: rotation.Key{ID: id, Name: p.attempt}})
	}
	return all, nil
}
