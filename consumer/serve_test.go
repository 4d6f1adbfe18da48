// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package consumer_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/rotation"
)

func ask(h http.Handler, method, body string) (int, map[string]any, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, "/key", strings.NewReader(body)))
	text := w.Body.String()
	var answer map[string]any
	_ = json.Unmarshal([]byte(text), &answer)
	return w.Code, answer, text + w.Header().Get("Cache-Control")
}

func TestServeTellsTheKeyInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := follow(t, newStore(stored(rotation.RoleCurrent, 1)))
		status, answer, text := ask(h, http.MethodGet, "")
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, map[string]any{
			"instance": "me", "id": "id-b", "serial": 1.0, "generation": 1.0, "name": "payments-vb", "as_of": "2000-01-01T00:00:00Z",
		}, answer)
		require.NotContains(t, text, "hush")
		require.Contains(t, text, "no-store")
		status, _, _ = ask(h, http.MethodDelete, "")
		require.Equal(t, http.StatusMethodNotAllowed, status)
	})
}

func TestServeLooksWhenTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(stored(rotation.RoleCurrent, 1), stored(rotation.RolePending, 2))
		h := follow(t, s)
		for _, step := range []struct {
			body   string
			status int
			serial int
		}{
			{"", 200, 1},
			{`{"serial":2}`, 409, 1},
			{`{"serial":2,"role":"pending"}`, 200, 2},
			{"", 200, 2},
			{`{"serial":1,"role":"current"}`, 200, 1},
			{`{"serial":1,"role":"previous"}`, 400, 1},
			{`{"serial":1,"credential":"another"}`, 400, 1},
			{`{`, 400, 1},
			{`{"name":"` + strings.Repeat("x", 1<<17) + `"}`, 400, 1},
		} {
			status, answer, text := ask(h, http.MethodPost, step.body)
			require.Equal(t, step.status, status, step.body)
			require.EqualValues(t, step.serial, answer["serial"])
			require.NotContains(t, text, "hush")
		}
		s.fail(errSealed)
		status, _, text := ask(h, http.MethodPost, `{"serial":1}`)
		require.Equal(t, http.StatusServiceUnavailable, status)
		require.NotContains(t, text, "sealed")
		status, _, _ = ask(h, http.MethodPost, "")
		require.Equal(t, http.StatusServiceUnavailable, status)
	})
}

func TestServeTellsOfADerivedError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(stored(rotation.RoleCurrent, 1))
		h := follow(t, s)
		_, err := consumer.Derive(h, func(k rotation.Key) (int, error) {
			if k.Serial == 2 {
				return 0, errSealed
			}
			return 0, nil
		})
		require.NoError(t, err)
		s.set(stored(rotation.RoleCurrent, 2))
		status, answer, _ := ask(h, http.MethodPost, `{"serial":2}`)
		require.Equal(t, http.StatusConflict, status)
		require.Equal(t, true, answer["derived_error"])
		require.EqualValues(t, 1, answer["serial"])
	})
}
