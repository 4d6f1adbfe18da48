// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
)

// pollEvery is how often the service looks at the secret store.
const pollEvery = 300 * time.Millisecond

// service uses the key all the time. It follows the store, knows nothing of any rotation, and its health page says which key
// it has.
type service struct {
	provider string
	handle   *consumer.Handle
	client   *http.Client
	running  sync.WaitGroup

	mu   sync.Mutex
	lost int // guarded by mu: requests without any answer
}

func newService(ctx context.Context, provider string, secrets rotation.SecretStore) (*service, error) {
	handle, err := consumer.Follow(ctx, consumer.Source{Store: secrets, Credential: gateway, Every: pollEvery})
	if err != nil {
		return nil, err
	}
	s := &service{provider: provider, handle: handle}
	s.client = &http.Client{Transport: &consumer.Transport{Handle: handle, Origin: provider}, Timeout: 10 * time.Second}
	return s, nil
}

// ServeHTTP is the health page.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	health := map[string]string{"payment_gateway": "connected", "key_id": s.handle.Key().ID}
	if err := s.call(r.Context(), http.MethodGet, "/v1/test", "health"); err != nil {
		health["payment_gateway"] = "failing"
	}
	json.NewEncoder(w).Encode(health)
}

// pay sends one request after the other until ctx ends.
func (s *service) pay(ctx context.Context) {
	s.running.Go(func() {
		for ctx.Err() == nil {
			if err := s.call(context.WithoutCancel(ctx), http.MethodPost, "/v1/payments", "web"); err != nil {
				s.mu.Lock()
				s.lost++
				s.mu.Unlock()
			}
			sleep(ctx, time.Duration(3+rand.IntN(17))*time.Millisecond)
		}
	})
}

// call makes one request. A refusal is none of its business: the provider counts those, where no retry can hide them.
func (s *service) call(ctx context.Context, method, path, agent string) error {
	req, err := http.NewRequestWithContext(ctx, method, s.provider+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", agent)
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return nil
}

func (s *service) close() (lost int) {
	s.running.Wait()
	s.handle.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

// sleep returns after d, or when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
