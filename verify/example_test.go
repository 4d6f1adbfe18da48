// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/verify"
)

// An accepting side that answers 200 to everybody and says in the body what it thinks of the key.
func ExampleProbe() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"ok":%t}`, r.Header.Get("X-Key") == "living")
	}))
	defer server.Close()

	probe := verify.Probe{
		URL:  server.URL + "/auth.test",
		Auth: func(r *http.Request, key rotation.Key) { r.Header.Set("X-Key", key.Secret.Reveal()) },
		Answer: func(resp *http.Response) error {
			var out struct{ OK bool }
			if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || out.OK {
				return err
			}
			return rotation.ErrRejected
		},
	}
	for _, value := range []string{"living", "dead"} {
		err := probe.Verify(context.Background(), rotation.Key{Secret: secret.New(value)})
		fmt.Println(value, err == nil, errors.Is(err, rotation.ErrRejected))
	}
	// Output:
	// living true false
	// dead false true
}

// A service whose health page shows the key that it uses.
func ExampleHealth() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"status":"healthy","pod":"web-0","payments":{"key_id":"k2"}}`)
	}))
	defer server.Close()

	health := verify.Health{
		URL:      server.URL + "/health",
		Expect:   map[string]string{"status": "healthy"},
		KeyID:    "payments.key_id",
		Instance: "pod",
	}
	fmt.Println(health.Verify(context.Background(), rotation.Key{ID: "k2"}))
	seen, err := health.Observe(context.Background())
	fmt.Println(seen[0].Name, seen[0].Key.ID, err)
	// Output:
	// <nil>
	// web-0 k2 <nil>
}
