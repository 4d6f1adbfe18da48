// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package troubleshooting_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

const (
	payHost = "pay.example.com"
	pay     = "http://" + payHost
	admin   = "the administrator's token"
)

// provider is the HTTP API of a payment provider, as many are: POST /keys makes a key, GET /keys lists them with their last use,
// DELETE /keys/{id} ends one. GET /whoami and POST /charges are for whoever has a key.
type provider struct {
	network *network

	mu   sync.Mutex
	keys []*providerKey // guarded by mu

	// What goes wrong with it. Set these before a test begins, or with change.
	form     func(string) string // what a secret looks like; nil: plain text
	scopes   []string            // of new keys
	inactive bool                // new keys are accepted nowhere
	silent   bool                // it tells nothing of the use of keys
	busy     time.Time           // it makes no key before: too many requests
	late     time.Duration       // a revoked key is still accepted that long
}

type providerKey struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	Key      string     `json:"key,omitempty"` // shown once
	Created  time.Time  `json:"created_at"`
	LastUsed *time.Time `json:"last_used_at,omitempty"`
	UsedBy   string     `json:"last_used_by,omitempty"`
	Scopes   []string   `json:"scopes,omitempty"`

	inactive bool
	revoked  time.Time
}

func newProvider(n *network) *provider {
	p := &provider{network: n, scopes: []string{"charges:write", "refunds:write"}}
	n.serve(payHost, p.routes())
	return p
}

// change is for what becomes wrong, or right, while others ask.
func (p *provider) change(f func(*provider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

func (p *provider) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /keys", p.only(p.make))
	mux.HandleFunc("GET /keys", p.only(p.list))
	mux.HandleFunc("DELETE /keys/{id}", p.only(p.end))
	mux.HandleFunc("GET /whoami", p.whoami)
	mux.HandleFunc("POST /charges", p.whoami)
	return mux
}

// only lets the administrator through, one at a time.
func (p *provider) only(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer "+admin {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		next(w, r)
	}
}

func (p *provider) make(w http.ResponseWriter, r *http.Request) {
	if left := time.Until(p.busy); left > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(left.Seconds())))
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	var in struct{ Name string }
	if json.NewDecoder(r.Body).Decode(&in) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	writeJSON(w, http.StatusCreated, p.mint(in.Name))
}

// mint makes a key.
func (p *provider) mint(name string) *providerKey {
	k := &providerKey{ID: fmt.Sprintf("key-%d", len(p.keys)+1), Name: name, Key: "sk_" + secret.Random(16).Reveal(), Created: time.Now(), Scopes: p.scopes, inactive: p.inactive}
	if p.form != nil {
		k.Key = p.form(k.Key)
	}
	p.keys = append(p.keys, k)
	return k
}

func (p *provider) list(w http.ResponseWriter, _ *http.Request) {
	out := []providerKey{}
	for _, k := range p.keys {
		if !k.revoked.IsZero() {
			continue
		}
		shown := *k
		shown.Key = ""
		if p.silent {
			shown.LastUsed, shown.UsedBy = nil, ""
		}
		out = append(out, shown)
	}
	writeJSON(w, http.StatusOK, out)
}

func (p *provider) end(w http.ResponseWriter, r *http.Request) {
	i := slices.IndexFunc(p.keys, func(k *providerKey) bool { return k.ID == r.PathValue("id") && k.revoked.IsZero() })
	if i < 0 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	p.keys[i].revoked = time.Now()
	w.WriteHeader(http.StatusNoContent)
}

// whoami is for holders of a key.
func (p *provider) whoami(w http.ResponseWriter, r *http.Request) {
	value, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.keys {
		alive := k.revoked.IsZero() || time.Since(k.revoked) < p.late
		if k.Key != value || k.inactive || !alive {
			continue
		}
		now := time.Now()
		k.LastUsed, k.UsedBy = &now, r.UserAgent()
		writeJSON(w, http.StatusOK, map[string]string{"id": k.ID})
		return
	}
	w.WriteHeader(http.StatusUnauthorized)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// issuer is how handover makes and ends keys there.
func (p *provider) issuer() issuer.REST {
	return issuer.REST{URL: pay + "/keys", Client: &http.Client{Transport: bearer{admin, p.network}}}
}

// seed makes the key that is in use before the first rotation.
func (p *provider) seed() rotation.Key {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.mint("made by hand")
	return rotation.Key{ID: k.ID, Secret: secret.New(k.Key), IssuedAt: k.Created}
}

// bearer adds a token to every request.
type bearer struct {
	token string
	base  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.base.RoundTrip(r)
}
