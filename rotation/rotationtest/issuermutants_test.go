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
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
		assert.Positive(t, p.Calls("Revoke"), "what was made is revoked nevertheless")
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
	mutantsOfAbilities(add)
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
		"plain":   func(s string) error { return errors.New("DELETE /keys?value=" + s) },
		"escaped": func(s string) error { return errors.New("DELETE /keys?value=" + url.QueryEscape(s+"=")) },
		"%#v":     func(s string) error { return leak{s} },
		"wrapped": func(s string) error { return fmt.Errorf("revoke: %w", &publicLeak{s}) },
		"joined":  func(s string) error { return errors.Join(errors.New("a"), &publicLeak{s}) },
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

func mutantsOfAbilities(add addMutant) {
	lists := func(what string, f func(*rotationtest.Provider, []rotation.KeyInfo) []rotation.KeyInfo) {
		add("List", what, func(p *rotationtest.Provider) rotation.Issuer {
			return issuer{Provider: p, list: func(infos []rotation.KeyInfo) []rotation.KeyInfo { return f(p, infos) }}
		})
	}
	lists("empty", func(*rotationtest.Provider, []rotation.KeyInfo) []rotation.KeyInfo { return nil })
	each := func(what string, change func(*rotation.KeyInfo)) {
		lists(what, func(_ *rotationtest.Provider, infos []rotation.KeyInfo) []rotation.KeyInfo {
			for i := range infos {
				change(&infos[i])
			}
			return infos
		})
	}
	each("tells values", func(i *rotation.KeyInfo) { i.Key.Secret = secret.Random(16) })
	each("use without evidence", func(i *rotation.KeyInfo) { i.Usage.LastUsed, i.Usage.AsOf = time.Now(), time.Time{} })
	each("use after the evidence", func(i *rotation.KeyInfo) { i.Usage.LastUsed = i.Usage.AsOf.Add(time.Hour) })
	each("evidence from the future", func(i *rotation.KeyInfo) { i.Usage.Since = i.Usage.AsOf.Add(time.Hour) })
	each("all disabled", func(i *rotation.KeyInfo) { i.Disabled = true })
	lists("never forgets", func() func(*rotationtest.Provider, []rotation.KeyInfo) []rotation.KeyInfo {
		seen := map[string]rotation.KeyInfo{}
		return func(_ *rotationtest.Provider, infos []rotation.KeyInfo) []rotation.KeyInfo {
			for _, i := range infos {
				seen[i.Key.ID] = i
			}
			var out []rotation.KeyInfo
			for _, i := range seen {
				out = append(out, i)
			}
			return out
		}
	}())

	disables := func(what string, build func(p *rotationtest.Provider) issuer) {
		add("Disable", what, func(p *rotationtest.Provider) rotation.Issuer { return build(p) })
	}
	nothing := func(context.Context, rotation.Key) error { return nil }
	disables("does nothing", func(p *rotationtest.Provider) issuer { return issuer{Provider: p, disable: nothing} })
	disables("cannot be undone", func(p *rotationtest.Provider) issuer { return issuer{Provider: p, enable: nothing} })
	disables("revokes", func(p *rotationtest.Provider) issuer { return issuer{Provider: p, disable: p.Revoke} })
	disables("only once", func(p *rotationtest.Provider) issuer {
		return issuer{Provider: p, disable: func(ctx context.Context, key rotation.Key) error {
			if p.Verify(ctx, key) != nil {
				return rotation.ErrConflict
			}
			return p.Disable(ctx, key)
		}}
	})
	disables("enabled only once", func(p *rotationtest.Provider) issuer {
		return issuer{Provider: p, enable: func(ctx context.Context, key rotation.Key) error {
			if p.Verify(ctx, key) == nil {
				return rotation.ErrConflict
			}
			return p.Enable(ctx, key)
		}}
	})
	disables("toggles", func(p *rotationtest.Provider) issuer {
		return issuer{Provider: p, disable: func(ctx context.Context, key rotation.Key) error {
			if p.Verify(ctx, key) != nil {
				return p.Enable(ctx, key)
			}
			return p.Disable(ctx, key)
		}}
	})
	disables("is not listed", func(p *rotationtest.Provider) issuer {
		return issuer{Provider: p, list: func(infos []rotation.KeyInfo) []rotation.KeyInfo {
			for i := range infos {
				infos[i].Disabled = false
			}
			return infos
		}}
	})

	chooses := func(what string, build func(p *rotationtest.Provider) chooser) {
		add("Choose", what, func(p *rotationtest.Provider) rotation.Issuer { return build(p) })
	}
	chooses("always the same", func(p *rotationtest.Provider) chooser {
		value := secret.Random(16)
		return chooser{issuer{Provider: p}, func(rotation.IssueRequest) (rotation.Key, error) {
			return rotation.Key{Secret: value}, nil
		}}
	})
	chooses("nothing", func(p *rotationtest.Provider) chooser {
		return chooser{issuer{Provider: p}, func(rotation.IssueRequest) (rotation.Key, error) { return rotation.Key{}, nil }}
	})
	chooses("fails", func(p *rotationtest.Provider) chooser {
		return chooser{issuer{Provider: p}, func(rotation.IssueRequest) (rotation.Key, error) {
			return rotation.Key{}, errors.New("no entropy")
		}}
	})
	chooses("has an effect", func(p *rotationtest.Provider) chooser {
		return chooser{issuer{Provider: p}, func(req rotation.IssueRequest) (rotation.Key, error) {
			return p.Issue(context.Background(), req)
		}}
	})
	chooses("is not what is issued", func(p *rotationtest.Provider) chooser {
		return chooser{issuer: issuer{Provider: p, issue: func(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
			req.Chosen = rotation.Key{}
			return p.Issue(ctx, req)
		}}}
	})
}
