// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/webhook"
)

// stage is everything that runs during the acts. All of it talks HTTP and shares nothing but the file with the secrets, so each
// part could be a process of its own; only the replay protection of the two replicas would have to move to where both reach it.
type stage struct {
	story   io.Writer
	dir     string
	secrets *store.File
	ledger  *ledger
	random  *rand.Rand

	sender    *sender
	attacker  *attacker
	rotator   *rotation.Rotator
	inventory func(overlap time.Duration) []rotation.Credential

	replicas []*replica
	hooks    map[string][]string // the public addresses of each endpoint
	internal []string            // host:port of each replica
	servers  []*http.Server
	stops    []context.CancelFunc
	crowd    sync.WaitGroup // the workers of the sender, and the attacker
}

// newStage starts everything, with secrets that are in use: what most webhooks are like on the day on which somebody decides to
// rotate them.
func newStage(ctx context.Context, seed uint64, story io.Writer) (s *stage, err error) {
	s = &stage{story: story, ledger: newLedger(), random: rand.New(rand.NewPCG(seed, 1)), hooks: map[string][]string{}}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "handover-receiver-"); err != nil {
		return nil, err
	}
	key := secret.Random(32) // unseals the store
	if s.secrets, err = s.open(key); err != nil {
		return nil, err
	}
	first, err := s.firstSecrets(ctx)
	if err != nil {
		return nil, err
	}
	if err = s.startReceiver(ctx, key); err != nil {
		return nil, err
	}
	admin := secret.Random(32)
	s.attacker = newAttacker(s.ledger, s.hooks)
	s.sender = newSender(admin, s.hooks, s.ledger, s.attacker.hear)
	for name, value := range first {
		if err = s.sender.hooks[name].set(value); err != nil {
			return nil, err
		}
	}
	api, err := s.listen(s.sender)
	if err != nil {
		return nil, err
	}
	s.inventory = func(overlap time.Duration) []rotation.Credential {
		return credentials("http://"+api, admin, s.internal, overlap)
	}
	if s.rotator, err = openRotator(s.secrets, s.inventory(2*time.Second)); err != nil {
		return nil, err
	}
	s.startCrowd()
	return s, nil
}

// open opens the store. Whoever has the key can, in as many processes as there are.
func (s *stage) open(key secret.Value) (*store.File, error) {
	return store.OpenFile(filepath.Join(s.dir, "secrets.sealed"), key)
}

// firstSecrets puts the secrets that are in use today under rotation: store.Seed is everybody's first step.
func (s *stage) firstSecrets(ctx context.Context) (map[string]secret.Value, error) {
	first := map[string]secret.Value{}
	for _, name := range names {
		first[name] = madeUp(name)
		key := rotation.Key{ID: name + "-2019", Secret: first[name]}
		if err := store.Seed(ctx, s.secrets, name, key); err != nil {
			return nil, err
		}
	}
	return first, nil
}

// startReceiver starts two replicas, each with an address for the senders and one for the rotator.
func (s *stage) startReceiver(ctx context.Context, key secret.Value) error {
	replay := webhook.NewReplayCache(100_000) // replicas on several machines share one that is not in memory
	app := newInbox(s.ledger, rand.New(rand.NewPCG(s.random.Uint64(), 2)))
	for n := range 2 {
		secrets, err := s.open(key)
		if err != nil {
			return err
		}
		r, err := newReplica(ctx, fmt.Sprintf("receiver-%d", n+1), secrets, replay, app)
		if err != nil {
			return err
		}
		s.replicas = append(s.replicas, r)
		public, err := s.listen(r.hooks)
		if err != nil {
			return err
		}
		internal, err := s.listen(r.internal)
		if err != nil {
			return err
		}
		s.internal = append(s.internal, internal)
		for _, name := range names {
			s.hooks[name] = append(s.hooks[name], "http://"+public+"/hooks/"+name)
		}
	}
	return nil
}

// startCrowd lets the deliveries begin, the genuine ones and the others.
func (s *stage) startCrowd() {
	ctx, stop := context.WithCancel(context.Background())
	s.stops = append(s.stops, stop)
	for _, name := range names {
		h := s.sender.hooks[name]
		for worker := range h.workers {
			random := rand.New(rand.NewPCG(s.random.Uint64(), 3))
			s.crowd.Go(func() { s.sender.work(ctx, h, worker, random) })
		}
		random := rand.New(rand.NewPCG(s.random.Uint64(), 4))
		s.crowd.Go(func() { s.attacker.work(ctx, name, random) })
	}
}

// listen serves a handler on a free port of this machine and returns the address.
func (s *stage) listen(handler http.Handler) (address string, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler}
	s.servers = append(s.servers, server)
	go server.Serve(listener) // until close
	return listener.Addr().String(), nil
}

// newClient is a client that keeps connections for everybody who shares it.
func newClient() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 50}}
}

// close ends everything, last things first.
func (s *stage) close() {
	for _, stop := range s.stops {
		stop()
	}
	s.crowd.Wait()
	if s.sender != nil {
		s.sender.queue.Wait()
	}
	for _, server := range s.servers {
		server.Close()
	}
	for _, r := range s.replicas {
		r.close()
	}
	if err := os.RemoveAll(s.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		fmt.Fprintln(os.Stderr, "receiver:", err)
	}
}
