// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/verify"
)

// FuzzHealth: whatever a health page shows, Verify and Observe agree about it, a value that is there is found, and nothing of
// the page but names of keys and instances goes anywhere.
func FuzzHealth(f *testing.F) {
	f.Fuzz(func(t *testing.T, status int, page, field, value string) {
		status = 200 + max(status%400, -status%400)
		h := health(status, page)
		h.KeyID = field
		seen, err := h.Observe(t.Context())
		h.Instance = field
		named, nameErr := h.Observe(t.Context())
		require.Equal(t, err == nil, nameErr == nil)
		h.KeyID, h.Instance, h.Expect = "", "", map[string]string{field: value}
		well := h.Verify(t.Context(), key)
		if well != nil && !strings.Contains(field+value, canary) {
			clean(t, well)
		}
		switch {
		case field == "": // asks for no key
			require.ErrorIs(t, err, errors.ErrUnsupported)
			return
		case err != nil:
			require.Empty(t, seen)
			if !strings.Contains(field, canary) {
				clean(t, err)
			}
			require.True(t, well != nil || value == "" || len(value) > 256, "a field that only Verify sees")
		default:
			require.Less(t, status, 300)
			require.Len(t, seen, 1)
			require.Equal(t, rotation.Key{ID: seen[0].Key.ID}, seen[0].Key)
			require.NotEmpty(t, seen[0].Key.ID)
			require.LessOrEqual(t, len(seen[0].Key.ID), 256)
			require.Equal(t, "example.com", seen[0].Name)
			require.Equal(t, seen[0].Key.ID, named[0].Name)
			require.Equal(t, value == seen[0].Key.ID, well == nil, "%q and %q", value, seen[0].Key.ID)
		}
		for _, err := range []error{well, err} {
			require.NotErrorIs(t, err, rotation.ErrRejected)
			require.Equal(t, err != nil && (status == 401 || status == 403), errors.Is(err, rotation.ErrDenied))
		}
		found(t, field, value)
	})
}

// found puts value into pages under the path field: as the names of it, as one name with dots, which comes first, and as a number
// if it is one.
func found(t *testing.T, field, value string) {
	if !utf8.ValidString(field) || !utf8.ValidString(value) {
		return // JSON holds no such text
	}
	nested := func(v any) map[string]any {
		names := strings.Split(field, ".")
		for i := len(names) - 1; i > 0; i-- {
			v = map[string]any{names[i]: v}
		}
		return map[string]any{names[0]: v}
	}
	both := nested("another " + value)
	both[field] = value
	pages := []any{nested(value), both}
	if value != "" && strings.Trim(value, "-+.eE0123456789") == "" && json.Valid([]byte(value)) {
		pages = append(pages, nested(json.RawMessage(value)))
	}
	for _, page := range pages {
		data, err := json.Marshal(page)
		require.NoError(t, err)
		h := health(http.StatusOK, string(data))
		h.Expect = map[string]string{field: value}
		require.NoError(t, h.Verify(t.Context(), key), "%s", data)
		h.Expect = map[string]string{field: value + "."}
		require.Error(t, h.Verify(t.Context(), key), "%s", data)
	}
}

func health(status int, page string) verify.Health {
	return verify.Health{
		URL: "http://example.com/health",
		Client: &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			w.WriteHeader(status)
			w.WriteString(page)
			resp := w.Result()
			resp.Request = r
			return resp, nil
		})},
	}
}
