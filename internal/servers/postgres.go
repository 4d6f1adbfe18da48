// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package servers

import (
	"context"
	"crypto/rand"
	"net"
	"net/url"
	"path/filepath"
	"syscall"
	"testing"
)

// PostgresServer is a PostgreSQL that asks for the right password (scram-sha-256) over TCP.
type PostgresServer struct {
	*Process
	Addr     string // host:port
	User     string // a superuser
	Password string
}

// Postgres starts a PostgreSQL, which takes some two seconds. Up to 300 sessions can be open at once.
func Postgres(t testing.TB) *PostgresServer {
	t.Helper()
	initdb, ok := find([]string{"initdb"}, "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
	if !ok {
		missing(t, notFound("PostgreSQL (initdb)"))
	}
	if target, err := filepath.EvalSymlinks(initdb); err == nil {
		initdb = target // the others lie beside it
	}
	bin := filepath.Dir(initdb)
	s := &PostgresServer{
		Process:  newProcess(t, "pg", filepath.Join(bin, "postgres"), "postgres", "nobody"),
		User:     "postgres",
		Password: rand.Text(),
	}
	var port string
	s.Addr, port = freeAddr(t)
	data := s.folder("data")
	s.run(initdb, "-D", data, "-U", s.User, "--pwfile", s.file("password", s.Password), "-E", "UTF8", "--no-sync",
		"--auth-local", "trust", "--auth-host", "scram-sha-256")
	s.args = []string{
		"-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=" + s.dir,
		"-c", "max_connections=300", "-c", "fsync=off",
	}
	s.term = syscall.SIGINT // does not wait for sessions to end
	s.ready = func(ctx context.Context) error {
		return s.command(filepath.Join(bin, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", port, "-t", "1").Run()
	}
	s.Start()
	return s
}

// DSN returns the URL of a database for a user; "postgres" is a database that is always there. More parameters can follow as
// "&name=value".
func (s *PostgresServer) DSN(user, password, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: s.Addr, Path: database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Socket returns the URL of a database through the server's Unix socket, as the superuser and without a password.
// Nobody is asked for a password there. More parameters can follow as "&name=value".
func (s *PostgresServer) Socket(database string) string {
	_, port, _ := net.SplitHostPort(s.Addr)
	q := url.Values{"host": {s.dir}, "port": {port}, "user": {s.User}}
	return (&url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: q.Encode()}).String()
}
