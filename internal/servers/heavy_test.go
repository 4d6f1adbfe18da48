// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package servers

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVault(t *testing.T) {
	checkProcess(t, func(t *testing.T) *Process { return Vault(t).Process })
	t.Run("seal", func(t *testing.T) {
		s := Vault(t)
		ctx := t.Context()
		value := map[string]any{"data": map[string]string{"k": "v"}}
		require.NoError(t, s.Call(ctx, http.MethodPost, "secret/data/a", value, nil))
		s.Seal()
		assert.ErrorContains(t, s.Call(ctx, http.MethodGet, "secret/data/a", nil, nil), "503")
		s.Unseal()
		s.Stop()
		s.Start()
		var got struct {
			Data struct{ Data map[string]string }
		}
		require.NoError(t, s.Call(ctx, http.MethodGet, "secret/data/a", nil, &got))
		assert.Equal(t, map[string]string{"k": "v"}, got.Data.Data)
		other := *s
		other.Token = "wrong"
		assert.ErrorContains(t, other.Call(ctx, http.MethodGet, "secret/data/a", nil, nil), "403")
	})
	t.Run("database", func(t *testing.T) {
		s, db := Vault(t), Postgres(t)
		ctx := t.Context()
		post := func(path string, body map[string]any) {
			t.Helper()
			require.NoError(t, s.Call(ctx, http.MethodPost, path, body, nil))
		}
		post("sys/mounts/database", map[string]any{"type": "database"})
		post("database/config/pg", map[string]any{
			"plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "username": db.User, "password": db.Password,
			"connection_url": "postgresql://{{username}}:{{password}}@" + db.Addr + "/postgres?sslmode=disable",
		})
		post("database/roles/app", map[string]any{
			"db_name":             "pg",
			"creation_statements": `CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'`,
		})
		var lease struct {
			Data struct{ Username, Password string }
		}
		require.NoError(t, s.Call(ctx, http.MethodGet, "database/creds/app", nil, &lease))
		said, err := client(t, nil, "psql", "-Atc", "select 1", db.DSN(lease.Data.Username, lease.Data.Password, "postgres"))
		require.NoError(t, err, said)
		assert.Equal(t, "1", said)
	})
}

func TestMinIO(t *testing.T) {
	checkProcess(t, func(t *testing.T) *Process { return MinIO(t).Process })
}

func TestGitea(t *testing.T) {
	checkProcess(t, func(t *testing.T) *Process { return Gitea(t).Process })
	t.Run("users", func(t *testing.T) {
		s := Gitea(t)
		ctx := t.Context()
		password := s.CreateUser("somebody")
		var got struct{ Login string }
		require.NoError(t, s.Call(ctx, "somebody", password, http.MethodGet, "user", nil, &got))
		assert.Equal(t, "somebody", got.Login)
		assert.ErrorContains(t, s.Call(ctx, "somebody", "wrong", http.MethodGet, "user", nil, nil), "401")
		assert.ErrorContains(t, s.Call(ctx, "somebody", password, http.MethodGet, "admin/users", nil, nil), "403")
	})
}

func TestKubernetes(t *testing.T) {
	checkProcess(t, func(t *testing.T) *Process { return Kubernetes(t).Process })
	t.Run("a deployment", func(t *testing.T) {
		s := Kubernetes(t)
		ctx := t.Context()
		transport, err := trusting(s.CAFile)
		require.NoError(t, err)
		call := func(token, method, path string, body, out any) error {
			return request{
				transport: transport, method: method, url: s.URL + path, body: body,
				header: map[string]string{"Authorization": "Bearer " + token},
			}.do(ctx, out)
		}
		labels := map[string]any{"app": "a"}
		deployment := map[string]any{
			"metadata": map[string]any{"name": "a"},
			"spec": map[string]any{
				"selector": map[string]any{"matchLabels": labels},
				"template": map[string]any{
					"metadata": map[string]any{"labels": labels},
					"spec":     map[string]any{"containers": []map[string]any{{"name": "a", "image": "a"}}},
				},
			},
		}
		const deployments = "/apis/apps/v1/namespaces/default/deployments"
		require.NoError(t, call(s.Token, http.MethodPost, deployments, deployment, nil))
		assert.ErrorContains(t, call("wrong", http.MethodGet, deployments, nil, nil), "401")
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			var pods struct{ Items []any }
			require.NoError(c, call(s.Token, http.MethodGet, "/api/v1/namespaces/default/pods", nil, &pods))
			assert.Len(c, pods.Items, 1, "the controller manager makes the pod")
		}, patience, 10*look)
	})
}
