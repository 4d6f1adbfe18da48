// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package minio_test

import (
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/madmin-go/v3"
	s3 "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer/minio"
	"github.com/handover-go/handover/rotation"
)

type server struct {
	URL, User, Password string
}

var one *server

func start(t *testing.T) *server {
	if one != nil {
		return one
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	l.Close()
	dir, err := os.MkdirTemp("", "forge-minio")
	require.NoError(t, err)
	cmd := exec.Command("/tmp/forge-build/bin/minio", "server", "--address", addr, "--quiet", dir)
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER=rootuser", "MINIO_ROOT_PASSWORD=rootpassword", "MINIO_UPDATE=off", "MINIO_BROWSER=off")
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	stop = func() { cmd.Process.Kill(); cmd.Wait(); os.RemoveAll(dir) }
	one = &server{"http://" + addr, "rootuser", "rootpassword"}
	require.Eventually(t, func() bool {
		r, err := http.Get(one.URL + "/minio/health/ready")
		return err == nil && r.StatusCode == 200
	}, time.Minute, 50*time.Millisecond)
	return one
}

var stop = func() {}

func TestMain(m *testing.M) {
	code := m.Run()
	stop()
	os.Exit(code)
}

func (s *server) admin(t *testing.T) *madmin.AdminClient {
	c, err := madmin.NewWithOptions(s.URL[len("http://"):], &madmin.Options{Creds: credentials.NewStaticV4(s.User, s.Password, "")})
	require.NoError(t, err)
	return c
}

// user makes a user who may do everything with S3.
func (s *server) user(t *testing.T) string {
	t.Helper()
	name := "app-" + strings.ToLower(rand.Text()[:8])
	admin := s.admin(t)
	require.NoError(t, admin.AddUser(t.Context(), name, rand.Text()))
	_, err := admin.AttachPolicy(t.Context(), madmin.PolicyAssociationReq{Policies: []string{"readwrite"}, User: name})
	require.NoError(t, err)
	return name
}

// config is the root's, for keys of a new user.
func (s *server) config(t *testing.T) minio.Config {
	t.Helper()
	return minio.Config{
		URL: s.URL, Credentials: credentials.NewStaticV4(s.User, s.Password, ""), User: s.user(t), Propagation: -1,
	}
}

func newIssuer(t *testing.T, cfg minio.Config) *minio.Issuer {
	t.Helper()
	i, err := minio.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, i.Close()) })
	return i
}

// request asks for the successor of current.
func request(t *testing.T, i *minio.Issuer, current rotation.Key) rotation.IssueRequest {
	t.Helper()
	req := rotation.IssueRequest{Credential: "files", Name: "files-v2-" + strings.ToLower(rand.Text()[:6]), Current: current}
	chosen, err := i.Choose(t.Context(), req)
	require.NoError(t, err)
	req.Chosen = chosen
	return req
}

func issue(t *testing.T, i *minio.Issuer, current rotation.Key) rotation.Key {
	t.Helper()
	key, err := i.Issue(t.Context(), request(t, i, current))
	require.NoError(t, err)
	return key
}

func ids(t *testing.T, i *minio.Issuer) []string {
	t.Helper()
	infos, err := i.List(t.Context())
	require.NoError(t, err)
	all := []string{}
	for _, info := range infos {
		all = append(all, info.Key.ID)
	}
	slices.Sort(all)
	return all
}

// list asks S3 for the buckets, as a service with the key would, and returns the code of the refusal.
func buckets(t *testing.T, url string, key rotation.Key) string {
	t.Helper()
	c, err := s3.New(strings.TrimPrefix(url, "http://"), &s3.Options{
		Creds: credentials.NewStaticV4(key.ID, key.Secret.Reveal(), ""), MaxRetries: 1,
	})
	require.NoError(t, err)
	_, err = c.ListBuckets(t.Context())
	return s3.ToErrorResponse(err).Code
}

// through lets a test come between an Issuer and the server.
type through func(*http.Request) (*http.Response, error)

func (f through) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answering is a transport that has one answer for everything.
func answering(status int, header http.Header, body string) through {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
}
