// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/handover-go/handover/examples/internal/child"
)

// platform is what runs the services: in your company Kubernetes, systemd or a scheduler. It outlives the rotator, as they
// do, and the rotator talks to it by HTTP:
//
//	PUT /rollouts/{id}   restart the web service with a key: 200 done, 202 under way, 500 failed
//	GET /jobs/last       when the last run of the batch job began and ended, and whether it failed
type platform struct {
	world world
	env   []string // secrets for the consumers
	front front

	restart func(serial int64) error // restartWeb, but for tests

	mu      sync.Mutex
	latest  *rollout // the others do not matter: a key that was rolled back may come again under the same id
	lastRun jobRun
	rolling sync.Mutex // held for a whole rollout: one at a time, in the order in which they came
}

// rollout is one restart of the web service.
type rollout struct {
	id   string
	done chan struct{} // closed at the end; err may be read then
	err  error
}

// jobRun is one run of the batch job.
type jobRun struct {
	Began  time.Time `json:"began"`
	Ended  time.Time `json:"ended"` // zero: it goes on
	Failed bool      `json:"failed"`
}

func newPlatform(env []string) *platform {
	p := &platform{env: env}
	p.restart = p.restartWeb
	return p
}

// ServeHTTP is for the rotator.
func (p *platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, isRollout := strings.CutPrefix(r.URL.Path, "/rollouts/")
	switch {
	case isRollout && r.Method == http.MethodPut:
		p.serveRollout(w, r, id)
	case r.URL.Path == "/jobs/last" && r.Method == http.MethodGet:
		p.mu.Lock()
		defer p.mu.Unlock()
		json.NewEncoder(w).Encode(p.lastRun)
	default:
		http.NotFound(w, r)
	}
}

// serveRollout begins the rollout with this id, or tells how it is going if it is the latest. A failed one is tried again.
func (p *platform) serveRollout(w http.ResponseWriter, r *http.Request, id string) {
	var wanted struct{ Serial int64 }
	if err := json.NewDecoder(r.Body).Decode(&wanted); err != nil {
		http.Error(w, "not JSON", http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	ro := p.latest
	if ro == nil || ro.id != id {
		ro = &rollout{id: id, done: make(chan struct{})}
		p.latest = ro
		go func() {
			ro.err = p.restart(wanted.Serial)
			close(ro.done)
		}()
	}
	p.mu.Unlock()
	select {
	case <-ro.done:
		if ro.err != nil {
			p.forget(ro)
			http.Error(w, "the new instance did not become healthy", http.StatusInternalServerError)
		}
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

// forget makes room for another try.
func (p *platform) forget(failed *rollout) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.latest == failed {
		p.latest = nil
	}
}

// restartWeb starts a new instance of the web service, lets it take over when it is healthy, and only then ends the old one.
// An instance that does not get healthy never sees a request. Serial says which key it is to use; 0: the current one.
func (p *platform) restartWeb(serial int64) error {
	p.rolling.Lock()
	defer p.rolling.Unlock()
	web, base, err := p.startServer("web", "-serial", fmt.Sprint(serial))
	if err != nil {
		return err
	}
	if err := healthy(base + "/health"); err != nil {
		web.Kill()
		return err
	}
	next, err := newInstance(base, func() { web.Stop() })
	if err != nil {
		web.Kill()
		return err
	}
	p.front.handOver(next)
	return nil
}

// close ends the web service, after the rollout at hand.
func (p *platform) close() {
	p.rolling.Lock()
	defer p.rolling.Unlock()
	p.front.handOver(nil)
}

// startServer starts a child that serves HTTP and says where on its first line.
func (p *platform) startServer(role string, args ...string) (server *child.Process, base string, err error) {
	server, err = p.start(role, args...)
	if err != nil {
		return nil, "", err
	}
	if base, err = server.Line(); err != nil {
		return nil, "", fmt.Errorf("%s did not start: %w", role, err)
	}
	return server, base, nil
}

// start starts a child that may read the secret store.
func (p *platform) start(role string, args ...string) (*child.Process, error) {
	return child.Start(append(slices.Clone(p.env), p.world.environment()), role, args...)
}

// healthy asks a health page until it says yes.
func healthy(url string) error {
	deadline := time.Now().Add(3 * time.Second)
	for {
		resp, err := http.Get(url)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not healthy in time", url)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// runJobs runs the batch job, one short-lived process after the other, until ctx ends.
func (p *platform) runJobs(ctx context.Context, t *traffic) {
	for ctx.Err() == nil {
		p.setLastRun(jobRun{Began: time.Now()})
		job, err := p.start("batch")
		if err != nil {
			t.lose("batch", err)
			return
		}
		<-job.Done()
		t.jobEnded(job)
		p.mu.Lock()
		p.lastRun.Ended, p.lastRun.Failed = time.Now(), job.ExitCode() != 0
		p.mu.Unlock()
		sleep(ctx, 150*time.Millisecond)
	}
}

func (p *platform) setLastRun(r jobRun) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastRun = r
}

// sleep returns after d, or when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
