// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/examples/internal/child"
)

// host is a machine that runs an instance of every service: one process for all of them, to spare yours. Each instance follows
// the store, never stops calling the provider with its key, and says which key it has:
//
//	GET, POST /{service}/{credential}    the Handle of that instance, for consumer.Replicas
//	GET       /lost                      how many of the requests got no answer at all
func host(ctx context.Context, _ []string) error {
	w, err := worldOfChild()
	if err != nil {
		return err
	}
	h := &fleet{world: w, mux: http.NewServeMux(), network: &http.Transport{MaxIdleConnsPerHost: 32}}
	h.mux.HandleFunc("GET /lost", h.serveLost)
	defer h.close()
	for _, item := range inventory(w.N) {
		for _, service := range item.services {
			if err := h.follow(ctx, service, item.name); err != nil {
				return err
			}
		}
	}
	for _, u := range h.users {
		h.running.Go(func() { h.use(ctx, u) })
	}
	return child.Serve(ctx, h.mux)
}

// fleet is what runs on one host.
type fleet struct {
	world   world
	mux     *http.ServeMux
	network *http.Transport // to the provider
	users   []*instance
	running sync.WaitGroup

	mu    sync.Mutex
	lost  int    // guarded by mu
	first string // guarded by mu: what happened to the first of them
}

// instance is one process's part of a service, as far as one of its credentials goes.
type instance struct {
	service, url string
	handle       *consumer.Handle
	client       *http.Client
}

// follow is what a service does to have a live key: three calls.
func (h *fleet) follow(ctx context.Context, service, credential string) error {
	secrets, err := h.world.openStore(credential, secretOf(storeKeyVar))
	if err != nil {
		return err
	}
	handle, err := consumer.Follow(ctx, consumer.Source{
		Store: secrets, Credential: credential, Every: 10 * time.Second, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	transport := &consumer.Transport{Handle: handle, Origin: h.world.Provider, Base: h.network}
	h.users = append(h.users, &instance{
		service: service, url: h.world.account(credential) + "/v1/payments", handle: handle,
		client: &http.Client{Transport: transport, Timeout: 20 * time.Second},
	})
	h.mux.Handle("/"+service+"/"+credential, handle)
	return nil
}

// use sends one request after the other until ctx ends, at irregular moments: traffic in step with the rotation that it
// tests sees nothing.
func (h *fleet) use(ctx context.Context, u *instance) {
	for ctx.Err() == nil {
		if err := u.call(); err != nil {
			h.lose(u.service + ": " + err.Error())
		}
		sleep(ctx, h.world.Pause/2+rand.N(h.world.Pause))
	}
}

// call makes one request. A 401 is none of its business: the provider counts those, where no retry can hide them.
func (u *instance) call() error {
	req, err := http.NewRequest(http.MethodPost, u.url, nil) // not under ctx: a request that has begun is carried through
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", u.service)
	resp, err := u.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusCreated && resp.StatusCode != http.StatusUnauthorized {
		return errors.New(resp.Status)
	}
	return nil
}

// losses is the answer of /lost.
type losses struct {
	Lost  int    `json:"lost"`
	First string `json:"first"`
}

func (h *fleet) lose(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lost++
	if h.first == "" {
		h.first = what
	}
}

func (h *fleet) serveLost(w http.ResponseWriter, _ *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	json.NewEncoder(w).Encode(losses{h.lost, h.first})
}

func (h *fleet) close() {
	h.running.Wait()
	for _, u := range h.users {
		u.handle.Close()
	}
}

// sleep returns after d, or when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
