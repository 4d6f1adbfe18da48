// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

var _ rotation.Validator = rotationtest.VerifierSuite{}

// presenting is a suite for the Verifier of a provider, with a key that lives and one that does not.
func presenting(t *testing.T, p *rotationtest.Provider) rotationtest.VerifierSuite {
	t.Helper()
	live, dead := p.Mint(), p.Mint()
	require.NoError(t, p.Revoke(t.Context(), dead))
	down := rotationtest.NewProvider()
	down.Inject(rotationtest.Fault{Op: "Verify"})
	return rotationtest.VerifierSuite{Verifier: p, Live: live, Dead: dead, Down: []rotation.Verifier{down}}
}

// asking is a suite for a consumer, with the key that it uses and another one.
func asking(t *testing.T, c *rotationtest.Consumer, p *rotationtest.Provider) rotationtest.VerifierSuite {
	t.Helper()
	live, other := p.Mint(), p.Mint()
	require.NoError(t, c.Deploy(t.Context(), rotation.DeployRequest{Key: live}))
	down := rotationtest.NewProvider()
	down.Inject(rotationtest.Fault{Op: "RoundTrip"})
	cutOff := rotationtest.NewConsumer(down)
	require.NoError(t, cutOff.Deploy(t.Context(), rotation.DeployRequest{Key: live}))
	return rotationtest.VerifierSuite{Verifier: c, Live: live, Other: other, Down: []rotation.Verifier{cutOff}}
}

func TestVerifierSuiteRun(t *testing.T) {
	p := rotationtest.NewProvider()
	t.Run("provider", presenting(t, p).Run)
	t.Run("consumer", asking(t, rotationtest.NewConsumer(p), p).Run)
}

// observedVerifier is a Verifier with every ability.
type observedVerifier struct {
	rotation.Verifier
	observe         func(context.Context) ([]rotation.Instance, error)
	identity        func() string
	check, validate error
}

func (v observedVerifier) Observe(ctx context.Context) ([]rotation.Instance, error) {
	return v.observe(ctx)
}
func (v observedVerifier) Identity() string            { return v.identity() }
func (v observedVerifier) Check(context.Context) error { return v.check }
func (v observedVerifier) Validate() error             { return v.validate }

func observedGood(v rotation.Verifier, live rotation.Key) observedVerifier {
	return observedVerifier{
		Verifier: v, identity: func() string { return "a page" },
		observe: func(context.Context) ([]rotation.Instance, error) {
			return []rotation.Instance{{Name: "a", Key: rotation.Key{ID: live.ID}}, {Name: "b", Key: rotation.Key{Generation: 7}}}, nil
		},
	}
}

// wrappedVerifier hides every ability behind Unwrap.
type wrappedVerifier struct{ inner rotation.Verifier }

func (w wrappedVerifier) Verify(ctx context.Context, key rotation.Key) error {
	return w.inner.Verify(ctx, key)
}
func (w wrappedVerifier) Unwrap() rotation.Verifier { return w.inner }

func TestVerifierSuiteAcceptsWhatIsRight(t *testing.T) {
	for name, change := range map[string]func(*rotationtest.VerifierSuite){
		"provider":      func(*rotationtest.VerifierSuite) {},
		"function":      func(s *rotationtest.VerifierSuite) { s.Verifier = rotation.VerifierFunc(s.Verifier.Verify) },
		"nothing down":  func(s *rotationtest.VerifierSuite) { s.Down = nil },
		"all abilities": func(s *rotationtest.VerifierSuite) { s.Verifier = observedGood(s.Verifier, s.Live) },
		"wrapped": func(s *rotationtest.VerifierSuite) {
			s.Verifier = wrappedVerifier{wrappedVerifier{observedGood(s.Verifier, s.Live)}}
		},
		"unsupported": func(s *rotationtest.VerifierSuite) {
			v := observedGood(s.Verifier, s.Live)
			v.observe = func(context.Context) ([]rotation.Instance, error) { return nil, errors.ErrUnsupported }
			s.Verifier = v
		},
		"strict about what it can read": func(s *rotationtest.VerifierSuite) {
			inner := s.Verifier
			s.Verifier = rotation.VerifierFunc(func(ctx context.Context, key rotation.Key) error {
				if value := key.Secret.Reveal(); len(value) < 3 || value[:3] != "rt_" {
					return errors.New("this is not one of ours")
				}
				return inner.Verify(ctx, key)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := rotationtest.NewProvider()
			s := presenting(t, p)
			change(&s)
			require.NoError(t, s.Check(t.Context()))
			assert.Equal(t, []string{s.Live.ID}, p.Live())
		})
	}
}

// A Handle, for one, knows what it uses without asking anybody.
func TestVerifierSuiteAcceptsOneThatAsksNobody(t *testing.T) {
	p := rotationtest.NewProvider()
	s := asking(t, rotationtest.NewConsumer(p), p)
	inner := s.Verifier
	s.Verifier = rotation.VerifierFunc(func(ctx context.Context, key rotation.Key) error {
		return inner.Verify(context.WithoutCancel(ctx), key)
	})
	require.NoError(t, s.Check(t.Context()))
}

func TestVerifierSuiteValidates(t *testing.T) {
	a, b := rotation.Key{ID: "a", Secret: secret.New("aaaaaaaa")}, rotation.Key{ID: "b", Secret: secret.New("bbbbbbbb")}
	twin := rotation.Key{ID: "twin", Secret: a.Secret}
	p := rotationtest.NewProvider()
	for _, row := range []struct {
		suite rotationtest.VerifierSuite
		want  []string
	}{
		{rotationtest.VerifierSuite{}, []string{"Verifier is required", "Live is required", "Dead or Other is required"}},
		{rotationtest.VerifierSuite{Verifier: p, Live: a, Dead: b, Other: b}, []string{"Dead or Other is required, and only one"}},
		{rotationtest.VerifierSuite{Verifier: p, Live: rotation.Key{ID: "a"}, Dead: b}, []string{"Live and Dead need their secrets"}},
		{rotationtest.VerifierSuite{Verifier: p, Live: a, Dead: rotation.Key{ID: "b"}}, []string{"Live and Dead need their secrets"}},
		{rotationtest.VerifierSuite{Verifier: p, Live: a, Dead: a}, []string{"Live is not the key that is dead"}},
		{rotationtest.VerifierSuite{Verifier: p, Live: a, Dead: twin}, []string{"Live is not the key that is dead"}},
		{rotationtest.VerifierSuite{Verifier: p, Live: a, Other: a}, []string{"Live is not the key that is dead"}},
		{rotationtest.VerifierSuite{Verifier: p, Live: a, Dead: b, Down: []rotation.Verifier{p, nil}}, []string{"Down[1] is nil"}},
	} {
		err := row.suite.Check(t.Context())
		for _, want := range row.want {
			require.ErrorContains(t, err, "rotationtest: VerifierSuite."+want)
		}
	}
	require.NoError(t, rotationtest.VerifierSuite{Verifier: p, Live: rotation.Key{ID: "a"}, Other: rotation.Key{ID: "b"}}.Validate())
	assert.Zero(t, p.Calls("Verify"))
}

func TestVerifierSuiteRejectsMutants(t *testing.T) {
	tested := map[string]bool{}
	for name, m := range verifierMutants() {
		tested[m.clause] = true
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // mutants that mix up their callers sleep
				p := rotationtest.NewProvider()
				s := presenting(t, p)
				if m.binding {
					s = asking(t, rotationtest.NewConsumer(p), p)
				}
				live, other := s.Live.Secret.Reveal(), s.Dead.Secret.Reveal()+s.Other.Secret.Reveal()
				m.change(p, &s)
				err := s.Check(t.Context())
				requireOnly(t, err, append([]string{m.clause}, m.also...)...)
				text := fmt.Sprintf("%v %+v %#v", err, err, err)
				assert.NotContains(t, text, live)
				assert.NotContains(t, text, other)
			})
		})
	}
	for _, clause := range (rotationtest.VerifierSuite{}).Clauses() {
		assert.True(t, tested[clause], "no mutant for %s", clause)
	}
}

func TestVerifierSuiteStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := rotationtest.NewProvider(), time.Now()
		s := presenting(t, p)
		p.Inject(rotationtest.Fault{Op: "Verify", Delay: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.Error(t, s.Check(ctx))
		assert.Equal(t, time.Minute, time.Since(start))
	})
}

func TestVerifierSuiteSurvivesPanics(t *testing.T) {
	s := presenting(t, rotationtest.NewProvider())
	s.Verifier = rotation.VerifierFunc(func(_ context.Context, key rotation.Key) error { panic(key.Secret.Reveal()) })
	err := s.Check(t.Context())
	requireOnly(t, err, "V1", "V2", "Errors")
	assert.NotContains(t, err.Error(), s.Live.Secret.Reveal())
}

// TestJournalOrVerifierRunThatFails is what TestJournalAndVerifierRunFail runs: a suite that has to fail.
func TestJournalOrVerifierRunThatFails(t *testing.T) {
	switch os.Getenv(failingRun) {
	case "journal":
		rotationtest.JournalSuite{Journal: forces(rotationtest.NewJournal(), func(int64, rotation.Entry) bool { return true }), Name: "a"}.Run(t)
	case "verifier":
		s := presenting(t, rotationtest.NewProvider())
		s.Verifier = rotation.VerifierFunc(func(context.Context, rotation.Key) error { return nil })
		s.Run(t)
	default:
		t.Skip("run by TestJournalAndVerifierRunFail")
	}
}

func TestJournalAndVerifierRunFail(t *testing.T) {
	for which, want := range map[string]struct {
		fail string
		skip []string
	}{
		"journal": {"J2", []string{"Conditional", "Check"}}, "verifier": {"V1", []string{"Observe", "Identity", "Check"}},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestJournalOrVerifierRunThatFails$", "-test.v")
		cmd.Env = append(os.Environ(), failingRun+"="+which)
		out, err := cmd.CombinedOutput()
		require.Error(t, err)
		assert.Contains(t, string(out), "--- FAIL: TestJournalOrVerifierRunThatFails/"+want.fail+" ")
		for _, clause := range want.skip {
			assert.Contains(t, string(out), "--- SKIP: TestJournalOrVerifierRunThatFails/"+clause+" ")
		}
	}
}
