// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package systems

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "code.gitea.io/sdk/gitea"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

// forge is a Gitea with a user who has a private repository and one token, which lies in a store. What is of consumers here uses
// Gitea directly: a proxy of a test stands before the rotating process alone.
type forge struct {
	*servers.GiteaServer
	world    giteaWorld
	password string // of the user
	secrets  *store.File
	first    rotation.Key
	seen     *values
	client   *http.Client // of everybody here
}

func startForge(t *testing.T) *forge {
	t.Helper()
	s := &forge{GiteaServer: servers.Shared(t, servers.Gitea)}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	s.client = &http.Client{Transport: judge{transport}}
	user := "robot-" + secret.Random(16).Reveal()[:8]
	s.password = s.CreateUser(user)
	s.world = giteaWorld{
		Dir: t.TempDir(), StoreKey: secret.Random(32).Reveal(), URL: s.URL, User: user,
		Admin: s.User, AdminToken: s.mint(t, s.User, s.Password, "all").Secret.Reveal(),
	}
	repo := map[string]any{"name": "site", "private": true, "auto_init": true}
	require.NoError(t, s.Call(t.Context(), user, s.password, http.MethodPost, "user/repos", repo, nil))
	s.first = s.mint(t, user, s.password, "read:user", "read:repository")
	var err error
	s.secrets, err = s.world.store()
	require.NoError(t, err)
	require.NoError(t, store.Seed(t.Context(), s.secrets, giteaName, s.first))
	s.seen = &values{store: s.secrets, credential: giteaName}
	s.seen.collect(t.Context())
	return s
}

// mint makes a token as a person does, with the password.
func (s *forge) mint(t *testing.T, user, password string, scopes ...string) rotation.Key {
	t.Helper()
	var out struct {
		ID    int64        `json:"id"`
		Value secret.Value `json:"sha1"`
	}
	in := map[string]any{"name": "t-" + secret.Random(16).Reveal(), "scopes": scopes}
	require.NoError(t, s.Call(t.Context(), user, password, http.MethodPost, "users/"+user+"/tokens", in, &out))
	return rotation.Key{ID: strconv.FormatInt(out.ID, 10), Secret: out.Value}
}

// tokens are the ids of the user's tokens, as Gitea lists them to the user himself.
func (s *forge) tokens(t *testing.T) (ids []string) {
	t.Helper()
	var out []struct {
		ID int64 `json:"id"`
	}
	require.NoError(t, s.Call(t.Context(), s.world.User, s.password, http.MethodGet, "users/"+s.world.User+"/tokens?limit=50", nil, &out))
	for _, token := range out {
		ids = append(ids, strconv.FormatInt(token.ID, 10))
	}
	return ids
}

// rotated looks at what has to be so after every rotation: Gitea has one token of the user and refuses the first one.
func (s *forge) rotated(t *testing.T, st rotation.Status) {
	t.Helper()
	s.seen.collect(t.Context())
	key := rotated(t, st, s.secrets)
	assert.Equal(t, []string{key.ID}, s.tokens(t))
	require.NoError(t, s.ask(t.Context(), key.Secret))
	require.ErrorIs(t, s.ask(t.Context(), s.first.Secret), errUnauthorized)
}

// silent looks for every secret in what rotating processes have left.
func (s *forge) silent(t *testing.T, processes *stage) {
	t.Helper()
	s.seen.silent(t, "the rotating processes' output", processes.said.String(), s.world.AdminToken, s.world.StoreKey)
	s.seen.silent(t, "the journal", journalText(t, s.world.Dir), s.world.AdminToken, s.world.StoreKey)
}

// ask asks Gitea whose a token is.
func (s *forge) ask(ctx context.Context, token secret.Value) error {
	return get(ctx, &http.Client{Transport: bearer{token, s.client.Transport}}, s.URL+"/api/v1/user")
}

type bearer struct {
	token secret.Value
	base  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token.Reveal())
	return b.base.RoundTrip(r)
}

var errUnauthorized = errors.New("the credential was not accepted")

func isUnauthorized(err error) bool { return errors.Is(err, errUnauthorized) }

// judge makes an error of every answer but a 200. It is below what consumers use, since some of that asks again after a 401.
type judge struct{ base http.RoundTripper }

func (j judge) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := j.base.RoundTrip(r)
	if err != nil || resp.StatusCode == http.StatusOK {
		return resp, err
	}
	_ = resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		return nil, fmt.Errorf("%w: %s", errUnauthorized, resp.Status)
	}
	return nil, fmt.Errorf("answered %s", resp.Status)
}

func get(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// service is a process that follows the store.
func (s *forge) service(t *testing.T, name string) *service {
	t.Helper()
	return startService(t, s.secrets, giteaName, name)
}

// stopAtDeploy has the first deployment to a service wait until whoever deploys is gone, and closes the channel when it comes.
func stopAtDeploy(t *testing.T, to *service) <-chan struct{} {
	t.Helper()
	told := make(chan struct{})
	var once sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first := false
		if r.Method == http.MethodPost {
			once.Do(func() { first = true })
		}
		if !first {
			to.handle.ServeHTTP(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body) // before that nobody tells that the asker has gone
		close(told)
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	to.url = server.URL
	return told
}

// getRepo is what a service asks whose HTTP client puts the token on requests.
func (s *forge) getRepo(by *service) func(context.Context) error {
	client := &http.Client{Transport: &consumer.Transport{Handle: by.handle, Origin: s.URL, Base: s.client.Transport}}
	return func(ctx context.Context) error {
		return get(ctx, client, s.URL+"/api/v1/repos/"+s.world.User+"/site")
	}
}

// listReleases is what a service asks with Gitea's own client. That takes its token once, so that it is made anew for each.
func (s *forge) listReleases(t *testing.T, by *service) func(context.Context) error {
	t.Helper()
	client, err := consumer.Derive(by.handle, func(key rotation.Key) (*sdk.Client, error) {
		return sdk.NewClient(s.URL, sdk.SetGiteaVersion(""), sdk.SetToken(key.Secret.Reveal()), sdk.SetHTTPClient(s.client))
	})
	require.NoError(t, err)
	return func(context.Context) error {
		_, _, err := client.Get().ListReleases(s.world.User, "site", sdk.ListReleasesOptions{})
		return err
	}
}

// mirror is a program that takes the token from its environment file when a run begins, and has it until the run ends.
type mirror struct {
	file, url, home string

	mu    sync.Mutex
	token string               // guarded by mu: of this run; empty: none was begun
	used  map[string]time.Time // guarded by mu: when each was used last
}

func (s *forge) mirror(t *testing.T) *mirror {
	t.Helper()
	dir := t.TempDir()
	m := &mirror{file: filepath.Join(dir, "mirror.env"), home: dir, url: s.URL + "/" + s.world.User + "/site.git", used: map[string]time.Time{}}
	require.NoError(t, os.WriteFile(m.file, []byte("# of the mirror\nGITEA_TOKEN="+s.first.Secret.Reveal()+"\n"), 0o600))
	return m
}

// nextRun ends the run. The next one reads the file.
func (m *mirror) nextRun() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.token = ""
}

// lastUse is when the mirror began to use a token last.
func (m *mirror) lastUse(key rotation.Key) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used[key.Secret.Reveal()]
}

func (m *mirror) lsRemote(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.token == "" {
		text, err := os.ReadFile(m.file)
		if err != nil {
			return err
		}
		_, value, _ := strings.Cut(string(text), "GITEA_TOKEN=")
		m.token = strings.TrimSpace(value)
	}
	m.used[m.token] = time.Now()
	basic := base64.StdEncoding.EncodeToString([]byte("token:" + m.token))
	git := exec.CommandContext(ctx, "git", "ls-remote", m.url)
	git.Env = append(os.Environ(), "HOME="+m.home, "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Basic "+basic)
	out, err := git.CombinedOutput()
	switch {
	case err == nil && bytes.Contains(out, []byte("refs/heads/main")):
		return nil
	case bytes.Contains(out, []byte("could not read Username")), bytes.Contains(out, []byte("Authentication failed")):
		return fmt.Errorf("%w: git", errUnauthorized)
	}
	return fmt.Errorf("git: %w: %.200q", err, out)
}
