// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/handover-go/handover/examples/internal/child"
	"github.com/handover-go/handover/examples/quickstart/keyservice"
	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

// stage is everything that runs during the three acts: the provider, the platform, the services and their customers. The
// rotator is not on it: it is a process that comes and goes.
type stage struct {
	world    world
	story    io.Writer
	random   *rand.Rand
	storeKey secret.Value
	admin    secret.Value
	provider *keyservice.Service
	platform *platform
	traffic  *traffic
	watcher  *rotation.Rotator // reads the journal; it drives nothing
	marks    []rotation.Moment // what happened to the rotator in this act: the journal cannot know

	db      *sql.DB
	servers []*http.Server
	api     *child.Process
	stop    context.CancelFunc // of the customers and the jobs
	crowd   sync.WaitGroup     // the customers and the jobs
}

// newStage starts everything, with a first key that is in use: what most credentials are like on the day on which somebody
// decides to rotate them.
func newStage(ctx context.Context, seed uint64, story io.Writer) (s *stage, err error) {
	s = &stage{
		story:    story,
		random:   rand.New(rand.NewPCG(seed, 1)),
		storeKey: secret.Random(32),
		admin:    secret.Random(32),
		traffic:  newTraffic(),
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.world.Dir, err = os.MkdirTemp("", "handover-quickstart-"); err != nil {
		return nil, err
	}
	if err = s.startProvider(seed); err != nil {
		return nil, err
	}
	if err = s.firstKey(ctx); err != nil {
		return nil, err
	}
	if err = s.startServices(); err != nil {
		return nil, err
	}
	if s.watcher, s.db, err = openRotator(ctx, s.world, s.storeKey, s.admin); err != nil {
		return nil, err
	}
	s.startCrowd(seed)
	return s, nil
}

func (s *stage) startProvider(seed uint64) (err error) {
	s.provider, err = keyservice.New(keyservice.Config{
		Admin:   s.admin,
		Edges:   edges,
		ListLag: 50 * time.Millisecond,
		Latency: 20 * time.Millisecond,
		Random:  rand.New(rand.NewPCG(seed, 2)),
	})
	if err != nil {
		return err
	}
	s.world.Provider, err = s.listen(s.provider)
	return err
}

// firstKey makes the key that is in use today, by hand, and puts it under rotation: store.Seed is everybody's first step.
func (s *stage) firstKey(ctx context.Context) error {
	secrets, err := s.world.openStore(s.storeKey)
	if err != nil {
		return err
	}
	made, err := issuer.REST{
		URL:    s.world.Provider + "/v1/api-keys",
		Client: &http.Client{Transport: administrator{s.admin}},
	}.Issue(ctx, rotation.IssueRequest{Credential: gateway, Name: "made by hand in 2019"})
	if err != nil {
		return err
	}
	time.Sleep(edges[len(edges)-1]) // until every edge server knows it
	return store.Seed(ctx, secrets, gateway, made)
}

func (s *stage) startServices() (err error) {
	s.platform = newPlatform([]string{storeKeyVar + "=" + s.storeKey.Reveal()})
	if s.world.Platform, err = s.listen(s.platform); err != nil {
		return err
	}
	if s.world.Web, err = s.listen(&s.platform.front); err != nil {
		return err
	}
	s.platform.world = s.world
	if err = s.platform.restartWeb(0); err != nil {
		return err
	}
	s.api, s.world.API, err = s.platform.startServer("api")
	return err
}

// startCrowd lets the customers in, and the batch job begin.
func (s *stage) startCrowd(seed uint64) {
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	for i, url := range []string{s.world.Web, s.world.API} {
		for customer := range 2 {
			random := rand.New(rand.NewPCG(seed, uint64(10+2*i+customer)))
			s.crowd.Go(func() { s.traffic.drive(ctx, []string{"web", "api"}[i], url+"/pay", random) })
		}
	}
	s.crowd.Go(func() { s.platform.runJobs(ctx, s.traffic) })
}

// listen serves a handler on a free port of this machine.
func (s *stage) listen(handler http.Handler) (base string, err error) {
	server, base, err := child.Listen(handler)
	if err == nil {
		s.servers = append(s.servers, server)
	}
	return base, err
}

// startRotator starts a rotator process. It alone gets the administrator's token.
func (s *stage) startRotator(role string, args ...string) (*child.Process, error) {
	env := []string{storeKeyVar + "=" + s.storeKey.Reveal(), adminVar + "=" + s.admin.Reveal()}
	return child.Start(append(env, s.world.environment()), role, args...)
}

// current is the id of the key that the store has as current, and how many keys it has in all.
func (s *stage) current(ctx context.Context) (id string, keys int, err error) {
	secrets, err := s.world.openStore(s.storeKey)
	if err != nil {
		return "", 0, err
	}
	versions, err := secrets.Load(ctx, gateway)
	return versions.Key(rotation.RoleCurrent).ID, len(versions.Keys), err
}

// close ends everything, last things first.
func (s *stage) close() {
	if s.stop != nil {
		s.stop()
		s.crowd.Wait()
	}
	if s.platform != nil {
		s.platform.close()
	}
	if s.api != nil {
		s.api.Stop()
	}
	if s.db != nil {
		s.db.Close()
	}
	for _, server := range s.servers {
		server.Close()
	}
	if err := os.RemoveAll(s.world.Dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
	}
}
