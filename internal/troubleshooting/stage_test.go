// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package troubleshooting_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/verify"
)

const credential = "pay"

// stage is one credential with everything around it, in a bubble.
type stage struct {
	t        *testing.T
	network  *network
	provider *provider
	secrets  *store.Memory
	cfg      rotation.Config
	cred     rotation.Credential
	rotator  *rotation.Rotator

	mu     sync.Mutex
	events []rotation.Event // guarded by mu
}

// newStage has a provider and, in the store, the key that is in use today.
func newStage(t *testing.T) *stage {
	s := &stage{t: t, network: newNetwork(t), secrets: store.NewMemory()}
	s.provider = newProvider(s.network)
	require.NoError(t, store.Seed(t.Context(), s.secrets, credential, s.provider.seed()))
	s.cfg = rotation.Config{
		Journal: journal.InStore(store.NewMemory()), Store: s.secrets, Actor: "ann",
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	s.cred = rotation.Credential{
		Name: credential, Type: rotation.APIKey, Issuer: s.provider.issuer(),
		Verifier: verify.Probe{URL: pay + "/whoami", Client: s.network.client()},
	}
	return s
}

// Deliver makes a stage the sink of its own events.
func (s *stage) Deliver(_ context.Context, e rotation.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
	return nil
}

// told reports whether people were told of a problem like this one.
func (s *stage) told(d rotation.Diagnosis) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.events, func(e rotation.Event) bool { return e.Problem != nil && errors.Is(e.Problem, d) })
}

// warned reports whether people were told something like this.
func (s *stage) warned(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.events, func(e rotation.Event) bool { return e.Level >= slog.LevelWarn && strings.Contains(e.Text, text) })
}

// begin starts the rotation for these consumers.
func (s *stage) begin(consumers ...rotation.Binding) {
	s.t.Helper()
	s.cred.Consumers = consumers
	s.cfg.Credentials, s.cfg.Sinks = []rotation.Credential{s.cred}, []rotation.Sink{s}
	var err error
	s.rotator, err = rotation.New(s.cfg)
	require.NoError(s.t, err)
	_, _ = s.rotator.Rotate(s.t.Context(), s.cred.Name, rotation.Trigger{Reason: "a test"})
}

const patience = 5 * 24 * time.Hour

// until advances until there is a problem of this diagnosis, which is still there three minutes later, and returns it: of the open
// rotation, or else of a debt.
func (s *stage) until(want rotation.Diagnosis) *rotation.Error {
	s.t.Helper()
	is := func(e *rotation.Error) bool { return errors.Is(e, want) }
	s.untilSeen(string(want), is)
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); {
		st, _ := s.rotator.Advance(s.t.Context(), s.cred.Name) // its error is what Status tells
		time.Sleep(min(st.Delay(), time.Until(end)))
	}
	st, _ := s.rotator.Advance(s.t.Context(), s.cred.Name)
	e := problemIn(st, is)
	require.NotNil(s.t, e, "%s was seen, and is not seen any more:\n%s", want, st)
	return e
}

func (s *stage) untilSeen(what string, is func(*rotation.Error) bool) *rotation.Error {
	s.t.Helper()
	for end := time.Now().Add(patience); ; {
		st, err := s.rotator.Status(s.t.Context(), s.cred.Name)
		require.NoError(s.t, err)
		if e := problemIn(st, is); e != nil {
			require.Contains(s.t, st.String(), e.Error(), "what people read")
			require.Contains(s.t, st.String(), "  do          "+e.Action)
			return e
		}
		if !time.Now().Before(end) {
			s.t.Logf("%s\n%s", st, st.Open)
			require.Failf(s.t, "not seen", "%s was never seen", what)
		}
		time.Sleep(st.Delay())
		_, _ = s.rotator.Advance(s.t.Context(), s.cred.Name) // its error is what Status tells
	}
}

// problemIn is the problem of a status: of the open rotation, or else of a debt.
func problemIn(st rotation.Status, is func(*rotation.Error) bool) *rotation.Error {
	if st.Open != nil && st.Open.Problem != nil && is(st.Open.Problem) {
		return st.Open.Problem
	}
	for _, d := range st.Debts {
		if d.Problem != nil && is(d.Problem) {
			return d.Problem
		}
	}
	return nil
}

// ends advances until the rotation has ended and nothing is owed, and asks for its outcome.
func (s *stage) ends(want rotation.Outcome) {
	s.t.Helper()
	for end := time.Now().Add(patience); ; {
		st, err := s.rotator.Advance(s.t.Context(), s.cred.Name)
		if st.Open == nil && len(st.Debts) == 0 {
			require.NoError(s.t, err)
			require.Equal(s.t, want, st.Last.Outcome, "%s", st.Last)
			return
		}
		require.True(s.t, time.Now().Before(end), "still open: %v\n%s\n%s", err, st, st.Open)
		time.Sleep(st.Delay())
	}
}

// answer is what a person decides about the one need that takes the verb.
func (s *stage) answer(verb rotation.Verb) {
	s.t.Helper()
	st, err := s.rotator.Status(s.t.Context(), s.cred.Name)
	require.NoError(s.t, err)
	i := slices.IndexFunc(st.Needs, func(n rotation.Need) bool { return slices.Contains(n.Verbs, verb) })
	require.GreaterOrEqual(s.t, i, 0, "nothing takes %s:\n%s", verb, st)
	_, err = s.rotator.Resolve(s.t.Context(), s.cred.Name, rotation.Answer{Need: st.Needs[i].ID, Verb: verb})
	require.NoError(s.t, err)
}

// every does something at intervals until the test ends, seven seconds after whatever else happens on the minute.
func every(t *testing.T, d time.Duration, f func(context.Context)) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for timer := time.NewTimer(d + 7*time.Second); ; timer.Reset(d) {
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C:
				f(ctx)
			}
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}
