// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
)

// canary stands for what must never be seen outside of its Value.
const canary = "canary-7c1f09"

// serve runs handler on the loopback interface for the length of the test.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

// answer is a handler with one answer.
func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// tripper is an http.RoundTripper made of a function.
type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func response(r *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{}, Request: r, ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// clean fails if err shows the canary anywhere.
func clean(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	recorded := &rotation.Error{Credential: "c", Err: err}
	data, jsonErr := json.Marshal(recorded)
	require.NoError(t, jsonErr)
	shown := []string{string(data), recorded.Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		shown = append(shown, fmt.Sprintf(verb, err), fmt.Sprintf(verb, recorded))
	}
	for _, e := range tree(err) {
		shown = append(shown, e.Error(), fmt.Sprintf("%#v", e))
	}
	for _, s := range shown {
		assert.NotContains(t, s, canary)
	}
}

// tree is err and everything it wraps.
func tree(err error) []error {
	all := []error{err}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			all = append(all, tree(inner)...)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			all = append(all, tree(inner)...)
		}
	}
	return all
}

var sentinels = []error{
	rotation.ErrRejected, rotation.ErrNotYet, rotation.ErrManual, rotation.ErrConflict,
	rotation.ErrNotFound, rotation.ErrDenied, rotation.ErrNoSlot, rotation.ErrNotIssued,
}

// matches fails unless err matches exactly want of the sentinels.
func matches(t *testing.T, err error, want ...error) {
	t.Helper()
	for _, s := range sentinels {
		if contains(want, s) {
			assert.ErrorIs(t, err, s)
		} else {
			assert.NotErrorIs(t, err, s)
		}
	}
}

func contains(errs []error, err error) bool {
	for _, e := range errs {
		if e == err {
			return true
		}
	}
	return false
}
