// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

func TestIssuerSuiteAcceptsWhatIsRight(t *testing.T) {
	for name, build := range map[string]func(*rotationtest.Provider) rotation.Issuer{
		"provider":         func(p *rotationtest.Provider) rotation.Issuer { return p },
		"no abilities":     func(p *rotationtest.Provider) rotation.Issuer { return plain{p} },
		"decorated":        func(p *rotationtest.Provider) rotation.Issuer { return decorated{decorated{p}} },
		"unsupported":      func(p *rotationtest.Provider) rotation.Issuer { return unsupported{plain{p}} },
		"chooser":          func(p *rotationtest.Provider) rotation.Issuer { return chooser{issuer: issuer{Provider: p}} },
		"revoked by value": byValue,
		"slots": func(p *rotationtest.Provider) rotation.Issuer {
			return plain{slots{Provider: p, holders: map[string]rotation.Key{}}}
		},
		"two keys at most": func(p *rotationtest.Provider) rotation.Issuer { p.Traits.MaxKeys = 2; return p },
		"kills the old":    func(p *rotationtest.Provider) rotation.Issuer { p.Traits.KillsOld = true; return p },
		"grace":            func(p *rotationtest.Provider) rotation.Issuer { p.Traits.Grace = time.Minute; return p },
		"nameless": func(p *rotationtest.Provider) rotation.Issuer {
			return issuer{Provider: p, list: func(infos []rotation.KeyInfo) []rotation.KeyInfo {
				for i := range infos {
					infos[i].Key.Name = ""
				}
				return infos
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := rotationtest.NewProvider()
			s := rotationtest.IssuerSuite{Issuer: build(p), Verifier: p}
			require.NoError(t, s.Check(t.Context()))
			assert.Empty(t, p.Live(), "everything was cleaned up")
			assert.Positive(t, p.Calls("Issue"))
		})
	}
}

// successor is an issuer that makes no first key.
func successor(p *rotationtest.Provider) issuer {
	return issuer{Provider: p, issue: func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
		if req.Current.ID == "" {
			return rotation.Key{}, fmt.Errorf("there is no key to succeed: %w", rotation.ErrNotIssued)
		}
		return p.Issue(ctx, req)
	}}
}

func TestIssuerSuiteBeginsWithACurrentKey(t *testing.T) {
	for name, change := range map[string]func(*rotationtest.Provider){
		"plain":           func(*rotationtest.Provider) {},
		"two keys":        func(p *rotationtest.Provider) { p.Traits.MaxKeys = 2 },
		"kills the old":   func(p *rotationtest.Provider) { p.Traits.KillsOld = true },
		"grace":           func(p *rotationtest.Provider) { p.Traits.Grace = time.Minute },
		"never succeeded": func(p *rotationtest.Provider) { p.Traits.NoReplay, p.Traits.KillsOld = true, true },
	} {
		t.Run(name, func(t *testing.T) {
			p := rotationtest.NewProvider()
			change(p)
			s := rotationtest.IssuerSuite{Issuer: successor(p), Verifier: p}
			requireClause(t, s.Check(t.Context()), "I1")
			s.Current = func(context.Context) (rotation.Key, error) {
				if p.Traits.MaxKeys > 0 {
					assert.Empty(t, p.Live(), "one at a time")
				}
				return p.Mint(), nil
			}
			require.NoError(t, s.Check(t.Context()))
			assert.Empty(t, p.Live(), "everything was cleaned up, also what Current returned")
			s.Issuer = chooser{issuer: successor(p)}
			require.NoError(t, s.Check(t.Context()))
		})
	}
}

func TestIssuerSuiteNamesWhatCurrentDidWrong(t *testing.T) {
	p, bad := rotationtest.NewProvider(), errors.New("bad")
	for want, current := range map[string]func(context.Context) (rotation.Key, error){
		"IssuerSuite.Current: bad":           func(context.Context) (rotation.Key, error) { return rotation.Key{}, bad },
		"IssuerSuite.Current returned a key": func(context.Context) (rotation.Key, error) { return rotation.Key{ID: "a"}, nil },
		"the key of IssuerSuite.Current (never)": func(context.Context) (rotation.Key, error) {
			return rotation.Key{ID: "never", Secret: secret.Random(16)}, nil
		},
	} {
		err := rotationtest.IssuerSuite{Issuer: successor(p), Verifier: p, Current: current}.Check(t.Context())
		require.ErrorContains(t, err, want)
	}
	assert.Empty(t, p.Live())
}

// What only a person can do is not held against an issuer, but what it says is.
func TestIssuerSuiteLeavesPeopleAlone(t *testing.T) {
	p := rotationtest.NewProvider()
	by := func(show func(rotation.Key) string) rotation.Issuer {
		return plain{issuer{
			Provider: p,
			issue: func(_ context.Context, req rotation.IssueRequest) (rotation.Key, error) {
				return rotation.Key{}, rotation.Manual("make one beside " + show(req.Current))
			},
			revoke: func(_ context.Context, key rotation.Key) error { return rotation.Manual("end " + show(key)) },
		}}
	}
	s := rotationtest.IssuerSuite{Issuer: by(func(k rotation.Key) string { return k.ID }), Verifier: p}
	require.NoError(t, s.Check(t.Context()))
	s.Issuer = by(func(k rotation.Key) string { return k.Secret.Reveal() })
	requireClause(t, s.Check(t.Context()), "I5")
}

func TestIssuerSuiteHasPatience(t *testing.T) {
	check := func(patience time.Duration) (took time.Duration, err error) {
		synctest.Test(t, func(t *testing.T) {
			p, start := rotationtest.NewProvider(), time.Now()
			p.Propagate, p.Traits.ListLag, p.Traits.MaxKeys = 50*time.Second, 30*time.Second, 2
			err = rotationtest.IssuerSuite{Issuer: p, Verifier: p, Patience: patience}.Check(t.Context())
			took = time.Since(start)
			time.Sleep(time.Hour)
			assert.Empty(t, p.Live())
		})
		return took, err
	}
	took, err := check(time.Minute)
	require.NoError(t, err)
	assert.Less(t, took, 30*time.Minute)
	_, err = check(20 * time.Second)
	require.Error(t, err)
}

func TestIssuerSuiteStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := rotationtest.NewProvider(), time.Now()
		p.Propagate = 48 * time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := rotationtest.IssuerSuite{Issuer: plain{p}, Verifier: p, Patience: time.Hour}.Check(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Minute, time.Since(start))
		time.Sleep(100 * time.Hour)
		assert.Empty(t, p.Live(), "what was made is revoked nevertheless")
	})
}

func TestIssuerSuiteValidates(t *testing.T) {
	err := rotationtest.IssuerSuite{Patience: -1}.Check(t.Context())
	require.ErrorContains(t, err, "IssuerSuite.Issuer is required")
	require.ErrorContains(t, err, "IssuerSuite.Verifier is required")
	require.ErrorContains(t, err, "IssuerSuite.Patience")
}

// A mutant is an issuer with one mistake, and the clause that has to find it.
type mutant struct {
	clause string
	build  func(*rotationtest.Provider) rotation.Issuer
	leaves bool // its mistake is that keys stay
}

func TestIssuerSuiteRejectsMutants(t *testing.T) {
	tested := map[string]bool{}
	for name, m := range issuerMutants() {
		tested[m.clause] = true
		t.Run(name, func(t *testing.T) {
			p := rotationtest.NewProvider()
			err := rotationtest.IssuerSuite{Issuer: m.build(p), Verifier: p}.Check(t.Context())
			requireClause(t, err, m.clause)
			if !m.leaves {
				assert.Empty(t, p.Live(), "everything was cleaned up: %v", err)
			}
		})
	}
	for name, m := range issuerMutants() { // and so it does where the issuer needs a key to begin with
		if m.clause == "Choose" {
			continue // its mutants issue by themselves
		}
		t.Run(name+", with a current key", func(t *testing.T) {
			p := rotationtest.NewProvider()
			current := func(context.Context) (rotation.Key, error) { return p.Mint(), nil }
			err := rotationtest.IssuerSuite{Issuer: m.build(p), Verifier: p, Current: current}.Check(t.Context())
			requireClause(t, err, m.clause)
		})
	}
	for _, clause := range (rotationtest.IssuerSuite{}).Clauses() {
		assert.True(t, tested[clause], "no mutant for %s", clause)
	}
}

// requireClause looks for a line that begins with the name of the clause.
func requireClause(t *testing.T, err error, clause string) {
	t.Helper()
	require.Error(t, err)
	for line := range strings.Lines(err.Error()) {
		if strings.HasPrefix(line, clause+": ") {
			return
		}
	}
	require.Failf(t, "another clause found it", "%s did not: %v", clause, err)
}

func TestIssuerSuiteRejectsAVerifierThatAcceptsEverything(t *testing.T) {
	yes := rotation.VerifierFunc(func(context.Context, rotation.Key) error { return nil })
	err := rotationtest.IssuerSuite{Issuer: rotationtest.NewProvider(), Verifier: yes}.Check(t.Context())
	requireClause(t, err, "I1")
	requireClause(t, err, "I4")
}

// A Revoke that does nothing at all has no trouble with contexts, and the suite says so.
func TestIssuerSuiteNamesARevokeThatDoesNothing(t *testing.T) {
	p := rotationtest.NewProvider()
	idle := issuer{Provider: p, revoke: func(context.Context, rotation.Key) error { return nil }}
	err := rotationtest.IssuerSuite{Issuer: idle, Verifier: p}.Check(t.Context())
	requireClause(t, err, "I4")
	require.ErrorContains(t, err, "a revoked key (")
	require.NotContains(t, err.Error(), "ended context")
}

// A list that was made without the context is as good as any.
func TestIssuerSuiteTakesAListThatNeedsNoContext(t *testing.T) {
	p := rotationtest.NewProvider()
	require.NoError(t, rotationtest.IssuerSuite{Issuer: timeless{p}, Verifier: p}.Check(t.Context()))
}

type timeless struct{ *rotationtest.Provider }

func (l timeless) List(ctx context.Context) ([]rotation.KeyInfo, error) {
	return l.Provider.List(context.WithoutCancel(ctx))
}

func TestIssuerSuiteTakesNoOutageForAProof(t *testing.T) {
	p := rotationtest.NewProvider()
	down := rotation.VerifierFunc(func(ctx context.Context, key rotation.Key) error {
		if p.Verify(ctx, key) != nil {
			return errors.New("not reachable")
		}
		return nil
	})
	err := rotationtest.IssuerSuite{Issuer: p, Verifier: down}.Check(t.Context())
	requireClause(t, err, "I4")
}

// Whatever an issuer says, the suite's own error has no secret in it.
func TestIssuerSuiteRepeatsNoSecret(t *testing.T) {
	p := rotationtest.NewProvider()
	var made []rotation.Key
	loud := issuer{Provider: p}
	loud.issue = func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
		key, err := p.Issue(ctx, req)
		made = append(made, key)
		return key, err
	}
	loud.revoke = func(ctx context.Context, key rotation.Key) error {
		return errors.Join(fmt.Errorf("cannot revoke %s", key.Secret.Reveal()), p.Revoke(ctx, key))
	}
	err := rotationtest.IssuerSuite{Issuer: loud, Verifier: p}.Check(t.Context())
	requireClause(t, err, "I5")
	require.NotEmpty(t, made)
	for _, key := range made {
		if !key.Secret.IsZero() {
			assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), key.Secret.Reveal())
		}
	}
}

func TestSuitesSurvivePanics(t *testing.T) {
	p := rotationtest.NewProvider()
	bad := issuer{Provider: p, issue: func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
		_, err := p.Issue(ctx, req)
		if err == nil {
			panic("the value is in this text")
		}
		return rotation.Key{}, err
	}}
	err := rotationtest.IssuerSuite{Issuer: bad, Verifier: p}.Check(t.Context())
	requireClause(t, err, "I1")
	require.ErrorContains(t, err, "panic")
	require.NotContains(t, err.Error(), "the value")
	assert.Empty(t, p.Live(), "found by their names")
}
