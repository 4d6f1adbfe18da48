// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package systems

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/consumer/k8s"
	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/issuer/pgusers"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/store/vaultkv"
)

const podCount = 2 // of the Deployment

// platformWorld is what a rotating process is told of a platform: PostgreSQL, whose users it rotates, Vault, where the passwords lie,
// and Kubernetes, where some of those run who use them.
type platformWorld struct {
	Dir string // with the journal

	Postgres string // host:port
	Admin    string // the DSN of who may change the users

	Vault, VaultToken string

	Kubernetes, KubernetesCA, KubernetesToken, Namespace string

	Service string // where the service with the pool says which key it uses
}

func init() { wire("platform", platformWorld.config) }

func (w platformWorld) store() (*vaultkv.Store, error) {
	client, err := api.NewClient(&api.Config{Address: w.Vault, Timeout: callTimeout})
	if err != nil {
		return nil, err
	}
	client.SetToken(w.VaultToken)
	return vaultkv.New(vaultkv.Config{Client: client, Prefix: "databases", Current: "password", Attributes: map[string]string{"user": "username"}})
}

func (w platformWorld) cluster() (kubernetes.Interface, error) {
	return kubernetes.NewForConfig(&rest.Config{
		Host: w.Kubernetes, BearerToken: w.KubernetesToken, TLSClientConfig: rest.TLSClientConfig{CAFile: w.KubernetesCA},
		QPS: 100, Burst: 200, Timeout: callTimeout,
	})
}

// base is where users log in, as an application.
func (w platformWorld) base(application string) (*pgx.ConnConfig, error) {
	base, err := pgx.ParseConfig("postgres://" + w.Postgres + "/postgres?sslmode=disable&connect_timeout=5")
	if err == nil {
		base.RuntimeParams["application_name"] = application
	}
	return base, err
}

func (w platformWorld) config(ctx context.Context) (rotation.Config, error) {
	progress, err := openJournal(ctx, w.Dir)
	if err != nil {
		return rotation.Config{}, err
	}
	secrets, err := w.store()
	if err != nil {
		return rotation.Config{}, err
	}
	admin, err := sql.Open("pgx", w.Admin)
	if err != nil {
		return rotation.Config{}, err
	}
	context.AfterFunc(ctx, func() { _ = admin.Close() })
	users, err := pgusers.New(pgusers.Config{DB: admin, Server: w.Postgres, Users: []string{"orders_a", "orders_b"}})
	if err != nil {
		return rotation.Config{}, err
	}
	base, err := w.base("handover")
	if err != nil {
		return rotation.Config{}, err
	}
	cluster, err := w.cluster()
	if err != nil {
		return rotation.Config{}, err
	}
	pods, err := k8s.NewRollout(k8s.RolloutConfig{Client: cluster, Namespace: w.Namespace, Name: "api", Credential: "orders-db", Store: secrets})
	if err != nil {
		return rotation.Config{}, err
	}
	sessions, err := users.Sessions("api", podCount) // a pod keeps one connection open
	if err != nil {
		return rotation.Config{}, err
	}
	return rotation.Config{
		Journal: progress, Store: secrets, Policy: quick, Lease: lease, CallTimeout: callTimeout, ClockSkew: clockSkew,
		Credentials: []rotation.Credential{{
			Name: "orders-db", Type: rotation.Database, Issuer: users, Verifier: pgusers.Login(base),
			Consumers: []rotation.Binding{
				{Name: "orders", Consumer: consumer.Replicas{URL: w.Service}, Lag: poolLag},
				{Name: pods.Workload().String(), Consumer: pods, Verifier: sessions},
			},
		}},
	}, nil
}

// platform is a running one, with a service that queries through a pool 200 times a second, and pods that query 20 times each.
type platform struct {
	world     platformWorld
	postgres  *servers.PostgresServer
	vault     *servers.VaultServer
	cluster   *servers.KubernetesServer
	secrets   rotation.SecretStore
	first     rotation.Key
	seen      *values
	service   *service
	load      *load
	node      *node
	processes *stage
	began     time.Time
}

func startPlatform(t *testing.T) *platform {
	t.Helper()
	p := &platform{cluster: servers.Shared(t, servers.Kubernetes), vault: servers.Vault(t), postgres: servers.Postgres(t), began: time.Now()}
	adminPassword := secret.Random(16).Reveal()
	p.world = platformWorld{
		Dir: t.TempDir(), Postgres: p.postgres.Addr, Admin: p.postgres.DSN("rotator", adminPassword, "postgres"),
		Vault: p.vault.URL, VaultToken: p.vault.Token,
		Kubernetes: p.cluster.URL, KubernetesCA: p.cluster.CAFile, KubernetesToken: p.cluster.Token,
	}
	p.first = rotation.Key{ID: "orders_a", Secret: secret.Random(16)}
	for _, statement := range []string{
		"CREATE ROLE orders NOLOGIN",
		"CREATE ROLE orders_a LOGIN PASSWORD '" + p.first.Secret.Reveal() + "' IN ROLE orders",
		"CREATE ROLE orders_b NOLOGIN IN ROLE orders",
		"ALTER ROLE orders_a SET role = orders",
		"ALTER ROLE orders_b SET role = orders",
		"CREATE ROLE rotator LOGIN CREATEROLE PASSWORD '" + adminPassword + "'",
		"GRANT pg_signal_backend TO rotator",
		"GRANT orders_a, orders_b TO rotator WITH ADMIN OPTION",
		"CREATE TABLE orders (id int)",
		"ALTER TABLE orders OWNER TO orders",
	} {
		p.do(t, statement)
	}
	var err error
	p.secrets, err = p.world.store()
	require.NoError(t, err)
	require.NoError(t, store.Seed(t.Context(), p.secrets, "orders-db", p.first))
	p.seen = &values{store: p.secrets, credential: "orders-db"}
	p.seen.collect(t.Context())

	p.service = startService(t, p.secrets, "orders-db", "orders")
	p.world.Service = p.service.url
	base, err := p.world.base("orders")
	require.NoError(t, err)
	p.load = &load{name: "the pool"}
	db := sql.OpenDB(consumer.Connector(p.service.handle, p.load.logins(pgusers.Connect(base), pgusers.Rejected)))
	t.Cleanup(func() { db.Close() })
	bound(db)
	p.load.start(t, 200, pgusers.Rejected, query(db))

	p.node = startNode(t, p)
	p.processes = newStage(t, "platform", p.world)
	return p
}

// do runs a statement as the superuser.
func (p *platform) do(t *testing.T, statement string) {
	t.Helper()
	root, err := sql.Open("pgx", p.postgres.DSN(p.postgres.User, p.postgres.Password, "postgres"))
	require.NoError(t, err)
	defer root.Close()
	_, err = root.ExecContext(t.Context(), statement)
	require.NoError(t, err)
}

// looksRight fails the test unless the rotation has ended well: the old password is refused, one user can log in, and no value was
// said or recorded.
func (p *platform) looksRight(t *testing.T, st rotation.Status) {
	t.Helper()
	t.Logf("the rotation took %.1f s, of %.1f s under load", st.Last.EndedAt.Sub(st.Last.BeganAt).Seconds(), time.Since(p.began).Seconds())
	p.seen.collect(t.Context())
	key := rotated(t, st, p.secrets)
	base, err := p.world.base("test")
	require.NoError(t, err)
	login := pgusers.Login(base)
	require.ErrorIs(t, login.Verify(t.Context(), p.first), rotation.ErrRejected)
	require.NoError(t, login.Verify(t.Context(), key))
	root, err := sql.Open("pgx", p.postgres.DSN(p.postgres.User, p.postgres.Password, "postgres"))
	require.NoError(t, err)
	defer root.Close()
	var live int
	require.NoError(t, root.QueryRowContext(t.Context(),
		"SELECT count(*) FROM pg_authid WHERE rolname LIKE 'orders\\__' AND (rolcanlogin OR rolpassword IS NOT NULL)").Scan(&live))
	require.Equal(t, 1, live, "users that can log in, or have a password, as the server lists them")
	require.Len(t, p.seen.all, 2)
	p.seen.silent(t, "the rotating processes' output", p.processes.said.String(), p.world.VaultToken, p.world.KubernetesToken, p.world.Admin)
	p.seen.silent(t, "the journal", journalText(t, p.world.Dir), p.world.VaultToken, p.world.KubernetesToken, p.world.Admin)
}
