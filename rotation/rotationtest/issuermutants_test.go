// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

// leak is an error with a secret where only %#v or Public shows it.
type leak struct{ hidden string }

func (leak) Error() string { return "failed" }

type publicLeak struct{ hidden string }

func (*publicLeak) Error() string    { return "failed" }
func (p *publicLeak) Public() string { return p.hidden }

func issuerMutants() map[string]mutant {
	all := map[string]mutant{}
	add := func(clause, what string, build func(*rotationtest.Provider) rotation.Issuer) {
		all[clause+" "+what] = mutant{clause: clause, build: build}
	}
	leaves := func(clause, what string, build func(*rotationtest.Provider) rotation.Issuer) {
		all[clause+" "+what] = mutant{clause: clause, build: build, leaves: true}
	}
	mutantsOfIssue(add)
	mutantsOfRevoke(add, leaves)
	mutantsOfList(add)
	mutantsOfDisable(add)
	mutantsOfChoose(add)
	mutantsOfActivate(add)
	return all
}

type addMutant func(clause, what string, build func(*rotationtest.Provider) rotation.Issuer)

type issueFunc = func(context.Context, rotation.IssueRequest) (rotation.Key, error)

// issues replaces Issue.
func issues(f func(*rotationtest.Provider) issueFunc) func(*rotationtest.Provider) rotation.Issuer {
	return func(p *rotationtest.Provider) rotation.Issuer { return issuer{Provider: p, issue: f(p)} }
}

func mutantsOfIssue(add addMutant) {
	add("I1", "same key again", issues(func(p *rotationtest.Provider) issueFunc {
		var last rotation.Key
		return func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
			if last.Secret.IsZero() || p.Verify(ctx, last) != nil {
				var err error
				if last, err = p.Issue(ctx, req); err != nil {
					return rotation.Key{}, err
				}
			}
			return last, nil
		}
	}))
	add("I1", "ends the old key", issues(func(p *rotationtest.Provider) issueFunc {
		return func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
			key, err := p.Issue(ctx, req)
			if err == nil && req.Current.ID != "" {
				err = p.Revoke(ctx, req.Current)
			}
			return key, err
		}
	}))
	add("I1", "wrong value", issues(func(p *rotationtest.Provider) issueFunc {
		return func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
			key, err := p.Issue(ctx, req)
			return rotation.Key{ID: key.ID}, errors.Join(err, nil)
		}
	}))
	add("I1", "value cut off", issues(func(p *rotationtest.Provider) issueFunc {
		return func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
			key, err := p.Issue(ctx, req)
			if err != nil {
				return rotation.Key{}, err
			}
			return rotation.Key{ID: key.ID, Secret: secret.New(key.Secret.Reveal()[1:])}, nil
		}
	}))
	add("I2", "cuts the name", issues(func(p *rotationtest.Provider) issueFunc {
		return func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
			req.Name = req.Name[:min(len(req.Name), 63)]
			return p.Issue(ctx, req)
		}
	}))
	add("I2", "a successor inherits its name", issues(func(p *rotationtest.Provider) issueFunc {
		names := map[string]string{}
		return func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
			if name, ok := names[req.Current.ID]; ok {
				req.Name = name
			}
			key, err := p.Issue(ctx, req)
			names[key.ID] = req.Name
			return key, err
		}
	}))
	add("I2", "names after the credential", issues(func(p *rotationtest.Provider) issueFunc {
		return func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
			req.Name = req.Credential
			return p.Issue(ctx, req)
		}
	}))
	add("I3", "ignores its context", issues(func(p *rotationtest.Provider) issueFunc {
		return func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
			return p.Issue(context.WithoutCancel(ctx), req)
		}
	}))
	add("I3", "denies what it minted", issues(func(p *rotationtest.Provider) issueFunc {
		return func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
			key, err := p.Issue(context.WithoutCancel(ctx), req)
			if ctx.Err() != nil {
				return rotation.Key{}, rotation.ErrNotIssued
			}
			return key, err
		}
	}))
	add("I3", "does not say that it is full", func(p *rotationtest.Provider) rotation.Issuer {
		p.Traits.MaxKeys = 2
		return issuer{Provider: p, issue: func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
			key, err := p.Issue(ctx, req)
			if errors.Is(err, rotation.ErrNoSlot) {
				err = errors.New("409 Conflict")
			}
			return key, err
		}}
	})
	add("I3", "says that it is full and mints", func(p *rotationtest.Provider) rotation.Issuer {
		return overfull{p}
	})
	add("I5", "value of the current key in its error", issues(func(p *rotationtest.Provider) issueFunc {
		return func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
			key, err := p.Issue(ctx, req)
			if err != nil {
				err = fmt.Errorf("successor of %s: %w", req.Current.Secret.Reveal(), err)
			}
			return key, err
		}
	}))
}

// overfull claims two keys at most, and answers so when it has made a third.
type overfull struct{ *rotationtest.Provider }

func (overfull) Describe() rotation.Traits { return rotation.Traits{MaxKeys: 2} }

func (o overfull) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	key, err := o.Provider.Issue(ctx, req)
	if len(o.Live()) > 2 {
		return rotation.Key{}, rotation.ErrNoSlot
	}
	return key, err
}

type revokeFunc = func(context.Context, rotation.Key) error

// revokes replaces Revoke.
func revokes(f func(*rotationtest.Provider) revokeFunc) func(*rotationtest.Provider) rotation.Issuer {
	return func(p *rotationtest.Provider) rotation.Issuer { return issuer{Provider: p, revoke: f(p)} }
}

func mutantsOfRevoke(add, leaves addMutant) {
	leaves("I4", "does nothing", revokes(func(*rotationtest.Provider) revokeFunc {
		return func(context.Context, rotation.Key) error { return nil }
	}))
	add("I4", "fails for what is gone", revokes(func(p *rotationtest.Provider) revokeFunc {
		return func(ctx context.Context, key rotation.Key) error {
			if !slices.Contains(p.Live(), key.ID) {
				return rotation.ErrNotFound
			}
			return p.Revoke(ctx, key)
		}
	}))
	add("I4", "ends everything", revokes(func(p *rotationtest.Provider) revokeFunc {
		return func(ctx context.Context, _ rotation.Key) error {
			for _, id := range p.Live() {
				if err := p.Revoke(ctx, rotation.Key{ID: id}); err != nil {
					return err
				}
			}
			return ctx.Err()
		}
	}))
	add("I4", "success under an ended context", revokes(func(p *rotationtest.Provider) revokeFunc {
		return func(ctx context.Context, key rotation.Key) error { _ = p.Revoke(ctx, key); return nil }
	}))
	add("I4", "ends the new holder of an id", func(p *rotationtest.Provider) rotation.Issuer {
		return plain{slots{Provider: p, careless: true, holders: map[string]rotation.Key{}}}
	})
	for what, show := range map[string]func(string) error{
		"plain":        func(s string) error { return errors.New("DELETE /keys?value=" + s) },
		"escaped":      func(s string) error { return errors.New("DELETE /keys?value=" + url.QueryEscape(s+"=")) },
		"%#v":          func(s string) error { return leak{s} },
		"wrapped":      func(s string) error { return fmt.Errorf("revoke: %w", &publicLeak{s}) },
		"wrapped, %#v": func(s string) error { return fmt.Errorf("revoke: %w", &leak{s}) },
		"joined":       func(s string) error { return errors.Join(errors.New("a"), &publicLeak{s}) },
	} {
		add("I5", "value in the error of Revoke, "+what, revokes(func(p *rotationtest.Provider) revokeFunc {
			return func(ctx context.Context, key rotation.Key) error {
				if p.Revoke(ctx, key) != nil {
					return show(key.Secret.Reveal())
				}
				return nil
			}
		}))
	}
	add("I5", "value in the error for an impossible key", revokes(func(p *rotationtest.Provider) revokeFunc {
		return func(ctx context.Context, key rotation.Key) error {
			if strings.Contains(key.ID, "%") {
				return errors.New("bad request: " + key.Secret.Reveal())
			}
			return p.Revoke(ctx, key)
		}
	}))
}
