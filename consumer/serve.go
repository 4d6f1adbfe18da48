// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/handover-go/handover/rotation"
)

const maxMessage = 64 << 10 // of a report or an order, in bytes: a few hundred are usual

// ServeHTTP tells which key this process uses, for Replicas: its identity, no secret. Mount it where only the rotator can
// reach it.
//
// GET answers {"instance", "id", "serial", "generation", "name", "as_of", "derived_error"}. POST looks at the store first. Its
// body may name a key and its role ({"serial": 7, "role": "pending"}): the answer is then 200 if this process uses that key,
// and 409 if not, because the store does not show it in that role or because of a derived_error. 503 means that the store
// failed, and 501 that the body is about what to accept, which is for a Receiver.
func (h *Handle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		h.answer(w, http.StatusOK)
	case http.MethodPost:
		h.answer(w, h.obey(w, r))
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "use GET or POST", http.StatusMethodNotAllowed)
	}
}

// obey does what a POST asks and returns the status of the answer.
func (h *Handle) obey(w http.ResponseWriter, r *http.Request) int {
	var o orderJSON
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxMessage)).Decode(&o)
	if err != nil && !errors.Is(err, io.EOF) { // an empty body asks for a look and nothing more
		return http.StatusBadRequest
	}
	req := o.request()
	switch err = h.suits(req); {
	case errors.Is(err, errors.ErrUnsupported):
		return http.StatusNotImplemented
	case err != nil:
		return http.StatusBadRequest
	case !req.Key.IsZero():
		err = h.Deploy(r.Context(), req)
	case h.src.Store != nil:
		err = h.look(r.Context())
	}
	switch {
	case err == nil:
		return http.StatusOK
	case errors.Is(err, rotation.ErrNotYet), errors.Is(err, errBehind):
		return http.StatusConflict
	}
	return http.StatusServiceUnavailable
}

func (h *Handle) answer(w http.ResponseWriter, status int) {
	key, err := h.inUse()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store") // an old answer would be false evidence
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(reportJSON{ // the asker has gone, and asks again
		Instance: h.instance, identityJSON: identity(key), AsOf: time.Now().UTC(), DerivedError: err != nil,
	})
}
