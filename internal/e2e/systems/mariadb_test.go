// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package systems

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/issuer/mysqlusers"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

// mariadbWorld is what the rotating process of TestMariaDB is told.
type mariadbWorld struct {
	Dir      string // with the journal and the store
	StoreKey string
	Addr     string
	Admin    string   // the DSN of who may change the user
	Services []string // where the users of the credential say which key they use
}

func init() { wire("mariadb", mariadbWorld.config) }

func (w mariadbWorld) store() (*store.File, error) {
	return store.OpenFile(filepath.Join(w.Dir, "secrets"), secret.New(w.StoreKey))
}

// base is where users log in.
func (w mariadbWorld) base() *mysql.Config {
	base := mysql.NewConfig()
	base.Net, base.Addr, base.DBName = "tcp", w.Addr, "test"
	return base
}

func (w mariadbWorld) config(ctx context.Context) (rotation.Config, error) {
	progress, err := openJournal(ctx, w.Dir)
	if err != nil {
		return rotation.Config{}, err
	}
	secrets, err := w.store()
	if err != nil {
		return rotation.Config{}, err
	}
	admin, err := sql.Open("mysql", w.Admin)
	if err != nil {
		return rotation.Config{}, err
	}
	context.AfterFunc(ctx, func() { _ = admin.Close() })
	users, err := mysqlusers.New(mysqlusers.Config{DB: admin, Server: w.Addr, Users: []string{"orders"}})
	if err != nil {
		return rotation.Config{}, err
	}
	c := rotation.Credential{Name: "orders-db", Type: rotation.Database, Issuer: users, Verifier: mysqlusers.Login(w.base())}
	for n, url := range w.Services {
		c.Consumers = append(c.Consumers, rotation.Binding{Name: fmt.Sprintf("service-%d", n+1), Consumer: consumer.Replicas{URL: url}, Lag: poolLag})
	}
	return rotation.Config{
		Journal: progress, Store: secrets, Credentials: []rotation.Credential{c}, Policy: quick,
		Lease: lease, CallTimeout: callTimeout, ClockSkew: clockSkew,
	}, nil
}

// A MariaDB user gets a second password, and loses its first, while two services query through pools 100 times a second each. The
// rotating process is killed when the new password is current in the store and one of the services has it; another one carries on.
func TestMariaDB(t *testing.T) {
	server := servers.MariaDB(t)
	root, err := sql.Open("mysql", server.DSN(server.User, server.Password, "test"))
	require.NoError(t, err)
	t.Cleanup(func() { root.Close() })
	do := func(statement string) {
		t.Helper()
		_, err := root.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	first, adminPassword := secret.Random(16), secret.Random(16).Reveal()
	do("CREATE TABLE orders (id INT PRIMARY KEY)")
	do("CREATE USER orders IDENTIFIED BY '" + first.Reveal() + "'")
	do("GRANT SELECT ON test.* TO orders")
	do("CREATE USER rotator IDENTIFIED BY '" + adminPassword + "'")
	do("GRANT CREATE USER, PROCESS, CONNECTION ADMIN ON *.* TO rotator")
	do("GRANT SELECT ON mysql.* TO rotator")

	world := mariadbWorld{
		Dir: t.TempDir(), StoreKey: secret.Random(32).Reveal(), Addr: server.Addr, Admin: server.DSN("rotator", adminPassword, ""),
	}
	secrets, err := world.store()
	require.NoError(t, err)
	require.NoError(t, store.Seed(t.Context(), secrets, "orders-db", rotation.Key{ID: "orders", Secret: first}))

	// Two services, each with a pool.
	var services []*service
	var loads []*load
	for _, name := range []string{"service 1", "service 2"} {
		s := startService(t, secrets, "orders-db", name)
		l := &load{name: name}
		db := sql.OpenDB(consumer.Connector(s.handle, l.logins(mysqlusers.Connect(world.base()), mysqlusers.Rejected)))
		t.Cleanup(func() { db.Close() })
		bound(db)
		services, world.Services = append(services, s), append(world.Services, s.url)
		l.start(t, 100, mysqlusers.Rejected, query(db))
		loads = append(loads, l)
	}

	seen := &values{store: secrets, credential: "orders-db"}
	seen.collect(t.Context())
	processes := newStage(t, "mariadb", world)
	services[1].deaf.Store(true)
	began := time.Now()
	one := processes.start(t)
	processes.await(t, "orders-db", "one service has the new password", deployed(1))
	one.kill(t)
	services[1].deaf.Store(false)
	processes.start(t)
	st := processes.await(t, "orders-db", "the end", ended)
	seen.collect(t.Context())
	t.Logf("the rotation took %.1f s, with the kill", time.Since(began).Seconds())

	key := rotated(t, st, secrets)
	for _, l := range loads {
		l.worked(t, 100)
	}
	login := mysqlusers.Login(world.base())
	require.ErrorIs(t, login.Verify(t.Context(), rotation.Key{ID: "orders", Secret: first}), rotation.ErrRejected)
	require.NoError(t, login.Verify(t.Context(), key))
	var account string
	require.NoError(t, root.QueryRowContext(t.Context(), "SELECT Priv FROM mysql.global_priv WHERE User = 'orders'").Scan(&account))
	require.Equal(t, 1, strings.Count(account, `"authentication_string"`), "passwords of the user, as the server lists them")
	require.Len(t, seen.all, 2)
	seen.silent(t, "the rotating processes' output", processes.said.String(), adminPassword, world.StoreKey)
	seen.silent(t, "the journal", journalText(t, world.Dir), adminPassword, world.StoreKey)
}
