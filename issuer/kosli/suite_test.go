// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package kosli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer/kosli"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// account is a service account with keys that live and die.
type account struct {
	mu   sync.Mutex
	made int
	keys map[string]map[string]any // by id
	ends map[string]time.Time      // of those that were rotated
}

func newAccount() *account {
	return &account{keys: map[string]map[string]any{}, ends: map[string]time.Time{}}
}

// RoundTrip answers without a network: in a synctest bubble there is none.
func (a *account) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	if r.Body != nil {
		r.Body.Close()
	}
	return w.Result(), nil
}

func (a *account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, at := range a.ends {
		if !time.Now().Before(at) {
			delete(a.keys, id)
		}
	}
	auth := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	id, ours := strings.CutPrefix(r.URL.Path, "/service-accounts/acme/ci/api-keys")
	id, rotate := strings.CutSuffix(strings.TrimPrefix(id, "/"), "/rotate")
	switch {
	case r.URL.Path == "/environments/acme" && a.keys[strings.TrimPrefix(auth, "secret-of-")] != nil && auth != "":
		fmt.Fprint(w, "[]")
	case !ours || auth != "admin":
		a.fail(w, http.StatusUnauthorized)
	case id != "" && a.keys[id] == nil:
		a.fail(w, http.StatusNotFound)
	case r.Method == http.MethodPost:
		a.create(w, r, id, rotate)
	case r.Method == http.MethodDelete:
		delete(a.keys, id)
		fmt.Fprint(w, `"revoked"`)
	default:
		list := []any{}
		for _, k := range a.keys {
			list = append(list, k)
		}
		json.NewEncoder(w).Encode(list)
	}
}

func (a *account) create(w http.ResponseWriter, r *http.Request, old string, rotate bool) {
	var in struct {
		Description string
		Hours       *float64 `json:"grace_period_hours"`
	}
	json.NewDecoder(r.Body).Decode(&in)
	var description any = in.Description
	if rotate {
		if in.Hours == nil {
			a.fail(w, http.StatusBadRequest)
			return
		}
		description, a.ends[old] = a.keys[old]["description"], time.Now().Add(time.Duration(*in.Hours*float64(time.Hour)))
	}
	a.made++
	id := fmt.Sprintf("k%d", a.made)
	now := float64(time.Now().UnixMicro()) / 1e6
	a.keys[id] = map[string]any{"id": id, "description": description, "created_at": now, "expires_at": 0, "last_used_at": 0}
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(map[string]any{
		"id": id, "key": "secret-of-" + id, "description": description, "created_at": now, "expires_at": 0,
	})
}

func (*account) fail(w http.ResponseWriter, status int) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"message":%q}`, canary)
}

func TestIssuerSuite(t *testing.T) {
	server := httptest.NewServer(newAccount())
	t.Cleanup(server.Close)
	i := kosli.Issuer{Org: "acme", ServiceAccount: "ci", BaseURL: server.URL, Client: &http.Client{Transport: admin{}}}
	t.Run("create and delete", rotationtest.IssuerSuite{Issuer: i, Verifier: i}.Run)
	byHand := func(ctx context.Context) (rotation.Key, error) {
		return i.Issue(ctx, rotation.IssueRequest{Name: "by hand"})
	}
	rotates := i
	rotates.Grace = time.Hour
	t.Run("rotate with grace", rotationtest.IssuerSuite{Issuer: rotates, Verifier: i}.Run)
	t.Run("rotate a key that was there", rotationtest.IssuerSuite{Issuer: rotates, Verifier: i, Current: byHand}.Run)
}

func TestVerifierSuite(t *testing.T) {
	server := httptest.NewServer(newAccount())
	t.Cleanup(server.Close)
	i := kosli.Issuer{Org: "acme", ServiceAccount: "ci", BaseURL: server.URL, Client: &http.Client{Transport: admin{}}}
	var keys [2]rotation.Key
	for n := range keys {
		key, err := i.Issue(t.Context(), rotation.IssueRequest{Name: fmt.Sprintf("ci-v%d", n)})
		require.NoError(t, err)
		keys[n] = key
	}
	require.NoError(t, i.Revoke(t.Context(), keys[0]))
	suite := rotationtest.VerifierSuite{Verifier: i, Live: keys[1], Dead: keys[0]}
	for _, status := range []int{http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests, http.StatusBadGateway} {
		broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(broken.Close)
		down := i
		down.BaseURL = broken.URL
		suite.Down = append(suite.Down, down)
	}
	suite.Run(t)
}
