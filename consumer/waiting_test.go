// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
)

func TestPolling(t *testing.T) {
	p := consumer.Polling{Every: time.Hour}
	require.NoError(t, p.Check(t.Context()))
	require.NoError(t, p.Deploy(t.Context(), deploy(rotation.RoleCurrent, 1)))
	require.Equal(t, time.Hour, p.Lag())
	require.ErrorIs(t, p.Deploy(t.Context(), deploy(rotation.RolePending, 1)), errors.ErrUnsupported)
	p.Every = 0
	require.ErrorContains(t, p.Check(t.Context()), "Polling.Every")
	require.ErrorContains(t, p.Deploy(t.Context(), deploy(rotation.RoleCurrent, 1)), "Polling.Every")
}

func TestManual(t *testing.T) {
	m := consumer.Manual{Instructions: "Put {id} ({name}, generation {generation}) of {credential} into {it}."}
	require.NoError(t, m.Check(t.Context()))
	err := m.Deploy(t.Context(), deploy(rotation.RoleCurrent, 1))
	require.ErrorIs(t, err, rotation.ErrManual)
	var public rotation.PublicError
	require.ErrorAs(t, err, &public)
	require.Equal(t, "Put id-b (payments-vb, generation 1) of payments into {it}.", public.Public())
	require.ErrorContains(t, consumer.Manual{}.Check(t.Context()), "Manual.Instructions")
	require.ErrorContains(t, consumer.Manual{}.Deploy(t.Context(), deploy("", 1)), "Manual.Instructions")
}

// What an engine does: the instance counts if its key is the new one and it was seen after Deploy returned nil.
func adopted(t *testing.T, n consumer.NextRun, k rotation.Key, deployed time.Time) bool {
	t.Helper()
	instances, err := n.Observe(t.Context())
	require.NoError(t, err)
	for _, i := range instances {
		require.True(t, i.Key.Secret.IsZero())
		if i.Key.Serial != k.Serial || i.AsOf.Before(deployed) {
			return false
		}
	}
	return len(instances) > 0
}

func TestNextRunIsAdoptedByTheRunAfterTheDeployment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, next := key(1), key(2)
		old.IssuedAt, next.IssuedAt = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		s := newStore(rotation.StoredKey{Key: old, Role: rotation.RoleCurrent})
		var began, ended time.Time
		job := func() consumer.NextRun { // a fresh process each time
			return consumer.NextRun{
				Store: s, Credential: credential, Longest: 2 * time.Hour,
				LastRun: func(context.Context) (time.Time, time.Time, error) { return began, ended, nil },
			}
		}
		req := rotation.DeployRequest{Credential: credential, Key: next, Role: rotation.RoleCurrent}
		require.NoError(t, job().Check(t.Context()))
		require.Equal(t, 2*time.Hour, job().Lag())
		require.ErrorIs(t, job().Deploy(t.Context(), req), rotation.ErrNotYet)
		require.False(t, adopted(t, job(), next, time.Now()), "no run yet")

		began = time.Now()
		require.True(t, adopted(t, job(), old, began))
		time.Sleep(90 * time.Minute) // the new key is issued meanwhile
		s.set(rotation.StoredKey{Key: next, Role: rotation.RoleCurrent}, rotation.StoredKey{Key: old, Role: rotation.RolePrevious})
		began = time.Now() // a run between promotion and deployment is no proof either
		time.Sleep(time.Minute)
		for range 2 {
			require.NoError(t, job().Deploy(t.Context(), req))
		}
		deployed := time.Now()
		require.False(t, adopted(t, job(), next, deployed))

		time.Sleep(24 * time.Hour)
		require.False(t, adopted(t, job(), next, deployed), "time alone proves nothing")
		began = time.Now()
		require.True(t, adopted(t, job(), next, deployed))

		s.set(rotation.StoredKey{Key: old, Role: rotation.RoleCurrent}, rotation.StoredKey{Key: next, Role: rotation.RolePending})
		time.Sleep(time.Second)
		require.False(t, adopted(t, job(), old, time.Now()), "rolled back: again the next run")
	})
}

func TestNextRunTellsThePreviousKeyOfAnOldRun(t *testing.T) {
	n := consumer.NextRun{
		Store:      newStore(stored(rotation.RoleCurrent, 3), stored(rotation.RolePrevious, 1)),
		Credential: credential, Longest: time.Hour,
		LastRun: func(context.Context) (time.Time, time.Time, error) {
			return key(2).IssuedAt, key(3).IssuedAt, nil
		},
	}
	instances, err := n.Observe(t.Context())
	require.NoError(t, err)
	require.Equal(t, []rotation.Instance{{Name: "last run", Key: identityOf(key(1)), AsOf: key(2).IssuedAt}}, instances)
}

func TestNextRunNeedsEvidence(t *testing.T) {
	mine := errors.New("scheduler down")
	s := newStore(stored(rotation.RoleCurrent, 1))
	n := consumer.NextRun{Store: s, Credential: credential, Longest: time.Hour}
	for name, run := range map[string]func(context.Context) (time.Time, time.Time, error){
		"an error":              func(context.Context) (a, b time.Time, err error) { return a, b, mine },
		"a run in the future":   func(context.Context) (a, b time.Time, err error) { return time.Now().Add(time.Hour), b, nil },
		"an end before a begin": func(context.Context) (a, b time.Time, err error) { return key(3).IssuedAt, key(2).IssuedAt, nil },
		"a panic":               func(context.Context) (a, b time.Time, err error) { panic("hush") },
	} {
		n.LastRun = run
		instances, err := n.Observe(t.Context())
		require.Error(t, err, name)
		require.Empty(t, instances)
		require.Error(t, n.Check(t.Context()))
	}
	n.LastRun = func(context.Context) (time.Time, time.Time, error) { return key(2).IssuedAt, time.Time{}, nil }
	s.fail(errSealed)
	_, err := n.Observe(t.Context())
	require.ErrorIs(t, err, errSealed)
	require.ErrorIs(t, n.Deploy(t.Context(), deploy(rotation.RoleCurrent, 1)), errSealed)
	require.ErrorIs(t, n.Deploy(t.Context(), deploy(rotation.RolePending, 1)), errors.ErrUnsupported)
}

func TestNextRunNamesItsMistakes(t *testing.T) {
	var n consumer.NextRun
	_, observed := n.Observe(t.Context())
	for _, err := range []error{n.Validate(), n.Check(t.Context()), n.Deploy(t.Context(), deploy("", 1)), observed} {
		for _, field := range []string{"Store", "Credential", "LastRun", "Longest"} {
			require.ErrorContains(t, err, "NextRun."+field+" is required")
		}
	}
}
