// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awsiam_test

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer/awsiam"
	"github.com/handover-go/handover/issuer/awsiam/internal/fakeiam"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

const credential = "payments-aws"

// rotator has the user's key of today under rotation, which is given too.
func rotator(t *testing.T, fake *fakeiam.Server, change ...func(*awsiam.Config)) (*rotation.Rotator, rotation.Key) {
	i, v := parts(t, fake, change...)
	id, value := fake.Mint(user)
	current := rotation.Key{ID: id, Secret: secret.New(value), IssuedAt: time.Now()}
	keys := store.NewMemory()
	require.NoError(t, store.Seed(t.Context(), keys, credential, current))
	r, err := rotation.New(rotation.Config{
		Journal: journal.NewMemory(), Store: keys, Logger: slog.New(slog.DiscardHandler),
		Policy:      rotation.Policy{Overlap: time.Hour, Quiet: 2 * time.Hour},
		Credentials: []rotation.Credential{{Name: credential, Type: rotation.APIKey, Issuer: i, Verifier: v}},
	})
	require.NoError(t, err)
	return r, current
}

// goOn advances until the rotation ends, or for so long.
func goOn(t *testing.T, r *rotation.Rotator, long time.Duration) rotation.Status {
	for end := time.Now().Add(long); ; {
		st, _ := r.Advance(t.Context(), credential) // its error is st.Open.Problem
		if st.Open == nil || time.Now().After(end) {
			return st
		}
		time.Sleep(st.Delay())
	}
}

func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		fake.Lag, fake.UsageLag = 10*time.Second, 3*time.Hour
		r, old := rotator(t, fake, func(cfg *awsiam.Config) { cfg.Propagation, cfg.ListLag, cfg.UsageLag = time.Minute, time.Minute, 0 })
		time.Sleep(time.Minute)
		_, err := r.Rotate(t.Context(), credential, rotation.Trigger{})
		require.NoError(t, err)
		began := time.Now()
		st := goOn(t, r, 12*time.Hour)
		require.Nil(t, st.Open, "%+v", st.Needs)
		assert.Greater(t, time.Since(began), 6*time.Hour, "quiet for two hours is known four hours later")
		assert.Len(t, fake.Live(user), 1)
		assert.NotContains(t, fake.Live(user), old.ID)
		assert.Empty(t, st.Debts)
	})
}

// The second slot is somebody else's. The rotation says so, ends nothing, and goes on when a person has made room.
func TestSecondKeyIsNotOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake()
		r, current := rotator(t, fake)
		theirs, _ := fake.Mint(user)
		touched := 0
		fake.Hook(func(action string, in url.Values) *fakeiam.Failure {
			if action != "GetAccessKeyLastUsed" && slices.Contains([]string{current.ID, theirs}, in.Get("AccessKeyId")) {
				touched++
			}
			return nil
		})
		plan, err := r.Plan(t.Context(), credential, rotation.Standard)
		require.NoError(t, err)
		require.False(t, plan.Ready())
		require.ErrorIs(t, plan.Blockers[0], rotation.ErrNoSlot)
		_, err = r.Rotate(t.Context(), credential, rotation.Trigger{})
		require.ErrorIs(t, err, rotation.ErrNoSlot)
		require.ErrorContains(t, err, theirs)
		st := goOn(t, r, 20*time.Minute)
		require.NotNil(t, st.Open)
		require.ErrorIs(t, st.Open.Problem, rotation.ErrNoSlot)
		assert.Equal(t, []string{current.ID, theirs}, fake.Live(user))
		assert.Zero(t, touched)

		fake.End(user, theirs)
		st = goOn(t, r, 12*time.Hour)
		require.Nil(t, st.Open, "%+v", st.Open)
		assert.Len(t, fake.Live(user), 1)
		assert.NotContains(t, fake.Live(user), current.ID)
	})
}

// The answer of CreateAccessKey is lost. Where nobody else makes keys the new one is known by its time: it takes the second slot, so it
// is ended, and another one is made. Else a person says which it was, and until then both keys stay.
func TestLostAnswer(t *testing.T) {
	for _, exclusive := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			fake := newFake()
			r, current := rotator(t, fake, func(cfg *awsiam.Config) { cfg.Exclusive = exclusive })
			lost := ""
			fake.Hook(func(action string, _ url.Values) *fakeiam.Failure {
				if action != "CreateAccessKey" || lost != "" {
					return nil
				}
				lost = "yes"
				return &fakeiam.Failure{Status: http.StatusInternalServerError, Code: "ServiceFailure", After: true}
			})
			_, err := r.Rotate(t.Context(), credential, rotation.Trigger{})
			require.ErrorContains(t, err, "it is not known whether a new key was made")
			both := fake.Live(user)
			require.Len(t, both, 2)
			st := goOn(t, r, 12*time.Hour)
			if !exclusive {
				require.NotNil(t, st.Open)
				require.ErrorIs(t, st.Open.Problem, rotation.AmbiguousIssue)
				assert.Equal(t, both, fake.Live(user), "nothing is ended on a guess")
				require.Len(t, st.Needs, 1)
				require.Contains(t, st.Needs[0].Verbs, rotation.VerbSettle)
				_, err = r.Resolve(t.Context(), credential, rotation.Answer{Need: st.Needs[0].ID, Verb: rotation.VerbSettle, KeyID: both[1]})
				require.NoError(t, err)
				st = goOn(t, r, 12*time.Hour)
			}
			require.Nil(t, st.Open, "%+v", st.Open)
			assert.Len(t, fake.Live(user), 1)
			assert.NotContains(t, both, fake.Live(user)[0])
			assert.NotContains(t, fake.Live(user), current.ID)
		})
	}
}
