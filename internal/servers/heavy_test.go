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
