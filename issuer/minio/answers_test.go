// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package minio_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer/minio"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// What Verify says of a refusal is not about the administrator, and a time that was named is kept.
func TestVerifyOfARefusal(t *testing.T) {
	for name, row := range map[string]struct {
		status int
		header http.Header
		body   string
	}{
		"firewall":   {http.StatusForbidden, nil, "blocked"},
		"denied":     {http.StatusForbidden, nil, `{"Code":"AccessDenied"}`},
		"not MinIO":  {http.StatusNotFound, nil, `{"Code":"NoSuchKey"}`},
		"rate limit": {http.StatusTooManyRequests, http.Header{"Retry-After": {"60"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := newIssuer(t, minio.Config{
				URL: "http://127.0.0.1:1", User: "app", Credentials: credentials.NewStaticV4("admin", "its secret", ""),
				Transport: answering(row.status, row.header, row.body),
			}).Verify(t.Context(), rotation.Key{ID: "app", Secret: secret.Random(20)})
			require.ErrorContains(t, err, fmt.Sprint(row.status))
			assert.NotContains(t, err.Error(), "administrator")
			for _, is := range []error{rotation.ErrRejected, rotation.ErrDenied, rotation.ErrNotFound, rotation.ErrNotIssued} {
				assert.NotErrorIs(t, err, is)
			}
			if row.status == http.StatusTooManyRequests {
				assert.IsType(t, rotation.RetryAt(err, time.Now()), err, "the time is lost")
			}
		})
	}
}

// A key whose end has come stays in the list until MinIO clears it away.
func TestListKnowsWhatIsOver(t *testing.T) {
	past, future := time.Now().Add(-time.Minute).UTC(), time.Now().Add(time.Minute).UTC()
	sealed, err := minio.Seal("admin's secret", map[string]any{"accounts": []map[string]any{
		{"accessKey": "over", "accountStatus": "on", "expiration": past},
		{"accessKey": "alive", "accountStatus": "on", "expiration": future},
		{"accessKey": "endless", "accountStatus": "on", "expiration": time.Unix(0, 0)},
		{"accessKey": "off", "accountStatus": "off"},
	}})
	require.NoError(t, err)
	infos, err := newIssuer(t, minio.Config{
		URL: "http://127.0.0.1:1", User: "app", Credentials: credentials.NewStaticV4("admin", "admin's secret", ""),
		Transport: answering(http.StatusOK, nil, string(sealed)),
	}).List(t.Context())
	require.NoError(t, err)
	require.Len(t, infos, 4)
	for n, dead := range []bool{true, false, false, true} {
		assert.Equal(t, dead, infos[n].Disabled, infos[n].Key.ID)
	}
	assert.True(t, infos[2].Key.ExpiresAt.IsZero())
	assert.Equal(t, past, infos[0].Key.ExpiresAt)
}

func TestWhatAnswersMean(t *testing.T) {
	quote, key := "canary-77aa01", rotation.Key{ID: "AKEY"}
	for name, row := range map[string]struct {
		status int
		header http.Header
		body   string
		is     []error
		not    error
	}{
		"denied":     {403, nil, `{"Code":"AccessDenied"}`, []error{rotation.ErrDenied, rotation.ErrNotIssued}, nil},
		"no user":    {404, nil, `{"Code":"XMinioAdminNoSuchUser"}`, []error{rotation.ErrNotFound, rotation.ErrNotIssued}, nil},
		"bad policy": {400, nil, `{"Code":"MalformedPolicy"}`, []error{rotation.ErrNotIssued}, nil},
		"firewall":   {403, nil, quote, nil, rotation.ErrDenied}, // it may have kept back that there is a key
		"its login":  {401, nil, quote, nil, rotation.ErrNotIssued},
		"not MinIO":  {404, nil, quote, nil, rotation.ErrNotFound},
		"no page":    {404, nil, quote, nil, rotation.ErrNotIssued},
		"conflict":   {409, nil, `{"Code":"OperationAborted"}`, []error{rotation.ErrConflict}, rotation.ErrNotIssued},
		"no code":    {409, nil, `{"Code":"` + quote + `"}`, nil, rotation.ErrConflict},
		"rate limit": {429, http.Header{"Retry-After": {"60"}}, quote, nil, rotation.ErrNotIssued},
		"starting":   {503, http.Header{"Retry-After": {"60"}}, `{"Code":"XMinioIAMNotInitialized"}`, nil, rotation.ErrNotIssued},
		"redirect":   {307, http.Header{"Location": {"http://127.0.0.1:1/" + quote}}, "", nil, rotation.ErrNotIssued},
		"nonsense":   {200, nil, quote, nil, rotation.ErrNotIssued},
		"timeout":    {408, nil, quote, nil, rotation.ErrNotIssued},
	} {
		t.Run(name, func(t *testing.T) {
			var requests int
			base := answering(row.status, row.header, row.body)
			i := newIssuer(t, minio.Config{
				URL: "http://127.0.0.1:1", User: "app", Credentials: credentials.NewStaticV4("admin", quote, ""),
				Transport: through(func(r *http.Request) (*http.Response, error) { requests++; return base(r) }),
			})
			_, err := i.Issue(t.Context(), request(t, i, rotation.Key{}))
			require.Error(t, err)
			for _, is := range row.is {
				assert.ErrorIs(t, err, is)
			}
			if row.not != nil {
				assert.NotErrorIs(t, err, row.not)
			}
			assert.Equal(t, 1, requests, "the client repeats nothing")
			silent(t, err, secret.New(quote))

			_, listErr := i.List(t.Context())
			for _, err := range []error{listErr, i.Revoke(t.Context(), key), i.Disable(t.Context(), key), i.Check(t.Context())} {
				assert.NotErrorIs(t, err, rotation.ErrNotIssued, "only Choose and Issue can say that")
			}
		})
	}
}

// silent fails if an error or what is recorded of it shows a value.
func silent(t *testing.T, err error, values ...secret.Value) {
	t.Helper()
	recorded, jsonErr := json.Marshal(&rotation.Error{Err: err})
	require.NoError(t, jsonErr)
	text := fmt.Sprintf("%v %+v %#v %s", err, err, err, recorded)
	for _, v := range values {
		assert.NotContains(t, text, v.Reveal())
	}
	assert.Equal(t, 1, strings.Count(err.Error(), "minio:"), "%v", err)
}

func TestConfig(t *testing.T) {
	admin := credentials.NewStaticV4("admin", "canary-77aa01", "")
	good := minio.Config{URL: "https://minio.example.com:9000", User: "app", Credentials: admin}
	i := newIssuer(t, good)
	assert.Equal(t, "https://minio.example.com:9000 user app", i.Identity())
	assert.Equal(t, rotation.Traits{Propagation: 15 * time.Minute, ListLag: 15 * time.Minute}, i.Describe())
	for _, shown := range []any{good, i, *i} {
		data, _ := json.Marshal(shown)
		assert.NotContains(t, fmt.Sprintf("%v %+v %#v %s", shown, shown, shown, data), "canary")
	}
	for field, change := range map[string]func(*minio.Config){
		"URL is required":         func(c *minio.Config) { c.URL = "" },
		"URL is not":              func(c *minio.Config) { c.URL = "minio:9000" },
		"URL has more":            func(c *minio.Config) { c.URL = "https://admin:canary@minio.example.com" },
		"Credentials is required": func(c *minio.Config) { c.Credentials = nil },
		"User is required":        func(c *minio.Config) { c.User = "" },
		"Policy is neither":       func(c *minio.Config) { c.Policy = "readwrite" },
		"Policy has more":         func(c *minio.Config) { c.Policy = `{"a":"` + strings.Repeat("a", 4096) + `"}` },
		"Lifetime":                func(c *minio.Config) { c.Lifetime = time.Millisecond },
	} {
		bad := good
		change(&bad)
		_, err := minio.New(bad)
		require.ErrorContains(t, err, "minio: Config."+field)
		assert.NotContains(t, err.Error(), "canary")
	}
	_, err := minio.New(minio.Config{})
	for _, field := range []string{"URL", "Credentials", "User"} {
		assert.ErrorContains(t, err, "Config."+field)
	}
}
