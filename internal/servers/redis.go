// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package servers

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
)

// RedisServer is a Redis whose default user is off: nobody comes in without a password.
type RedisServer struct {
	*Process
	Addr     string // host:port
	User     string // may do everything
	Password string
}

// RedisUsers is where a Redis keeps its users.
type RedisUsers int

// Where it keeps them.
const (
	RedisACLFile RedisUsers = iota // ACL SAVE works
	RedisConfig                    // in its configuration file: CONFIG REWRITE works
	RedisMemory                    // nowhere: those that are made later are gone after a stop
)

// Redis starts a Redis (or a Valkey) with an ACL file, so that ACL SAVE works and users outlive a stop. What is stored does
// not.
func Redis(t testing.TB) *RedisServer { return RedisKeeping(t, RedisACLFile) }

// RedisKeeping starts a Redis that keeps its users somewhere else.
func RedisKeeping(t testing.TB, users RedisUsers) *RedisServer {
	t.Helper()
	names := []string{"redis-server", "valkey-server"}
	path, ok := find(names)
	if !ok {
		missing(t, notFound(names...))
	}
	s := &RedisServer{Process: newProcess(t, "redis", path), User: "admin", Password: rand.Text()}
	var port string
	s.Addr, port = freeAddr(t)
	admin := fmt.Sprintf("on #%x ~* &* +@all", sha256.Sum256([]byte(s.Password)))
	s.args = []string{
		"--bind", "127.0.0.1", "--port", port, "--dir", s.dir, "--save", "", "--appendonly", "no", "--daemonize", "no",
	}
	lines := fmt.Sprintf("user default off\nuser %s %s\n", s.User, admin)
	switch users {
	case RedisACLFile:
		s.args = append(s.args, "--aclfile", s.file("users.acl", lines))
	case RedisConfig:
		s.args = append([]string{s.file("redis.conf", lines)}, s.args...)
	case RedisMemory:
		s.args = append(append(s.args, "--user", "default", "off", "--user", s.User), strings.Fields(admin)...)
	}
	s.ready = func(ctx context.Context) error { return s.ping(ctx, s.User, s.Password) }
	s.Start()
	return s
}

// ping logs in.
func (s *RedisServer) ping(ctx context.Context, user, password string) error {
	c, err := dial(ctx, s.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "AUTH %s %s\r\n", user, password); err != nil {
		return err
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err
	}
	if answer = strings.TrimSpace(answer); answer != "+OK" {
		return fmt.Errorf("redis answers %s", answer)
	}
	return nil
}
