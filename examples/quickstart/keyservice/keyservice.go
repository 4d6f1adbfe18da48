// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package keyservice is a provider of API keys, small but with the habits of real ones: it is served by several edge servers
// that learn of a new or a revoked key one after the other, it allows two live keys at a time, its list lags behind, and
// a client that dies in the middle of a request never hears the answer.
//
//	POST   /v1/api-keys        administrator   {"name": "..."} makes a key; its value is shown this once
//	GET    /v1/api-keys        administrator   the live keys, each with the time of its last use
//	DELETE /v1/api-keys/{id}   administrator   revokes a key, for good
//	GET    /v1/test            a key           204: it is accepted
//	POST   /v1/payments        a key           201: paid
//
// Whoever presents a key that the edge server at hand does not accept gets a 401. The service counts those by client: it is
// the one place where nobody's retry can hide them.
package keyservice

import (
	"cmp"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/handover-go/handover/secret"
)

// Config of a Service. All durations may be zero.
type Config struct {
	Admin   secret.Value    // required: the administrator's bearer token
	Edges   []time.Duration // how late each edge server learns of a change; nil: one that knows at once
	ListLag time.Duration   // until a new key is listed
	Latency time.Duration   // of a call of the administrator: half before it takes effect, half before it is answered
	MaxKeys int             // live keys at a time; zero: 2
	Random  *rand.Rand      // which edge server answers; nil: at random
}

// Service is the provider: an http.Handler, safe for concurrent use.
type Service struct {
	config Config
	mux    *http.ServeMux

	mu     sync.Mutex
	keys   []*key
	prefix string
	counts map[string]*count
}

type key struct {
	id, name string
	value    secret.Value
	created  time.Time
	deleted  time.Time // zero: live
	lastUsed time.Time // zero: never
}

// Count is what one client's requests met. Clients are told apart by User-Agent.
type Count struct {
	Requests int
	Refused  int           // answered with 401
	Outage   time.Duration // the longest time from a refusal to the next request that was accepted
}

type count struct {
	Count
	refusedSince time.Time // zero: the last request was accepted
}

// New returns a Service without keys.
func New(config Config) (*Service, error) {
	if config.Admin.IsZero() {
		return nil, errors.New("keyservice: Config.Admin is required")
	}
	if len(config.Edges) == 0 {
		config.Edges = []time.Duration{0}
	}
	config.MaxKeys = cmp.Or(config.MaxKeys, 2)
	if config.Random == nil {
		config.Random = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	s := &Service{config: config, mux: http.NewServeMux(), counts: map[string]*count{}}
	s.SetPrefix("gw1_")
	s.mux.HandleFunc("POST /v1/api-keys", s.admin(s.create))
	s.mux.HandleFunc("GET /v1/api-keys", s.admin(s.list))
	s.mux.HandleFunc("DELETE /v1/api-keys/{id}", s.admin(s.revoke))
	s.mux.HandleFunc("GET /v1/test", s.accepted(http.StatusNoContent))
	s.mux.HandleFunc("POST /v1/payments", s.accepted(http.StatusCreated))
	return s, nil
}

// ServeHTTP serves the API.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// SetPrefix changes what the values of new keys begin with: providers change their formats without asking.
func (s *Service) SetPrefix(prefix string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prefix = prefix
}

// Live returns the ids of the keys that are not revoked, oldest first.
func (s *Service) Live() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for _, k := range s.keys {
		if k.deleted.IsZero() {
			ids = append(ids, k.id)
		}
	}
	return ids
}

// RevokedAt returns when the revocation of a key took effect at the first edge server; zero: it has not.
func (s *Service) RevokedAt(id string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if k.id == id {
			return k.deleted
		}
	}
	return time.Time{}
}

// TakeCounts returns the counts of every client since the last call, and begins anew.
func (s *Service) TakeCounts() map[string]Count {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, taken := time.Now(), map[string]Count{}
	for client, c := range s.counts {
		if !c.refusedSince.IsZero() { // it lasts until now at least
			c.Outage = max(c.Outage, now.Sub(c.refusedSince))
		}
		taken[client] = c.Count
		s.counts[client] = &count{refusedSince: c.refusedSince}
	}
	return taken
}

// accepted answers with status if the key on the request is accepted by the edge server that it came to.
func (s *Service) accepted(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.use(bearer(r), r.UserAgent()) {
			w.WriteHeader(status)
			return
		}
		answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_api_key"})
	}
}

func (s *Service) use(value, client string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	c := s.counts[client]
	if c == nil {
		c = &count{}
		s.counts[client] = c
	}
	c.Requests++
	late := s.config.Edges[s.config.Random.IntN(len(s.config.Edges))]
	for _, k := range s.keys {
		if same(k.value.Reveal(), value) && k.acceptedAt(now.Add(-late)) {
			k.lastUsed = now
			if !c.refusedSince.IsZero() {
				c.Outage = max(c.Outage, now.Sub(c.refusedSince))
				c.refusedSince = time.Time{}
			}
			return true
		}
	}
	c.Refused++
	if c.refusedSince.IsZero() {
		c.refusedSince = now
	}
	return false
}

func (k *key) acceptedAt(t time.Time) bool {
	return !t.Before(k.created) && (k.deleted.IsZero() || t.Before(k.deleted))
}

// admin lets the administrator through, at the pace of a call over the internet.
func (s *Service) admin(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !same(bearer(r), s.config.Admin.Reveal()) {
			answer(w, http.StatusForbidden, map[string]string{"error": "not_the_administrator"})
			return
		}
		time.Sleep(s.config.Latency / 2)
		next(w, r)
	}
}

func (s *Service) create(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Name string `json:"name"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&body); err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": "not_json"})
		return
	}
	k := s.mint(body.Name)
	time.Sleep(s.config.Latency / 2)
	if k == nil {
		answer(w, http.StatusUnprocessableEntity, map[string]string{"error": "key_limit_reached"})
		return
	}
	shown := view(k)
	shown["api_key"] = k.value.Reveal()
	answer(w, http.StatusCreated, shown)
}

// mint returns nil when there are too many keys.
func (s *Service) mint(name string) *key {
	s.mu.Lock()
	defer s.mu.Unlock()
	live := 0
	for _, k := range s.keys {
		if k.deleted.IsZero() {
			live++
		}
	}
	if live >= s.config.MaxKeys {
		return nil
	}
	k := &key{
		id:      fmt.Sprintf("key_%d", 1001+len(s.keys)),
		name:    name,
		value:   secret.New(s.prefix + secret.Random(24).Reveal()),
		created: time.Now(),
	}
	s.keys = append(s.keys, k)
	return k
}

func (s *Service) list(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	listed := []map[string]any{}
	for _, k := range s.keys {
		if k.deleted.IsZero() && time.Since(k.created) >= s.config.ListLag {
			listed = append(listed, view(k))
		}
	}
	s.mu.Unlock()
	time.Sleep(s.config.Latency / 2)
	answer(w, http.StatusOK, map[string]any{"keys": listed})
}

func (s *Service) revoke(w http.ResponseWriter, r *http.Request) {
	known := s.end(r.PathValue("id"))
	time.Sleep(s.config.Latency / 2)
	if !known {
		answer(w, http.StatusNotFound, map[string]string{"error": "no_such_key"})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Service) end(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if k.id == id && k.deleted.IsZero() {
			k.deleted = time.Now()
			return true
		}
	}
	return false
}

// view is a key as the API shows it.
func view(k *key) map[string]any {
	shown := map[string]any{
		"id": k.id, "name": k.name, "status": "active",
		"created": k.created.Format(time.RFC3339Nano), "lastUsedAt": nil,
	}
	if !k.lastUsed.IsZero() {
		shown["lastUsedAt"] = k.lastUsed.Format(time.RFC3339Nano)
	}
	return shown
}

func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) // a client that has gone does not matter
}
