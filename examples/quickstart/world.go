// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store"
)

// gateway is the credential that this program rotates.
const gateway = "payment-gateway-api"

// How late the provider's edge servers learn of a new or a revoked key. The slowest one decides Traits.Propagation.
var edges = []time.Duration{0, 40 * time.Millisecond, 90 * time.Millisecond}

// The names of the environment variables that carry what a child may know.
const (
	worldVar    = "QUICKSTART_WORLD"     // everybody: where things are
	storeKeyVar = "QUICKSTART_STORE_KEY" // consumers and the rotator: unseals the secret store
	adminVar    = "QUICKSTART_ADMIN"     // the rotator alone: the provider's administrator token
)

// world is where everything is. It holds no secret.
type world struct {
	Dir      string // of this run: the secret store, the journal
	Provider string // base URL of the key service
	Platform string // base URL of what runs the services: rollouts, job runs
	Web      string // base URL of the web consumer, through its front
	API      string // base URL of the api consumer
}

func (w world) environment() string {
	data, err := json.Marshal(w)
	if err != nil {
		panic(err) // five strings
	}
	return worldVar + "=" + string(data)
}

// worldOfChild is the world that the parent handed over.
func worldOfChild() (world, error) {
	var w world
	if err := json.Unmarshal([]byte(os.Getenv(worldVar)), &w); err != nil {
		return w, errors.New("this is a role of the quickstart: run it without arguments")
	}
	return w, nil
}

func (w world) journalPath() string { return filepath.Join(w.Dir, "journal.db") }

// openStore opens the sealed secret store, which everybody shares who was given its key.
func (w world) openStore(key secret.Value) (*store.File, error) {
	return store.OpenFile(filepath.Join(w.Dir, "secrets.sealed"), key)
}

// secretOf reads a secret that the parent handed over.
func secretOf(name string) secret.Value { return secret.New(os.Getenv(name)) }
