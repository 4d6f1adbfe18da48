// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package gitea_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/issuer/gitea"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
	"github.com/handover-go/handover/webhook"
)

// delivery is what a receiver gets.
type delivery struct {
	header http.Header
	body   []byte
}

// signedWith reports whether a secret fits both headers that Gitea sends.
func (d delivery) signedWith(s secret.Value) bool {
	for _, scheme := range []*webhook.Scheme{webhook.Gitea, webhook.GitHub} {
		v, err := webhook.NewVerifier(webhook.Config{Scheme: scheme, Secrets: []webhook.Secret{{ID: "it", Value: s}}})
		if err != nil {
			return false
		}
		if _, err := v.Verify(context.Background(), d.header, d.body); err != nil {
			return false
		}
	}
	return true
}

// mailbox keeps deliveries.
type mailbox struct {
	*httptest.Server
	got chan delivery
}

func newMailbox(t *testing.T) mailbox {
	m := mailbox{got: make(chan delivery, 1000)}
	m.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		m.got <- delivery{r.Header, body}
	}))
	t.Cleanup(m.Close)
	return m
}

// next is the next delivery.
func (m mailbox) next(ctx context.Context) (delivery, error) {
	select {
	case d := <-m.got:
		return d, nil
	case <-ctx.Done():
		return delivery{}, ctx.Err()
	}
}

// repo makes a repository with a commit.
func (s server) repo(t *testing.T) string {
	t.Helper()
	name := userName()
	in := map[string]any{"name": name, "auto_init": true}
	require.NoError(t, s.Call(t.Context(), s.User, s.token.Reveal(), http.MethodPost, "user/repos", in, nil))
	return name
}

// bearer adds the administrator's token.
func (s server) bearer() *http.Client {
	return &http.Client{Transport: through(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "token "+s.token.Reveal())
		return shared.RoundTrip(r)
	})}
}

func (s server) hooks(t *testing.T, address string) (gitea.HooksConfig, issuer.Subscriptions) {
	t.Helper()
	cfg := gitea.HooksConfig{
		URL: s.URL, Client: s.bearer(), Owner: s.User, Repo: s.repo(t), Address: address,
		Events: []string{"push", "release"}, BranchFilter: "{main,release/*}", Authorization: secret.New("Bearer of-the-receiver"),
	}
	hooks, err := gitea.Hooks(cfg)
	require.NoError(t, err)
	return cfg, hooks
}

// hook is what Gitea shows.
type hook struct {
	ID            int64    `json:"id"`
	Name          string   `json:"name"`
	Active        bool     `json:"active"`
	Events        []string `json:"events"`
	BranchFilter  string   `json:"branch_filter"`
	Authorization string   `json:"authorization_header"`
}

func (s server) shown(ctx context.Context, cfg gitea.HooksConfig) ([]hook, error) {
	var all []hook
	err := s.Call(ctx, s.User, s.token.Reveal(), http.MethodGet, "repos/"+cfg.Owner+"/"+cfg.Repo+"/hooks", nil, &all)
	return all, err
}

// remembering keeps the values that it issued, by id.
type remembering struct {
	issuer.Subscriptions
	mu     sync.Mutex
	values map[string]secret.Value // guarded by mu
}

func (r *remembering) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	key, err := r.Subscriptions.Issue(ctx, req)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.values[key.ID] = key.Secret
	return key, err
}

// What it signs with is seen by deliveries.
func TestHooksSuite(t *testing.T) {
	s := start(t)
	box := newMailbox(t)
	cfg, hooks := s.hooks(t, box.URL)
	hooks.Traits.Exclusive = true
	r := &remembering{Subscriptions: hooks, values: map[string]secret.Value{}}
	signs := func(ctx context.Context) (rotation.Key, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		for len(box.got) > 0 { // of tests that were asked for before
			<-box.got
		}
		all, err := s.shown(ctx, cfg)
		if err != nil {
			return rotation.Key{}, err
		}
		for _, h := range all {
			if !h.Active {
				continue
			}
			id := strconv.FormatInt(h.ID, 10)
			if err := hooks.Verify(ctx, rotation.Key{ID: id}); err != nil {
				return rotation.Key{}, err
			}
			d, err := box.next(ctx)
			if err != nil {
				return rotation.Key{}, err
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			for id, value := range r.values {
				if d.signedWith(value) {
					return rotation.Key{ID: id, Secret: value}, nil
				}
			}
			return rotation.Key{}, fmt.Errorf("hook %s signs with a secret that nobody knows", id)
		}
		return rotation.Key{}, nil
	}
	rotationtest.IssuerSuite{Issuer: r, Signs: signs}.Run(t)
}

// A change puts back what is not sent with it, and ignores a secret.
func TestASwitchKeepsTheRest(t *testing.T) {
	s := start(t)
	box := newMailbox(t)
	cfg, hooks := s.hooks(t, box.URL)
	key, err := hooks.Issue(t.Context(), request(rotation.Key{}))
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, hooks.Activate(t.Context(), key))
	}
	all, err := s.shown(t.Context(), cfg)
	require.NoError(t, err)
	require.Len(t, all, 1)
	assert.True(t, all[0].Active)
	assert.ElementsMatch(t, cfg.Events, all[0].Events)
	assert.Equal(t, cfg.BranchFilter, all[0].BranchFilter)
	assert.Equal(t, cfg.Authorization.Reveal(), all[0].Authorization)
	require.NoError(t, hooks.Check(t.Context()))

	require.NoError(t, hooks.Verify(t.Context(), key))
	d, err := box.next(t.Context())
	require.NoError(t, err)
	assert.True(t, d.signedWith(key.Secret))
	assert.Equal(t, cfg.Authorization.Reveal(), d.header.Get("Authorization"))

	// Why it takes a second hook.
	path := "repos/" + cfg.Owner + "/" + cfg.Repo + "/hooks/" + key.ID
	in := map[string]any{"config": map[string]string{"secret": secret.Random(32).Reveal()}, "events": []string{"push"}}
	require.NoError(t, s.Call(t.Context(), s.User, s.token.Reveal(), http.MethodPatch, path, in, nil))
	require.NoError(t, hooks.Verify(t.Context(), key))
	d, err = box.next(t.Context())
	require.NoError(t, err)
	assert.True(t, d.signedWith(key.Secret), "the new secret is ignored")
	require.NoError(t, s.Call(t.Context(), s.User, s.token.Reveal(), http.MethodPatch, path, map[string]any{"active": true}, nil))
	all, err = s.shown(t.Context(), cfg)
	require.NoError(t, err)
	assert.Equal(t, []string{"push"}, all[0].Events, "what it was not told again")
	assert.Empty(t, all[0].BranchFilter)
}

// A whole rotation with genuine deliveries: a receiver that verifies them refuses none.
func TestRotateHooks(t *testing.T) {
	s := start(t)
	const name = "forge-hook"
	values := store.NewMemory()
	verifier, err := webhook.NewVerifier(webhook.Config{Scheme: webhook.Gitea, Secrets: []webhook.Secret{{ID: "none", Value: secret.Random(32)}}})
	require.NoError(t, err)
	var mu sync.Mutex
	refused, taken := 0, 0
	inbox := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _, err := verifier.VerifyRequest(r)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			refused++
			http.Error(w, "refused", http.StatusUnauthorized)
			return
		}
		taken++
	}))
	defer inbox.Close()
	_, hooks := s.hooks(t, inbox.URL)
	old, err := hooks.Issue(t.Context(), request(rotation.Key{}))
	require.NoError(t, err)
	require.NoError(t, hooks.Activate(t.Context(), old))
	require.NoError(t, store.Seed(t.Context(), values, name, old))
	receiver, err := consumer.Receive(t.Context(), consumer.Source{Store: values, Credential: name, Every: 100 * time.Millisecond}, verifier)
	require.NoError(t, err)
	defer receiver.Close()
	hooks.Traits.Propagation = -1
	r, err := rotation.New(rotation.Config{
		Journal: journal.NewMemory(), Store: values, Logger: slog.New(slog.DiscardHandler), ClockSkew: -1,
		Policy: rotation.Policy{Overlap: time.Second, Quiet: time.Second, Patience: time.Second},
		Credentials: []rotation.Credential{{
			Name: name, Type: rotation.WebhookSecret, Issuer: hooks, Verifier: hooks,
			Consumers: []rotation.Binding{{Name: "inbox", Consumer: receiver}},
		}},
	})
	require.NoError(t, err)
	_, err = r.Rotate(t.Context(), name, rotation.Trigger{Reason: "test"})
	require.NoError(t, err)
	var st rotation.Status
	require.Eventually(t, func() bool {
		st, err = r.Advance(t.Context(), name)
		return err == nil && st.Open == nil
	}, 3*time.Minute, 100*time.Millisecond, "%+v", st)
	assert.Equal(t, rotation.Rotated, st.Last.Outcome)
	infos, err := hooks.List(t.Context())
	require.NoError(t, err)
	require.Len(t, infos, 1)
	assert.Equal(t, st.Last.NewID, infos[0].Key.ID)
	assert.NotEqual(t, old.ID, infos[0].Key.ID)
	mu.Lock()
	defer mu.Unlock()
	assert.Zero(t, refused)
	assert.NotZero(t, taken)
}

func TestHooksConfig(t *testing.T) {
	good := gitea.HooksConfig{
		URL: "https://git.example.com/forge/", Client: http.DefaultClient, Owner: "acme", Repo: "web",
		Address: "https://hooks.example.com/gitea", Events: []string{"push"}, Authorization: secret.New("canary-77aa01"),
	}
	hooks, err := gitea.Hooks(good)
	require.NoError(t, err)
	assert.Equal(t, "https://git.example.com/forge/api/v1/repos/acme/web/hooks", hooks.URL)
	assert.Equal(t, hooks.URL+"/{id}/tests", hooks.Test)
	assert.NotContains(t, fmt.Sprintf("%v %+v %#v %+v", good, good, good, hooks), "canary")

	elsewhere := good
	elsewhere.Repo = ""
	hooks, err = gitea.Hooks(elsewhere)
	require.NoError(t, err)
	assert.Equal(t, "https://git.example.com/forge/api/v1/orgs/acme/hooks", hooks.URL)
	assert.Empty(t, hooks.Test, "only those of a repository can be tested")
	elsewhere = good
	elsewhere.Events = []string{"issues"}
	hooks, err = gitea.Hooks(elsewhere)
	require.NoError(t, err)
	assert.Empty(t, hooks.Test, "the test is a push")

	for field, change := range map[string]func(*gitea.HooksConfig){
		"URL is required":    func(c *gitea.HooksConfig) { c.URL = "" },
		"Client is required": func(c *gitea.HooksConfig) { c.Client = nil },
		"Owner is required":  func(c *gitea.HooksConfig) { c.Owner = "" },
		"Address is not":     func(c *gitea.HooksConfig) { c.Address = "hooks" },
		"Events is required": func(c *gitea.HooksConfig) { c.Events = nil },
	} {
		bad := good
		change(&bad)
		_, err := gitea.Hooks(bad)
		require.ErrorContains(t, err, "gitea: HooksConfig."+field)
	}
}
