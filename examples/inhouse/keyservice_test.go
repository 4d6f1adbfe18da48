// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package inhouse_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

// keyService is what stands in for the key service of the house: its HTTP API in front of a provider in memory, which keeps
// the keys and fails on demand. A call that the provider fails gets no answer.
func keyService(keys *rotationtest.Provider) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /keys", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Label string }
		decoded := json.NewDecoder(r.Body).Decode(&in)
		key, err := keys.Issue(r.Context(), rotation.IssueRequest{Name: in.Label})
		answer(w, map[string]any{"id": key.ID, "token": key.Secret.Reveal(), "created": key.IssuedAt}, errors.Join(decoded, err))
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		type item struct {
			ID       string    `json:"id"`
			Label    string    `json:"label"`
			Created  time.Time `json:"created"`
			LastUsed time.Time `json:"last_used,omitzero"`
		}
		infos, err := keys.List(r.Context())
		items := []item{}
		for _, k := range infos {
			items = append(items, item{k.Key.ID, k.Key.Name, k.Key.IssuedAt, k.Usage.LastUsed})
		}
		answer(w, items, err)
	})
	mux.HandleFunc("DELETE /keys/{id}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, nil, keys.Revoke(r.Context(), rotation.Key{ID: r.PathValue("id")}))
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { // /whoami, /payments: what a key is for
		resp, err := keys.RoundTrip(r)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(resp.StatusCode)
	})
	return mux
}

func answer(w http.ResponseWriter, body any, err error) {
	if err != nil {
		panic(http.ErrAbortHandler) // ends the connection
	}
	_ = json.NewEncoder(w).Encode(body)
}

// direct serves requests without a network, which a synctest bubble needs: real connections do not belong to it.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	defer func() {
		if recover() != nil {
			err = io.ErrUnexpectedEOF
		}
	}()
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}
