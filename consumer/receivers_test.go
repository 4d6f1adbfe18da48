// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

func answered(h http.Handler, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// mesh is Replicas of handlers, without a network: for bubbles of time.
func mesh(handlers ...http.Handler) consumer.Replicas {
	at := map[string]http.Handler{}
	var addresses []string
	for i, h := range handlers {
		address := fmt.Sprintf("10.0.0.%d", i+1)
		addresses = append(addresses, address)
		at[address+":80"] = h
	}
	return consumer.Replicas{
		URL:    "http://receiver.prod.svc/rotation",
		Lookup: func(context.Context, string) ([]string, error) { return addresses, nil },
		Client: &http.Client{Transport: roundTripper(func(r *http.Request) *http.Response { return answered(at[r.URL.Host], r) })},
	}
}

// process is one of a fleet of receivers, with a verifier and a store of its own if it needs one.
type process struct {
	*consumer.Receiver
	v *webhook.Verifier
}

func newProcess(t *testing.T, name string, s rotation.SecretStore) process {
	t.Helper()
	v := newVerifier(t)
	r, err := consumer.Receive(t.Context(), consumer.Source{Store: s, Credential: credential, Instance: name, Every: time.Hour}, v)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return process{r, v}
}

func TestReplicasOfReceiversDeploy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, slow := newStore(as(current, 1)), newStore(as(current, 1))
		a, b, c := newProcess(t, "a", good), newProcess(t, "b", good), newProcess(t, "c", slow)
		f := mesh(a, b, c)
		f.Least = 3
		require.NoError(t, f.Check(t.Context()))
		require.NoError(t, f.Deploy(t.Context(), accept(1)))

		good.set(as(pending, 2), as(current, 1))
		err := f.Deploy(t.Context(), accept(2, 1))
		require.ErrorIs(t, err, rotation.ErrNotYet)
		require.ErrorContains(t, err, "1 of 3")
		require.ErrorContains(t, err, "c at 10.0.0.3:80 accepts hook-12345 (generation 1)")
		requireAccepts(t, b.v, 2, 1)
		slow.set(as(pending, 2), as(current, 1))
		require.NoError(t, f.Deploy(t.Context(), accept(2, 1)))
		requireAccepts(t, c.v, 2, 1)

		drop := accept(2)
		drop.Emergency = true
		require.ErrorIs(t, f.Deploy(t.Context(), drop), rotation.ErrNotYet, "they take nothing but from the store")
		requireAccepts(t, a.v, 2, 1)
		good.set(as(current, 2), leaked(retiring, 1))
		slow.set(as(current, 2), leaked(retiring, 1))
		require.NoError(t, f.Deploy(t.Context(), drop))
		requireAccepts(t, a.v, 2)
		slow.set(as(current, 2), as(previous, 1)) // the replica of the store is behind again
		require.NoError(t, f.Deploy(t.Context(), drop), "it still accepts what it is to accept")
		requireAccepts(t, c.v, 2)

		good.set(leaked(current, 2))
		slow.set(leaked(current, 2))
		nothing := accept()
		require.NoError(t, f.Deploy(t.Context(), nothing))
		requireAccepts(t, a.v)
		nothing.Key = hook(2) // nothing is nothing, whatever else the request says
		require.NoError(t, f.Deploy(t.Context(), nothing))
		slow.fail(errSealed)
		require.NoError(t, f.Deploy(t.Context(), nothing))
		err = f.Deploy(t.Context(), accept(3))
		require.Error(t, err)
		require.NotErrorIs(t, err, rotation.ErrNotYet)
		require.NotContains(t, err.Error(), "hush")
	})
}

func TestReplicasOfReceiversObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newProcess(t, "a", newStore(as(current, 2), as(previous, 1))), newProcess(t, "b", newStore())
		now := time.Now()
		instances, err := mesh(a, b).Observe(t.Context())
		require.NoError(t, err)
		require.Equal(t, []rotation.Instance{
			{Name: "a", Key: identityOf(hook(2)), AsOf: now}, {Name: "a", Key: identityOf(hook(1)), AsOf: now}, {Name: "b", AsOf: now},
		}, instances)
	})
}

func TestReplicasOfReceiversVerify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newProcess(t, "a", newStore(as(current, 2), as(previous, 1))), newProcess(t, "b", newStore(as(current, 2)))
		f := mesh(a, b)
		f.Least = 2
		require.NoError(t, f.Verify(t.Context(), hook(2)))
		require.ErrorIs(t, f.Verify(t.Context(), hook(3)), rotation.ErrRejected)
		require.ErrorIs(t, f.Verify(t.Context(), rotation.Key{ID: hookID, Secret: secret.Random(32)}), rotation.ErrRejected)
		err := f.Verify(t.Context(), hook(1))
		require.ErrorContains(t, err, "1 accept")
		require.NotErrorIs(t, err, rotation.ErrRejected)

		// The value decides, not what it is called.
		wrong := hook(2)
		wrong.Secret = hook(3).Secret
		require.ErrorIs(t, f.Verify(t.Context(), wrong), rotation.ErrRejected)
		other := newProcess(t, "c", newStore(rotation.StoredKey{Key: wrong, Role: current}))
		err = mesh(a, other).Verify(t.Context(), hook(2))
		require.ErrorContains(t, err, "1 accept")
		require.NotErrorIs(t, err, rotation.ErrRejected)

		noValue := hook(2)
		noValue.Secret = secret.Value{}
		err = f.Verify(t.Context(), noValue)
		require.ErrorContains(t, err, "not known")
		require.NotErrorIs(t, err, rotation.ErrRejected)

		// The verifier is asked, and not the record.
		require.NoError(t, b.v.Set(webhook.Secret{ID: "by hand", Value: hook(3).Secret}))
		require.Error(t, f.Verify(t.Context(), hook(2)))
		require.NotErrorIs(t, f.Verify(t.Context(), hook(2)), rotation.ErrRejected)
		require.ErrorIs(t, mesh(b).Verify(t.Context(), hook(2)), rotation.ErrRejected)

		ended, cancel := context.WithCancel(t.Context())
		cancel()
		late := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.ServeHTTP(w, r.WithContext(ended)) })
		err = mesh(late).Verify(t.Context(), hook(2))
		require.Error(t, err, "not tried is not known")
		require.NotErrorIs(t, err, rotation.ErrRejected)
		require.NotErrorIs(t, err, errors.ErrUnsupported)

		f.Least = 3
		err = f.Verify(t.Context(), hook(4))
		require.Error(t, err, "too few know nothing")
		require.NotErrorIs(t, err, rotation.ErrRejected)
	})
}

func TestReplicasOfReceiversVerifierSuite(t *testing.T) {
	two, one := []rotation.StoredKey{as(current, 2), as(previous, 1)}, as(current, 2)
	f, _ := fleet(t, newProcess(t, "a", newStore(one)), newProcess(t, "b", newStore(one)))
	mixed, _ := fleet(t, newProcess(t, "a", newStore(as(current, 3))), newProcess(t, "b", newStore(two...)))
	mixed.Least = 2
	few, silent := f, f
	few.Least = 3
	silent, servers := fleet(t, newProcess(t, "a", newStore(one)), newProcess(t, "b", newStore(one)))
	servers[1].Close()
	both, _ := fleet(t, newProcess(t, "a", newStore(one)), replica(t, "b", newStore(one)))
	down := []rotation.Verifier{few, silent, both}
	rotationtest.VerifierSuite{Verifier: f, Live: hook(2), Dead: hook(3), Down: down}.Run(t)
	require.NotErrorIs(t, mixed.Verify(t.Context(), hook(1)), rotation.ErrRejected)
	require.Error(t, mixed.Verify(t.Context(), hook(1)))
}

func TestReplicasOfReceiversUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(as(current, 2), as(previous, 1))
		a := newProcess(t, "a", s)
		time.Sleep(time.Hour)
		b := newProcess(t, "b", s)
		restarted := time.Now()
		time.Sleep(time.Hour)
		_, err := a.v.Verify(t.Context(), signed(t, hook(1), "body"), []byte("body"))
		require.NoError(t, err)
		matched := time.Now()
		time.Sleep(time.Hour)
		f := mesh(a, b)
		f.Least = 2
		u, err := f.Usage(t.Context(), hook(1))
		require.NoError(t, err)
		require.True(t, equalUsage(rotation.Usage{LastUsed: matched, Since: restarted, AsOf: time.Now()}, u), "%+v", u)
		require.True(t, equalUsage(u, usageNow(t, mesh(b, a), 1)))
		u, err = f.Usage(t.Context(), hook(2))
		require.NoError(t, err)
		require.True(t, equalUsage(rotation.Usage{Since: restarted, AsOf: time.Now()}, u), "%+v", u)

		// One process has taken it out: its evidence ends there, and with it that of all.
		left := time.Now()
		require.NoError(t, b.Deploy(t.Context(), accept(2)))
		time.Sleep(time.Hour)
		u, err = f.Usage(t.Context(), hook(1))
		require.NoError(t, err)
		require.True(t, equalUsage(rotation.Usage{LastUsed: matched, Since: restarted, AsOf: left}, u), "%+v", u)

		// What one process does not know, all do not.
		require.NoError(t, a.Deploy(t.Context(), accept(3, 2)))
		u, err = f.Usage(t.Context(), hook(3))
		require.ErrorIs(t, err, rotation.ErrNotFound)
		require.ErrorContains(t, err, "b at 10.0.0.2")
		require.Zero(t, u)
		f.Least = 3
		_, err = f.Usage(t.Context(), hook(2))
		require.ErrorContains(t, err, "2 processes")
		_, err = mesh(replica(t, "h", newStore(stored(current, 1)))).Usage(t.Context(), key(1))
		require.ErrorIs(t, err, errors.ErrUnsupported)
	})
}

// Times are told by the clock of who asks: a process whose clock is wrong moves none.
func TestReplicasOfReceiversUsageByOneClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		behind := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			const hour = "2031-01-01T12:" // years ahead
			fmt.Fprintf(w, `{"instance":"a","as_of":"%[1]s30:00Z","accepts":[{"serial":11,"last_match":"%[1]s20:00Z","since":"%[1]s10:00Z","as_of":"%[1]s30:00Z"}]}`, hour)
		})
		now := time.Now()
		u, err := mesh(behind).Usage(t.Context(), hook(1))
		require.NoError(t, err)
		require.True(t, equalUsage(rotation.Usage{LastUsed: now.Add(-10 * time.Minute), Since: now.Add(-20 * time.Minute), AsOf: now}, u), "%+v", u)
	})
}

func TestReplicasTellHandlesAndReceiversApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(as(current, 1))
		h, r := replica(t, "h", s), newProcess(t, "r", s)
		loads := s.count()
		err := mesh(h).Deploy(t.Context(), accept(1))
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.Equal(t, loads, s.count())
		require.Error(t, mesh(h, r).Deploy(t.Context(), accept(1)))
		err = mesh(r).Deploy(t.Context(), rotation.DeployRequest{Credential: credential, Key: hook(1), Role: current})
		require.Error(t, err, "a key to present is not one to accept")
		require.Error(t, mesh(h, r).Verify(t.Context(), hook(1)))
		for _, answer := range []string{
			`{"instance":"x","accepts":[]}`, // without a time it is no evidence
			`{"as_of":"2000-01-01T00:00:00Z","accepts":[]}`,
			`{"instance":"x","as_of":"2000-01-01T00:00:00Z","accepts":[{"name":"` + strings.Repeat("x", 2000) + `"}]}`,
		} {
			strange := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) })
			_, err := mesh(strange).Observe(t.Context())
			require.ErrorContains(t, err, "not that of")
		}
		// The report counts, whatever the status says.
		for _, answer := range []string{
			`{"instance":"x","serial":12}`, // a Handle that knows of no sets
			`{"instance":"x","as_of":"2000-01-01T00:00:00Z","accepts":[{"serial":11}]}`,
		} {
			strange := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) })
			require.ErrorIs(t, mesh(strange).Deploy(t.Context(), accept(2)), rotation.ErrNotYet)
		}
	})
}
