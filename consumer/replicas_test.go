// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
)

// fleet is Replicas of servers with these handlers.
func fleet(t *testing.T, handlers ...http.Handler) (consumer.Replicas, []*httptest.Server) {
	var servers []*httptest.Server
	var addresses []string
	for _, h := range handlers {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		servers = append(servers, s)
		addresses = append(addresses, s.Listener.Addr().String())
	}
	return consumer.Replicas{
		URL: "http://payments.prod.svc:9090/key?token=hush",
		Lookup: func(_ context.Context, host string) ([]string, error) {
			if host != "payments.prod.svc" {
				return nil, errors.New("another host")
			}
			return addresses, nil
		},
	}, servers
}

func replica(t *testing.T, name string, s rotation.SecretStore) *consumer.Handle {
	h, err := consumer.Follow(t.Context(), consumer.Source{Store: s, Credential: credential, Instance: name, Every: time.Hour})
	require.NoError(t, err)
	t.Cleanup(func() { h.Close() })
	return h
}

func TestReplicasAskEveryAddress(t *testing.T) {
	good, cutOff := newStore(stored(rotation.RoleCurrent, 1)), newStore(stored(rotation.RoleCurrent, 1))
	f, _ := fleet(t, replica(t, "a", good), replica(t, "b", good), replica(t, "c", cutOff))
	f.Least = 3
	require.NoError(t, f.Check(t.Context()))
	begin := time.Now()
	instances, err := f.Observe(t.Context())
	require.NoError(t, err)
	names := map[string]bool{}
	for _, i := range instances {
		require.Equal(t, identityOf(key(1)), i.Key)
		require.False(t, i.AsOf.Before(begin))
		names[i.Name] = true
	}
	require.Equal(t, map[string]bool{"a": true, "b": true, "c": true}, names)
	require.NoError(t, f.Verify(t.Context(), key(1)))

	good.set(stored(rotation.RoleCurrent, 2))
	err = f.Deploy(t.Context(), deploy(rotation.RoleCurrent, 2))
	require.ErrorIs(t, err, rotation.ErrNotYet)
	require.ErrorContains(t, err, "1 of 3")
	require.ErrorContains(t, err, "c at 127.0.0.1")
	require.ErrorContains(t, f.Verify(t.Context(), key(2)), "1 of 3")
	require.ErrorContains(t, f.Verify(t.Context(), key(1)), "2 of 3")

	cutOff.set(stored(rotation.RoleCurrent, 2))
	require.NoError(t, f.Deploy(t.Context(), deploy(rotation.RoleCurrent, 2)))
	require.NoError(t, f.Verify(t.Context(), key(2)))
}

func TestReplicasCanary(t *testing.T) {
	s := newStore(stored(rotation.RoleCurrent, 1), stored(rotation.RolePending, 2))
	a, b := replica(t, "a", s), replica(t, "b", s)
	f, _ := fleet(t, a, b)
	require.NoError(t, f.Deploy(t.Context(), deploy(rotation.RolePending, 2)))
	requireKey(t, 2, a)
	requireKey(t, 2, b)
	require.NoError(t, f.Deploy(t.Context(), deploy(rotation.RoleCurrent, 1)))
	requireKey(t, 1, b)
}

func TestReplicasOneSilentAddressIsNoEvidence(t *testing.T) {
	s := newStore(stored(rotation.RoleCurrent, 1))
	a, b := replica(t, "a", s), replica(t, "b", s)
	text := func(body string, status int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			w.Write([]byte(body))
		})
	}
	for name, third := range map[string]http.Handler{
		"broken":         text("hush", 500),
		"something else": text("<html>hush", 200),
		"no instance":    text(`{"serial":2}`, 200),
		"redirect": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/key" {
				http.Redirect(w, r, "/other", http.StatusFound)
				return
			}
			w.Write([]byte(`{"instance":"c","serial":1}`))
		}),
		"closes": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			panic(http.ErrAbortHandler)
		}),
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := fleet(t, third, a, b)
			s.set(stored(rotation.RoleCurrent, 1))
			require.NoError(t, a.Deploy(t.Context(), deploy(rotation.RoleCurrent, 1)))
			s.set(stored(rotation.RoleCurrent, 2))
			instances, err := f.Observe(t.Context())
			require.Empty(t, instances)
			require.ErrorContains(t, err, "1 of 3 addresses")
			require.Error(t, f.Verify(t.Context(), key(1)))
			err = f.Deploy(t.Context(), deploy(rotation.RoleCurrent, 2))
			require.Error(t, err)
			require.NotErrorIs(t, err, rotation.ErrNotYet)
			require.NotContains(t, err.Error(), "hush")
			var public rotation.PublicError
			require.ErrorAs(t, err, &public)
			requireKey(t, 2, a) // the others were told all the same
			requireKey(t, 2, b)
		})
	}
	t.Run("down", func(t *testing.T) {
		f, servers := fleet(t, a, b)
		servers[1].Close()
		_, err := f.Observe(t.Context())
		require.ErrorContains(t, err, "connection refused")
	})
	t.Run("hangs", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f, _ := fleet(t, a, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		}))
		_, err := f.Observe(ctx)
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestReplicasLeastCountsProcesses(t *testing.T) {
	s := newStore(stored(rotation.RoleCurrent, 1))
	a := replica(t, "a", s)
	f, _ := fleet(t, a, a) // one process, two addresses
	f.Least = 2
	_, err := f.Observe(t.Context())
	require.ErrorContains(t, err, "1 processes at 2 addresses")
	require.Error(t, f.Deploy(t.Context(), deploy(rotation.RoleCurrent, 1)))
	require.Error(t, f.Check(t.Context()))

	f.Least = 0
	f.Lookup = func(context.Context, string) ([]string, error) { return nil, nil }
	_, err = f.Observe(t.Context())
	require.ErrorContains(t, err, "0 processes")
	f.Lookup = func(context.Context, string) ([]string, error) { return nil, &net.DNSError{IsNotFound: true} }
	_, err = f.Observe(t.Context())
	require.ErrorContains(t, err, "host not found")
}

func TestReplicasTellOfADerivedError(t *testing.T) {
	s := newStore(stored(rotation.RoleCurrent, 1))
	h := replica(t, "a", s)
	_, err := consumer.Derive(h, func(k rotation.Key) (int, error) {
		if k.Serial == 2 {
			return 0, errSealed
		}
		return 0, nil
	})
	require.NoError(t, err)
	f, _ := fleet(t, h, replica(t, "b", s))
	s.set(stored(rotation.RoleCurrent, 2))
	err = f.Deploy(t.Context(), deploy(rotation.RoleCurrent, 2))
	require.ErrorContains(t, err, "could not build")
	require.NotErrorIs(t, err, rotation.ErrNotYet)
	require.ErrorContains(t, f.Verify(t.Context(), key(2)), "1 of 2")
}

func TestReplicasKeepHostAndServerName(t *testing.T) {
	h := consumer.Static(key(1))
	var host, name string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, name = r.Host, r.TLS.ServerName
		h.ServeHTTP(w, r)
	}))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	f := consumer.Replicas{
		URL:    "https://example.com:" + port + "/key", // the name in the certificate of httptest
		Client: server.Client(),
		Lookup: func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil },
	}
	require.NoError(t, f.Verify(t.Context(), key(1)))
	require.Equal(t, "example.com:"+port, host)
	require.Equal(t, "example.com", name)
}

func TestReplicasWithAnotherTransport(t *testing.T) {
	h := consumer.Static(key(1))
	var asked []string
	f := consumer.Replicas{
		URL: "http://payments.prod.svc/key",
		Lookup: func(context.Context, string) ([]string, error) {
			return []string{"10.0.0.1", "10.0.0.1", "10.0.0.2"}, nil
		},
		Client: &http.Client{Transport: roundTripper(func(r *http.Request) *http.Response {
			asked = append(asked, r.URL.Host+" "+r.Host)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Result()
		})},
	}
	f.Lookup = func(context.Context, string) ([]string, error) { return []string{"10.0.0.1", "10.0.0.1"}, nil }
	require.NoError(t, f.Verify(t.Context(), key(1)))
	require.Equal(t, []string{"10.0.0.1:80 payments.prod.svc"}, asked)
	f.URL = "https://payments.prod.svc/key"
	require.ErrorContains(t, f.Validate(), "Replicas.Client.Transport")

	f.URL = "http://payments.prod.svc/key"
	f.Client.Transport = roundTripper(func(*http.Request) *http.Response { panic("hush") })
	_, err := f.Observe(t.Context())
	require.ErrorContains(t, err, "panicked")
}

func TestReplicasNameTheirMistakes(t *testing.T) {
	for url, want := range map[string]string{"": "required", "payments": "absolute", "ftp://x": "absolute", "http://u:hush@[": "absolute"} {
		f := consumer.Replicas{URL: url, Least: -1}
		_, observed := f.Observe(t.Context())
		for _, err := range []error{f.Validate(), f.Check(t.Context()), f.Deploy(t.Context(), deploy("", 1)), f.Verify(t.Context(), key(1)), observed} {
			assert.ErrorContains(t, err, "Replicas.URL")
			assert.ErrorContains(t, err, want)
			assert.ErrorContains(t, err, "Replicas.Least")
			assert.NotContains(t, err.Error(), "hush")
		}
	}
	f := consumer.Replicas{URL: "http://u:hush@x/key?t=hush"}
	require.Equal(t, "http://x/key", f.Identity())
	require.False(t, strings.Contains(f.Identity(), "hush"))
}
