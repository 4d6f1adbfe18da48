// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package servers

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os/user"
	"path/filepath"
	"testing"
)

// GiteaServer is a Gitea 1.26.0. It delivers webhooks to loopback, and nowhere else.
type GiteaServer struct {
	*Process
	DB       *PostgresServer
	Addr     string // host:port
	URL      string // http://host:port
	User     string // an administrator
	Password string
}

// Gitea starts a Gitea and a PostgreSQL for it, which takes some ten seconds.
func Gitea(t testing.TB) *GiteaServer {
	t.Helper()
	folder := heavyFolder(t, "gitea")
	if _, ok := find([]string{"git"}); !ok {
		missing(t, notFound("git, which Gitea needs,"))
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	db := Postgres(t)
	s := &GiteaServer{Process: newProcess(t, "gitea", filepath.Join(folder, "gitea")), DB: db, User: "root-user", Password: rand.Text()}
	s.Addr, _ = freeAddr(t)
	s.URL = "http://" + s.Addr
	conf := s.file("app.ini", s.config(me.Username, folder))
	s.env = []string{"GITEA_WORK_DIR=" + s.dir, "HOME=" + s.dir}
	s.args = []string{"web", "--config", conf}
	s.ready = func(ctx context.Context) error { return get(ctx, nil, s.URL+"/api/healthz") }
	s.Start()
	s.run(s.path, "admin", "user", "create", "--config", conf, "--admin", "--must-change-password=false",
		"--username", s.User, "--password", s.Password, "--email", s.User+"@example.org")
	return s
}

func (s *GiteaServer) config(runUser, folder string) string {
	host, port, _ := net.SplitHostPort(s.Addr)
	return fmt.Sprintf(`RUN_USER = %s
RUN_MODE = prod
WORK_PATH = %[2]s
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
[server]
PROTOCOL = http
HTTP_ADDR = %[3]s
HTTP_PORT = %[4]s
ROOT_URL = %[5]s/
DISABLE_SSH = true
OFFLINE_MODE = true
STATIC_ROOT_PATH = %[6]s
GRACEFUL_HAMMER_TIME = 2s
[database]
DB_TYPE = postgres
HOST = %[7]s
NAME = postgres
USER = %[8]s
PASSWD = %[9]s
SSL_MODE = disable
MAX_OPEN_CONNS = 40
[security]
INSTALL_LOCK = true
SECRET_KEY = %[10]s
[service]
DISABLE_REGISTRATION = true
[webhook]
ALLOWED_HOST_LIST = loopback
[indexer]
ISSUE_INDEXER_TYPE = db
[cron]
ENABLED = false
[log]
MODE = console
LEVEL = Warn
`, runUser, s.dir, host, port, s.URL, folder, s.DB.Addr, s.DB.User, s.DB.Password, rand.Text())
}

// CreateUser makes a user, who is no administrator, and returns the password.
func (s *GiteaServer) CreateUser(name string) (password string) {
	s.t.Helper()
	password = rand.Text()
	body := map[string]any{"username": name, "email": name + "@example.org", "password": password, "must_change_password": false}
	if err := s.Call(context.Background(), s.User, s.Password, http.MethodPost, "admin/users", body, nil); err != nil {
		s.t.Fatal(err)
	}
	return password
}

// Call calls the API as a user with a password or a token. The path is without /api/v1/; body is sent as JSON and the answer is
// read into out, unless they are nil. What is not 2xx is an error.
func (s *GiteaServer) Call(ctx context.Context, user, password, method, path string, body, out any) error {
	return request{method: method, url: s.URL + "/api/v1/" + path, body: body, user: user, password: password}.do(ctx, out)
}
