// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package troubleshooting_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/verify"
)

const (
	variable = "PAY_API_KEY"
	program  = "shop" // this test under another name, see TestMain
)

// TestMain is the shop's program where it is called by that name: it starts if it can read its key.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) != program {
		os.Exit(m.Run())
	}
	if _, err := readEnv(os.Args[1]); err != nil {
		os.Exit(1)
	}
}

// readEnv reads the key as a program does that knows one form of it: anything else makes it crash.
func readEnv(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for l := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(l), variable+"="); ok && strings.HasPrefix(value, "sk_") {
			return value, nil
		}
	}
	return "", errors.New("there is no key that begins with sk_")
}

// shop is a service that reads its key from a file of environment variables when it starts, and shows on its health page which one
// it uses.
type shop struct {
	stage *stage
	env   string
	stop  func()

	mu    sync.Mutex
	key   string    // guarded by mu: as read at the last start
	ready time.Time // guarded by mu: what it is not before
}

// newShop runs with the key in use.
func newShop(s *stage) *shop {
	a := &shop{stage: s, env: filepath.Join(s.t.TempDir(), "shop.env")}
	key := s.current()
	require.NoError(s.t, os.WriteFile(a.env, fmt.Appendf(nil, "REGION=eu\n%s=%s\n", variable, key.Secret.Reveal()), 0o600))
	require.NoError(s.t, a.start(0))
	a.serve()
	return a
}

// serve makes its page answer; stop ends that.
func (a *shop) serve() { a.stop = a.stage.network.serve("shop.internal", http.HandlerFunc(a.health)) }

func (a *shop) start(takes time.Duration) error {
	key, err := readEnv(a.env)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.key, a.ready = key, time.Now().Add(takes)
	return nil
}

func (a *shop) health(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	key, ready := a.key, !time.Now().Before(a.ready)
	a.mu.Unlock()
	if !ready {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	page := map[string]string{"instance": "shop-1", "payments": "refused"}
	if id, ok := a.stage.whoami(r.Context(), key); ok {
		page["key_id"], page["payments"] = id, "connected"
	}
	writeJSON(w, http.StatusOK, page)
}

// page is how handover asks it.
func (a *shop) page() verify.Health {
	return verify.Health{
		URL: "http://shop.internal/health", Client: a.stage.network.client(),
		KeyID: "key_id", Instance: "instance", Expect: map[string]string{"payments": "connected"},
	}
}

// whoami asks the provider for the id of a key.
func (s *stage) whoami(ctx context.Context, value string) (id string, ok bool) {
	probe := verify.Probe{URL: pay + "/whoami", Client: s.network.client(), Answer: func(resp *http.Response) error {
		var out struct{ ID string }
		err := readJSON(resp, &out)
		id = out.ID
		return err
	}}
	err := probe.Verify(ctx, rotation.Key{Secret: secret.New(value)})
	return id, err == nil
}

// current is the key that the store serves.
func (s *stage) current() rotation.Key {
	v, err := s.secrets.Load(s.t.Context(), credential)
	require.NoError(s.t, err)
	return v.Key(rotation.RoleCurrent)
}

// restarted is an EnvFile whose service is restarted when the file was written.
type restarted struct {
	consumer.EnvFile
	restart func() error
}

func (r restarted) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	if err := r.EnvFile.Deploy(ctx, req); err != nil {
		return err
	}
	return r.restart()
}

// follow is a process that follows the store.
func (s *stage) follow(src consumer.Source) *consumer.Handle {
	s.t.Helper()
	if src.Store == nil {
		src.Store = s.secrets
	}
	src.Credential, src.Logger = credential, s.cfg.Logger
	h, err := consumer.Follow(s.t.Context(), src)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { require.NoError(s.t, h.Close()) })
	return h
}

// charge takes money with a key, as whoever says so.
func (s *stage) charge(ctx context.Context, key rotation.Key, who string) (status int) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, pay+"/charges", nil)
	require.NoError(s.t, err)
	r.Header.Set("User-Agent", who)
	r.Header.Set("Authorization", "Bearer "+key.Secret.Reveal())
	resp, err := s.network.client().Do(r)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
