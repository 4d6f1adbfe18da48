// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// The consumer of our own does what the engine counts on. So would yours be tested.
func TestRestartIsAConsumer(t *testing.T) {
	secrets := rotationtest.NewStore()
	var mu sync.Mutex
	var used rotation.Key
	restarts := 0
	p := newPlatform(nil)
	p.restart = func(serial int64) error { // the web service reads its key when it starts
		versions, err := secrets.Load(t.Context(), gateway)
		if err != nil {
			return err
		}
		for _, key := range versions.Accepted() {
			if key.Serial == serial {
				mu.Lock()
				defer mu.Unlock()
				used = key
				restarts++
				return nil
			}
		}
		return errors.New("no such key")
	}
	server := httptest.NewServer(p)
	defer server.Close()

	rotationtest.ConsumerSuite{
		Consumer: restart{server.URL},
		Uses: func(context.Context) (rotation.Key, error) {
			mu.Lock()
			defer mu.Unlock()
			return used, nil
		},
		Restarts: func(context.Context) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return restarts, nil
		},
		Store: secrets, Credential: gateway, Patience: 10 * time.Second,
	}.Run(t)
}
