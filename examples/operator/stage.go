// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/handover-go/handover/examples/internal/child"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

// replicas by name.
var replicas = []string{"replica-1", "replica-2", "replica-3"}

const hosts = 2

// stage is everything that runs: the provider and the receiver of the notices in this process, the rest in children.
type stage struct {
	options
	world    world
	items    []item
	random   *rand.Rand
	secrets  map[string]secret.Value // by the names of their variables
	provider *provider
	notices  notices
	watcher  *rotation.Rotator // reads the journal; it drives nothing
	kills    []kill
	began    time.Time // when the replicas were started
	took     time.Duration

	db       *sql.DB
	servers  []*http.Server
	postgres *child.Process
	hosts    []*child.Process
	replicas map[string]*running // those that run
}

// running is a replica that runs.
type running struct {
	*child.Process
	page string // URL of its status page
}

// newStage starts everything but the replicas, with keys that are in use and old.
func newStage(ctx context.Context, o options) (s *stage, err error) {
	s = &stage{options: o, items: inventory(o.n), random: rand.New(rand.NewPCG(o.seed, 1)), replicas: map[string]*running{}}
	s.secrets = map[string]secret.Value{
		storeKeyVar: secret.Random(32), adminVar: secret.Random(32), auditVar: secret.Random(32),
		noticeVar: secret.New("whsec_" + secret.Random(32).Reveal()),
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	s.world.Window = openWindow(time.Now())
	s.world.N, s.world.Pause = o.n, max(60*time.Millisecond, time.Duration(o.n)*5*time.Millisecond) // some 500 requests a second
	if s.world.Dir, err = os.MkdirTemp("", "handover-operator-"); err != nil {
		return nil, err
	}
	for _, sub := range []string{"secrets", "audit"} {
		if err := os.Mkdir(filepath.Join(s.world.Dir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	for _, step := range []func(context.Context) error{s.startJournal, s.startProvider, s.firstKeys, s.startHosts, s.startWatcher} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// startJournal starts a PostgreSQL if there is one.
func (s *stage) startJournal(context.Context) (err error) {
	bin := installedPostgres()
	if s.sqlite || bin == "" {
		fmt.Fprintln(s.story, "The journal is a SQLite file.")
		return nil
	}
	if s.postgres, err = child.Start(nil, "database", bin); err != nil {
		return err
	}
	if s.world.Postgres, err = s.postgres.Line(); err == nil {
		fmt.Fprintf(s.story, "The journal is in PostgreSQL, from %s.\n", bin)
	}
	return err
}

// startProvider starts what this process plays: the provider, and the receiver of the notices.
func (s *stage) startProvider(context.Context) (err error) {
	if s.provider, err = newProvider(s.items, s.secrets[adminVar], s.seed); err != nil {
		return err
	}
	if s.world.Provider, err = s.listen(s.provider); err != nil {
		return err
	}
	handler, err := s.notices.handler(s.secrets[noticeVar])
	if err != nil {
		return err
	}
	s.world.Notices, err = s.listen(handler)
	return err
}

// firstKeys makes the keys that are in use today and puts them under rotation: store.Seed is everybody's first step. They
// are older than any policy allows, so all of them are due.
func (s *stage) firstKeys(ctx context.Context) error {
	client := &http.Client{Transport: administrator{s.secrets[adminVar]}}
	var g errgroup.Group
	g.SetLimit(8)
	for _, item := range s.items {
		age := time.Duration(400+s.random.IntN(400)) * 24 * time.Hour
		g.Go(func() error {
			secrets, err := s.world.openStore(item.name, s.secrets[storeKeyVar])
			if err != nil {
				return err
			}
			made, err := issuerOf(s.world, item.name, client).Issue(ctx, rotation.IssueRequest{Credential: item.name, Name: "made by hand"})
			if err != nil {
				return err
			}
			made.IssuedAt = time.Now().Add(-age)
			return store.Seed(ctx, secrets, item.name, made)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	sleep(ctx, edges[len(edges)-1]) // until every edge server knows them
	return ctx.Err()
}

// startHosts starts the services.
func (s *stage) startHosts(context.Context) error {
	for range hosts {
		h, err := child.Start(append(s.secretsFor(storeKeyVar), s.world.environment()), "host")
		if err != nil {
			return err
		}
		s.hosts = append(s.hosts, h)
	}
	for _, h := range s.hosts {
		base, err := h.Line()
		if err != nil {
			return err
		}
		s.world.Hosts = append(s.world.Hosts, strings.TrimPrefix(base, "http://"))
	}
	return nil
}

// startWatcher opens the journal for this process to read. It has the same inventory as a replica, because that is what is read.
func (s *stage) startWatcher(ctx context.Context) error {
	progress, db, err := s.world.openJournal(ctx)
	if err != nil {
		return err
	}
	s.db = db
	s.watcher, err = newRotator(s.world, "watcher", s.secrets[storeKeyVar], s.secrets[adminVar], progress)
	return err
}

// startReplica starts a replica, which waits for its release when it is ready. Replicas alone get the administrator's token.
func (s *stage) startReplica(name string) error {
	env := append(s.secretsFor(storeKeyVar, adminVar, noticeVar, auditVar), s.world.environment())
	r, err := child.Start(env, "replica", name)
	if err != nil {
		return err
	}
	s.replicas[name] = &running{Process: r}
	return nil
}

// secretsFor are the variables of a child that may know these secrets.
func (s *stage) secretsFor(names ...string) []string {
	var env []string
	for _, name := range names {
		env = append(env, name+"="+s.secrets[name].Reveal())
	}
	return env
}

// listen serves a handler on a free port of this machine.
func (s *stage) listen(handler http.Handler) (base string, err error) {
	server, base, err := child.Listen(handler)
	if err == nil {
		s.servers = append(s.servers, server)
	}
	return base, err
}

// close ends everything, last things first.
func (s *stage) close() {
	var errs []error
	for _, r := range s.replicas {
		errs = append(errs, r.Stop())
	}
	for _, h := range s.hosts {
		errs = append(errs, h.Stop())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Stop())
	}
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	if s.world.Dir != "" {
		errs = append(errs, os.RemoveAll(s.world.Dir))
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, "operator:", err)
	}
}
