// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package troubleshooting_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store"
)

// vault is a secret store behind HTTP: GET and PUT of /secrets/{name}. Every token may read; the ones allowed may write.
type vault struct {
	stage *stage

	mu      sync.Mutex
	writers map[string]bool // guarded by mu
}

func newVault(s *stage) *vault {
	v := &vault{stage: s, writers: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /secrets/{name}", func(w http.ResponseWriter, r *http.Request) {
		versions, err := s.secrets.Load(r.Context(), r.PathValue("name"))
		data, encErr := store.Marshal(versions)
		if err != nil || encErr != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		writeJSON(w, http.StatusOK, stored{versions.Revision, data})
	})
	mux.HandleFunc("PUT /secrets/{name}", v.put)
	s.network.serve("vault.internal", mux)
	return v
}

type stored struct {
	Revision string          `json:"revision"`
	Data     json.RawMessage `json:"data"`
}

func (v *vault) allow(token string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.writers[token] = true
}

func (v *vault) put(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	v.mu.Lock()
	allowed := v.writers[token]
	v.mu.Unlock()
	if !allowed {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	var in stored
	body, _ := io.ReadAll(r.Body)
	if json.Unmarshal(body, &in) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	versions, err := store.Unmarshal(in.Data)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	versions.Revision = in.Revision
	if v.stage.secrets.Save(r.Context(), r.PathValue("name"), versions) != nil {
		w.WriteHeader(http.StatusConflict)
	}
}

// client is a store of one's own, made of two calls.
func (v *vault) client(token string) rotation.SecretStore {
	return vaultStore{&http.Client{Transport: bearer{token, v.stage.network}}}
}

type vaultStore struct{ http *http.Client }

func (v vaultStore) url(name string) string { return "http://vault.internal/secrets/" + name }
func (v vaultStore) Conditional() bool      { return true }
func (v vaultStore) Identity() string       { return "http://vault.internal" }

func (v vaultStore) Load(ctx context.Context, name string) (rotation.Versions, error) {
	var out stored
	if err := v.call(ctx, http.MethodGet, name, nil, &out); err != nil {
		return rotation.Versions{}, err
	}
	versions, err := store.Unmarshal(out.Data)
	versions.Revision = out.Revision
	return versions, err
}

func (v vaultStore) Save(ctx context.Context, name string, versions rotation.Versions) error {
	data, err := store.Marshal(versions)
	if err != nil {
		return err
	}
	return v.call(ctx, http.MethodPut, name, stored{versions.Revision, data}, nil)
}

// call is issuer.Call with errors as a store has them.
func (v vaultStore) call(ctx context.Context, method, name string, in, out any) error {
	err := issuer.Call(ctx, v.http, method, v.url(name), in, out)
	for _, is := range []error{rotation.ErrDenied, rotation.ErrConflict} {
		if errors.Is(err, is) {
			return fmt.Errorf("vault: %s %s: %w", method, name, is)
		}
	}
	return err
}
