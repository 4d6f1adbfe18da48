// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/handover-go/handover/examples/internal/child"
)

// traffic is what the customers do: it never stops, and it notices everything.
//
// What the key service refuses is counted there, where no retry can hide it. What is counted here is the rest: requests
// that got lost before, such as a connection to an instance that was gone.
type traffic struct {
	client *http.Client

	mu    sync.Mutex
	lost  int
	first string // what happened to the first of them
}

func newTraffic() *traffic {
	return &traffic{client: &http.Client{Timeout: 10 * time.Second}}
}

// drive sends one request after the other to a consumer until ctx ends, at irregular moments: traffic in step with the
// services that it tests sees nothing.
func (t *traffic) drive(ctx context.Context, name, url string, random *rand.Rand) {
	for ctx.Err() == nil {
		if err := t.pay(url); err != nil {
			t.lose(name, err)
		}
		sleep(ctx, time.Duration(3+random.IntN(17))*time.Millisecond)
	}
}

// pay makes one payment. A 502 is a consumer whose key was refused: the key service has counted that.
func (t *traffic) pay(url string) error {
	resp, err := t.client.Post(url, "", nil) // not under ctx: a request that has begun is carried through
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusBadGateway {
		return fmt.Errorf("%s", resp.Status)
	}
	return nil
}

// jobEnded takes the result of a run of the batch job.
func (t *traffic) jobEnded(job *child.Process) {
	if code := job.ExitCode(); code != 0 && code != int(refusedByProvider) {
		t.lose("batch", fmt.Errorf("exit %d: %s", code, job.Log()))
	}
}

func (t *traffic) lose(name string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost++
	if t.first == "" {
		t.first = name + ": " + err.Error()
	}
}

// takeLost returns how many requests were lost since the last call, and what happened to the first of them.
func (t *traffic) takeLost() (n int, first string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, first = t.lost, t.first
	t.lost, t.first = 0, ""
	return n, first
}
