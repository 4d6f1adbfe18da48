// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package troubleshooting_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
)

// network carries HTTP between the parts of one test, by host. Servers and transport are those of net/http; the connections are
// in memory, so that a bubble's clock can pass over them.
type network struct {
	*http.Transport
	t *testing.T

	mu    sync.Mutex
	hosts map[string]*pipes // guarded by mu
}

func newNetwork(t *testing.T) *network {
	n := &network{t: t, hosts: map[string]*pipes{}}
	n.Transport = &http.Transport{DialContext: n.dial, DisableKeepAlives: true}
	t.Cleanup(n.CloseIdleConnections)
	return n
}

// client is a client without any authority.
func (n *network) client() *http.Client { return &http.Client{Transport: n} }

// serve listens under the name of a host until stop is called, or the test ends. Nobody else listens there meanwhile.
func (n *network) serve(host string, h http.Handler) (stop func()) {
	p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{Handler: h}
	var wg sync.WaitGroup
	wg.Go(func() { assert.ErrorIs(n.t, server.Serve(p), http.ErrServerClosed) })
	n.mu.Lock()
	n.hosts[host] = p
	n.mu.Unlock()
	stop = sync.OnceFunc(func() {
		n.mu.Lock()
		delete(n.hosts, host)
		n.mu.Unlock()
		assert.NoError(n.t, server.Close())
		wg.Wait()
	})
	n.t.Cleanup(stop)
	return stop
}

// dial finds who listens; where nobody does, it is what the system says then.
func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	p := n.hosts[host]
	n.mu.Unlock()
	if p == nil {
		return nil, fmt.Errorf("dial %s: %w", address, syscall.ECONNREFUSED)
	}
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, fmt.Errorf("dial %s: %w", address, syscall.ECONNREFUSED)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pipes is a listener whose connections are in memory.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }
