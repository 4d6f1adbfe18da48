// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/handover-go/handover/rotation"
)

// ServeHTTP tells which secrets this process accepts and when a delivery last matched each, for Replicas: identities and times,
// no secret. Mount it where only the rotator can reach it: not beside the webhooks themselves.
//
// GET answers {"instance", "as_of", "accepts", "former", "problem"}. Both lists have an object for each secret, {"secret",
// "id", "serial", "generation", "name", "last_match", "since", "as_of"}, of which "secret" is its name in metrics; what is in
// "former" is accepted no more. A "problem" means that the last look at the store failed or found what could not be taken: the
// log says more. With the header Handover-Probe there is a "probe", too, which says whether what is signed with a secret that the
// asker has is accepted; the asker proves that it has the secret, and is shown nothing that it could use elsewhere.
//
// POST looks at the store first: that, and no more, is what others can make it do. Its body may say what has to be accepted
// ({"accept": [{"serial": 8}, {"serial": 7}]}): the answer is then 200 if that is all that is accepted, and 409 if not. 503 means
// that the store failed, and 501 that the body is about a key to present.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if r.v == nil {
		http.Error(w, "a Receiver is made by Receive", http.StatusInternalServerError)
		return
	}
	switch req.Method {
	case http.MethodGet, http.MethodHead:
		v, ok := r.probed(req)
		if !ok {
			http.Error(w, "malformed "+probeHeader, http.StatusBadRequest)
			return
		}
		r.answer(w, http.StatusOK, v)
	case http.MethodPost:
		r.answer(w, r.obey(w, req), "")
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "use GET or POST", http.StatusMethodNotAllowed)
	}
}

// obey does what a POST asks and returns the status of the answer.
func (r *Receiver) obey(w http.ResponseWriter, req *http.Request) int {
	var o orderJSON
	err := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxMessage)).Decode(&o)
	if err != nil && !errors.Is(err, io.EOF) { // an empty body asks for a look and nothing more
		return http.StatusBadRequest
	}
	order := o.request()
	switch {
	case r.suits("receiver", order) != nil:
		return http.StatusBadRequest
	case o.Accept == nil && !order.Key.IsZero():
		return http.StatusNotImplemented
	}
	err = r.look(req.Context())
	switch {
	case o.Accept != nil && acceptsOnly(r.accepts(), order.Accept):
		return http.StatusOK // whatever else there is in the store
	case o.Accept == nil && err == nil:
		return http.StatusOK
	case o.Accept != nil && (err == nil || errors.Is(err, errOld) || errors.Is(err, errUnusable)):
		return http.StatusConflict
	}
	return http.StatusServiceUnavailable
}

func (r *Receiver) answer(w http.ResponseWriter, status int, v verdict) {
	now := time.Now().UTC()
	accepted, former := usesJSON(r.accepts()), usesJSON(r.former())
	r.mu.Lock()
	problem := r.failing != "" || r.problem != nil
	r.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store") // an old answer would be false evidence
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(reportJSON{ // the asker has gone, and asks again
		Instance: r.instance, AsOf: now, Accepts: accepted, Former: former, Problem: problem, Probe: v,
	})
}

// wanted are the keys that are to be accepted.
func (r *Receiver) wanted() []rotation.Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.want)
}
