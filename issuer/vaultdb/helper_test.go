// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package vaultdb_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/issuer/vaultdb"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/verify"
	"github.com/hashicorp/vault/api"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { servers.Main(m) }

// place is a database secrets engine of its own, for the PostgreSQL that the tests share.
type place struct {
	*testing.T
	vault    *servers.VaultServer
	database *servers.PostgresServer
	admin    *api.Client
	mount    string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	return newPlaceOn(t, servers.Shared(t, servers.Vault))
}

func newPlaceOn(t *testing.T, vault *servers.VaultServer) *place {
	t.Helper()
	p := &place{T: t, vault: vault, database: servers.Shared(t, servers.Postgres), mount: "db-" + strings.ToLower(rand.Text()[:10])}
	p.admin = client(t, p.vault.URL, p.vault.Token)
	require.NoError(t, p.admin.Sys().MountWithContext(t.Context(), p.mount, &api.MountInput{Type: "database"}))
	p.write(p.mount+"/config/app", map[string]any{
		"plugin_name":    "postgresql-database-plugin",
		"connection_url": "postgresql://{{username}}:{{password}}@" + p.database.Addr + "/postgres?sslmode=disable",
		"username":       p.database.User, "password": p.database.Password, "allowed_roles": "*",
	})
	t.Cleanup(func() { // what a test left in the database must not keep the engine from going
		require.NoError(t, p.admin.Sys().RevokeForceWithContext(context.Background(), p.mount))
		require.NoError(t, p.admin.Sys().UnmountWithContext(context.Background(), p.mount))
	})
	return p
}

func (p *place) write(path string, body map[string]any) {
	p.Helper()
	_, err := p.admin.Logical().WriteWithContext(p.Context(), path, body)
	require.NoError(p, err)
}

// role makes a role whose leases last for ttl.
func (p *place) role(name, ttl string) {
	p.Helper()
	p.write(p.mount+"/roles/"+name, map[string]any{
		"db_name": "app", "default_ttl": ttl, "max_ttl": ttl,
		"creation_statements":   `CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'; GRANT CREATE ON SCHEMA public TO "{{name}}"`,
		"revocation_statements": `REVOKE ALL ON SCHEMA public FROM "{{name}}"; DROP ROLE IF EXISTS "{{name}}"`,
	})
}

// issuer is an Issuer of a role, with the administrator's token, changed by change.
func (p *place) issuer(role string, change ...func(*vaultdb.Config)) *vaultdb.Issuer {
	p.Helper()
	c := vaultdb.Config{Client: p.admin, Mount: p.mount, Role: role, Exclusive: true}
	for _, f := range change {
		f(&c)
	}
	i, err := vaultdb.New(c)
	require.NoError(p, err)
	return i
}

// token makes a token with these rules.
func (p *place) token(request api.TokenCreateRequest, rules ...string) string {
	p.Helper()
	policy := p.mount + "-" + strings.ToLower(rand.Text()[:6])
	require.NoError(p, p.admin.Sys().PutPolicyWithContext(p.Context(), policy, strings.Join(rules, "\n")))
	request.Policies = []string{policy}
	made, err := p.admin.Auth().Token().CreateWithContext(p.Context(), &request)
	require.NoError(p, err)
	return made.Auth.ClientToken
}

// rules are those of the documentation.
func (p *place) rules(role string) []string {
	return []string{
		fmt.Sprintf(`path "%s/creds/%s" { capabilities = ["read"] }`, p.mount, role),
		`path "sys/leases/revoke" { capabilities = ["update"] }`,
		`path "sys/leases/lookup" { capabilities = ["update"] }`,
		fmt.Sprintf(`path "sys/leases/lookup/%s/creds/%s/" { capabilities = ["list", "sudo"] }`, p.mount, role),
	}
}

// login presents keys to the database.
func (p *place) login() rotation.Verifier {
	return verify.Login{
		Open: func(key rotation.Key) (driver.Connector, error) {
			config, err := pgx.ParseConfig(p.database.DSN(key.Attributes[vaultdb.AttributeUser], key.Secret.Reveal(), "postgres"))
			if err != nil {
				return nil, err
			}
			return stdlib.GetConnector(*config), nil
		},
		Rejected: func(err error) bool {
			var refused *pgconn.PgError
			return errors.As(err, &refused) && refused.Code == "28P01" // a wrong password, an unknown user, one that has ended
		},
	}
}

// run runs a statement as the user of key.
func (p *place) run(key rotation.Key, statement string) {
	p.Helper()
	db, err := sql.Open("pgx", p.database.DSN(key.Attributes[vaultdb.AttributeUser], key.Secret.Reveal(), "postgres"))
	require.NoError(p, err)
	defer db.Close()
	_, err = db.ExecContext(p.Context(), statement)
	require.NoError(p, err)
}

func issue(t *testing.T, i *vaultdb.Issuer) rotation.Key {
	t.Helper()
	key, err := i.Issue(t.Context(), rotation.IssueRequest{Credential: "app", Name: "app-v2"})
	require.NoError(t, err)
	return key
}

func list(t *testing.T, i *vaultdb.Issuer) []string {
	t.Helper()
	keys, err := i.List(t.Context())
	require.NoError(t, err)
	ids := []string{}
	for _, k := range keys {
		require.False(t, k.Key.IssuedAt.IsZero())
		require.False(t, k.Key.ExpiresAt.IsZero())
		ids = append(ids, k.Key.ID)
	}
	return ids
}

func client(t *testing.T, address, token string) *api.Client {
	t.Helper()
	config := api.DefaultConfig()
	require.NoError(t, config.Error)
	config.Address = address
	c, err := api.NewClient(config)
	require.NoError(t, err)
	c.SetToken(token)
	c.ClearNamespace()
	return c
}

// inFront is a server in front of the real one: meet may answer a request itself and return true.
func inFront(t *testing.T, address string, meet func(w http.ResponseWriter, r *http.Request) bool) string {
	t.Helper()
	target, err := url.Parse(address)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !meet(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}
