// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package gitea_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/issuer/gitea"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// server is a Gitea that the tests of this package share.
type server struct {
	*servers.GiteaServer
	token secret.Value // of the administrator
}

var adminToken secret.Value // made once for the shared server: a password costs Gitea a tenth of a second each time

func start(t *testing.T) server {
	t.Helper()
	s := server{GiteaServer: servers.Shared(t, servers.Gitea)}
	if adminToken.IsZero() {
		adminToken = s.mint(t, s.User, s.Password, "all")
	}
	s.token = adminToken
	return s
}

func TestMain(m *testing.M) { servers.Main(m) }

// mint makes a token as the user himself.
func (s server) mint(t *testing.T, user, password string, scopes ...string) secret.Value {
	t.Helper()
	var out struct {
		Value secret.Value `json:"sha1"`
	}
	in := map[string]any{"name": "t-" + rand.Text(), "scopes": scopes}
	require.NoError(t, s.Call(t.Context(), user, password, http.MethodPost, "users/"+user+"/tokens", in, &out))
	return out.Value
}

func userName() string { return "app-" + strings.ToLower(rand.Text()[:10]) }

// config is the administrator's, for tokens of a new user.
func (s server) config(t *testing.T) gitea.Config {
	t.Helper()
	user := userName()
	s.CreateUser(user)
	return gitea.Config{
		URL: s.URL, User: user, Admin: s.User, Password: s.token,
		Scopes: []string{"read:user", "write:repository"}, Transport: shared,
	}
}

// shared is closed by nobody: its idle connections end with the process.
var shared = http.DefaultTransport.(*http.Transport).Clone()

func newIssuer(t *testing.T, cfg gitea.Config) *gitea.Issuer {
	t.Helper()
	i, err := gitea.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, i.Close()) })
	return i
}

func request(current rotation.Key) rotation.IssueRequest {
	return rotation.IssueRequest{Credential: "ci", Name: "ci-v2-" + strings.ToLower(rand.Text()[:6]), Current: current}
}

func issue(t *testing.T, i *gitea.Issuer, current rotation.Key) rotation.Key {
	t.Helper()
	key, err := i.Issue(t.Context(), request(current))
	require.NoError(t, err)
	return key
}

func list(t *testing.T, i *gitea.Issuer) []rotation.KeyInfo {
	t.Helper()
	infos, err := i.List(t.Context())
	require.NoError(t, err)
	return infos
}

func find(t *testing.T, i *gitea.Issuer, key rotation.Key) rotation.KeyInfo {
	t.Helper()
	infos := list(t, i)
	n := slices.IndexFunc(infos, func(info rotation.KeyInfo) bool { return info.Key.ID == key.ID })
	require.GreaterOrEqual(t, n, 0, "%s is not listed", key.ID)
	return infos[n]
}

// through lets a test come between an Issuer and the server.
type through func(*http.Request) (*http.Response, error)

func (f through) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answering is a transport that has one answer for everything.
func answering(status int, header http.Header, body string) through {
	return func(r *http.Request) (*http.Response, error) {
		if header == nil {
			header = http.Header{}
		}
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
}

var inJSON = http.Header{"Content-Type": {"application/json;charset=utf-8"}}

// silent fails if an error or what is recorded of it shows a value, or names the package twice.
func silent(t *testing.T, err error, values ...secret.Value) {
	t.Helper()
	recorded, jsonErr := json.Marshal(&rotation.Error{Err: err})
	require.NoError(t, jsonErr)
	text := fmt.Sprintf("%v %+v %#v %s", err, err, err, recorded)
	for _, v := range values {
		assert.NotContains(t, text, v.Reveal())
	}
	assert.Equal(t, 1, strings.Count(err.Error(), "gitea:"), "%v", err)
}
