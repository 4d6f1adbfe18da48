// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
)

func TestReloadSendsTheIdentity(t *testing.T) {
	var got string
	status := http.StatusNoContent
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = r.Method + " " + string(body)
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(status)
		io.WriteString(w, "hush")
	}))
	defer server.Close()
	r := consumer.Reload{URL: server.URL + "/-/reload?t=hush"}
	require.NoError(t, r.Check(t.Context()))
	require.Empty(t, got)
	require.NoError(t, r.Deploy(t.Context(), deploy(rotation.RolePending, 1)))
	require.Equal(t, `POST {"deploy":"d-1","credential":"payments","consumer":"app","role":"pending",`+
		`"id":"id-b","serial":1,"generation":1,"name":"payments-vb"}`, got)
	require.Equal(t, server.URL+"/-/reload", r.Identity())

	for code, sentinel := range map[int]error{409: rotation.ErrNotYet, 425: rotation.ErrNotYet, 401: rotation.ErrDenied, 403: rotation.ErrDenied, 302: nil, 429: nil, 500: nil, 503: nil} {
		status = code
		err := r.Deploy(t.Context(), deploy(rotation.RoleCurrent, 1))
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hush")
		for _, s := range []error{rotation.ErrNotYet, rotation.ErrDenied} {
			require.Equal(t, s == sentinel, isError(err, s), "%d", code)
		}
	}
	server.Close()
	err := r.Deploy(t.Context(), deploy(rotation.RoleCurrent, 1))
	require.ErrorContains(t, err, "connection refused")
	require.NotContains(t, err.Error(), "hush")
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	require.ErrorIs(t, r.Deploy(ctx, deploy(rotation.RoleCurrent, 1)), context.DeadlineExceeded)
}

func TestReloadTellsAHandle(t *testing.T) {
	s := newStore(stored(rotation.RoleCurrent, 1))
	h := replica(t, "a", s)
	server := httptest.NewServer(h)
	defer server.Close()
	r := consumer.Reload{URL: server.URL}
	require.ErrorIs(t, r.Deploy(t.Context(), deploy(rotation.RoleCurrent, 2)), rotation.ErrNotYet)
	s.set(stored(rotation.RoleCurrent, 2))
	require.NoError(t, r.Deploy(t.Context(), deploy(rotation.RoleCurrent, 2)))
	requireKey(t, 2, h)
}

func TestReloadNamesItsMistakes(t *testing.T) {
	for _, r := range []consumer.Reload{{}, {URL: "x"}, {URL: "http://x", PIDFile: "y"}} {
		for _, err := range []error{r.Validate(), r.Check(t.Context()), r.Deploy(t.Context(), deploy("", 1))} {
			assert.ErrorContains(t, err, "Reload.URL")
		}
	}
}
