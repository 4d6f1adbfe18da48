// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/examples/internal/child"
	"github.com/handover-go/handover/rotation"
)

// Three services use the payment gateway, and each learns of a new key in its own way. Read their three functions as what
// you have today, or will soon: web knows nothing of this library but where the key lies, api embeds package consumer, and
// batch is the job that somebody wrote years ago.

// refusedByProvider is the exit code of a batch job whose key was refused.
const refusedByProvider child.Exit = 3

// web reads its key once, at start-up. To use another one it has to be restarted.
func web(ctx context.Context, w world, serial int64) error {
	key, err := keyOf(ctx, w, serial)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(key.Secret.Reveal(), "gw1_") {
		return errors.New("web: the payment gateway key must begin with gw1_") // a format that seemed to be for ever
	}
	gateway := client{name: "web", provider: w.Provider, http: http.DefaultClient, key: key.Secret.Reveal()}
	mux := http.NewServeMux()
	mux.Handle("POST /pay", gateway)
	mux.HandleFunc("GET /health", func(rw http.ResponseWriter, r *http.Request) {
		health := map[string]any{"payment_gateway": "connected", "key_id": key.ID}
		if err := gateway.call(r.Context(), http.MethodGet, "/v1/test"); err != nil {
			health["payment_gateway"] = "failing"
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
		json.NewEncoder(rw).Encode(health)
	})
	return child.Serve(ctx, mux)
}

// api follows the secret store. It keeps the key in memory, looks for another one every few seconds, and at once when the
// rotator tells it to: that is its page /key, which also says which key it has.
func api(ctx context.Context, w world) error {
	secrets, err := w.openStore(secretOf(storeKeyVar))
	if err != nil {
		return err
	}
	handle, err := consumer.Follow(ctx, consumer.Source{Store: secrets, Credential: gateway, Every: 3 * time.Second})
	if err != nil {
		return err
	}
	defer handle.Close()
	live := &http.Client{Transport: &consumer.Transport{Handle: handle, Origin: w.Provider}}
	mux := http.NewServeMux()
	mux.Handle("POST /pay", client{name: "api", provider: w.Provider, http: live})
	mux.Handle("/key", handle)
	return child.Serve(ctx, mux)
}

// batch is one run of a job: it reads the key when it begins, works for a while, and ends.
func batch(ctx context.Context, w world) error {
	key, err := keyOf(ctx, w, 0)
	if err != nil {
		return err
	}
	gateway := client{name: "batch", provider: w.Provider, http: http.DefaultClient, key: key.Secret.Reveal()}
	for range 12 {
		err := gateway.call(ctx, http.MethodPost, "/v1/payments")
		if errors.Is(err, errRefused) {
			return refusedByProvider // no use in going on
		} else if err != nil {
			return err
		}
		sleep(ctx, 25*time.Millisecond)
	}
	return nil
}

// keyOf reads a key from the secret store: the one with this serial, or the current one for 0.
func keyOf(ctx context.Context, w world, serial int64) (rotation.Key, error) {
	secrets, err := w.openStore(secretOf(storeKeyVar))
	if err != nil {
		return rotation.Key{}, err
	}
	versions, err := secrets.Load(ctx, gateway)
	if err != nil {
		return rotation.Key{}, err
	}
	if serial == 0 {
		return versions.Key(rotation.RoleCurrent), nil
	}
	for _, key := range versions.Accepted() { // a canary's key is still pending
		if key.Serial == serial {
			return key, nil
		}
	}
	return rotation.Key{}, fmt.Errorf("no key with serial %d", serial)
}

// client calls the payment gateway. As an http.Handler it makes one payment for each request.
type client struct {
	name     string
	provider string
	http     *http.Client
	key      string // empty: the http.Client knows it
}

var errRefused = errors.New("the payment gateway refused the key")

func (c client) call(ctx context.Context, method, path string) error {
	req, err := http.NewRequestWithContext(ctx, method, c.provider+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", c.name)
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return errRefused
	case resp.StatusCode >= 300:
		return fmt.Errorf("the payment gateway answered %s", resp.Status)
	}
	return nil
}

func (c client) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch err := c.call(r.Context(), http.MethodPost, "/v1/payments"); {
	case errors.Is(err, errRefused):
		w.WriteHeader(http.StatusBadGateway)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
