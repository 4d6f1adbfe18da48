// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package systems

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/issuer/gitea"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

// giteaName is the credential: an access token of a user.
const giteaName = "robot-gitea"

// giteaQuiet is how long the old token has to be unused, by what Gitea says of it, before it dies.
const giteaQuiet = 4 * time.Second

// giteaWorld is what a rotating process of Gitea's tokens is told.
type giteaWorld struct {
	Dir               string // with the journal and the store
	StoreKey          string
	URL, User         string
	Admin, AdminToken string
	Portal, Release   []string // addresses of the processes of two consumers
	EnvFile           string   // of the third one; empty: there is none
}

func init() { wire("gitea", giteaWorld.config) }

func (w giteaWorld) store() (*store.File, error) {
	return store.OpenFile(filepath.Join(w.Dir, "secrets"), secret.New(w.StoreKey))
}

func (w giteaWorld) config(ctx context.Context) (rotation.Config, error) {
	progress, err := openJournal(ctx, w.Dir)
	if err != nil {
		return rotation.Config{}, err
	}
	secrets, err := w.store()
	if err != nil {
		return rotation.Config{}, err
	}
	tokens, err := gitea.New(gitea.Config{URL: w.URL, User: w.User, Admin: w.Admin, Password: secret.New(w.AdminToken)})
	if err != nil {
		return rotation.Config{}, err
	}
	context.AfterFunc(ctx, func() { _ = tokens.Close() })
	c := rotation.Credential{Name: giteaName, Type: rotation.APIKey, Issuer: tokens, Consumers: []rotation.Binding{
		{Name: "portal", Consumer: replicas(w.Portal)},
		{Name: "release", Consumer: replicas(w.Release)},
	}}
	if w.EnvFile != "" {
		mirror := consumer.EnvFile{Path: w.EnvFile, Variable: "GITEA_TOKEN"}
		c.Consumers = append(c.Consumers, rotation.Binding{Name: "mirror", Consumer: mirror})
	}
	policy := quick
	policy.Quiet, policy.Notice = giteaQuiet, -1 // else people are told of the restart of the mirror two days before
	return rotation.Config{
		Journal: progress, Store: secrets, Credentials: []rotation.Credential{c}, Policy: policy,
		Lease: lease, CallTimeout: callTimeout, ClockSkew: clockSkew,
	}, nil
}

// replicas is a service of several processes, each at an address.
func replicas(addresses []string) consumer.Replicas {
	lookup := func(context.Context, string) ([]string, error) { return addresses, nil }
	return consumer.Replicas{URL: "http://service.internal/key", Least: len(addresses), Lookup: lookup}
}

// Three consumers use one token: a portal of two processes; a release service with Gitea's own client; and a mirror that fetches with
// git and takes the token from its environment at the begin of a long run. The mirror tells nobody which token it has: what it does
// is known from Gitea's last_used_at. The rotating process is killed while it tells the release service: the new token is current in
// the store, and one of three has it. Another process carries on.
func TestGitea(t *testing.T) {
	s := startForge(t)
	portal := []*service{s.service(t, "portal-1"), s.service(t, "portal-2")}
	release := s.service(t, "release")
	mirror := s.mirror(t)
	told := stopAtDeploy(t, release)
	s.world.Portal, s.world.Release, s.world.EnvFile = addresses(portal...), addresses(release), mirror.file
	loads := []*load{
		startLoad(t, "portal-1", 10, isUnauthorized, s.getRepo(portal[0])),
		startLoad(t, "portal-2", 10, isUnauthorized, s.getRepo(portal[1])),
		startLoad(t, "release", 10, isUnauthorized, s.listReleases(t, release)),
		startLoad(t, "mirror", 2, isUnauthorized, mirror.lsRemote),
	}
	processes := newStage(t, "gitea", s.world)

	began := time.Now()
	one := processes.start(t)
	select {
	case <-told:
	case <-one.done:
		require.Fail(t, "the rotating process has ended")
	case <-time.After(patience):
		require.Fail(t, "nobody was told")
	}
	one.kill(t)
	st := processes.await(t, giteaName, "one of three has the new token", func(st rotation.Status) bool {
		return begun(rotation.PhaseDeploy)(st) && deployed(1)(st)
	})
	s.seen.collect(t.Context())
	found, err := s.secrets.Load(t.Context(), giteaName)
	require.NoError(t, err)
	assert.Equal(t, st.Open.NewID, found.Key(rotation.RoleCurrent).ID)
	assert.Equal(t, s.first.ID, found.Key(rotation.RolePrevious).ID)
	assert.Equal(t, st.Open.NewID, portal[0].handle.Key().ID)
	assert.Equal(t, s.first.ID, release.handle.Key().ID)
	assert.Len(t, s.tokens(t), 2)

	two := processes.start(t)
	processes.await(t, giteaName, "Gitea has told of the mirror", func(st rotation.Status) bool {
		return st.Open != nil && st.Open.Problem != nil && st.Open.Problem.Diagnosis == rotation.OldKeyInUse
	})
	mirror.nextRun()
	st = processes.await(t, giteaName, "the end", ended)
	took := time.Since(began)

	for _, l := range loads {
		l.worked(t, 5)
	}
	s.rotated(t, st)
	idle := st.Last.RevokedAt.Sub(mirror.lastUse(s.first))
	assert.GreaterOrEqual(t, idle, giteaQuiet-time.Second, "last_used_at is rounded to seconds")
	t.Logf("the rotation took %.1f s, with the kill; the old token was revoked %.1f s after its last use", took.Seconds(), idle.Seconds())
	two.stop()
	s.silent(t, processes)
}

// addresses are those of services, without a scheme.
func addresses(services ...*service) (all []string) {
	for _, s := range services {
		all = append(all, strings.TrimPrefix(s.url, "http://"))
	}
	return all
}
