// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/verify"
)

// gateway is a provider with keys that live and die: POST, GET /keys, DELETE /keys/id, GET /whoami.
type gateway struct {
	mu   sync.Mutex
	made int
	keys map[string]map[string]any // by id
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := strings.TrimPrefix(r.URL.Path, "/keys/")
	switch {
	case r.URL.Path == "/whoami":
		for id := range g.keys {
			if r.Header.Get("Authorization") == "Bearer secret-of-"+id {
				return
			}
		}
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method == http.MethodPost:
		var in struct{ Name, Label string }
		json.NewDecoder(r.Body).Decode(&in)
		g.made++
		id := fmt.Sprintf("k%d", g.made)
		g.keys[id] = map[string]any{"id": id, "name": in.Name + in.Label, "last_used_at": nil}
		json.NewEncoder(w).Encode(map[string]string{"id": id, "token": "secret-of-" + id, "created": "2026-03-01T12:00:00Z"})
	case r.Method == http.MethodGet:
		list := []any{}
		for _, k := range g.keys {
			list = append(list, k)
		}
		json.NewEncoder(w).Encode(list)
	case g.keys[id] == nil:
		w.WriteHeader(http.StatusNotFound)
	default:
		delete(g.keys, id)
	}
}

func TestIssuerSuite(t *testing.T) {
	url := serve(t, (&gateway{keys: map[string]map[string]any{}}).ServeHTTP)
	probe := verify.Probe{URL: url + "/whoami"}
	t.Run("REST", rotationtest.IssuerSuite{Issuer: issuer.REST{URL: url + "/keys"}, Verifier: probe}.Run)
	t.Run("one's own", rotationtest.IssuerSuite{Issuer: Gateway{URL: url + "/keys"}, Verifier: probe}.Run)
}
