// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
)

// front is the load balancer before a service that has to be restarted: requests go to one instance, and when another one
// takes over, the old one answers what it has begun and gets nothing more. Its zero value has no instance.
type front struct {
	mu  sync.Mutex
	now *instance
}

// instance is one running process of the service behind the front.
type instance struct {
	proxy  *httputil.ReverseProxy
	atHand sync.WaitGroup // requests that have not been answered
	stop   func()
}

func newInstance(base string, stop func()) (*instance, error) {
	target, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	return &instance{proxy: proxy, stop: stop}, nil
}

// ServeHTTP passes the request to the instance of the moment.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	i := f.now
	if i != nil {
		i.atHand.Add(1) // under the lock: after a switch nothing new begins on the old instance
	}
	f.mu.Unlock()
	if i == nil {
		http.Error(w, "no instance", http.StatusServiceUnavailable)
		return
	}
	defer i.atHand.Done()
	i.proxy.ServeHTTP(w, r)
}

// handOver makes next the instance of the moment (nil: none), and ends the one before when it has nothing left to answer.
func (f *front) handOver(next *instance) {
	f.mu.Lock()
	before := f.now
	f.now = next
	f.mu.Unlock()
	if before != nil {
		before.atHand.Wait()
		before.stop()
	}
}
