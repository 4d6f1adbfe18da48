// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
)

func TestRESTIssue(t *testing.T) {
	for name, row := range map[string]struct {
		body    string
		rest    issuer.REST
		id      string
		issued  time.Time
		expires time.Time
	}{
		"key":      {body: `{"id":"k1","key":"` + canary + `"}`, id: "k1"},
		"api_key":  {body: `{"id":"k1","api_key":"` + canary + `"}`, id: "k1"},
		"secret":   {body: `{"id":"k1","secret":"` + canary + `"}`, id: "k1"},
		"token":    {body: `{"id":"k1","token":"` + canary + `"}`, id: "k1"},
		"one full": {body: `{"id":"k1","key":"","api_key":null,"secret":7,"token":"` + canary + `"}`, id: "k1"},
		"twice":    {body: `{"id":"k1","key":"` + canary + `","api_key":"` + canary + `"}`, id: "k1"},
		"number":   {body: `{"id":12345678901234567890,"key":"` + canary + `"}`, id: "12345678901234567890"},
		"nested": {
			body: `{"data":{"id":"k1","attributes":{"key":"` + canary + `"}}}`, id: "k1",
			rest: issuer.REST{ID: "data.id", Secret: "data.attributes.key"},
		},
		"named": {
			body: `{"id":"no","key":"no","keyId":"k1","secretText":"` + canary + `"}`, id: "k1",
			rest: issuer.REST{ID: "keyId", Secret: "secretText"},
		},
		"times": {
			body: `{"id":"k1","key":"` + canary + `","created_at":"2026-03-01T12:00:00+01:00","expires_at":1780584129.5}`, id: "k1",
			issued: time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC), expires: time.Date(2026, 6, 4, 14, 42, 9, 500e6, time.UTC),
		},
		"never ends":     {body: `{"id":"k1","key":"` + canary + `","expires_at":0}`, id: "k1"},
		"odd created_at": {body: `{"id":"k1","key":"` + canary + `","created_at":{}}`, id: "k1"},
	} {
		t.Run(name, func(t *testing.T) {
			before := time.Now()
			row.rest.URL = serve(t, answer(201, row.body))
			key, err := row.rest.Issue(t.Context(), rotation.IssueRequest{Name: "n"})
			require.NoError(t, err)
			assert.Equal(t, row.id, key.ID)
			assert.Equal(t, canary, key.Secret.Reveal())
			assert.True(t, row.expires.Equal(key.ExpiresAt))
			if row.issued.IsZero() {
				assert.False(t, key.IssuedAt.Before(before), "issued now, if the provider does not say")
			} else {
				assert.True(t, row.issued.Equal(key.IssuedAt))
			}
		})
	}
}

func TestRESTIssueUnusableAnswers(t *testing.T) {
	current := rotation.Key{ID: "k0"}
	for name, row := range map[string]struct {
		body, id, want string
	}{
		"no secret":        {`{"id":"k1","note":"` + canary + `"}`, "k1", "no secret"},
		"two secrets":      {`{"id":"k1","key":"` + canary + `","token":"other"}`, "k1", "more than one"},
		"no id":            {`{"key":"` + canary + `"}`, "", "no id"},
		"id is secret":     {`{"id":"` + canary + `","key":"` + canary + `"}`, "", "the secret itself"},
		"id is one of two": {`{"id":"` + canary + `","key":"` + canary + `","token":"other"}`, "", "the secret itself"},
		"id is no id":      {`{"id":"..","key":"` + canary + `"}`, "", "no id, or one"},
		"id of current":    {`{"id":"k0","key":"` + canary + `"}`, "", "the key in use"},
		"current, none":    {`{"id":"k0"}`, "", "the key in use"},
		"odd end":          {`{"id":"k1","key":"` + canary + `","expires_at":"` + canary + `"}`, "k1", "not a time"},
		"array":            {`["` + canary + `"]`, "", "no secret"},
		"null":             {`null`, "", "no secret"},
		"string":           {`"` + canary + `"`, "", "no secret"},
	} {
		t.Run(name, func(t *testing.T) {
			i := issuer.REST{URL: serve(t, answer(201, row.body))}
			key, err := i.Issue(t.Context(), rotation.IssueRequest{Current: current})
			clean(t, err)
			matches(t, err)
			assert.ErrorContains(t, err, row.want)
			assert.Equal(t, rotation.Key{ID: row.id}, key, "the id and nothing else: what the engine ends the key with")
		})
	}
	i := issuer.REST{URL: serve(t, answer(201, `{"id":"k0","key":"s"}`)), Traits: rotation.Traits{KillsOld: true}}
	key, err := i.Issue(t.Context(), rotation.IssueRequest{Current: current})
	require.NoError(t, err, "where issuing ends the old key, the new one may have its id")
	assert.Equal(t, "k0", key.ID)
}

// recorder remembers requests and answers all of them with one body.
type recorder struct {
	method, uri, body string
	header            http.Header
}

func (r *recorder) serve(t *testing.T, body string) string {
	return serve(t, func(w http.ResponseWriter, req *http.Request) {
		data, _ := io.ReadAll(req.Body)
		*r = recorder{req.Method, req.RequestURI, string(data), req.Header}
		io.WriteString(w, body)
	})
}

func TestRESTRequest(t *testing.T) {
	var got recorder
	url := got.serve(t, `{"id":"k1","key":"s"}`)
	req := rotation.IssueRequest{Name: "n-v2", Token: "uuid", Current: rotation.Key{ID: "k/0"}, Overlap: 90 * time.Minute}
	i := issuer.REST{URL: url + "/keys?account=7"}

	_, err := i.Issue(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, "POST", got.method)
	assert.Equal(t, "/keys?account=7", got.uri)
	assert.JSONEq(t, `{"name":"n-v2"}`, got.body)
	assert.Empty(t, got.header.Get("Idempotency-Key"))

	i.TokenHeader = "Idempotency-Key"
	i.Body = func(req rotation.IssueRequest) any {
		return map[string]any{"succeeds": req.Current.ID, "overlap": req.Overlap.Minutes()}
	}
	_, err = i.Issue(t.Context(), req)
	require.NoError(t, err)
	assert.JSONEq(t, `{"succeeds":"k/0","overlap":90}`, got.body)
	assert.Equal(t, "uuid", got.header.Get("Idempotency-Key"))
}

// A provider that issues the successor and starts a fixed grace period of 24 h in one call.
func TestRESTRotateWithGrace(t *testing.T) {
	var got recorder
	url := got.serve(t, `{"id":"k1","key":"s"}`)
	i := issuer.REST{
		URL:    url + "/keys",
		Rotate: url + "/keys/{id}/rotate?now=1",
		Traits: rotation.Traits{Grace: 24 * time.Hour},
	}
	require.NoError(t, i.Validate())
	assert.Equal(t, 24*time.Hour, i.Describe().Grace)

	_, err := i.Issue(t.Context(), rotation.IssueRequest{Name: "n", Current: rotation.Key{ID: "k/0?"}})
	require.NoError(t, err)
	assert.Equal(t, "/keys/k%2F0%3F/rotate?now=1", got.uri)

	_, err = i.Issue(t.Context(), rotation.IssueRequest{Name: "n"})
	require.NoError(t, err)
	assert.Equal(t, "/keys", got.uri, "the first key has nothing to succeed")

	got = recorder{}
	_, err = i.Issue(t.Context(), rotation.IssueRequest{Name: "n", Current: rotation.Key{ID: ".."}})
	matches(t, err, rotation.ErrNotIssued)
	assert.Empty(t, got.uri)
}

// A key that has ended cannot be succeeded, and in an emergency it may have ended before its successor is made. Naive: the same is asked for
// ever.
func TestRESTRotationOfADeadKeyCreates(t *testing.T) {
	for status, follows := range map[int]bool{401: true, 404: true, 410: true, 400: false, 403: false, 409: false, 429: false, 500: false} {
		var got []string
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			got = append(got, r.URL.Path+" "+r.Header.Get("Idempotency-Key")+" "+string(body))
			if r.URL.Path == "/keys" {
				answer(201, `{"id":"k1","key":"`+canary+`"}`)(w, r)
			} else {
				answer(status, canary)(w, r)
			}
		})
		i := issuer.REST{
			URL: url + "/keys", Rotate: url + "/keys/{id}/rotate", TokenHeader: "Idempotency-Key", Traits: rotation.Traits{Grace: time.Hour},
			Body: func(r rotation.IssueRequest) any { return map[string]string{"name": r.Name, "old": r.Current.ID} },
		}
		key, err := i.Issue(t.Context(), rotation.IssueRequest{Name: "n", Token: "t", Current: rotation.Key{ID: "k0"}})
		if !follows {
			clean(t, err)
			assert.Len(t, got, 1, "%d says nothing of the key, or that it is not known what was made", status)
			continue
		}
		require.NoError(t, err, status)
		assert.Equal(t, "k1", key.ID)
		require.Len(t, got, 2)
		assert.Equal(t, `/keys/k0/rotate t {"name":"n","old":"k0"}`, got[0])
		assert.Regexp(t, `^/keys [0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12} {"name":"n","old":""}$`, got[1], "a token is of one request")
		first := got[1]
		_, err = i.Issue(t.Context(), rotation.IssueRequest{Name: "n", Token: "t", Current: rotation.Key{ID: "k0"}})
		require.NoError(t, err)
		assert.Equal(t, first, got[3], "asked again it is the same request")
	}

	i := issuer.REST{URL: serve(t, answer(401, canary)), Traits: rotation.Traits{Grace: time.Hour}}
	i.Rotate = i.URL + "/{id}/rotate"
	_, err := i.Issue(t.Context(), rotation.IssueRequest{Name: "n", Current: rotation.Key{ID: "k0"}})
	clean(t, err)
	matches(t, err, rotation.ErrDenied, rotation.ErrNotIssued)
}

func TestRESTIssueRefusals(t *testing.T) {
	i := issuer.REST{URL: serve(t, answer(409, canary)), NoSlot: []int{409, 422}}
	_, err := i.Issue(t.Context(), rotation.IssueRequest{})
	clean(t, err)
	matches(t, err, rotation.ErrConflict, rotation.ErrNoSlot, rotation.ErrNotIssued)

	i.URL = serve(t, answer(400, canary))
	_, err = i.Issue(t.Context(), rotation.IssueRequest{})
	matches(t, err, rotation.ErrNotIssued)

	i.URL = serve(t, hangUp(true))
	key, err := i.Issue(t.Context(), rotation.IssueRequest{})
	matches(t, err)
	assert.True(t, key.IsZero())
}

func TestRESTRevoke(t *testing.T) {
	var got recorder
	url := got.serve(t, `"revoked"`)
	for id, uri := range map[string]string{
		"k1":       "/keys/k1?account=7",
		"a/b":      "/keys/a%2Fb?account=7",
		"../admin": "/keys/..%2Fadmin?account=7",
		"a b?c#d%": "/keys/a%20b%3Fc%23d%25?account=7",
	} {
		require.NoError(t, issuer.REST{URL: url + "/keys/?account=7"}.Revoke(t.Context(), rotation.Key{ID: id}))
		assert.Equal(t, "DELETE", got.method)
		assert.Equal(t, uri, got.uri)
	}
	for _, id := range []string{"", ".", ".."} {
		got = recorder{}
		require.Error(t, issuer.REST{URL: url}.Revoke(t.Context(), rotation.Key{ID: id}))
		assert.Empty(t, got.method, "nothing is sent for the id %q", id)
	}
	for status, want := range map[int][]error{
		404: nil, 410: nil, 204: nil, 202: nil,
		403: {rotation.ErrDenied, rotation.ErrNotIssued},
		409: {rotation.ErrConflict},
		500: {},
	} {
		err := issuer.REST{URL: serve(t, answer(status, ""))}.Revoke(t.Context(), rotation.Key{ID: "k1"})
		if want == nil {
			require.NoError(t, err, "%d", status)
			continue
		}
		require.Error(t, err)
		matches(t, err, want...)
	}
}

func TestRESTValidate(t *testing.T) {
	err := issuer.REST{}.Validate()
	assert.EqualError(t, err, "issuer: REST.URL is required")
	err = issuer.REST{URL: "x", ListURL: "y", Rotate: "z", UsageLag: -1}.Validate()
	for _, field := range []string{"REST.URL", "REST.ListURL", "REST.Rotate is", "{id}", "Traits.Grace", "REST.UsageLag"} {
		assert.ErrorContains(t, err, field)
	}

	// Every other method says so too, before any I/O.
	i := issuer.REST{Client: &http.Client{Transport: tripper(func(*http.Request) (*http.Response, error) {
		t.Error("something was sent")
		return nil, io.EOF
	})}}
	_, err = i.Issue(t.Context(), rotation.IssueRequest{})
	assert.ErrorContains(t, err, "REST.URL is required")
	matches(t, err, rotation.ErrNotIssued)
	data, jsonErr := json.Marshal(&rotation.Error{Err: err})
	require.NoError(t, jsonErr)
	assert.Contains(t, string(data), "REST.URL is required", "the text may be recorded")
	assert.ErrorContains(t, i.Revoke(t.Context(), rotation.Key{ID: "k"}), "REST.URL is required")
	_, err = i.List(t.Context())
	assert.ErrorContains(t, err, "REST.URL is required")
	assert.ErrorContains(t, i.Check(t.Context()), "REST.URL is required")
}

func TestRESTIdentity(t *testing.T) {
	i := issuer.REST{URL: "https://admin:" + canary + "@example.com/keys?token=" + canary}
	assert.Equal(t, "https://example.com/keys", i.Identity())
}

func TestRESTCheck(t *testing.T) {
	require.NoError(t, issuer.REST{URL: serve(t, answer(200, "[]"))}.Check(t.Context()))
	require.ErrorIs(t, issuer.REST{URL: serve(t, answer(403, ""))}.Check(t.Context()), rotation.ErrDenied)
	require.NoError(t, issuer.REST{URL: serve(t, answer(403, "")), NoList: true}.Check(t.Context()))
}

func TestManual(t *testing.T) {
	i := issuer.Manual{Create: "make {name} like {current}, not {id}", End: "end {id} ({name})", Traits: rotation.Traits{MaxKeys: 2}}
	require.NoError(t, i.Check(t.Context()))
	assert.Equal(t, 2, i.Describe().MaxKeys)

	key, err := i.Issue(t.Context(), rotation.IssueRequest{Name: "n-v2", Current: rotation.Key{ID: "k1"}})
	assert.True(t, key.IsZero())
	matches(t, err, rotation.ErrManual)
	assert.EqualError(t, err, "make n-v2 like k1, not k1")
	var public rotation.PublicError
	require.ErrorAs(t, err, &public)
	assert.Equal(t, err.Error(), public.Public())

	_, err = i.Issue(t.Context(), rotation.IssueRequest{})
	assert.EqualError(t, err, "make (unknown) like (unknown), not (unknown)")

	err = i.Revoke(t.Context(), rotation.Key{ID: "{name}", Name: "n-v1"})
	matches(t, err, rotation.ErrManual)
	assert.EqualError(t, err, "end {name} (n-v1)", "what is filled in is not filled again")
	assert.EqualError(t, i.Revoke(t.Context(), rotation.Key{Name: "n-v1"}), "end n-v1 (n-v1)")

	err = issuer.Manual{Create: " "}.Validate()
	assert.ErrorContains(t, err, "issuer: Manual.Create is required")
	assert.ErrorContains(t, err, "issuer: Manual.End is required")
	_, err = issuer.Manual{End: "x"}.Issue(t.Context(), rotation.IssueRequest{})
	assert.ErrorContains(t, err, "Manual.Create is required")
	matches(t, err, rotation.ErrNotIssued)
	err = issuer.Manual{Create: "x"}.Revoke(t.Context(), rotation.Key{ID: "k"})
	assert.ErrorContains(t, err, "Manual.End is required")
	matches(t, err)
}

func TestLocal(t *testing.T) {
	var i issuer.Local
	first, err := i.Choose(t.Context(), rotation.IssueRequest{Name: "n-v1"})
	require.NoError(t, err)
	second, err := i.Choose(t.Context(), rotation.IssueRequest{Name: "n-v2"})
	require.NoError(t, err)
	assert.Regexp(t, "^[0-9a-f]{64}$", first.Secret.Reveal())
	assert.False(t, first.Secret.Equal(second.Secret))
	assert.Equal(t, "n-v1", first.ID)

	got, err := i.Issue(t.Context(), rotation.IssueRequest{Chosen: first})
	require.NoError(t, err)
	assert.False(t, got.IssuedAt.IsZero())
	again, err := i.Issue(t.Context(), rotation.IssueRequest{Chosen: got})
	require.NoError(t, err)
	assert.True(t, got.Equal(again), "the same chosen key is the same key")

	_, err = i.Issue(t.Context(), rotation.IssueRequest{})
	matches(t, err, rotation.ErrNotIssued)
	assert.NoError(t, i.Revoke(t.Context(), first))
}

func TestAbilities(t *testing.T) {
	_, chooser := rotation.As[rotation.Chooser](rotation.Issuer(issuer.Local{}))
	assert.True(t, chooser)
	_, chooser = rotation.As[rotation.Chooser](rotation.Issuer(issuer.REST{}))
	assert.False(t, chooser)
	_, lister := rotation.As[rotation.Lister](rotation.Issuer(issuer.Manual{}))
	assert.False(t, lister)
	_, err := issuer.REST{URL: "http://example.com", NoList: true}.List(t.Context())
	assert.True(t, errors.Is(err, errors.ErrUnsupported))
}
