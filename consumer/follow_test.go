// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
)

var errSealed = errors.New("sealed; hush-b is inside")

func TestFollowNamesWhatIsMissing(t *testing.T) {
	_, err := consumer.Follow(t.Context(), consumer.Source{Every: -1})
	require.Error(t, err)
	for _, field := range []string{"Source.Store", "Source.Credential", "Source.Every"} {
		assert.ErrorContains(t, err, field)
	}
}

func TestFollowNeedsACurrentKey(t *testing.T) {
	noValue := rotation.StoredKey{Key: rotation.Key{ID: "x"}, Role: rotation.RoleCurrent}
	for name, keys := range map[string][]rotation.StoredKey{
		"empty":       nil,
		"pending":     {stored(rotation.RolePending, 1)},
		"retiring":    {stored(rotation.RoleRetiring, 1)},
		"compromised": {compromised(rotation.RoleCurrent, 1)},
		"no value":    {noValue},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore(keys...)
				_, err := consumer.Follow(t.Context(), consumer.Source{Store: s, Credential: credential})
				require.ErrorIs(t, err, rotation.ErrNotFound)
				require.ErrorContains(t, err, credential)
				require.Equal(t, 1, s.count())
			})
		})
	}
}

func TestFollowWaitsForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(stored(rotation.RoleCurrent, 1))
		s.fail(errSealed)
		time.AfterFunc(10*time.Minute, func() { s.fail(nil) })
		begin := time.Now()
		h := follow(t, s)
		requireKey(t, 1, h)
		require.InDelta(t, 10, time.Since(begin).Minutes(), 1.01)
	})
}

func TestFollowEndsWithItsContextOrADenial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(stored(rotation.RoleCurrent, 1))
		s.fail(errSealed)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err := consumer.Follow(ctx, consumer.Source{Store: s, Credential: credential})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, errSealed)

		s.fail(rotation.ErrDenied)
		_, err = consumer.Follow(t.Context(), consumer.Source{Store: s, Credential: credential})
		require.ErrorIs(t, err, rotation.ErrDenied)
	})
}

func TestFollowTakesEachCurrentKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(stored(rotation.RoleCurrent, 1))
		h := follow(t, s)
		for n := 2; n < 5; n++ {
			changed := h.Changed()
			s.set(stored(rotation.RolePending, n))
			time.Sleep(5 * time.Minute)
			requireKey(t, n-1, h)
			require.False(t, closed(changed))

			s.set(stored(rotation.RoleCurrent, n), stored(rotation.RolePrevious, n-1))
			time.Sleep(66 * time.Second) // a minute and a tenth
			synctest.Wait()
			requireKey(t, n, h)
			require.True(t, closed(changed))
		}
	})
}

func TestFollowLooksOnceAMinuteWithJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(stored(rotation.RoleCurrent, 1))
		follow(t, s)
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		different := map[time.Duration]bool{}
		for i := 1; i < len(s.loads); i++ {
			wait := s.loads[i].Sub(s.loads[i-1])
			require.GreaterOrEqual(t, wait, 54*time.Second)
			require.LessOrEqual(t, wait, 66*time.Second)
			different[wait] = true
		}
		require.InDelta(t, 600, len(s.loads), 20)
		require.Greater(t, len(different), 500)
	})
}

func TestFollowKeepsTheLastKeyWhileTheStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := newStore(stored(rotation.RoleCurrent, 1))
		h, err := consumer.Follow(t.Context(), consumer.Source{
			Store: s, Credential: credential, Every: 10 * time.Minute, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		require.NoError(t, err)
		defer h.Close()

		s.fail(errSealed)
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		before := s.count()
		require.Greater(t, before, 8, "after a failure it looks sooner")
		time.Sleep(5 * 24 * time.Hour)
		synctest.Wait()
		requireKey(t, 1, h)
		after := s.count() - before
		require.Less(t, after, 5*24*6*2, "and then no more often than about every 10 min")

		s.fail(nil)
		s.set(stored(rotation.RoleCurrent, 2))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		requireKey(t, 2, h)

		s.set() // somebody deleted it
		time.Sleep(time.Hour)
		synctest.Wait()
		requireKey(t, 2, h)

		require.NoError(t, h.Close())
		require.Equal(t, 2, bytes.Count(log.Bytes(), []byte("level=WARN")), "one line for each row of failures: %s", &log)
		require.Equal(t, 1, bytes.Count(log.Bytes(), []byte("level=INFO")), "%s", &log)
		require.NotContains(t, log.String(), "hush")
		require.Contains(t, log.String(), "the last one stays in use")
	})
}

func TestFollowSaysThatThereIsNoKeyYet(t *testing.T) {
	var log bytes.Buffer
	_, err := consumer.Follow(t.Context(), consumer.Source{
		Store: newStore(), Credential: credential, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	require.ErrorIs(t, err, rotation.ErrNotFound)
	require.Contains(t, log.String(), "no key from the store yet")
	require.NotContains(t, log.String(), "the last one")
}

func TestFollowLeavesACompromisedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(stored(rotation.RoleCurrent, 1))
		h := follow(t, s)
		s.set(compromised(rotation.RoleCurrent, 1), stored(rotation.RolePending, 2))
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		requireKey(t, 1, h) // there is nothing better
		s.set(stored(rotation.RoleCurrent, 2), compromised(rotation.RoleRetiring, 1))
		time.Sleep(time.Minute) // it is looking more often by now
		synctest.Wait()
		requireKey(t, 2, h)
	})
}

type panickingStore struct {
	*faultyStore
	on bool
}

func (s *panickingStore) Load(ctx context.Context, name string) (rotation.Versions, error) {
	if s.on {
		panic("hush-b")
	}
	return s.faultyStore.Load(ctx, name)
}

func TestFollowOutlivesAPanicOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &panickingStore{newStore(stored(rotation.RoleCurrent, 1)), false}
		h := follow(t, s)
		s.on = true
		err := h.Deploy(t.Context(), deploy(rotation.RoleCurrent, 2))
		require.ErrorContains(t, err, "panicked")
		require.NotContains(t, err.Error(), "hush")
		requireKey(t, 1, h)
	})
}

func TestCloseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if a goroutine is left
		s := newStore(stored(rotation.RoleCurrent, 1))
		h, err := consumer.Follow(t.Context(), consumer.Source{Store: s, Credential: credential})
		require.NoError(t, err)
		require.NoError(t, h.Check(t.Context()))
		require.NoError(t, h.Close())
		require.NoError(t, h.Close())

		loads := s.count()
		s.set(stored(rotation.RoleCurrent, 2))
		time.Sleep(time.Hour)
		requireKey(t, 1, h)
		require.False(t, h.Reject(t.Context(), key(1)))
		require.Error(t, h.Deploy(t.Context(), deploy(rotation.RoleCurrent, 2)))
		require.Error(t, h.Check(t.Context()))
		require.Equal(t, loads, s.count())
	})
}

func TestCloseEndsALookThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &hangingStore{newStore(stored(rotation.RoleCurrent, 1)), false}
		h, err := consumer.Follow(t.Context(), consumer.Source{Store: s, Credential: credential})
		require.NoError(t, err)
		s.on = true
		begin := time.Now()
		require.ErrorIs(t, h.Deploy(t.Context(), deploy(rotation.RoleCurrent, 2)), context.DeadlineExceeded)
		require.Equal(t, 30*time.Second, time.Since(begin))
		go h.Reject(t.Context(), key(1))
		synctest.Wait()
		begin = time.Now()
		require.NoError(t, h.Close())
		require.Zero(t, time.Since(begin))
	})
}

// A store that does not heed its context is waited for: afterwards nothing runs that could still call it.
func TestCloseWaitsForALookThatGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(stored(rotation.RoleCurrent, 1))
		h, err := consumer.Follow(t.Context(), consumer.Source{Store: s, Credential: credential})
		require.NoError(t, err)
		s.onLoad(func() { time.Sleep(5 * time.Second) })
		go h.Deploy(t.Context(), deploy(rotation.RoleCurrent, 1))
		synctest.Wait()
		begin := time.Now()
		require.NoError(t, h.Close())
		require.Equal(t, 5*time.Second, time.Since(begin))
	})
}

type hangingStore struct {
	*faultyStore
	on bool
}

func (s *hangingStore) Load(ctx context.Context, name string) (rotation.Versions, error) {
	if s.on {
		<-ctx.Done()
		return rotation.Versions{}, ctx.Err()
	}
	return s.faultyStore.Load(ctx, name)
}

func TestStaticNeverChanges(t *testing.T) {
	h := consumer.Static(key(1))
	requireKey(t, 1, h)
	require.False(t, h.Reject(t.Context(), key(1)))
	require.False(t, closed(h.Changed()))
	require.NoError(t, h.Deploy(t.Context(), deploy(rotation.RoleCurrent, 1)))
	require.Error(t, h.Deploy(t.Context(), deploy(rotation.RoleCurrent, 2)))
	require.NoError(t, h.Close())
	requireKey(t, 1, h)
}

func TestZeroHandleHasNoKey(t *testing.T) {
	var h consumer.Handle
	require.True(t, h.Key().IsZero())
	require.Nil(t, h.Changed())
	require.Error(t, h.Verify(t.Context(), key(1)))
	require.NoError(t, h.Close())
}

func TestKeyAllocatesNothing(t *testing.T) {
	h := consumer.Static(key(1))
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = h.Key() }))
}
