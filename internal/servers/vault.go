// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package servers

import (
	"context"
	"net/http"
	"path/filepath"
	"testing"
)

// VaultServer is a Vault 1.14.1 with the secrets engines kv and database (for PostgreSQL) and the auth methods token, approle
// and userpass. A kv of version 2 is mounted at secret/; all else a test mounts itself.
type VaultServer struct {
	*Process
	Addr  string   // host:port
	URL   string   // http://host:port
	Token string   // the root token
	Keys  []string // of the seal, in base64; two of them unseal it
}

// Vault starts a Vault that is initialised and unsealed, which takes about a second. A Start after Stop or Kill unseals it too.
func Vault(t testing.TB) *VaultServer {
	t.Helper()
	s := &VaultServer{Process: newProcess(t, "vault", filepath.Join(heavyFolder(t, "vault"), "vault"))}
	s.Addr, _ = freeAddr(t)
	s.URL = "http://" + s.Addr
	s.args = []string{"-addr", s.Addr, "-data", s.folder("data")}
	s.ready = func(ctx context.Context) error {
		return get(ctx, nil, s.URL+"/v1/sys/health?uninitcode=200&sealedcode=200&standbyok=true")
	}
	s.after = s.open
	s.Start()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	mount := map[string]any{"type": "kv", "options": map[string]string{"version": "2"}}
	if err := s.Call(ctx, http.MethodPost, "sys/mounts/secret", mount, nil); err != nil {
		t.Fatal(err)
	}
	// A kv of version 2 refuses everything for a moment after it is mounted.
	if err := poll(ctx, func() error { return s.Call(ctx, http.MethodGet, "secret/config", nil, nil) }); err != nil {
		t.Fatal(err)
	}
	return s
}

// open initialises the Vault if nobody has, and unseals it.
func (s *VaultServer) open() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if s.Token == "" {
		var made struct {
			Keys  []string `json:"keys_base64"`
			Token string   `json:"root_token"`
		}
		shares := map[string]int{"secret_shares": 3, "secret_threshold": 2}
		if err := s.Call(ctx, http.MethodPut, "sys/init", shares, &made); err != nil {
			return err
		}
		s.Keys, s.Token = made.Keys, made.Token
	}
	return s.unseal(ctx)
}

func (s *VaultServer) unseal(ctx context.Context) error {
	for _, key := range s.Keys[:2] {
		if err := s.Call(ctx, http.MethodPut, "sys/unseal", map[string]string{"key": key}, nil); err != nil {
			return err
		}
	}
	return poll(ctx, func() error { return get(ctx, nil, s.URL+"/v1/sys/health") })
}

// Seal seals the Vault: it answers 503 to all but a few requests.
func (s *VaultServer) Seal() {
	s.t.Helper()
	if err := s.Call(context.Background(), http.MethodPut, "sys/seal", nil, nil); err != nil {
		s.t.Fatal(err)
	}
}

// Unseal unseals the Vault and returns when it serves again.
func (s *VaultServer) Unseal() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.unseal(ctx); err != nil {
		s.t.Fatal(err)
	}
}

// Call calls the API with the root token. The path is without /v1/; body is sent as JSON and the answer is read into out,
// unless they are nil. What is not 2xx is an error.
func (s *VaultServer) Call(ctx context.Context, method, path string, body, out any) error {
	return request{
		method: method, url: s.URL + "/v1/" + path, body: body,
		header: map[string]string{"X-Vault-Token": s.Token},
	}.do(ctx, out)
}
