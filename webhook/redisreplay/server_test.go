// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package redisreplay_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// requireServers turns the skip for a server that is not installed into a failure.
const requireServers = "HANDOVER_REQUIRE_SERVERS"

// server is a Redis of the test's own, behind a Unix socket: there is no port to agree on.
type server struct {
	program, dir string
	cmd          *exec.Cmd
}

// startServer starts a server that ends with the test, or skips the test with one line where there is none.
func startServer(t *testing.T) *server {
	t.Helper()
	program, err := findServer()
	if err != nil {
		if os.Getenv(requireServers) == "1" {
			t.Fatalf("%s=1: %v", requireServers, err)
		}
		t.Skipf("skipped: %v", err)
	}
	// Not the test's own folder: the path of a socket must be short.
	dir, err := os.MkdirTemp("", "redis")
	require.NoError(t, err)
	s := &server{program: program, dir: dir}
	t.Cleanup(func() {
		s.kill()
		_ = os.RemoveAll(dir)
	})
	s.start(t)
	return s
}

func findServer() (string, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("neither redis-server nor valkey-server is in PATH")
}

func (s *server) socket() string { return filepath.Join(s.dir, "s") }

// start returns when the server says that it is ready.
func (s *server) start(t *testing.T) {
	t.Helper()
	s.cmd = exec.CommandContext(t.Context(), s.program, "--port", "0", "--unixsocket", s.socket(), "--dir", s.dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", "")
	out, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	var said []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said = append(said, lines.Text())
		if strings.Contains(strings.ToLower(lines.Text()), "ready to accept connections") {
			go func() {
				for lines.Scan() { // else the server blocks when the pipe is full
				}
			}()
			return
		}
	}
	t.Fatalf("%s did not start:\n%s", s.program, strings.Join(said, "\n"))
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// options of a client that gives up at the deadline it is given and at no other.
func (s *server) options() *redis.Options {
	return &redis.Options{Network: "unix", Addr: s.socket(), ContextTimeoutEnabled: true, ReadTimeout: -1}
}

func (s *server) client(t *testing.T) *redis.Client {
	c := redis.NewClient(s.options())
	t.Cleanup(func() { c.Close() })
	return c
}
