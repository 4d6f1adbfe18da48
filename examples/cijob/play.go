// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/examples/internal/child"
	"github.com/handover-go/handover/examples/quickstart/keyservice"
	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

const (
	schedule = 700 * time.Millisecond // between two runs: an hour, in production
	mostRuns = 60
)

// Result is what -json prints.
type Result struct {
	Runs     int      `json:"runs"`
	Rotated  bool     `json:"rotated"`
	Requests int      `json:"requests"` // of the service, with its key
	Rejected int      `json:"rejected"`
	Lost     int      `json:"lost"` // requests without any answer
	Seconds  float64  `json:"seconds"`
	Broken   []string `json:"broken"` // promises
}

// promise notes a promise that was not kept.
func (r *Result) promise(kept bool, format string, args ...any) {
	if !kept {
		r.Broken = append(r.Broken, fmt.Sprintf(format, args...))
	}
}

// stage is what is there between the runs: the provider, the service, and the file with the secrets.
type stage struct {
	provider *keyservice.Service
	service  *service
	secrets  *store.File
	settings map[string]string // environment of a run
	dir      string
	servers  []*http.Server
	stop     context.CancelFunc // of the service's customers
}

// play is the schedule: it starts one run after the other until the credential has a new key and no old one.
func play(ctx context.Context, story io.Writer) (r Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute) // it takes ten seconds
	defer cancel()
	s, err := newStage(ctx)
	if err != nil {
		return r, err
	}
	defer s.close()
	watcher, err := newRotator(func(name string) string { return s.settings[name] })
	if err != nil {
		return r, err
	}
	r.Broken = []string{}
	began := time.Now()
	for r.Runs < mostRuns && !r.Rotated && ctx.Err() == nil {
		r.Runs++
		said, err := s.run(ctx)
		fmt.Fprintf(story, "%5.1f s  run %d\n%s", time.Since(began).Seconds(), r.Runs, indent(said))
		r.promise(err == nil, "run %d ends well: %v", r.Runs, err)
		st, err := watcher.Status(ctx, gateway)
		if err != nil {
			return r, err
		}
		r.Rotated = st.Last != nil && st.Last.Outcome == rotation.Rotated && st.Generation == 2 && st.Open == nil
		sleep(ctx, schedule)
	}
	r.Seconds = time.Since(began).Seconds()
	if ctx.Err() != nil {
		return r, context.Cause(ctx)
	}
	return r, s.judge(ctx, &r, story)
}

// run is what the schedule starts: this program, with -once.
func (s *stage) run(ctx context.Context) (said string, err error) {
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, program, "-once")
	cmd.Env = os.Environ()
	for name, value := range s.settings {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *stage) judge(ctx context.Context, r *Result, story io.Writer) error {
	stored, err := s.secrets.Load(ctx, gateway)
	if err != nil {
		return err
	}
	s.stop()
	r.Lost = s.service.close()
	count := s.provider.TakeCounts()["web"]
	r.Requests, r.Rejected = count.Requests, count.Refused
	current := stored.Key(rotation.RoleCurrent)
	r.promise(r.Rotated, "the rotation has ended")
	r.promise(r.Runs > 1, "it took several runs: %d", r.Runs)
	r.promise(r.Requests > 0, "the service calls the provider")
	r.promise(r.Rejected == 0 && r.Lost == 0, "no request is rejected or gets lost: %d, %d", r.Rejected, r.Lost)
	r.promise(slices.Equal(s.provider.Live(), []string{current.ID}), "the one live key is that of the store: %v, %s", s.provider.Live(), current)
	r.promise(len(stored.Keys) == 1, "the store has one key: %d", len(stored.Keys))
	fmt.Fprintf(story, "\nOne rotation in %d runs and %.1f s: %d requests, %d rejected, %d lost.\n", r.Runs, r.Seconds, r.Requests, r.Rejected, r.Lost)
	return nil
}

func newStage(ctx context.Context) (s *stage, err error) {
	s = &stage{settings: map[string]string{}}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "handover-cijob-"); err != nil {
		return nil, err
	}
	admin, storeKey := secret.Random(32), secret.Random(32)
	if s.provider, err = keyservice.New(keyservice.Config{Admin: admin, Edges: []time.Duration{0, 90 * time.Millisecond}, ListLag: 50 * time.Millisecond}); err != nil {
		return nil, err
	}
	provider, err := s.listen(s.provider)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(s.dir, "secrets.sealed")
	if s.secrets, err = store.OpenFile(path, storeKey); err != nil {
		return nil, err
	}
	if err = s.firstKey(ctx, provider, admin); err != nil {
		return nil, err
	}
	if s.service, err = newService(ctx, provider, s.secrets); err != nil {
		return nil, err
	}
	base, err := s.listen(s.service)
	if err != nil {
		return nil, err
	}
	s.settings = map[string]string{
		providerVar: provider, adminVar: admin.Reveal(), serviceVar: base, storeVar: path, storeKeyVar: storeKey.Reveal(),
	}
	customers, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.service.pay(customers)
	return s, nil
}

// firstKey makes the key that is in use today, which is older than its policy allows, and puts it under rotation.
func (s *stage) firstKey(ctx context.Context, provider string, admin secret.Value) error {
	made, err := issuer.REST{URL: provider + "/v1/api-keys", Client: &http.Client{Transport: administrator{admin}}}.
		Issue(ctx, rotation.IssueRequest{Credential: gateway, Name: "made by hand"})
	if err != nil {
		return err
	}
	made.IssuedAt = time.Now().AddDate(-1, 0, 0)
	sleep(ctx, 100*time.Millisecond) // until every edge server knows it
	return store.Seed(ctx, s.secrets, gateway, made)
}

// listen serves a handler on a free port of this machine.
func (s *stage) listen(handler http.Handler) (base string, err error) {
	server, base, err := child.Listen(handler)
	if err == nil {
		s.servers = append(s.servers, server)
	}
	return base, err
}

func (s *stage) close() {
	if s.stop != nil {
		s.stop()
	}
	if s.service != nil {
		s.service.close()
	}
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	errs = append(errs, os.RemoveAll(s.dir))
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, "cijob:", err)
	}
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("         " + line)
	}
	return b.String()
}
