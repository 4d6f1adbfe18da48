// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestARestartLosesNoRequest(t *testing.T) {
	var f front
	var served atomic.Int64
	service := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { served.Add(1) })
	next := func() *instance {
		server := httptest.NewServer(service)
		// Close, after CloseClientConnections, is as rude as a process that is gone: what is still on its way fails.
		i, err := newInstance(server.URL, func() { server.CloseClientConnections(); server.Close() })
		require.NoError(t, err)
		i.proxy.Transport = &http.Transport{} // Close ends what is idle in the default one, whoever is about to use it
		return i
	}
	f.handOver(next())
	entrance := httptest.NewServer(&f)
	defer entrance.Close()

	enough := make(chan struct{})
	var customers sync.WaitGroup
	for range 4 {
		customers.Go(func() {
			customer := http.Client{Transport: &http.Transport{}}
			defer customer.CloseIdleConnections()
			for {
				select {
				case <-enough:
					return
				default:
				}
				resp, err := customer.Get(entrance.URL)
				if assert.NoError(t, err) {
					resp.Body.Close()
					assert.Equal(t, http.StatusOK, resp.StatusCode)
				}
			}
		})
	}
	for range 20 {
		before := served.Load()
		for served.Load() == before { // each instance gets some work
			runtime.Gosched()
		}
		f.handOver(next())
	}
	close(enough)
	customers.Wait()
	f.handOver(nil)

	resp, err := http.Get(entrance.URL)
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, http.StatusServiceUnavailable, resp.StatusCode, "nobody is behind it any more")
}
