// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
)

// tripper is an http.RoundTripper made of a function.
type tripper func(*http.Request) *http.Response

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

// FuzzMessages: whatever is sent to a Handle, it uses a key that the store shows and says which; and whatever a process says of
// itself, Replicas takes a whole report or none, and quotes nothing of what is none.
func FuzzMessages(f *testing.F) {
	f.Fuzz(func(t *testing.T, body []byte) {
		order(t, body)
		report(t, body)
	})
}

func order(t *testing.T, body []byte) {
	h := follow(t, newStore(stored(rotation.RolePending, 2), stored(rotation.RoleCurrent, 1)))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/key", strings.NewReader(string(body))))
	require.Contains(t, []int{http.StatusOK, http.StatusBadRequest, http.StatusConflict}, w.Code)
	require.NotContains(t, w.Body.String(), "hush")

	var said struct {
		Instance, ID, Name string
		Serial             int64
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &said))
	require.Equal(t, "me", said.Instance)
	used := h.Key()
	require.Equal(t, used.ID, said.ID)
	require.Equal(t, used.Serial, said.Serial)
	if used.Equal(key(1)) {
		return
	}
	requireKey(t, 2, h) // the canary, for nothing but an order to be one
	require.Equal(t, http.StatusOK, w.Code)
	var asked struct {
		Role, ID, Credential string
		Serial               int64
	}
	require.NoError(t, json.NewDecoder(strings.NewReader(string(body))).Decode(&asked))
	require.Equal(t, "pending", asked.Role)
	require.Contains(t, []string{"", credential}, asked.Credential)
	require.True(t, asked.Serial == 2 || asked.Serial == 0 && asked.ID == "id-c", "%s", body)
}

func report(t *testing.T, body []byte) {
	r := consumer.Replicas{
		URL:    "http://payments.example.com/key",
		Lookup: func(context.Context, string) ([]string, error) { return []string{"192.0.2.1:80"}, nil },
		Client: &http.Client{Transport: tripper(func(r *http.Request) *http.Response {
			w := httptest.NewRecorder()
			w.Write(body)
			resp := w.Result()
			resp.Request = r
			return resp
		})},
	}
	seen, err := r.Observe(t.Context())
	told := r.Deploy(t.Context(), deploy(rotation.RoleCurrent, 1))
	if err != nil {
		require.Empty(t, seen)
		require.ErrorContains(t, told, "not that of a Handle")
		require.Less(t, len(err.Error())+len(told.Error()), 400)
		return
	}
	require.Len(t, seen, 1)
	require.NotEmpty(t, seen[0].Name)
	require.True(t, seen[0].Key.Secret.IsZero())
	require.NotZero(t, seen[0].AsOf)
	var said struct {
		Instance, ID, Name string
		Serial             int64
		Generation         int
	}
	require.NoError(t, json.NewDecoder(strings.NewReader(string(body))).Decode(&said))
	want := rotation.Key{ID: said.ID, Serial: said.Serial, Generation: said.Generation, Name: said.Name}
	require.Equal(t, want, seen[0].Key)
	require.Equal(t, said.Instance, seen[0].Name)
	if told != nil {
		require.Less(t, len(told.Error()), 3<<10, "a report is quoted in errors, which are recorded")
	}
	first := identityOf(key(1))
	first.Serial = said.Serial // it decides where it is known
	uses := said.Serial == 1 || said.Serial == 0 && want.Equal(first)
	require.Equal(t, uses, told == nil, "%s", body)
}

// FuzzRedirect: wherever a provider's answer leads, the key goes to its origin and nowhere else.
func FuzzRedirect(f *testing.F) {
	f.Fuzz(func(t *testing.T, location string) {
		calls := 0
		base := tripper(func(r *http.Request) *http.Response {
			calls++
			header := r.Header.Get("Authorization")
			home := r.URL.Scheme == "https" && strings.EqualFold(r.URL.Hostname(), "api.example.com") &&
				(r.URL.Port() == "" || r.URL.Port() == "443")
			require.Equal(t, home, strings.Contains(header, "hush"), "the key at %q", r.URL)
			w := httptest.NewRecorder()
			if calls == 1 {
				w.Header().Set("Location", location)
				w.WriteHeader(http.StatusFound)
			}
			resp := w.Result()
			resp.Request = r
			return resp
		})
		client := &http.Client{Transport: &consumer.Transport{
			Handle: consumer.Static(key(1)), Origin: "https://API.example.com", Base: base,
		}}
		resp, err := client.Get("https://api.example.com/v1")
		require.LessOrEqual(t, calls, 2)
		if err == nil {
			require.NoError(t, resp.Body.Close())
			require.NotContains(t, resp.Request.Header.Get("Authorization"), "hush", "responses get logged")
		} else {
			require.NotContains(t, err.Error(), "hush-b")
		}
	})
}
