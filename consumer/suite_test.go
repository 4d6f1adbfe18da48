// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// uses is what a ConsumerSuite asks for the key in use.
type uses = func(context.Context) (rotation.Key, error)

// seeded is a store with a key that nobody knows, for consumers that need one to begin with.
func seeded(t *testing.T) *rotationtest.Store {
	t.Helper()
	s := rotationtest.NewStore()
	require.NoError(t, s.Save(t.Context(), credential, rotation.Versions{Keys: []rotation.StoredKey{stored(rotation.RoleCurrent, 1)}}))
	return s
}

// Each way of using a Handle is asked for what it really uses.
func TestConsumerSuiteHandle(t *testing.T) {
	for name, use := range map[string]func(*testing.T, *rotationtest.Provider, *consumer.Handle) uses{
		"itself": func(*testing.T, *rotationtest.Provider, *consumer.Handle) uses { return nil },
		"Key":    func(_ *testing.T, _ *rotationtest.Provider, h *consumer.Handle) uses { return keyOf(h) },
		"Transport": func(_ *testing.T, p *rotationtest.Provider, h *consumer.Handle) uses {
			const origin = "https://provider.example.com"
			client := &http.Client{Transport: &consumer.Transport{Handle: h, Origin: origin, Base: p}}
			return func(ctx context.Context) (rotation.Key, error) {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, origin+"/pay", nil)
				if err != nil {
					return rotation.Key{}, err
				}
				resp, err := client.Do(req)
				if err != nil {
					return rotation.Key{}, err
				}
				return p.Presented(), resp.Body.Close()
			}
		},
		"Derive": func(t *testing.T, _ *rotationtest.Provider, h *consumer.Handle) uses {
			d, err := consumer.Derive(h, func(k rotation.Key) (rotation.Key, error) { return k, nil })
			require.NoError(t, err)
			return func(context.Context) (rotation.Key, error) { return d.Get(), nil }
		},
		"Connector": func(t *testing.T, _ *rotationtest.Provider, h *consumer.Handle) uses {
			var used rotation.Key
			open := func(k rotation.Key) (driver.Connector, error) { return connects{func() { used = k }}, nil }
			db := sql.OpenDB(consumer.Connector(h, open))
			db.SetMaxIdleConns(-1) // each ping connects
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			return func(ctx context.Context) (rotation.Key, error) { err := db.PingContext(ctx); return used, err }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := rotationtest.NewProvider(), seeded(t)
				h := follow(t, s)
				suite := rotationtest.ConsumerSuite{
					Consumer: h, Uses: use(t, p, h), Store: s, Credential: credential,
					Mint: func(context.Context) (rotation.Key, error) { return p.Mint(), nil },
				}
				require.NoError(t, suite.Check(t.Context()))
			})
		})
	}
}

func keyOf(h *consumer.Handle) uses {
	return func(context.Context) (rotation.Key, error) { return h.Key(), nil }
}

// connects calls itself for each connection.
type connects struct{ connected func() }

func (c connects) Connect(context.Context) (driver.Conn, error) { c.connected(); return dbConn{}, nil }
func (connects) Driver() driver.Driver                          { return nil }

func TestConsumerSuiteReplicas(t *testing.T) {
	s := seeded(t)
	a, b, c := replica(t, "a", s), replica(t, "b", s), replica(t, "c", s)
	f, _ := fleet(t, a, b, c)
	f.Least = 3
	suite := rotationtest.ConsumerSuite{Consumer: f, Store: s, Credential: credential}
	t.Run("as they say", suite.Run)
	suite.Uses = func(context.Context) (rotation.Key, error) {
		if key := a.Key(); key.Equal(b.Key()) && key.Equal(c.Key()) {
			return key, nil
		}
		return rotation.Key{}, errors.New("they do not agree")
	}
	t.Run("as it is", suite.Run)
}

func TestConsumerSuiteReloadByHTTP(t *testing.T) {
	s := seeded(t)
	h := replica(t, "a", s)
	server := httptest.NewServer(h)
	defer server.Close()
	suite := rotationtest.ConsumerSuite{
		Consumer: consumer.Reload{URL: server.URL}, Uses: keyOf(h), Store: s, Credential: credential,
	}
	t.Run("a Handle", suite.Run)

	var now atomic.Pointer[rotation.Key]
	simple := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var order struct {
			Serial int64
			Role   rotation.Role
		}
		v, err := s.Load(r.Context(), credential)
		switch {
		case json.NewDecoder(r.Body).Decode(&order) != nil || err != nil:
			w.WriteHeader(http.StatusInternalServerError)
		case order.Role == rotation.RolePending:
			w.WriteHeader(http.StatusNotImplemented)
		case order.Serial != v.Key(rotation.RoleCurrent).Serial:
			w.WriteHeader(http.StatusConflict)
		default:
			key := v.Key(rotation.RoleCurrent)
			now.Store(&key)
		}
	}))
	defer simple.Close()
	suite.Consumer = consumer.Reload{URL: simple.URL}
	suite.Uses = func(context.Context) (rotation.Key, error) { return *now.Load(), nil }
	t.Run("one that reads the current key alone", suite.Run)
}

func TestConsumerSuitePolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := seeded(t)
		suite := rotationtest.ConsumerSuite{
			Consumer: consumer.Polling{Every: 66 * time.Second}, // a minute and a tenth
			Uses:     keyOf(follow(t, s)), Store: s, Credential: credential,
		}
		require.NoError(t, suite.Check(t.Context()))
		suite.Consumer = consumer.Polling{Every: 10 * time.Second} // a promise that nobody keeps
		require.ErrorContains(t, suite.Check(t.Context()), "Lag: ")
	})
}

// runs tells when the last run began: every 10 minutes, and never at the instant of a deployment.
func runs(now time.Time) time.Time {
	const late = 777 * time.Microsecond
	return now.Add(-late).Truncate(10 * time.Minute).Add(late)
}

func TestConsumerSuiteNextRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := seeded(t)
		var took atomic.Pointer[rotation.Key]
		begin := func() {
			if v, err := s.Load(t.Context(), credential); err == nil {
				key := v.Key(rotation.RoleCurrent)
				took.Store(&key)
			}
		}
		n := consumer.NextRun{
			Store: s, Credential: credential, Longest: time.Hour,
			LastRun: func(context.Context) (began, ended time.Time, err error) {
				return runs(time.Now()), time.Time{}, nil
			},
		}
		suite := rotationtest.ConsumerSuite{Consumer: n, Store: s, Credential: credential}
		require.NoError(t, suite.Check(t.Context()))

		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { // the job
			defer close(done)
			for ctx.Err() == nil {
				begin()
				select {
				case <-ctx.Done():
				case <-time.After(time.Until(runs(time.Now()).Add(10 * time.Minute))):
				}
			}
		}()
		suite.Uses = func(context.Context) (rotation.Key, error) { synctest.Wait(); return *took.Load(), nil }
		require.NoError(t, suite.Check(t.Context()))
		cancel()
		<-done
	})
}

// A person has to act: all that is proven is that it says so, that nothing leaks, and its checks.
func TestConsumerSuiteManual(t *testing.T) {
	m := consumer.Manual{Instructions: "Enter key {id} of {credential}, generation {generation}, which is named {name}."}
	nobody := func(context.Context) (rotation.Key, error) { return rotation.Key{}, nil }
	suite := rotationtest.ConsumerSuite{Consumer: m, Uses: nobody, Credential: credential}
	require.NoError(t, suite.Check(t.Context()))
}

// A service that embeds a Handle calls the provider while everything around it dies.
func TestSimulateHandle(t *testing.T) {
	rotationtest.Simulate(t, rotationtest.Simulation{
		Consumer: func(ctx context.Context, w *rotationtest.World) (rotationtest.Presenter, error) {
			h, err := consumer.Follow(ctx, consumer.Source{Store: w.Store, Credential: w.Credential, Instance: "me"})
			if err != nil {
				return rotationtest.Presenter{}, err
			}
			w.Cleanup(func() { h.Close() })
			return rotationtest.Presenter{Consumer: h, Uses: presentedBy(h, w.Provider)}, nil
		},
		Sample: 40,
	})
}

// presentedBy calls the provider with the key of a Handle and asks it which key came.
func presentedBy(h *consumer.Handle, p *rotationtest.Provider) uses {
	const origin = "https://provider.example.com"
	client := &http.Client{Transport: &consumer.Transport{Handle: h, Origin: origin, Base: p}}
	return func(ctx context.Context) (rotation.Key, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, origin+"/pay", nil)
		if err != nil {
			return rotation.Key{}, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return rotation.Key{}, err
		}
		return p.Presented(), resp.Body.Close()
	}
}
