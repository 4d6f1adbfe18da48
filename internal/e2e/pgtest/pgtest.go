// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package pgtest starts a private PostgreSQL server for tests, on loopback, with the programs that are installed.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// requireServers turns the skip for a server that is not installed into a failure.
const requireServers = "HANDOVER_REQUIRE_SERVERS"

// Server is a running PostgreSQL. It is safe for concurrent use.
type Server struct {
	dir  string
	bin  string
	as   *syscall.SysProcAttr // initdb and postgres refuse to run as root
	stop sync.Once
}

// Start starts a server. Without PostgreSQL it skips the test with one line, or fails it if HANDOVER_REQUIRE_SERVERS is 1. It
// blocks for some two seconds. The server ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	bin, err := find()
	if err != nil {
		if os.Getenv(requireServers) == "1" {
			t.Fatalf("%s=1: %v", requireServers, err)
		}
		t.Skipf("skipped: %v", err)
	}
	s, err := start(t.Context(), bin)
	if s != nil {
		t.Cleanup(s.Stop)
	}
	if err != nil {
		t.Fatalf("PostgreSQL in %s: %v", bin, err)
	}
	return s
}

// find returns the directory that has initdb and postgres.
func find() (string, error) {
	var dirs []string
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	installed, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	for _, dir := range append(dirs, installed...) {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "pg_ctl")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("PostgreSQL is neither in PATH nor in /usr/lib/postgresql")
}

func start(ctx context.Context, bin string) (*Server, error) {
	s := &Server{bin: bin}
	as, uid, gid, err := unprivileged()
	if err != nil {
		return nil, err
	}
	s.as = as
	// Not the test's own directory: another user must be able to reach it, and a socket's path must be short.
	if s.dir, err = os.MkdirTemp("", "pg"); err != nil {
		return nil, err
	}
	if s.as != nil {
		if err := os.Chown(s.dir, uid, gid); err != nil {
			return s, err
		}
	}
	err = s.run(ctx, "initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
	if err != nil {
		return s, err
	}
	// A Unix socket and nothing else: no port to agree on.
	options := "-c listen_addresses='' -c unix_socket_permissions=0777 -c fsync=off -c unix_socket_directories=" + s.dir
	return s, s.run(ctx, "pg_ctl", "-D", s.data(), "-l", filepath.Join(s.dir, "log"), "-w", "-o", options, "start")
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// run runs one of PostgreSQL's programs. Its output goes to a file: the server, which inherits it, would keep a pipe open.
func (s *Server) run(ctx context.Context, program string, args ...string) error {
	out, err := os.OpenFile(filepath.Join(s.dir, "out"), os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, program), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, out, out
	cmd.SysProcAttr = s.as
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		logged, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		return fmt.Errorf("%s: %w\n%s%s", program, err, said, logged)
	}
	return nil
}

// DSN returns the URL of a database of the server: "postgres" is always there. Extra parameters can be added with
// "&name=value".
func (s *Server) DSN(database string) string {
	return "postgres:///" + url.PathEscape(database) + "?user=postgres&host=" + url.QueryEscape(s.dir)
}

// Stop ends the server at once and removes its files. It is safe to repeat.
func (s *Server) Stop() {
	s.stop.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if _, err := os.Stat(filepath.Join(s.data(), "postmaster.pid")); err == nil {
			_ = s.run(ctx, "pg_ctl", "-D", s.data(), "-m", "immediate", "-w", "stop")
		}
		_ = os.RemoveAll(s.dir)
	})
}
