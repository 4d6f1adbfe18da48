// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package servers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// checkProcess does to a server what tests do to it: it answers, or does not, and leaves nothing behind. start is called with a
// test of its own, which ends the server.
func checkProcess(t *testing.T, start func(t *testing.T) *Process) {
	t.Helper()
	silent := func(p *Process, when string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.Error(t, p.ready(ctx), "it answers "+when)
	}
	var p *Process
	var left []int
	t.Run("while it runs", func(t *testing.T) {
		p = start(t)
		pid := p.cmd.Process.Pid
		p.Start()
		assert.Equal(t, pid, p.cmd.Process.Pid, "Start while it runs does nothing")
		p.Pause()
		silent(p, "while it is paused")
		p.Resume()
		require.NoError(t, p.await())
		p.Kill()
		silent(p, "after Kill")
		p.Stop()
		p.Start()
		require.NoError(t, p.ready(t.Context()))
		p.Stop()
		silent(p, "after Stop")
		p.Start()
		require.NoError(t, p.ready(t.Context()))
		left = family(p.cmd.Process.Pid)
		p.Pause() // its end must be able to end a paused one
	})
	if p == nil {
		t.Skip("there is no server")
	}
	assert.False(t, p.runs())
	assert.NoDirExists(t, p.Dir())
	if runtime.GOOS != "linux" {
		return
	}
	for _, pid := range left {
		assert.Eventually(t, func() bool { // others than the first end on their own
			return len(family(pid)) == 1 && !exists(pid)
		}, time.Minute, look, "process %d is still there", pid)
	}
}

func exists(pid int) bool {
	found, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return len(found) > 0
}

// client runs a command-line client of a server and returns what it says.
func client(t *testing.T, env []string, name string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(cmd.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func TestPostgres(t *testing.T) {
	checkProcess(t, func(t *testing.T) *Process { return Postgres(t).Process })
	t.Run("killed again and again", func(t *testing.T) {
		s := Postgres(t)
		for range 10 { // it refuses to start while a session's process is left
			s.Kill()
			s.Start()
		}
	})
	t.Run("passwords", func(t *testing.T) {
		s := Postgres(t)
		const query = "select count(*) from pg_database"
		for _, dsn := range []string{s.DSN(s.User, s.Password, "postgres"), s.Socket("postgres")} {
			said, err := client(t, nil, "psql", "-Atc", query, dsn)
			require.NoError(t, err, said)
			assert.Equal(t, "3", said)
		}
		said, err := client(t, nil, "psql", "-Atc", query, s.DSN(s.User, "wrong", "postgres"))
		require.Error(t, err)
		assert.Contains(t, said, "password authentication failed")
	})
}

func TestMariaDB(t *testing.T) {
	checkProcess(t, func(t *testing.T) *Process { return MariaDB(t).Process })
	t.Run("passwords", func(t *testing.T) {
		s := MariaDB(t)
		host, port, _ := strings.Cut(s.Addr, ":")
		args := []string{"--no-defaults", "--protocol=tcp", "-h", host, "-P", port, "-u", s.User, "-Ne", "select current_user()", "test"}
		said, err := client(t, []string{"MYSQL_PWD=" + s.Password}, "mariadb", args...)
		require.NoError(t, err, said)
		assert.Equal(t, "admin@%", said)
		said, err = client(t, []string{"MYSQL_PWD=wrong"}, "mariadb", args...)
		require.Error(t, err)
		assert.Contains(t, said, "Access denied")
		assert.Equal(t, "u:p@tcp("+s.Addr+")/test", s.DSN("u", "p", "test"))
	})
}

func TestRedis(t *testing.T) {
	checkProcess(t, func(t *testing.T) *Process { return Redis(t).Process })
	t.Run("passwords", func(t *testing.T) {
		s := Redis(t)
		assert.NoError(t, s.ping(t.Context(), s.User, s.Password))
		assert.ErrorContains(t, s.ping(t.Context(), s.User, "wrong"), "WRONGPASS")
		assert.ErrorContains(t, s.ping(t.Context(), "default", "default"), "WRONGPASS")
	})
}

func TestLDAP(t *testing.T) {
	checkProcess(t, func(t *testing.T) *Process { return LDAP(t).Process })
	t.Run("passwords", func(t *testing.T) {
		s := LDAP(t)
		assert.NoError(t, s.bind(t.Context(), s.AdminDN, s.Password))
		assert.ErrorContains(t, s.bind(t.Context(), s.AdminDN, "wrong"), "result 49")
	})
}

func TestEtcd(t *testing.T) {
	checkProcess(t, func(t *testing.T) *Process { return Etcd(t).Process })
	t.Run("a value", func(t *testing.T) {
		s := Etcd(t)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/v3/kv/put", strings.NewReader(`{"key":"YQ==","value":"Yg=="}`))
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, resp.StatusCode, string(text))
	})
}

// Wherever a Redis keeps its users, the administrator is there after a stop.
func TestRedisKeeping(t *testing.T) {
	for _, where := range []RedisUsers{RedisACLFile, RedisConfig, RedisMemory} {
		s := RedisKeeping(t, where)
		s.Stop()
		s.Start()
		require.NoError(t, s.ready(t.Context()))
		require.Error(t, s.ping(t.Context(), s.User, "another"))
		require.Error(t, s.ping(t.Context(), "default", "another"))
	}
}

func TestLDAPWith(t *testing.T) {
	s := LDAPWith(t, LDAPOptions{Modules: []string{"ppolicy"}, Access: "access to * by * none\n", Database: "overlay ppolicy", TLS: true})
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(s.CA))
	c, err := tls.Dial("tcp", strings.TrimPrefix(s.TLSURL, "ldaps://"), &tls.Config{RootCAs: roots})
	require.NoError(t, err)
	require.NoError(t, c.Close())
}
