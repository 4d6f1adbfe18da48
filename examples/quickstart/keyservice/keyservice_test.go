// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package keyservice_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/examples/quickstart/keyservice"
	"github.com/handover-go/handover/secret"
)

const admin = "the-administrator"

func newService(t *testing.T, config keyservice.Config) *keyservice.Service {
	t.Helper()
	config.Admin = secret.New(admin)
	s, err := keyservice.New(config)
	require.NoError(t, err)
	return s
}

// call presents token, as the client named in the test, and returns the status and the decoded body.
func call(t *testing.T, s http.Handler, token, method, path, body string) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("User-Agent", "tester")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var decoded map[string]any
	if w.Body.Len() > 0 {
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &decoded))
	}
	return w.Code, decoded
}

func mint(t *testing.T, s http.Handler) (id, value string) {
	t.Helper()
	status, body := call(t, s, admin, "POST", "/v1/api-keys", `{"name":"n"}`)
	require.Equal(t, http.StatusCreated, status)
	return body["id"].(string), body["api_key"].(string)
}

func accepted(t *testing.T, s http.Handler, value string) bool {
	t.Helper()
	status, _ := call(t, s, value, "POST", "/v1/payments", "")
	require.Contains(t, []int{http.StatusCreated, http.StatusUnauthorized}, status)
	return status == http.StatusCreated
}

func TestAKeyLivesFromIssueToRevocation(t *testing.T) {
	s := newService(t, keyservice.Config{})
	id, value := mint(t, s)
	assert.True(t, accepted(t, s, value))
	assert.Equal(t, []string{id}, s.Live())
	assert.Zero(t, s.RevokedAt(id))

	status, _ := call(t, s, admin, "DELETE", "/v1/api-keys/"+id, "")
	assert.Equal(t, http.StatusNoContent, status)
	assert.False(t, accepted(t, s, value))
	assert.Empty(t, s.Live())
	assert.NotZero(t, s.RevokedAt(id))

	status, _ = call(t, s, admin, "DELETE", "/v1/api-keys/"+id, "")
	assert.Equal(t, http.StatusNotFound, status, "a second time it is gone")
}

func TestOnlyTheAdministratorManagesKeys(t *testing.T) {
	s := newService(t, keyservice.Config{})
	id, value := mint(t, s)
	for _, token := range []string{"", value, admin + "x"} {
		status, _ := call(t, s, token, "POST", "/v1/api-keys", `{}`)
		assert.Equal(t, http.StatusForbidden, status)
		status, _ = call(t, s, token, "DELETE", "/v1/api-keys/"+id, "")
		assert.Equal(t, http.StatusForbidden, status)
	}
	assert.False(t, accepted(t, s, admin), "the administrator's token is no API key")
	assert.False(t, accepted(t, s, ""))
}

func TestTwoLiveKeysAtMost(t *testing.T) {
	s := newService(t, keyservice.Config{})
	first, _ := mint(t, s)
	mint(t, s)
	status, _ := call(t, s, admin, "POST", "/v1/api-keys", `{"name":"third"}`)
	assert.Equal(t, http.StatusUnprocessableEntity, status)
	call(t, s, admin, "DELETE", "/v1/api-keys/"+first, "")
	mint(t, s)
	assert.Len(t, s.Live(), 2)
}

func TestEdgesLearnLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, keyservice.Config{Edges: []time.Duration{100 * time.Millisecond}})
		id, value := mint(t, s)
		assert.False(t, accepted(t, s, value), "the edge does not know it yet")
		time.Sleep(100 * time.Millisecond)
		assert.True(t, accepted(t, s, value))

		call(t, s, admin, "DELETE", "/v1/api-keys/"+id, "")
		time.Sleep(99 * time.Millisecond)
		assert.True(t, accepted(t, s, value), "the edge does not know of the revocation yet")
		time.Sleep(time.Millisecond)
		assert.False(t, accepted(t, s, value))
	})
}

func TestTheListLagsAndTellsOfUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, keyservice.Config{ListLag: 50 * time.Millisecond, Latency: 10 * time.Millisecond})
		listed := func() []any {
			_, body := call(t, s, admin, "GET", "/v1/api-keys", "")
			return body["keys"].([]any)
		}
		id, value := mint(t, s)
		assert.Empty(t, listed())
		time.Sleep(50 * time.Millisecond)
		require.Len(t, listed(), 1)
		shown := listed()[0].(map[string]any)
		assert.Equal(t, id, shown["id"])
		assert.Nil(t, shown["lastUsedAt"])
		assert.NotContains(t, shown, "api_key", "a value is shown once")

		used := time.Now()
		require.True(t, accepted(t, s, value))
		at, err := time.Parse(time.RFC3339Nano, listed()[0].(map[string]any)["lastUsedAt"].(string))
		require.NoError(t, err)
		assert.True(t, at.Equal(used))
	})
}

func TestCountsByClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, keyservice.Config{})
		_, value := mint(t, s)
		require.True(t, accepted(t, s, value))
		require.False(t, accepted(t, s, "dead"))
		time.Sleep(30 * time.Millisecond)
		require.False(t, accepted(t, s, "dead"))
		time.Sleep(20 * time.Millisecond)
		require.True(t, accepted(t, s, value))
		want := keyservice.Count{Requests: 4, Refused: 2, Outage: 50 * time.Millisecond}
		assert.Equal(t, map[string]keyservice.Count{"tester": want}, s.TakeCounts())
		assert.Equal(t, map[string]keyservice.Count{"tester": {}}, s.TakeCounts(), "taking them begins anew")

		require.False(t, accepted(t, s, "dead"))
		time.Sleep(time.Second)
		assert.Equal(t, time.Second, s.TakeCounts()["tester"].Outage, "an outage that has not ended counts until now")
	})
}

func TestAdminIsRequired(t *testing.T) {
	_, err := keyservice.New(keyservice.Config{})
	assert.EqualError(t, err, "keyservice: Config.Admin is required")
}
