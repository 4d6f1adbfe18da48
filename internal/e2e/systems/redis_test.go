// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package systems

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/issuer/redisacl"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

// redisWorld is what the rotating process of TestRedis is told.
type redisWorld struct {
	Dir           string // with the journal and the store
	StoreKey      string
	Addr          string
	Admin         string
	AdminPassword string
	Services      []string // where the users of the credential say which key they use
}

func init() { wire("redis", redisWorld.config) }

func (w redisWorld) store() (*store.File, error) {
	return store.OpenFile(filepath.Join(w.Dir, "secrets"), secret.New(w.StoreKey))
}

func (w redisWorld) issuer(ctx context.Context) (*redisacl.Issuer, error) {
	admin := redis.NewClient(&redis.Options{Addr: w.Addr, Username: w.Admin, Password: w.AdminPassword, ContextTimeoutEnabled: true})
	context.AfterFunc(ctx, func() { _ = admin.Close() })
	return redisacl.New(redisacl.Config{User: "app", Nodes: []*redis.Client{admin}})
}

func (w redisWorld) config(ctx context.Context) (rotation.Config, error) {
	progress, err := openJournal(ctx, w.Dir)
	if err != nil {
		return rotation.Config{}, err
	}
	secrets, err := w.store()
	if err != nil {
		return rotation.Config{}, err
	}
	users, err := w.issuer(ctx)
	if err != nil {
		return rotation.Config{}, err
	}
	c := rotation.Credential{Name: "app-redis", Type: rotation.Database, Issuer: users}
	for n, url := range w.Services {
		c.Consumers = append(c.Consumers, rotation.Binding{Name: fmt.Sprintf("service-%d", n+1), Consumer: consumer.Replicas{URL: url}})
	}
	return rotation.Config{
		Journal: progress, Store: secrets, Credentials: []rotation.Credential{c}, Policy: quick,
		Lease: lease, CallTimeout: callTimeout, ClockSkew: clockSkew,
	}, nil
}

// An ACL user of Redis gets its second password, and loses its first, while two services use it 100 times a second each. The
// rotating process is killed when the new password is current in the store and one of the services has it; another one carries on.
func TestRedis(t *testing.T) {
	server := servers.Redis(t)
	root := redis.NewClient(&redis.Options{Addr: server.Addr, Username: server.User, Password: server.Password})
	t.Cleanup(func() { root.Close() })
	do := func(command string) any {
		t.Helper()
		var args []any
		for _, a := range strings.Fields(command) {
			args = append(args, a)
		}
		answer, err := root.Do(t.Context(), args...).Result()
		require.NoError(t, err)
		return answer
	}
	first, adminPassword := secret.Random(16), secret.Random(16).Reveal()
	do("ACL SETUSER app on >" + first.Reveal() + " ~app:* +@all -@dangerous")
	do("ACL SETUSER handover on >" + adminPassword + " +acl|getuser +acl|setuser +acl|save +acl|whoami +acl|dryrun +client|kill +config|get +config|rewrite +info")
	do("ACL SAVE")

	world := redisWorld{Dir: t.TempDir(), StoreKey: secret.Random(32).Reveal(), Addr: server.Addr, Admin: "handover", AdminPassword: adminPassword}
	secrets, err := world.store()
	require.NoError(t, err)
	require.NoError(t, store.Seed(t.Context(), secrets, "app-redis", rotation.Key{ID: redisacl.ID(first), Secret: first}))

	// Two services: each asks its Handle for the password of each new connection.
	rejected := func(err error) bool {
		return strings.HasPrefix(err.Error(), "WRONGPASS") || strings.HasPrefix(err.Error(), "NOAUTH") || strings.HasPrefix(err.Error(), "NOPERM")
	}
	var services []*service
	var loads []*load
	for _, name := range []string{"service 1", "service 2"} {
		s := startService(t, secrets, "app-redis", name)
		client := redis.NewClient(&redis.Options{
			Addr: server.Addr, ConnMaxLifetime: 100 * time.Millisecond,
			CredentialsProvider: func() (user, password string) { return "app", s.handle.Key().Secret.Reveal() },
		})
		t.Cleanup(func() { client.Close() })
		services, world.Services = append(services, s), append(world.Services, s.url)
		loads = append(loads, startLoad(t, name, 100, rejected, func(ctx context.Context) error { return client.Incr(ctx, "app:n").Err() }))
	}

	seen := &values{store: secrets, credential: "app-redis"}
	seen.collect(t.Context())
	processes := newStage(t, "redis", world)
	services[1].deaf.Store(true)
	began := time.Now()
	one := processes.start(t)
	processes.await(t, "app-redis", "one service has the new password", deployed(1))
	seen.collect(t.Context())
	one.kill(t)
	services[1].deaf.Store(false)
	processes.start(t)
	st := processes.await(t, "app-redis", "the end", ended)
	seen.collect(t.Context())
	t.Logf("the rotation took %.1f s, with the kill", time.Since(began).Seconds())

	key := rotated(t, st, secrets)
	for _, l := range loads {
		l.worked(t, 100)
	}
	users, err := world.issuer(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, users.Verify(t.Context(), rotation.Key{Secret: first}), rotation.ErrRejected)
	require.NoError(t, users.Verify(t.Context(), key))
	passwords := do("ACL GETUSER app").(map[any]any)["passwords"].([]any)
	require.Len(t, passwords, 1, "of the user, as the server lists them")
	require.True(t, strings.HasPrefix(passwords[0].(string), key.ID))
	require.Len(t, seen.all, 2)
	seen.silent(t, "the rotating processes' output", processes.said.String(), adminPassword, world.StoreKey)
	seen.silent(t, "the journal", journalText(t, world.Dir), adminPassword, world.StoreKey)
}
