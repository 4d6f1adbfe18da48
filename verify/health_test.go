// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/verify"
)

func TestHealthExpect(t *testing.T) {
	expect := map[string]string{"payment_gateway": "connected", "checks.db": "true", "replicas": "3", "a.b": "dotted"}
	well := `{"payment_gateway":"connected","checks":{"db":true},"replicas":3,"a.b":"dotted","a":{"b":"nested"}}`
	require.NoError(t, verify.Health{URL: serve(t, answer(200, well)), Expect: expect}.Verify(t.Context(), key))

	for name, body := range map[string]string{
		"other":   strings.Replace(well, "connected", canary, 1),
		"missing": strings.Replace(well, `"replicas":3,`, "", 1),
		"null":    strings.Replace(well, "true", "null", 1),
		"object":  strings.Replace(well, "true", `{"`+canary+`":1}`, 1),
		"number":  strings.Replace(well, "3", "3.0", 1),
		"array":   `["` + canary + `"]`,
		"html":    "<html>" + canary,
		"twice":   well + well,
		"empty":   "",
		"huge":    `{"a":"` + strings.Repeat(canary, 1<<17) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			err := verify.Health{URL: serve(t, answer(200, body)), Expect: expect}.Verify(t.Context(), key)
			unknown(t, err)
		})
	}
	err := verify.Health{URL: serve(t, answer(200, `{"status":"down"}`)), Expect: map[string]string{"status": "up"}}.Verify(t.Context(), key)
	assert.ErrorContains(t, err, `the field status is not "up"`)
}

func TestHealthStatus(t *testing.T) {
	for _, status := range []int{200, 202, 204} {
		require.NoError(t, verify.Health{URL: serve(t, answer(status, ""))}.Verify(t.Context(), key))
	}
	for _, status := range []int{301, 302, 304, 400, 401, 403, 404, 429, 500, 503} {
		err := verify.Health{URL: serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/"+canary)
			w.WriteHeader(status)
		}) + "/health?q=" + canary}.Verify(t.Context(), key)
		unknown(t, err)
		assert.Equal(t, status == 401 || status == 403, errors.Is(err, rotation.ErrDenied))
		assert.ErrorContains(t, err, "/health")
	}
}

func TestHealthNeverSendsTheKey(t *testing.T) {
	h := verify.Health{
		KeyID: "key",
		Auth:  func(r *http.Request) { r.Header.Set("Authorization", "Bearer page") },
		URL: serve(t, func(w http.ResponseWriter, r *http.Request) {
			assert.Equal(t, "Bearer page", r.Header.Get("Authorization"))
			var sent strings.Builder
			r.Write(&sent)
			assert.NotContains(t, sent.String(), canary)
			io.WriteString(w, `{"key":"k1"}`)
		}),
	}
	require.NoError(t, h.Verify(t.Context(), key))
	_, err := h.Observe(t.Context())
	require.NoError(t, err)
}

func TestHealthKeyInUse(t *testing.T) {
	h := verify.Health{KeyID: "credential.key_id", Generation: "credential.generation", Expect: map[string]string{"status": "up"}}
	h.URL = serve(t, answer(200, `{"status":"up","credential":{"key_id":"k1","generation":2}}`))
	require.NoError(t, h.Verify(t.Context(), key))
	require.NoError(t, h.Verify(t.Context(), rotation.Key{Serial: 1}), "a key of which the page tells nothing is no other key")
	unknown(t, h.Verify(t.Context(), rotation.Key{}))

	for _, body := range []string{
		`{"status":"up","credential":{"key_id":"k0","generation":2}}`,
		`{"status":"up","credential":{"key_id":"k1","generation":1}}`,
	} {
		h.URL = serve(t, answer(200, body))
		err := h.Verify(t.Context(), key)
		unknown(t, err)
		assert.ErrorIs(t, err, rotation.ErrNotYet, "well, but with another key")
	}
	h.URL = serve(t, answer(200, `{"status":"up"}`))
	err := h.Verify(t.Context(), key)
	unknown(t, err)
	assert.NotErrorIs(t, err, rotation.ErrNotYet)
}

func TestHealthObserve(t *testing.T) {
	body := `{"id":"k1","generation":"7","pod":"web-0"}`
	for name, row := range map[string]struct {
		health verify.Health
		want   rotation.Instance
	}{
		"id":         {verify.Health{KeyID: "id"}, rotation.Instance{Name: "example.com:8080", Key: rotation.Key{ID: "k1"}}},
		"generation": {verify.Health{Generation: "generation"}, rotation.Instance{Name: "example.com:8080", Key: rotation.Key{Generation: 7}}},
		"all":        {verify.Health{KeyID: "id", Generation: "generation", Instance: "pod"}, rotation.Instance{Name: "web-0", Key: rotation.Key{ID: "k1", Generation: 7}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				row.health.URL = "http://u:p@example.com:8080/health?x=y"
				row.health.Client = &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
					time.Sleep(time.Second) // what the page shows may be as old as the question
					return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
				})}
				row.want.AsOf = time.Now()
				got, err := row.health.Observe(t.Context())
				require.NoError(t, err)
				assert.Equal(t, []rotation.Instance{row.want}, got)
			})
		})
	}
}

func TestHealthObserveRefuses(t *testing.T) {
	h := verify.Health{URL: serve(t, answer(200, `{}`))}
	_, err := h.Observe(t.Context())
	assert.ErrorIs(t, err, errors.ErrUnsupported)

	long := strings.Repeat(canary, 50)
	for name, row := range map[string]struct {
		status int
		body   string
	}{
		"not well":       {503, `{"id":"k1","generation":1,"pod":"web-0"}`},
		"no fields":      {200, `{}`},
		"empty id":       {200, `{"id":"","generation":1,"pod":"web-0"}`},
		"long id":        {200, `{"id":"` + long + `","generation":1,"pod":"web-0"}`},
		"odd id":         {200, `{"id":{"` + canary + `":1},"generation":1,"pod":"web-0"}`},
		"no generation":  {200, `{"id":"k1","pod":"web-0"}`},
		"odd generation": {200, `{"id":"k1","generation":"` + canary + `","pod":"web-0"}`},
		"generation 0":   {200, `{"id":"k1","generation":0,"pod":"web-0"}`},
		"fraction":       {200, `{"id":"k1","generation":1.5,"pod":"web-0"}`},
		"no instance":    {200, `{"id":"k1","generation":1}`},
		"long instance":  {200, `{"id":"k1","generation":1,"pod":"` + long + `"}`},
		"html":           {200, canary},
	} {
		t.Run(name, func(t *testing.T) {
			h := verify.Health{URL: serve(t, answer(row.status, row.body)), KeyID: "id", Generation: "generation", Instance: "pod"}
			instances, err := h.Observe(t.Context())
			unknown(t, err)
			assert.Nil(t, instances)
		})
	}
}

func TestHealthTransport(t *testing.T) {
	h := verify.Health{URL: "http://example.com/health", Client: &http.Client{Transport: tripper(func(*http.Request) (*http.Response, error) {
		return nil, errors.Join(rotation.ErrRejected, errors.New(canary))
	})}}
	unknown(t, h.Verify(t.Context(), key))

	h = verify.Health{Expect: map[string]string{"a": "b"}, URL: serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, canary)
	})}
	err := h.Verify(t.Context(), key)
	unknown(t, err)
	assert.ErrorContains(t, err, "incomplete")
}

func TestHealthValidate(t *testing.T) {
	h := verify.Health{KeyID: "id"}
	_, observe := h.Observe(t.Context())
	for _, err := range []error{h.Validate(), h.Check(t.Context()), h.Verify(t.Context(), key), observe} {
		assert.EqualError(t, err, "verify: Health.URL is required")
	}
	h.URL = "https://u:" + canary + "@example.com/health?" + canary
	assert.Equal(t, "https://example.com/health", h.Identity())
	require.NoError(t, h.Validate())
}
