// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package kosli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer/kosli"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

const canary = "canary-51b0aa"

// fake speaks the provider's answers as its command line and documentation show them.
type fake struct {
	t      *testing.T
	answer map[string]string // of "METHOD path", status first: "201 {...}"
	got    []string          // "METHOD path authorization body"
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.got = append(f.got, strings.TrimSpace(fmt.Sprintln(r.Method, r.URL.EscapedPath(), r.Header.Get("Authorization"), string(body))))
	status, text, ok := strings.Cut(f.answer[r.Method+" "+r.URL.EscapedPath()], " ")
	if !ok {
		f.t.Errorf("unexpected: %s %s", r.Method, r.URL.EscapedPath())
	}
	var code int
	fmt.Sscan(status, &code)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	io.WriteString(w, text)
}

// admin adds the administrator's key to every request, as a caller's Transport does.
type admin struct{}

func (admin) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer admin")
	return http.DefaultTransport.RoundTrip(r)
}

func start(t *testing.T, answers map[string]string) (kosli.Issuer, *fake) {
	t.Helper()
	f := &fake{t: t, answer: answers}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return kosli.Issuer{
		Org: "acme", ServiceAccount: "ci bot", BaseURL: s.URL + "/api/v2/", Client: &http.Client{Transport: admin{}},
	}, f
}

const keys = "/api/v2/service-accounts/acme/ci%20bot/api-keys"

var request = rotation.IssueRequest{
	Name: "kosli-v2-abc", Current: rotation.Key{ID: "k/0"}, Overlap: 30 * time.Hour,
}

func TestCreate(t *testing.T) {
	for name, body := range map[string]string{
		"as the command line reads it":  `{"id":"k1","key":"` + canary + `","description":"kosli-v2-abc","created_at":1780584129.5,"expires_at":0}`,
		"as the documentation reads it": `{"id":"k1","api_key":"` + canary + `","description":"kosli-v2-abc","created_at":1780584129.5,"expires_at":0.0}`,
		"both":                          `{"id":"k1","key":"` + canary + `","api_key":"` + canary + `","created_at":1780584129.5,"expires_at":0}`,
		"one of them empty":             `{"id":"k1","key":"","api_key":"` + canary + `","created_at":1780584129.5,"expires_at":0}`,
	} {
		t.Run(name, func(t *testing.T) {
			i, f := start(t, map[string]string{"POST " + keys: "201 " + body})
			key, err := i.Issue(t.Context(), request)
			require.NoError(t, err)
			assert.Equal(t, []string{"POST " + keys + ` Bearer admin {"description":"kosli-v2-abc"}`}, f.got)
			assert.True(t, key.Equal(rotation.Key{
				ID: "k1", Secret: secret.New(canary), IssuedAt: time.Date(2026, 6, 4, 14, 42, 9, 500e6, time.UTC),
			}), "%v", key)
		})
	}
}

func TestRotateWithGrace(t *testing.T) {
	body := `{"id":"k1","key":"` + canary + `","description":"one","created_at":1780584129.5,"expires_at":1780584130.25,"grace_period_expires_at":1780584130.5}`
	for _, row := range []struct {
		grace, overlap time.Duration
		hours          int
	}{
		{time.Minute, 0, 1},
		{24 * time.Hour, 0, 24},
		{24*time.Hour + 1, 0, 25},
		{24 * time.Hour, 30*time.Hour + time.Minute, 31},
	} {
		i, f := start(t, map[string]string{"POST " + keys + "/k%2F0/rotate": "201 " + body})
		i.Grace = row.grace
		req := request
		req.Overlap = row.overlap
		key, err := i.Issue(t.Context(), req)
		require.NoError(t, err)
		assert.Equal(t, []string{fmt.Sprintf(`POST %s/k%%2F0/rotate Bearer admin {"grace_period_hours":%d}`, keys, row.hours)}, f.got)
		assert.Equal(t, "k1", key.ID)
		assert.Equal(t, canary, key.Secret.Reveal())
		assert.Equal(t, int64(1780584130250), key.ExpiresAt.UnixMilli())
	}
	assert.Equal(t, rotation.Traits{Grace: 25 * time.Hour, Exclusive: true}, kosli.Issuer{Grace: 24*time.Hour + 1, Exclusive: true}.Describe())
	assert.Equal(t, rotation.Traits{}, kosli.Issuer{}.Describe())

	i, f := start(t, map[string]string{"POST " + keys: "201 " + body})
	i.Grace = time.Hour
	_, err := i.Issue(t.Context(), rotation.IssueRequest{Name: "first"})
	require.NoError(t, err)
	assert.Equal(t, []string{"POST " + keys + ` Bearer admin {"description":"first"}`}, f.got, "the first key has nothing to rotate")
}

func TestIssueFailsLoudly(t *testing.T) {
	for name, row := range map[string]struct {
		answer, id, want string
		is               error
	}{
		"no value":     {`201 {"id":"k1","key":"","api_key":"","secret":"` + canary + `"}`, "k1", "no secret", nil},
		"two values":   {`201 {"id":"k1","key":"` + canary + `","api_key":"other"}`, "k1", "more than one", nil},
		"no id":        {`201 {"key":"` + canary + `"}`, "", "no id", nil},
		"same id":      {`201 {"id":"k/0","key":"` + canary + `"}`, "", "the key in use", nil},
		"forbidden":    {`403 {"message":"` + canary + `"}`, "", "403", rotation.ErrDenied},
		"not found":    {`404 {"message":"` + canary + `"}`, "", "404", rotation.ErrNotFound},
		"lock":         {`409 {"message":"` + canary + `"}`, "", "409", rotation.ErrConflict},
		"server error": {`500 {"message":"` + canary + `"}`, "", "500", nil},
	} {
		t.Run(name, func(t *testing.T) {
			i, _ := start(t, map[string]string{"POST " + keys: row.answer})
			key, err := i.Issue(t.Context(), request)
			assert.ErrorContains(t, err, row.want)
			assert.Equal(t, rotation.Key{ID: row.id}, key)
			if row.is != nil {
				assert.ErrorIs(t, err, row.is)
			}
			definite := row.is == rotation.ErrDenied || row.is == rotation.ErrNotFound
			assert.Equal(t, definite, isNotIssued(err))
			clean(t, err)
		})
	}
}

func isNotIssued(err error) bool {
	data, _ := json.Marshal(&rotation.Error{Err: err})
	return strings.Contains(string(data), rotation.ErrNotIssued.Error())
}

func clean(t *testing.T, err error) {
	t.Helper()
	data, jsonErr := json.Marshal(&rotation.Error{Err: err})
	require.NoError(t, jsonErr)
	assert.NotContains(t, fmt.Sprintf("%v %+v %#v %s", err, err, err, data), canary)
}

func TestRevoke(t *testing.T) {
	i, f := start(t, map[string]string{"DELETE " + keys + "/k%2F0": `200 "revoked"`})
	require.NoError(t, i.Revoke(t.Context(), rotation.Key{ID: "k/0"}))
	assert.Equal(t, []string{"DELETE " + keys + "/k%2F0 Bearer admin"}, f.got)
	require.Error(t, i.Revoke(t.Context(), rotation.Key{}))
	require.Len(t, f.got, 1, "a key without an id is not sent")

	f.answer["DELETE "+keys+"/k1"] = `409 {"message":"` + canary + `"}`
	err := i.Revoke(t.Context(), rotation.Key{ID: "k1"})
	require.ErrorIs(t, err, rotation.ErrConflict)
	clean(t, err)
	f.answer["DELETE "+keys+"/k1"] = `404 {"message":"` + canary + `"}`
	require.NoError(t, i.Revoke(t.Context(), rotation.Key{ID: "k1"}), "the lock passes, and gone is revoked")
}

func TestList(t *testing.T) {
	i, f := start(t, map[string]string{"GET " + keys: `200 [
		{"id":"k1","description":"kosli-v1","created_at":1780584129.5,"expires_at":0,"last_used_at":0},
		{"id":"k2","description":"kosli-v2","created_at":1780584129.5,"expires_at":1780584130.25,"last_used_at":1780584130.75},
		{"id":"k3","description":"old","created_at":1780584129.5,"expires_at":0}]`})
	before := time.Now()
	infos, err := i.List(t.Context())
	require.NoError(t, err)
	require.Len(t, infos, 3)
	assert.Equal(t, []string{"GET " + keys + " Bearer admin"}, f.got)

	assert.Equal(t, "kosli-v1", infos[0].Key.Name)
	assert.True(t, infos[0].Key.ExpiresAt.IsZero(), "0 is never")
	assert.Equal(t, int64(1780584129500), infos[0].Key.IssuedAt.UnixMilli())
	assert.True(t, infos[0].Usage.LastUsed.IsZero(), "0 is never used")
	assert.False(t, infos[0].Usage.AsOf.Before(before), "which is evidence")

	assert.Equal(t, int64(1780584130250), infos[1].Key.ExpiresAt.UnixMilli())
	assert.Equal(t, int64(1780584130750), infos[1].Usage.LastUsed.UnixMilli())
	assert.Equal(t, rotation.Usage{}, infos[2].Usage, "no figure is no evidence")

	require.NoError(t, i.Check(t.Context()))
	f.answer["GET "+keys] = `403 {"message":"` + canary + `"}`
	err = i.Check(t.Context())
	require.ErrorIs(t, err, rotation.ErrDenied)
	clean(t, err)
}

func TestVerify(t *testing.T) {
	const environments = "/api/v2/environments/acme"
	key := rotation.Key{ID: "k1", Secret: secret.New(canary)}
	for answer, want := range map[string]string{
		"200 []":                             "accepted",
		`401 {"message":"` + canary + `"}`:   "rejected",
		`403 {"message":"` + canary + `"}`:   "not known",
		`404 {"message":"` + canary + `"}`:   "not known",
		`500 {"message":"` + canary + `"}`:   "not known",
		`429 {"message":"` + canary + `"}`:   "not known",
		"302 " + canary:                      "not known",
		`409 {"message":"` + canary + `"}`:   "not known",
		"200 <html>sign in</html>" + canary:  "accepted", // only the status is looked at
		`403 "Access denied` + canary + `" `: "not known",
	} {
		i, f := start(t, map[string]string{"GET " + environments: answer})
		err := i.Verify(t.Context(), key)
		switch want {
		case "accepted":
			require.NoError(t, err, answer)
		case "rejected":
			require.ErrorIs(t, err, rotation.ErrRejected, answer)
			clean(t, err)
		default:
			require.Error(t, err, answer)
			require.NotErrorIs(t, err, rotation.ErrRejected, answer)
			clean(t, err)
		}
		assert.Equal(t, []string{"GET " + environments + " Bearer " + canary}, f.got, "the key itself is presented, not the administrator's")
	}
}

func TestValidate(t *testing.T) {
	var i kosli.Issuer
	err := i.Validate()
	for _, field := range []string{"Issuer.Org is required", "Issuer.ServiceAccount is required", "Issuer.Client is required"} {
		assert.ErrorContains(t, err, field)
	}
	err = kosli.Issuer{Org: "..", ServiceAccount: "a", Client: http.DefaultClient, BaseURL: "x", Grace: -1}.Validate()
	for _, field := range []string{"Issuer.Org is not a name", "Issuer.BaseURL is not", "Issuer.Grace is negative"} {
		assert.ErrorContains(t, err, field)
	}

	_, err = i.Issue(t.Context(), rotation.IssueRequest{})
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	require.ErrorContains(t, err, "Issuer.Org is required")
	require.Error(t, i.Revoke(t.Context(), rotation.Key{ID: "k"}))
	require.Error(t, i.Verify(t.Context(), rotation.Key{Secret: secret.New("s")}))
	require.Error(t, i.Check(t.Context()))
	_, err = i.List(t.Context())
	require.Error(t, err)
}

func TestIdentity(t *testing.T) {
	i := kosli.Issuer{Org: "acme", ServiceAccount: "ci"}
	assert.Equal(t, "https://app.kosli.com/api/v2/service-accounts/acme/ci", i.Identity())
	i.BaseURL = "https://app.us.kosli.com/api/v2"
	assert.Equal(t, "https://app.us.kosli.com/api/v2/service-accounts/acme/ci", i.Identity())
}
