// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
)

// FuzzIssue: whatever a provider answers to a request for a key, there is a whole key or an error that says no more than is
// certain and quotes nothing. A key that was issued can be revoked, by a request that names it and nothing else.
func FuzzIssue(f *testing.F) {
	f.Fuzz(func(t *testing.T, status int, retryAfter, requestID, body string) {
		status = 200 + max(status%400, -status%400)
		i := issuer.REST{URL: "http://example.com/v1/keys?account=7", Secret: "key,api_key,data.token"}
		i.Client = &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
			resp := response(r, status, body)
			resp.Header.Set("Retry-After", retryAfter)
			resp.Header.Set("X-Request-Id", requestID)
			return resp, nil
		})}
		key, err := i.Issue(t.Context(), rotation.IssueRequest{Name: "n-v2", Current: rotation.Key{ID: "k1"}})
		if err != nil {
			require.True(t, key.Secret.IsZero())
			require.NotContains(t, secretsIn(body), key.ID, "an id is recorded")
			if !strings.Contains(requestID, canary) {
				clean(t, err)
			}
			matches(t, err, allowed(status)...)
			require.False(t, status < 300 && usable(body), "%v", err)
			return
		}
		require.Less(t, status, 300)
		require.Contains(t, secretsIn(body), key.Secret.Reveal())
		require.NotEmpty(t, key.ID)
		require.NotEqual(t, "k1", key.ID, "the key in use")
		require.NotEqual(t, key.ID, key.Secret.Reveal())
		require.False(t, key.IssuedAt.IsZero())
		recorded, err := json.Marshal(rotation.Key{ID: key.ID, IssuedAt: key.IssuedAt, ExpiresAt: key.ExpiresAt})
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(recorded, new(rotation.Key)))

		sent := 0
		i.Client = &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
			sent++
			target, err := url.ParseRequestURI(r.URL.RequestURI()) // as a server reads it
			require.NoError(t, err)
			require.Equal(t, "example.com", r.URL.Host)
			require.Equal(t, "account=7", target.RawQuery)
			segments := strings.Split(target.EscapedPath(), "/")
			require.Len(t, segments, 4, "%q", target)
			id, err := url.PathUnescape(segments[3])
			require.NoError(t, err)
			require.Equal(t, key.ID, id)
			return response(r, http.StatusGone, ""), nil
		})}
		require.NoError(t, i.Revoke(t.Context(), key))
		require.Equal(t, 1, sent)
	})
}

// allowed are the sentinels that an answer with this status stands for.
func allowed(status int) []error {
	want := map[int][]error{
		401: {rotation.ErrDenied}, 403: {rotation.ErrDenied}, 404: {rotation.ErrNotFound}, 410: {rotation.ErrNotFound},
		409: {rotation.ErrConflict},
	}[status]
	if status/100 == 4 && !slices.Contains([]int{408, 409, 425}, status) {
		want = append(want, rotation.ErrNotIssued)
	}
	return want
}

// secretsIn are the values of the fields that may hold the secret, read with nothing but encoding/json.
func secretsIn(body string) []string {
	var answer map[string]any
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber() // a number that no machine has is a number all the same
	if !json.Valid([]byte(body)) || d.Decode(&answer) != nil {
		return nil
	}
	var found []string
	data, _ := answer["data"].(map[string]any)
	for _, v := range []any{answer["key"], answer["api_key"], answer["data.token"], data["token"]} {
		if s, _ := v.(string); s != "" {
			found = append(found, s)
		}
	}
	return found
}

// usable reports whether body is the plainest of answers: an id, one secret, and no end.
func usable(body string) bool {
	var answer map[string]any
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	if !json.Valid([]byte(body)) || d.Decode(&answer) != nil || answer["expires_at"] != nil || answer["expiresAt"] != nil || answer["expires_on"] != nil {
		return false
	}
	id, _ := answer["id"].(string)
	if n, ok := answer["id"].(json.Number); ok {
		id = n.String()
	}
	found := secretsIn(body)
	slices.Sort(found)
	return len(slices.Compact(found)) == 1 && !slices.Contains([]string{"", ".", "..", "k1", found[0]}, id)
}
