// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"context"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

// accept asks for a set, the way the engine does.
func accept(ns ...int) rotation.DeployRequest {
	req := rotation.DeployRequest{ID: "d-1", Credential: credential, Consumer: "receiver", Role: current, Accept: hooks(ns...)}
	if len(ns) > 0 {
		req.Key = hook(ns[0])
	}
	return req
}

// step is one thing that happens to a receiver: what the store shows at the next look, or a Deploy, and what is accepted then.
type step struct {
	shows  []rotation.StoredKey
	deploy []int // nil: the store is looked at
	fails  bool  // Deploy, or the look, says that something is wrong
	want   []int
}

func shows(want []int, keys ...rotation.StoredKey) step { return step{shows: keys, want: want} }
func ignored(want []int, keys ...rotation.StoredKey) step {
	return step{shows: keys, want: want, fails: true}
}
func told(set ...int) step { return step{deploy: append([]int{}, set...), want: set} }

// Documents and deployments come in any order; documents come late, too, from a replica of the store that is behind.
func TestReceiverRemembersWhatItWasTold(t *testing.T) {
	for name, steps := range map[string][]step{
		"a rotation, the store first": {
			shows([]int{1}, as(current, 1)),
			shows([]int{2, 1}, as(pending, 2), as(current, 1)), told(2, 1),
			shows([]int{2, 1}, as(current, 2), as(previous, 1)),
			shows([]int{2}, as(current, 2), as(retiring, 1)), told(2),
			shows([]int{2}, as(current, 2)),
			shows([]int{3, 2}, as(pending, 3), as(current, 2)), told(3, 2),
		},
		"a rotation, Deploy first and the store behind": {
			shows([]int{1}, as(current, 1)),
			told(2, 1), shows([]int{2, 1}, as(current, 1)),
			shows([]int{2, 1}, as(pending, 2), as(current, 1)), shows([]int{2, 1}, as(current, 1)),
			shows([]int{2, 1}, as(current, 2), as(previous, 1)),
			told(2), ignored([]int{2}, as(current, 2), as(previous, 1)), ignored([]int{2}, as(current, 1)),
			shows([]int{2}, as(current, 2), as(retiring, 1)), ignored([]int{2}, as(current, 2), as(previous, 1)),
			shows([]int{2}, as(current, 2)), ignored([]int{2}, as(pending, 2), as(current, 1)),
			shows([]int{3, 2}, as(pending, 3), as(current, 2)), // newer, although nobody has told of it
		},
		"the first secret, and a store that is behind": {
			shows(nil), told(1), shows([]int{1}), shows([]int{1}, as(pending, 1)), shows([]int{1}), shows([]int{1}, as(current, 1)),
		},
		"a roll-back": {
			shows([]int{1}, as(current, 1)), told(2, 1), shows([]int{2, 1}, as(current, 2), as(previous, 1)),
			shows([]int{2, 1}, as(current, 1), as(pending, 2)), told(2, 1),
			shows([]int{1}, as(current, 1), as(retiring, 2)), told(1),
			ignored([]int{1}, as(current, 1), as(pending, 2)),
			shows([]int{1}, as(current, 1)), shows([]int{3, 1}, as(pending, 3), as(current, 1)),
		},
		"a roll-back that adds a secret again": {
			shows([]int{2, 1}, as(current, 2), as(previous, 1)),
			told(2), ignored([]int{2}, as(current, 2), as(previous, 1)),
			told(2, 1), shows([]int{2, 1}, as(current, 2), as(previous, 1)),
			told(1), ignored([]int{1}, as(current, 2), as(previous, 1)),
			shows([]int{1}, as(current, 1), as(retiring, 2)),
		},
		"a roll-back that adds one which the store has not shown again yet": {
			shows([]int{1}, as(current, 1)), told(2, 1), told(1), told(2, 1),
			shows([]int{2, 1}, as(current, 1)), shows([]int{2, 1}, as(pending, 2), as(current, 1)),
		},
		"an emergency, the store behind": {
			shows([]int{2, 1}, as(current, 2), as(previous, 1)),
			told(2), ignored([]int{2}, as(current, 2), as(previous, 1)),
			shows([]int{2}, as(current, 2), leaked(retiring, 1)), ignored([]int{2}, as(current, 2), as(previous, 1)),
		},
		"an emergency with a successor, the store behind": {
			shows([]int{1}, as(current, 1)),
			told(2), ignored([]int{2}, as(current, 1)), // not even what would be new there
			ignored([]int{2}, as(pending, 3), as(current, 1)),
			shows([]int{2}, as(pending, 2), leaked(current, 1)),
			shows([]int{2}, as(current, 2)), ignored([]int{2}, as(current, 1)),
		},
		"nothing in an emergency, the store down": {
			shows([]int{2, 1}, as(current, 2), as(previous, 1)),
			told(), ignored(nil, as(current, 2), as(previous, 1)), ignored(nil, as(pending, 2), as(current, 1)),
			shows(nil, leaked(current, 2), leaked(previous, 1)),
			shows([]int{3}, as(pending, 3), leaked(current, 2), leaked(previous, 1)), // nobody had to tell
			ignored([]int{3}, as(current, 2), as(previous, 1)),
			told(3), shows([]int{3}, as(current, 3), leaked(retiring, 2)),
		},
		"nothing in an emergency, and one of them was good": {
			shows([]int{2, 1}, as(current, 2), as(previous, 1)),
			told(), ignored(nil, as(current, 2), leaked(previous, 1)), // who said to refuse it says when not to
			told(2), shows([]int{2}, as(current, 2), leaked(previous, 1)),
		},
		"what the store shows as compromised nobody brings back": {
			shows([]int{2, 1}, as(current, 2), as(previous, 1)),
			shows([]int{2}, as(current, 2), leaked(previous, 1)),
			ignored([]int{2}, as(current, 2), as(previous, 1)),
			{deploy: []int{2, 1}, fails: true, want: []int{2}},
			shows([]int{2}, as(current, 2)),
			ignored([]int{2}, as(current, 1)),
			{deploy: []int{1}, fails: true, want: []int{2}},
		},
		"a deployment that comes too late": {
			shows([]int{2, 1}, as(current, 2), as(previous, 1)), told(2, 1),
			shows([]int{3, 2}, as(pending, 3), as(current, 2), as(retiring, 1)), told(3, 2),
			{shows: []rotation.StoredKey{as(pending, 3), as(current, 2), as(retiring, 1)}, deploy: []int{2, 1}, fails: true, want: []int{3, 2}},
		},
		"and one that only seems to": {
			shows([]int{2}, as(current, 2), as(retiring, 1)),
			{shows: []rotation.StoredKey{as(current, 1), as(retiring, 2)}, deploy: []int{1}, want: []int{1}},
		},
		"a document without what was deployed and with what is newer": {
			shows([]int{1}, as(current, 1)), told(2, 1), shows([]int{3, 1}, as(pending, 3), as(current, 1)),
		},
		"a document with what was deployed in another role": {
			shows([]int{1}, as(current, 1)), told(2, 1), shows([]int{1}, as(current, 1), as(retiring, 2)),
		},
		"or there without its number": {
			shows([]int{1}, as(current, 1)), told(2, 1),
			shows([]int{1}, as(current, 1), rotation.StoredKey{Key: rotation.Key{Secret: hook(2).Secret}, Role: retiring}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, v := newStore(steps[0].shows...), newVerifier(t)
				r := receive(t, s, v)
				for i, step := range steps {
					if step.deploy == nil || step.shows != nil {
						s.set(step.shows...)
					}
					if step.deploy == nil {
						nextLook()
						_, report, _ := ask(r, http.MethodGet, "")
						require.Equal(t, step.fails, report["problem"] == true, "step %d", i)
					} else if err := r.Deploy(t.Context(), accept(step.deploy...)); step.fails {
						require.Error(t, err, "step %d", i)
					} else {
						require.NoError(t, err, "step %d", i)
					}
					requireAccepts(t, v, step.want...)
				}
			})
		})
	}
}

// Deploy needs no store, and is done when it returns.
func TestReceiverDeployWhileTheStoreIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := newStore(as(current, 1)), newVerifier(t)
		r := receive(t, s, v)
		s.fail(errSealed)
		loads, begin := s.count(), time.Now()
		for _, set := range [][]int{{2, 1}, {2, 1}, {2}, {}, {1}, {3, 1}} {
			require.NoError(t, r.Deploy(t.Context(), accept(set...)))
			requireAccepts(t, v, set...)
		}
		require.Equal(t, loads, s.count())
		require.Zero(t, time.Since(begin))
		time.Sleep(time.Hour)
		requireAccepts(t, v, 3, 1)
	})
}

func TestReceiverDeployRefusesWhatIsNotForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := newStore(as(current, 1)), newVerifier(t)
		r := receive(t, s, v)
		other := accept(2)
		other.Credential = "another"
		require.ErrorContains(t, r.Deploy(t.Context(), other), "another")
		wrong := accept(2)
		wrong.Role = retiring
		require.Error(t, r.Deploy(t.Context(), wrong))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, r.Deploy(ctx, accept(2)), context.Canceled)
		requireAccepts(t, v, 1)
	})
}

// In an emergency the leaked secret has to go, whatever is wrong with the new one.
func TestReceiverDeployOfAnUnusableSecretDropsTheOthersAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := newStore(as(current, 2), as(previous, 1)), newVerifier(t)
		r := receive(t, s, v)
		req := accept(3, 2)
		req.Accept[0].Secret = secret.New("hush")
		for range 2 { // asked again it says so again
			err := r.Deploy(t.Context(), req)
			require.ErrorContains(t, err, "generation 3")
			require.NotContains(t, err.Error(), "hush")
			var public rotation.PublicError
			require.ErrorAs(t, err, &public)
			requireAccepts(t, v, 2)
		}
		req.Accept = req.Accept[:1]
		require.Error(t, r.Deploy(t.Context(), req))
		requireAccepts(t, v)
		require.NoError(t, r.Deploy(t.Context(), accept(2)))
		requireAccepts(t, v, 2)
	})
}

// A look that began before a Deploy and ends after it brings nothing back.
func TestReceiverDeployDuringALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, v := newStore(as(current, 2), as(previous, 1)), newVerifier(t)
		r := receive(t, s, v)
		s.onLoad(func() { time.Sleep(10 * time.Second) })
		go ask(r, http.MethodPost, "")
		time.Sleep(time.Second)
		require.NoError(t, r.Deploy(t.Context(), accept(3, 2)))
		time.Sleep(30 * time.Second)
		requireAccepts(t, v, 3, 2)
	})
}

// A hundred verify while secrets change, each with one that is accepted all the time: none is refused.
func TestReceiverRefusesNoGenuineDeliveryWhileSecretsChange(t *testing.T) {
	s, v := newStore(as(current, 1)), newVerifier(t)
	r, err := consumer.Receive(t.Context(), consumer.Source{Store: s, Credential: credential, Every: time.Hour}, v)
	require.NoError(t, err)
	defer r.Close()
	var oldest atomic.Int64 // that stays accepted for now
	oldest.Store(1)
	keys := make([]rotation.Key, 30)
	headers := make([]http.Header, len(keys))
	for n := range keys {
		keys[n] = rotation.Key{Generation: n, Serial: int64(n), Secret: secret.New("a webhook's secret number " + strconv.Itoa(n))}
		headers[n] = signed(t, keys[n], "body")
	}
	s.set(rotation.StoredKey{Key: keys[1], Role: current})
	require.NoError(t, r.Deploy(t.Context(), rotation.DeployRequest{Accept: keys[1:2]}))
	var verifiers sync.WaitGroup
	var done [100]atomic.Int64 // deliveries of each
	stop := make(chan struct{})
	for i := range done {
		verifiers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := oldest.Load()
				_, err := v.Verify(t.Context(), headers[n], []byte("body"))
				assert.NoError(t, err, "generation %d", n)
				done[i].Add(1)
				runtime.Gosched()
			}
		})
	}
	arrived := func() { // what is on its way, with an older secret perhaps
		var before [len(done)]int64
		for i := range done {
			before[i] = done[i].Load()
		}
		for i := range done {
			for done[i].Load() < before[i]+2 {
				runtime.Gosched()
			}
		}
	}
	for n := 2; n < len(keys); n++ {
		both := []rotation.Key{keys[n], keys[n-1]}
		doc := []rotation.StoredKey{{Key: keys[n], Role: pending}, {Key: keys[n-1], Role: current}}
		if n%2 == 0 { // the store first, or Deploy first
			s.set(doc...)
			ask(r, http.MethodPost, "")
			require.NoError(t, r.Deploy(t.Context(), rotation.DeployRequest{Accept: both}))
		} else {
			require.NoError(t, r.Deploy(t.Context(), rotation.DeployRequest{Accept: both}))
			ask(r, http.MethodPost, "") // an older document
			s.set(doc...)
			ask(r, http.MethodPost, "")
		}
		oldest.Store(int64(n))
		arrived()
		s.set(rotation.StoredKey{Key: keys[n], Role: current}, rotation.StoredKey{Key: keys[n-1], Role: retiring})
		require.NoError(t, r.Deploy(t.Context(), rotation.DeployRequest{Accept: both[:1]}))
	}
	close(stop)
	verifiers.Wait()
	_, err = v.Verify(t.Context(), headers[1], []byte("body"))
	require.ErrorIs(t, err, webhook.ErrMismatch)
}
