// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

func TestDeployLooksAtTheStoreNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(stored(rotation.RoleCurrent, 1))
		h := follow(t, s)
		err := h.Deploy(t.Context(), deploy(rotation.RoleCurrent, 2))
		require.ErrorIs(t, err, rotation.ErrNotYet)
		var public rotation.PublicError
		require.ErrorAs(t, err, &public)
		require.NotContains(t, public.Public(), "hush")

		s.set(stored(rotation.RoleCurrent, 2), stored(rotation.RolePrevious, 1))
		for range 2 {
			require.NoError(t, h.Deploy(t.Context(), deploy("", 2)))
		}
		requireKey(t, 2, h)
		require.NoError(t, h.Verify(t.Context(), identityOf(key(2))))
		require.Error(t, h.Verify(t.Context(), key(1)))
		require.NotErrorIs(t, h.Verify(t.Context(), key(1)), rotation.ErrRejected)
		instances, err := h.Observe(t.Context())
		require.NoError(t, err)
		require.Equal(t, []rotation.Instance{{Name: "me", Key: identityOf(key(2)), AsOf: time.Now()}}, instances)
		require.Zero(t, h.Lag())
	})
}

func TestDeployBelievesTheStoreAndNotTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(stored(rotation.RoleCurrent, 2), stored(rotation.RolePrevious, 1))
		h := follow(t, s)
		late := deploy(rotation.RoleCurrent, 1)
		require.ErrorIs(t, h.Deploy(t.Context(), late), rotation.ErrNotYet)
		requireKey(t, 2, h)

		other := deploy(rotation.RoleCurrent, 2)
		other.Key.Secret = secret.New("something else")
		require.ErrorIs(t, h.Deploy(t.Context(), other), rotation.ErrNotYet)

		s.fail(errSealed)
		err := h.Deploy(t.Context(), deploy(rotation.RoleCurrent, 2))
		require.ErrorIs(t, err, errSealed)
		require.NotErrorIs(t, err, rotation.ErrNotYet)
	})
}

func TestDeployRefusesWhatIsNotItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(stored(rotation.RoleCurrent, 1))
		h := follow(t, s)
		loads := s.count()
		req := deploy(rotation.RoleCurrent, 1)
		req.Credential = "another"
		require.ErrorContains(t, h.Deploy(t.Context(), req), "another")
		require.ErrorContains(t, h.Deploy(t.Context(), deploy(rotation.RoleRetiring, 1)), "retiring")
		require.Equal(t, loads, s.count())
	})
}

func TestCanary(t *testing.T) {
	pendingToo := []rotation.StoredKey{stored(rotation.RoleCurrent, 1), stored(rotation.RolePending, 2)}
	for _, c := range []struct {
		name string
		then []rotation.StoredKey
		want int
	}{
		{"promoted", []rotation.StoredKey{stored(rotation.RoleCurrent, 2), stored(rotation.RolePrevious, 1)}, 2},
		{"withdrawn", []rotation.StoredKey{stored(rotation.RoleCurrent, 1)}, 1},
		{"compromised", []rotation.StoredKey{stored(rotation.RoleCurrent, 1), compromised(rotation.RolePending, 2)}, 1},
		{"retiring", []rotation.StoredKey{stored(rotation.RoleCurrent, 1), stored(rotation.RoleRetiring, 2)}, 1},
		{"another one pending", []rotation.StoredKey{stored(rotation.RoleCurrent, 1), stored(rotation.RolePending, 3)}, 1},
		{"still pending", pendingToo, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore(stored(rotation.RoleCurrent, 1))
				h := follow(t, s)
				require.ErrorIs(t, h.Deploy(t.Context(), deploy(rotation.RolePending, 2)), rotation.ErrNotYet)
				s.set(pendingToo...)
				require.NoError(t, h.Deploy(t.Context(), deploy(rotation.RolePending, 2)))
				requireKey(t, 2, h)
				time.Sleep(time.Hour)
				synctest.Wait()
				requireKey(t, 2, h)
				s.set(c.then...)
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				requireKey(t, c.want, h)
				if c.want == 1 { // it does not come back by itself
					s.set(pendingToo...)
					time.Sleep(2 * time.Minute)
					synctest.Wait()
					requireKey(t, 1, h)
				}
			})
		})
	}
}

func TestCanaryNeedsAValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		empty := rotation.StoredKey{Key: identityOf(key(2)), Role: rotation.RolePending}
		h := follow(t, newStore(stored(rotation.RoleCurrent, 1), empty))
		require.ErrorIs(t, h.Deploy(t.Context(), deploy(rotation.RolePending, 2)), rotation.ErrNotYet)
		requireKey(t, 1, h)
	})
}

func TestCanaryIsRolledBackWhileTheKeyIsStillPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(stored(rotation.RoleCurrent, 1), stored(rotation.RolePending, 2))
		h := follow(t, s)
		require.NoError(t, h.Deploy(t.Context(), deploy(rotation.RolePending, 2)))
		require.NoError(t, h.Deploy(t.Context(), deploy(rotation.RoleCurrent, 1)))
		requireKey(t, 1, h)
		time.Sleep(time.Hour)
		synctest.Wait()
		requireKey(t, 1, h)
	})
}

// A look that began before the store was changed must not be the answer to a Deploy that came after the change.
func TestDeployIsNotAnsweredByAnOlderLook(t *testing.T) {
	for _, role := range []rotation.Role{rotation.RoleCurrent, rotation.RolePending} {
		synctest.Test(t, func(t *testing.T) {
			s := newStore(stored(rotation.RoleCurrent, 1))
			h := follow(t, s)
			s.onLoad(func() { time.Sleep(10 * time.Second) })
			go h.Deploy(t.Context(), deploy(rotation.RoleCurrent, 9))
			time.Sleep(time.Second) // it has read the old keys and takes its time
			switch role {
			case rotation.RoleCurrent:
				s.set(stored(role, 2))
			case rotation.RolePending:
				s.set(stored(rotation.RoleCurrent, 1), stored(role, 2))
			}
			require.NoError(t, h.Deploy(t.Context(), deploy(role, 2)))
			requireKey(t, 2, h)
		})
	}
}

func TestRejectLooksOnceForAGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(stored(rotation.RoleCurrent, 1))
		h := follow(t, s)
		s.onLoad(func() { time.Sleep(time.Second) })
		for n := 2; n < 5; n++ {
			s.set(stored(rotation.RoleCurrent, n))
			loads := s.count()
			answers := make(chan bool, 100)
			for range cap(answers) {
				go func() { answers <- h.Reject(t.Context(), key(n-1)) }()
			}
			for range cap(answers) {
				require.True(t, <-answers)
			}
			require.True(t, h.Reject(t.Context(), key(n-1)), "and for those who come late")
			require.Equal(t, 1, s.count()-loads)
		}
	})
}

func TestRejectLooksAgainLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(stored(rotation.RoleCurrent, 1))
		h, err := consumer.Follow(t.Context(), consumer.Source{Store: s, Credential: credential, Every: 24 * time.Hour})
		require.NoError(t, err)
		defer h.Close()

		loads := s.count()
		for range 36000 { // an hour of refusals, ten in a second
			require.False(t, h.Reject(t.Context(), key(1)))
			time.Sleep(100 * time.Millisecond)
		}
		tries := s.count() - loads
		require.Greater(t, tries, 4)
		require.Less(t, tries, 30)

		h2 := follow(t, s)
		require.False(t, h2.Reject(t.Context(), key(1)), "refused a moment before its successor is in the store")
		s.set(stored(rotation.RoleCurrent, 2))
		time.Sleep(2 * time.Second)
		require.True(t, h2.Reject(t.Context(), key(1)))
		requireKey(t, 2, h2)
	})
}

func TestRejectDoesNotDependOnTheFirstCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(stored(rotation.RoleCurrent, 1))
		h := follow(t, s)
		s.set(stored(rotation.RoleCurrent, 2))
		s.onLoad(func() { time.Sleep(time.Second) })
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan bool)
		go func() { first <- h.Reject(ctx, key(1)) }()
		synctest.Wait()
		second := make(chan bool)
		go func() { second <- h.Reject(t.Context(), key(1)) }()
		synctest.Wait()
		cancel()
		require.False(t, <-first)
		require.True(t, <-second)
	})
}

type client struct{ token string }

func TestDeriveFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(stored(rotation.RoleCurrent, 1))
		h := follow(t, s)
		d, err := consumer.Derive(h, func(k rotation.Key) (*client, error) { return &client{k.Secret.Reveal()}, nil })
		require.NoError(t, err)
		first := d.Get()
		require.Equal(t, "hush-b", first.token)
		time.Sleep(time.Hour)
		require.Same(t, first, d.Get(), "nothing changed")
		s.set(stored(rotation.RoleCurrent, 2))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, "hush-c", d.Get().token)
		require.Zero(t, testing.AllocsPerRun(10, func() { _ = d.Get() }))
	})
}

func TestDeriveKeepsTheOldValueWhenItCannotBuild(t *testing.T) {
	for name, trouble := range map[string]func(rotation.Key) error{
		"error": func(k rotation.Key) error { return fmt.Errorf("bad token %s", k.Secret.Reveal()) },
		"panic": func(k rotation.Key) error { panic(k.Secret.Reveal()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore(stored(rotation.RoleCurrent, 1))
				h := follow(t, s)
				var broken atomic.Bool
				broken.Store(true)
				d, err := consumer.Derive(h, func(k rotation.Key) (string, error) {
					if k.Serial == 2 && broken.Load() {
						return "", trouble(k)
					}
					return k.Secret.Reveal(), nil
				})
				require.NoError(t, err)

				s.set(stored(rotation.RoleCurrent, 2))
				err = h.Deploy(t.Context(), deploy(rotation.RoleCurrent, 2))
				require.ErrorContains(t, err, "could not be built")
				require.NotErrorIs(t, err, rotation.ErrNotYet)
				require.NotContains(t, err.Error(), "hush")
				require.Equal(t, "hush-b", d.Get())
				requireKey(t, 2, h)
				require.Error(t, h.Verify(t.Context(), key(2)))
				require.NoError(t, h.Check(t.Context()), "a rotation may be the repair")
				instances, _ := h.Observe(t.Context())
				require.Equal(t, identityOf(key(1)), instances[0].Key, "not all of this process has moved")

				broken.Store(false)
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				require.Equal(t, "hush-c", d.Get())
				require.NoError(t, h.Verify(t.Context(), key(2)))
			})
		})
	}
}

func TestDeriveOnceMoreIfTheKeyChangesMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(stored(rotation.RoleCurrent, 1))
		h := follow(t, s)
		d, err := consumer.Derive(h, func(k rotation.Key) (string, error) {
			s.set(stored(rotation.RoleCurrent, 2))
			time.Sleep(2 * time.Minute)
			return k.ID, nil
		})
		require.NoError(t, err)
		require.Equal(t, key(2).ID, d.Get())
		require.NoError(t, h.Verify(t.Context(), key(2)))
	})
}

func TestDeriveReturnsTheFirstError(t *testing.T) {
	mine := errors.New("mine")
	_, err := consumer.Derive(consumer.Static(key(1)), func(rotation.Key) (int, error) { return 0, mine })
	require.ErrorIs(t, err, mine)
	_, err = consumer.Derive[int](consumer.Static(key(1)), nil)
	require.ErrorContains(t, err, "build")
	_, err = consumer.Derive(nil, func(rotation.Key) (int, error) { return 0, nil })
	require.ErrorContains(t, err, "handle")
}

func TestHandleIdentityIsThatOfEveryReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := follow(t, newStore(stored(rotation.RoleCurrent, 1))), follow(t, newStore(stored(rotation.RoleCurrent, 2)))
		assert.Equal(t, a.Identity(), b.Identity())
		assert.Contains(t, a.Identity(), credential)
	})
}
