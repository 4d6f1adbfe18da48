// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package minio_test

import (
	"crypto/rand"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	s3 "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/issuer/minio"
	"github.com/handover-go/handover/rotation"
)

// server is a MinIO that the tests of this package share.
type server struct{ *servers.MinIOServer }

func start(t *testing.T) server {
	t.Helper()
	return server{servers.Shared(t, servers.MinIO)}
}

func TestMain(m *testing.M) { servers.Main(m) }

func (s server) root() *credentials.Credentials {
	return credentials.NewStaticV4(s.AccessKey, s.SecretKey, "")
}

// administer makes a call as root.
func (s server) administer(t *testing.T, method, name string, query url.Values, in any) {
	t.Helper()
	root := newIssuer(t, minio.Config{URL: s.URL, Credentials: s.root(), User: "root"})
	require.NoError(t, minio.Administer(t.Context(), root, method, name, query, in))
}

// loaded: a server that says it is ready may still be loading its users and policies, and forgets then what it was told meanwhile.
var loaded sync.Once

// user makes a user who may do everything with S3.
func (s server) user(t *testing.T) string {
	t.Helper()
	loaded.Do(func() {
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			root := newIssuer(t, minio.Config{URL: s.URL, Credentials: s.root(), User: "root"})
			assert.NoError(c, minio.Administer(t.Context(), root, http.MethodGet, "info-canned-policy", url.Values{"name": {"readwrite"}}, nil))
		}, time.Minute, 50*time.Millisecond)
	})
	name := "app-" + strings.ToLower(rand.Text()[:8])
	s.password(t, name, rand.Text())
	s.attach(t, "readwrite", name)
	return name
}

// password makes a user, or gives one another password.
func (s server) password(t *testing.T, user, password string) {
	t.Helper()
	s.administer(t, http.MethodPut, "add-user", url.Values{"accessKey": {user}}, map[string]string{"secretKey": password, "status": "enabled"})
}

func (s server) attach(t *testing.T, policy, user string) {
	t.Helper()
	s.administer(t, http.MethodPost, "idp/builtin/policy/attach", nil, map[string]any{"policies": []string{policy}, "user": user})
}

// config is the root's, for keys of a new user.
func (s server) config(t *testing.T) minio.Config {
	t.Helper()
	return minio.Config{
		URL: s.URL, Credentials: s.root(), User: s.user(t), Propagation: -1,
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

// buckets asks S3 for the buckets, as a service with the key would, and returns the code of the refusal.
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
