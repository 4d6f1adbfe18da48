// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package gitea_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer/gitea"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// What Verify says of a refusal is not about the administrator, and a time that was named is kept.
func TestVerifyOfARefusal(t *testing.T) {
	for name, row := range map[string]struct {
		status int
		header http.Header
		want   string
	}{
		"a proxy's 401": {http.StatusUnauthorized, nil, "not from Gitea"},
		"a proxy's 403": {http.StatusForbidden, nil, "not from Gitea"},
		"no such page":  {http.StatusNotFound, inJSON, "404"},
		"rate limit":    {http.StatusTooManyRequests, http.Header{"Retry-After": {"60"}}, "429"},
	} {
		t.Run(name, func(t *testing.T) {
			err := newIssuer(t, gitea.Config{
				URL: "http://127.0.0.1:1", User: "app", Password: secret.New("x"), Transport: answering(row.status, row.header, ""),
			}).Verify(t.Context(), rotation.Key{Secret: secret.Random(20)})
			require.ErrorContains(t, err, row.want)
			assert.NotContains(t, err.Error(), "Config.")
			for _, is := range []error{rotation.ErrRejected, rotation.ErrDenied, rotation.ErrNotFound, rotation.ErrNotIssued} {
				assert.NotErrorIs(t, err, is)
			}
			if row.status == http.StatusTooManyRequests {
				assert.IsType(t, rotation.RetryAt(err, time.Now()), err, "the time is lost")
			}
		})
	}
}

func TestWhatAnswersMean(t *testing.T) {
	canary := "canary-77aa01"
	for name, row := range map[string]struct {
		status int
		header http.Header
		is     []error
		not    error
	}{
		"denied":      {403, inJSON, []error{rotation.ErrDenied, rotation.ErrNotIssued}, nil},
		"not found":   {404, inJSON, []error{rotation.ErrNotFound, rotation.ErrNotIssued}, nil},
		"refusal":     {422, inJSON, []error{rotation.ErrNotIssued}, nil},
		"not Gitea":   {404, nil, nil, rotation.ErrNotFound},
		"no page":     {404, nil, nil, rotation.ErrNotIssued},
		"a proxy":     {403, nil, nil, rotation.ErrDenied}, // it may have kept back that there is a token
		"its login":   {401, nil, nil, rotation.ErrNotIssued},
		"its 400":     {400, nil, nil, rotation.ErrNotIssued},
		"conflict":    {409, inJSON, []error{rotation.ErrConflict}, rotation.ErrNotIssued},
		"rate limit":  {429, http.Header{"Retry-After": {"60"}}, nil, rotation.ErrNotIssued},
		"unavailable": {503, http.Header{"Retry-After": {"60"}}, nil, rotation.ErrNotIssued},
		"redirect":    {307, http.Header{"Location": {"http://127.0.0.1:1/" + canary}}, nil, rotation.ErrNotIssued},
		"nonsense":    {201, nil, nil, rotation.ErrNotIssued},
		"refused":     {400, inJSON, nil, rotation.ErrNotIssued}, // and nobody can tell whether it is there
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t, gitea.Config{
				URL: "http://127.0.0.1:1", User: "app", Password: secret.New(canary), Scopes: []string{"read:user"},
				Transport: answering(row.status, row.header, `"`+canary),
			})
			_, err := i.Issue(t.Context(), request(rotation.Key{}))
			require.Error(t, err)
			for _, is := range row.is {
				assert.ErrorIs(t, err, is)
			}
			if row.not != nil {
				assert.NotErrorIs(t, err, row.not)
			}
			silent(t, err, secret.New(canary))

			_, listErr := i.List(t.Context())
			for _, err := range []error{listErr, i.Revoke(t.Context(), rotation.Key{ID: "7"}), i.Check(t.Context())} {
				assert.NotErrorIs(t, err, rotation.ErrNotIssued, "only Issue can say that")
			}
		})
	}
	half := gitea.Config{
		URL: "http://127.0.0.1:1", User: "app", Password: secret.New(canary), Scopes: []string{"read:user"},
		Transport: answering(http.StatusCreated, inJSON, `{"id":7,"sha1":""}`),
	}
	key, err := newIssuer(t, half).Issue(t.Context(), request(rotation.Key{}))
	require.Error(t, err)
	assert.Equal(t, "7", key.ID, "so that it can be ended")
	assert.NotErrorIs(t, err, rotation.ErrNotIssued)
}

// A page that is missing is an error and not a shorter list.
func TestListIsWhole(t *testing.T) {
	cfg := gitea.Config{URL: "http://127.0.0.1:1", User: "app", Password: secret.New("x")}
	for name, row := range map[string]struct {
		total  string            // of every page that totals does not name
		totals map[string]string // by limit and page
		pages  map[string]string // by limit and page
		want   []string          // ids; nil: an error
	}{
		"one page":            {total: "1", pages: map[string]string{"50/1": `[{"id":1}]`}, want: []string{"1"}},
		"two pages":           {total: "2", pages: map[string]string{"50/1": `[{"id":1}]`, "50/2": `[{"id":2}]`}, want: []string{"1", "2"}},
		"none":                {total: "0", want: []string{}},
		"fewer than told":     {total: "2", pages: map[string]string{"50/1": `[{"id":1}]`}},
		"not told":            {total: "", pages: map[string]string{"50/1": `[{"id":1}]`}},
		"more than told":      {total: "1", pages: map[string]string{"50/1": `[{"id":1},{"id":2}]`}},
		"places were changed": {total: "2", pages: map[string]string{"50/1": `[{"id":1}]`, "50/2": `[{"id":1}]`, "41/1": `[{"id":2}]`}, want: []string{"1", "2"}},
		"1 went meanwhile": { // 3 has moved from the second page to the first
			total: "2", totals: map[string]string{"50/1": "3"},
			pages: map[string]string{"50/1": `[{"id":1},{"id":2}]`, "41/1": `[{"id":2},{"id":3}]`}, want: []string{"2", "3"},
		},
		"1 went between two readings": { // the first one is told 1 twice and 3 not at all
			total: "3", totals: map[string]string{"41/1": "2", "41/2": "2"},
			pages: map[string]string{"50/1": `[{"id":1},{"id":2}]`, "50/2": `[{"id":1}]`, "41/1": `[{"id":2}]`, "41/2": `[{"id":3}]`},
			want:  []string{"2", "3"},
		},
		"1 went, and 4 came": { // the first reading is told neither, and the second one is whole by itself
			total: "3",
			pages: map[string]string{"50/1": `[{"id":1},{"id":2}]`, "41/1": `[{"id":4},{"id":3},{"id":2}]`},
			want:  []string{"2", "3", "4"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Transport = through(func(r *http.Request) (*http.Response, error) {
				page := r.FormValue("limit") + "/" + r.FormValue("page")
				total := cmp.Or(row.totals[page], row.total)
				return answering(http.StatusOK, http.Header{"X-Total-Count": {total}}, cmp.Or(row.pages[page], "[]"))(r)
			})
			infos, err := newIssuer(t, cfg).List(t.Context())
			if row.want == nil {
				assert.Error(t, err)
				return
			}
			require.NoError(t, err)
			ids := []string{}
			for _, info := range infos {
				ids = append(ids, info.Key.ID)
			}
			assert.Equal(t, row.want, ids)
		})
	}
}

// A token is deleted between two pages: the one behind them moves to the page that was read already.
func TestATokenGoesBetweenTwoPages(t *testing.T) {
	const most = 2 // MAX_RESPONSE_ITEMS
	rows := []string{`{"id":3}`, `{"id":2}`, `{"id":1}`}
	cfg := gitea.Config{URL: "http://127.0.0.1:1", User: "app", Password: secret.New("x")}
	cfg.Transport = through(func(r *http.Request) (*http.Response, error) {
		page, err := strconv.Atoi(r.FormValue("page"))
		require.NoError(t, err)
		total := len(rows)
		shown := rows[min((page-1)*most, total):min(page*most, total)]
		if total == 3 {
			rows = rows[1:]
		}
		return answering(http.StatusOK, http.Header{"X-Total-Count": {strconv.Itoa(total)}}, "["+strings.Join(shown, ",")+"]")(r)
	})
	infos := list(t, newIssuer(t, cfg))
	require.Len(t, infos, 2)
	assert.Equal(t, "1", infos[0].Key.ID)
	assert.Equal(t, "2", infos[1].Key.ID)
}

func TestConfig(t *testing.T) {
	good := gitea.Config{URL: "https://git.example.com/forge/", User: "app", Password: secret.New("canary-77aa01")}
	i := newIssuer(t, good)
	assert.Equal(t, "https://git.example.com/forge user app", i.Identity())
	assert.Equal(t, rotation.Traits{Propagation: -1, ListLag: -1}, i.Describe())
	for _, shown := range []any{good, i, *i} {
		data, _ := json.Marshal(shown)
		assert.NotContains(t, fmt.Sprintf("%v %+v %#v %s", shown, shown, shown, data), "canary")
	}
	for field, change := range map[string]func(*gitea.Config){
		"URL is required":      func(c *gitea.Config) { c.URL = "" },
		"URL is not":           func(c *gitea.Config) { c.URL = "git.example.com" },
		"URL has more":         func(c *gitea.Config) { c.URL = "https://admin:canary@git.example.com" },
		"User is required":     func(c *gitea.Config) { c.User = "" },
		"Password is required": func(c *gitea.Config) { c.Password = secret.Value{} },
		"Scopes has":           func(c *gitea.Config) { c.Scopes = []string{""} },
	} {
		bad := good
		change(&bad)
		_, err := gitea.New(bad)
		require.ErrorContains(t, err, "gitea: Config."+field)
		assert.NotContains(t, err.Error(), "canary")
	}
}
