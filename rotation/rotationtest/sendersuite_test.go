// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

// sender is a fake Sender of which single methods are replaced.
type sender struct {
	*rotationtest.Sender
	issue    issueFunc
	activate func(context.Context, rotation.Key) error
	revoke   revokeFunc
	choose   func() rotation.Key
	verify   func(context.Context, rotation.Key) error
}

func newSender() sender {
	return sender{Sender: rotationtest.NewSender(rotationtest.NewReceiver())}
}

func (s sender) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	if s.issue != nil {
		return s.issue(ctx, req)
	}
	return s.Sender.Issue(ctx, req)
}

func (s sender) Activate(ctx context.Context, key rotation.Key) error {
	if s.activate != nil {
		return s.activate(ctx, key)
	}
	return s.Sender.Activate(ctx, key)
}

func (s sender) Revoke(ctx context.Context, key rotation.Key) error {
	if s.revoke != nil {
		return s.revoke(ctx, key)
	}
	return s.Sender.Revoke(ctx, key)
}

func (s sender) Choose(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	if s.choose != nil {
		return s.choose(), nil
	}
	return s.Sender.Choose(ctx, req)
}

func (s sender) Verify(ctx context.Context, key rotation.Key) error {
	if s.verify != nil {
		return s.verify(ctx, key)
	}
	return s.Sender.Verify(ctx, key)
}

// signs is what the sender's next delivery bears.
func (s sender) signs(context.Context) (rotation.Key, error) {
	return rotation.Key{Secret: s.Signing().Secret}, nil
}

func TestIssuerSuiteAcceptsSenders(t *testing.T) {
	own := rotation.Key{ID: "own", Secret: secret.Random(16)}
	for name, build := range map[string]func(s sender) rotationtest.IssuerSuite{
		"fake":  func(s sender) rotationtest.IssuerSuite { return rotationtest.IssuerSuite{Issuer: s.Sender} },
		"truth": func(s sender) rotationtest.IssuerSuite { return rotationtest.IssuerSuite{Issuer: s, Signs: s.signs} },
		"a Verifier that knows what it holds": func(s sender) rotationtest.IssuerSuite {
			p := rotationtest.NewProvider()
			return rotationtest.IssuerSuite{Issuer: activator{issuer: issuer{Provider: p}, activate: s.Activate}, Verifier: p, Signs: s.signs}
		},
		"decorated": func(s sender) rotationtest.IssuerSuite {
			return rotationtest.IssuerSuite{Issuer: decorated{decorated{s}}, Signs: s.signs}
		},
		"late": func(s sender) rotationtest.IssuerSuite {
			s.Propagate = time.Minute
			return rotationtest.IssuerSuite{Issuer: s, Signs: s.signs, Patience: 2 * time.Minute}
		},
		"under way": func(s sender) rotationtest.IssuerSuite {
			ready := map[string]time.Time{}
			s.activate = func(ctx context.Context, key rotation.Key) error {
				value := key.Secret.Reveal()
				if ready[value].IsZero() && ctx.Err() == nil {
					ready[value] = time.Now().Add(time.Minute)
				}
				if time.Now().Before(ready[value]) {
					return rotation.ErrNotYet
				}
				return s.Sender.Activate(ctx, key)
			}
			return rotationtest.IssuerSuite{Issuer: s, Signs: s.signs, Patience: 2 * time.Minute}
		},
		"ended by a person": func(s sender) rotationtest.IssuerSuite {
			s.revoke = func(context.Context, rotation.Key) error { return rotation.Manual("end it there") }
			return rotationtest.IssuerSuite{Issuer: s, Signs: s.signs}
		},
		"person": func(s sender) rotationtest.IssuerSuite {
			s.activate = func(context.Context, rotation.Key) error { return rotation.Manual("paste it there") }
			return rotationtest.IssuerSuite{Issuer: s, Signs: s.signs}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSender()
				require.NoError(t, s.Sender.Activate(t.Context(), own))
				suite := build(s)
				require.NoError(t, suite.Check(t.Context()))
				time.Sleep(time.Hour)
				if suite.Signs != nil {
					assert.True(t, own.Secret.Equal(s.Signing().Secret), "it signs with what it signed with before")
				}
			})
		})
	}
}

// Where nothing tells what it signs with, the answers are looked at all the same: the mutants of activator. What follows is
// seen in what it signs with.
func TestIssuerSuiteRejectsSenders(t *testing.T) {
	for name, change := range map[string]func(*sender){
		"does nothing": func(s *sender) {
			s.activate = func(ctx context.Context, _ rotation.Key) error { return ctx.Err() }
		},
		"signs with what was chosen": func(s *sender) {
			s.choose = func() rotation.Key {
				key := rotation.Key{Secret: secret.Random(16)}
				_ = s.Sender.Activate(context.Background(), key)
				return key
			}
		},
		"signs with what was issued": func(s *sender) {
			s.issue = func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
				key, err := s.Sender.Issue(ctx, req)
				return key, errors.Join(err, s.Sender.Activate(ctx, key))
			}
		},
		"never goes back": func(s *sender) {
			newest := 0
			s.activate = func(ctx context.Context, key rotation.Key) error {
				if key.Generation < newest {
					return ctx.Err()
				}
				newest = key.Generation
				return s.Sender.Activate(ctx, key)
			}
		},
		"toggles": func(s *sender) {
			var before rotation.Key
			s.activate = func(ctx context.Context, key rotation.Key) error {
				if now := s.Signing(); now.Secret.Equal(key.Secret) && !before.IsZero() {
					key = before
				} else {
					before = now
				}
				return s.Sender.Activate(ctx, key)
			}
		},
		"is later than it may be": func(s *sender) { s.Propagate = 2 * time.Minute },
		"signs with nothing": func(s *sender) {
			s.activate = func(ctx context.Context, key rotation.Key) error {
				if key.Secret.IsZero() {
					return s.Sender.Activate(ctx, rotation.Key{ID: key.ID, Secret: secret.Random(16)})
				}
				return s.Sender.Activate(ctx, key)
			}
		},
		"signs a test with another secret, and goes on so": func(s *sender) {
			s.verify = func(ctx context.Context, _ rotation.Key) error {
				return s.Sender.Activate(ctx, rotation.Key{Secret: secret.Random(16)})
			}
		},
		"is switched off by Revoke": func(s *sender) {
			s.revoke = func(ctx context.Context, _ rotation.Key) error {
				return s.Sender.Activate(ctx, rotation.Key{Secret: secret.Random(16)})
			}
		},
		"counts as done what did not happen": func(s *sender) {
			done := ""
			s.activate = func(ctx context.Context, key rotation.Key) error {
				if ctx.Err() != nil {
					done = key.Secret.Reveal()
				}
				if done == key.Secret.Reveal() && ctx.Err() == nil {
					return nil
				}
				return s.Sender.Activate(ctx, key)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSender()
				change(&s)
				err := rotationtest.IssuerSuite{Issuer: &s, Signs: s.signs, Patience: time.Minute}.Check(t.Context())
				requireClause(t, err, "Activate")
			})
		})
	}
}

// A key that is alive and that only a person can end is told of.
func TestIssuerSuiteSaysWhatIsLeftToPeople(t *testing.T) {
	p := rotationtest.NewProvider()
	by := plain{issuer{Provider: p, revoke: func(context.Context, rotation.Key) error { return rotation.Manual("end it there") }}}
	err := rotationtest.IssuerSuite{Issuer: by, Verifier: p}.Check(t.Context())
	requireClause(t, err, "I4")
	require.ErrorContains(t, err, "which may be left")
}

func TestIssuerSuiteNamesWhatSignsDidWrong(t *testing.T) {
	s := newSender()
	err := rotationtest.IssuerSuite{Issuer: s, Signs: func(context.Context) (rotation.Key, error) {
		return rotation.Key{}, errors.New("bad")
	}}.Check(t.Context())
	require.ErrorContains(t, err, "IssuerSuite.Signs: bad")
}

// activator is an issuer that can be told what to sign with.
type activator struct {
	issuer
	activate func(context.Context, rotation.Key) error
}

func (a activator) Activate(ctx context.Context, key rotation.Key) error { return a.activate(ctx, key) }

func mutantsOfActivate(add addMutant) {
	activates := func(clause, what string, f func(signing *rotation.Key, ctx context.Context, key rotation.Key) error) {
		add(clause, what, func(p *rotationtest.Provider) rotation.Issuer {
			var signing rotation.Key
			return activator{issuer{Provider: p}, func(ctx context.Context, key rotation.Key) error {
				err := f(&signing, ctx, key)
				if err == nil {
					signing = key
				}
				return err
			}}
		})
	}
	activates("Activate", "fails", func(*rotation.Key, context.Context, rotation.Key) error { return errRefused })
	activates("Activate", "ignores its context", func(*rotation.Key, context.Context, rotation.Key) error { return nil })
	activates("Activate", "only once", func(signing *rotation.Key, ctx context.Context, key rotation.Key) error {
		if signing.Secret.Equal(key.Secret) {
			return rotation.ErrConflict
		}
		return ctx.Err()
	})
	activates("Activate", "not the older one", func(signing *rotation.Key, ctx context.Context, key rotation.Key) error {
		if key.Generation < signing.Generation {
			return rotation.ErrConflict
		}
		return ctx.Err()
	})
	activates("Activate", "never comes to an end", func(*rotation.Key, context.Context, rotation.Key) error { return rotation.ErrNotYet })
	activates("I5", "value in the error of Activate", func(_ *rotation.Key, ctx context.Context, key rotation.Key) error {
		if ctx.Err() != nil {
			return errors.New("PATCH secret=" + key.Secret.Reveal())
		}
		return nil
	})
	activates("I5", "value in the error of Activate for an impossible key", func(_ *rotation.Key, ctx context.Context, key rotation.Key) error {
		if len(key.ID) > 40 {
			return errors.New("PATCH secret=" + key.Secret.Reveal())
		}
		return ctx.Err()
	})
	add("I5", "value in the error of a test delivery", func(p *rotationtest.Provider) rotation.Issuer {
		return loudTest{activator{issuer{Provider: p}, func(ctx context.Context, _ rotation.Key) error { return ctx.Err() }}}
	})
}

// loudTest tells what it was asked with.
type loudTest struct{ activator }

func (loudTest) Verify(_ context.Context, key rotation.Key) error {
	return errors.New("ping with " + key.Secret.Reveal())
}
