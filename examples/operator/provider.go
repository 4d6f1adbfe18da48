// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/handover-go/handover/examples/quickstart/keyservice"
	"github.com/handover-go/handover/secret"
)

// provider issues keys for an account of each credential, two live ones at most, and counts every request by who made it. Each
// account is a key service of the quickstart, under /accounts/{name}.
type provider struct {
	mux      *http.ServeMux
	accounts map[string]*keyservice.Service
	issues   atomic.Int64 // requests for a key
}

func newProvider(items []item, admin secret.Value, seed uint64) (*provider, error) {
	p := &provider{mux: http.NewServeMux(), accounts: map[string]*keyservice.Service{}}
	for i, item := range items {
		account, err := keyservice.New(keyservice.Config{
			Admin:   admin,
			Edges:   edges,
			ListLag: 50 * time.Millisecond,
			Latency: 20 * time.Millisecond,
			Random:  rand.New(rand.NewPCG(seed, uint64(i))),
		})
		if err != nil {
			return nil, err
		}
		p.accounts[item.name] = account
		prefix := "/accounts/" + item.name
		p.mux.Handle(prefix+"/", http.StripPrefix(prefix, account))
	}
	return p, nil
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/v1/api-keys") {
		p.issues.Add(1)
	}
	p.mux.ServeHTTP(w, r)
}

// tally is what the services met at the provider. What verifiers ask, which includes whether a dead key is refused, is not in it.
type tally struct {
	requests, rejected int
	silent             []string // services that made no request with a credential of theirs
	refused            []string // credentials with which a service was refused
}

// take returns the tally since the last call.
func (p *provider) take(items []item) tally {
	var t tally
	for _, item := range items {
		counts := p.accounts[item.name].TakeCounts()
		for _, service := range item.services {
			c := counts[service]
			t.requests += c.Requests
			t.rejected += c.Refused
			if c.Requests == 0 {
				t.silent = append(t.silent, service+" with "+item.name)
			}
			if c.Refused > 0 {
				t.refused = append(t.refused, service+" with "+item.name)
			}
		}
	}
	return t
}
