// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package servers

import (
	"context"
	"testing"
)

// EtcdServer is an etcd of one member, which asks for no password until a test turns that on.
type EtcdServer struct {
	*Process
	Addr string // host:port of clients
	URL  string // http://host:port
}

// Etcd starts an etcd.
func Etcd(t testing.TB) *EtcdServer {
	t.Helper()
	path, ok := find([]string{"etcd"})
	if !ok {
		missing(t, notFound("etcd"))
	}
	s := &EtcdServer{Process: newProcess(t, "etcd", path)}
	s.Addr, _ = freeAddr(t)
	s.URL = "http://" + s.Addr
	peer, _ := freeAddr(t)
	s.args = []string{
		"--data-dir", s.folder("data"), "--unsafe-no-fsync", "--logger", "zap",
		"--listen-client-urls", s.URL, "--advertise-client-urls", s.URL,
		"--listen-peer-urls", "http://" + peer, "--initial-advertise-peer-urls", "http://" + peer, "--initial-cluster", "default=http://" + peer,
	}
	s.ready = func(ctx context.Context) error { return get(ctx, nil, s.URL+"/health") }
	s.Start()
	return s
}
