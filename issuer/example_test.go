// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// Gateway makes keys of an in-house gateway: an Issuer of one's own.
type Gateway struct {
	URL   string       // https://gateway.internal/keys
	Admin *http.Client // adds the administrator's token
}

func (g Gateway) Issue(ctx context.Context, req rotation.IssueRequest) (rotation.Key, error) {
	var out struct {
		ID      string       `json:"id"`
		Token   secret.Value `json:"token"`
		Created time.Time    `json:"created"`
	}
	err := issuer.Call(ctx, g.Admin, http.MethodPost, g.URL, map[string]string{"label": req.Name}, &out)
	return rotation.Key{ID: out.ID, Secret: out.Token, IssuedAt: out.Created}, err
}

func (g Gateway) Revoke(ctx context.Context, key rotation.Key) error {
	err := issuer.Call(ctx, g.Admin, http.MethodDelete, g.URL+"/"+url.PathEscape(key.ID), nil, nil)
	if errors.Is(err, rotation.ErrNotFound) {
		return nil
	}
	return err
}

func ExampleCall() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, `{"id":"k1","token":"s3cr3t","created":"2026-03-01T12:00:00Z"}`)
	}))
	defer server.Close()

	var i rotation.Issuer = Gateway{URL: server.URL + "/keys"}
	key, err := i.Issue(context.Background(), rotation.IssueRequest{Name: "gateway-v2"})
	fmt.Println(key, key.Secret, err)
	fmt.Println(i.Revoke(context.Background(), rotation.Key{ID: "gone"}))
	// Output:
	// k1 (generation 0) [secret] <nil>
	// <nil>
}

func ExampleREST() {
	// A provider whose answers are wrapped, and whose limit of keys is a 422.
	i := issuer.REST{
		URL:    "https://api.example.com/v1/tokens",
		Client: http.DefaultClient, // one that adds the administrator's token
		Body: func(req rotation.IssueRequest) any {
			return map[string]any{"name": req.Name, "policies": []string{"read"}}
		},
		ID:     "result.id",
		Secret: "result.value",
		NoList: true,
		NoSlot: []int{http.StatusUnprocessableEntity},
	}
	fmt.Println(i.Validate(), i.Identity())
	// Output: <nil> https://api.example.com/v1/tokens
}

func ExampleManual() {
	i := issuer.Manual{
		Create: "Make a token named {name} with the rights of {current}, then supply it.",
		End:    "Delete the token {id}.",
	}
	_, err := i.Issue(context.Background(), rotation.IssueRequest{Name: "npm-v2", Current: rotation.Key{ID: "tok-1"}})
	fmt.Println(err, errors.Is(err, rotation.ErrManual))
	// Output: Make a token named npm-v2 with the rights of tok-1, then supply it. true
}
