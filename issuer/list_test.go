// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package issuer_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer"
	"github.com/handover-go/handover/rotation"
)

// listed lists a body, at a time that does not pass.
func listed(t *testing.T, i issuer.REST, body string) (infos []rotation.KeyInfo, now time.Time, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		now = time.Now()
		i.URL = "http://example.com/keys"
		i.Client = &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Second) // the answer takes its time: evidence is as old as the question
			return response(r, 200, body), nil
		})}
		infos, err = i.List(t.Context())
	})
	return infos, now, err
}

func TestListUsage(t *testing.T) {
	used := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, row := range map[string]struct {
		field string // of the item
		want  func(now time.Time) rotation.Usage
	}{
		"none":    {``, func(time.Time) rotation.Usage { return rotation.Usage{} }},
		"null":    {`,"last_used_at":null`, func(now time.Time) rotation.Usage { return rotation.Usage{AsOf: now} }},
		"zero":    {`,"last_used_at":0`, func(now time.Time) rotation.Usage { return rotation.Usage{AsOf: now} }},
		"empty":   {`,"lastUsedAt":""`, func(now time.Time) rotation.Usage { return rotation.Usage{AsOf: now} }},
		"text":    {`,"lastUsedAt":"2026-03-01T12:00:00Z"`, func(now time.Time) rotation.Usage { return rotation.Usage{LastUsed: used, AsOf: now} }},
		"zone":    {`,"lastUsedAt":"2026-03-01T14:00:00+02:00"`, func(now time.Time) rotation.Usage { return rotation.Usage{LastUsed: used, AsOf: now} }},
		"number":  {`,"last_used_at":1772366400`, func(now time.Time) rotation.Usage { return rotation.Usage{LastUsed: used, AsOf: now} }},
		"float":   {`,"last_used_at":1772366400.0`, func(now time.Time) rotation.Usage { return rotation.Usage{LastUsed: used, AsOf: now} }},
		"millis":  {`,"last_used_at":1772366400000`, func(now time.Time) rotation.Usage { return rotation.Usage{LastUsed: used, AsOf: now} }},
		"quoted":  {`,"last_used_at":"1772366400"`, func(now time.Time) rotation.Usage { return rotation.Usage{LastUsed: used, AsOf: now} }},
		"both":    {`,"lastUsedAt":null,"last_used_at":1772366400`, func(now time.Time) rotation.Usage { return rotation.Usage{LastUsed: used, AsOf: now} }},
		"unknown": {`,"last_used_at":"yesterday"`, func(time.Time) rotation.Usage { return rotation.Usage{} }},
		"far":     {`,"last_used_at":"9999-12-31T23:59:59-01:00"`, func(time.Time) rotation.Usage { return rotation.Usage{} }},
		"year 1":  {`,"last_used_at":"0001-01-01T00:00:00Z"`, func(time.Time) rotation.Usage { return rotation.Usage{} }},
		"object":  {`,"last_used_at":{}`, func(time.Time) rotation.Usage { return rotation.Usage{} }},
		"before":  {`,"last_used_at":-1`, func(time.Time) rotation.Usage { return rotation.Usage{} }},
	} {
		t.Run(name, func(t *testing.T) {
			infos, now, err := listed(t, issuer.REST{}, `[{"id":"k1"`+row.field+`}]`)
			require.NoError(t, err)
			require.Len(t, infos, 1)
			assert.Equal(t, row.want(now), infos[0].Usage)
		})
	}
	infos, now, err := listed(t, issuer.REST{UsageLag: 4 * time.Hour, LastUsedAt: "use.at"}, `[{"id":"k1","use":{"at":null}}]`)
	require.NoError(t, err)
	assert.Equal(t, rotation.Usage{AsOf: now.Add(-4 * time.Hour)}, infos[0].Usage)
}

func TestListItems(t *testing.T) {
	item := `{"id":7,"label":"n-v1","createdAt":"2026-03-01T12:00:00Z","expires_at":1780584129.5,"scopes":["a","b"],"active":true}`
	want := []rotation.KeyInfo{{
		Key: rotation.Key{
			ID: "7", Name: "n-v1",
			IssuedAt: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), ExpiresAt: time.Date(2026, 6, 4, 14, 42, 9, 500e6, time.UTC),
		},
		Scopes: []string{"a", "b"},
	}}
	for _, row := range []struct{ items, body string }{
		{"", `[` + item + `]`},
		{"", `{"keys":[` + item + `]}`},
		{"", `{"data":[` + item + `],"has_more":false,"next":null}`},
		{"", `{"items":[` + item + `],"links":{"next":""}}`},
		{"", `{"api_keys":[` + item + `],"next":0}`},
		{"result.tokens", `{"keys":[],"result":{"tokens":[` + item + `]}}`},
	} {
		infos, _, err := listed(t, issuer.REST{Items: row.items}, row.body)
		require.NoError(t, err)
		assert.Equal(t, want, infos)
	}
	for _, empty := range []string{`[]`, `{"keys":[]}`, `{"keys":null}`, `null`} {
		infos, _, err := listed(t, issuer.REST{}, empty)
		require.NoError(t, err, empty)
		assert.Empty(t, infos)
	}
}

func TestListDisabled(t *testing.T) {
	for field, want := range map[string]bool{
		`"disabled":true`: true, `"disabled":false`: false, `"revoked":true`: true, `"enabled":false`: true, `"enabled":true`: false,
		`"active":false`: true, `"active":null`: false, `"status":"Inactive"`: true, `"state":"revoked"`: true,
		`"status":"active"`: false, `"status":{}`: false, `"note":"revoked"`: false,
	} {
		infos, _, err := listed(t, issuer.REST{}, `[{"id":"k1",`+field+`}]`)
		require.NoError(t, err)
		assert.Equal(t, want, infos[0].Disabled, field)
	}
	for field, want := range map[string]bool{`"dead":true`: true, `"dead":"expired"`: true, `"dead":"no"`: false, `"disabled":true`: false} {
		infos, _, err := listed(t, issuer.REST{Disabled: "dead"}, `[{"id":"k1",`+field+`}]`)
		require.NoError(t, err)
		assert.Equal(t, want, infos[0].Disabled, field)
	}
}

// A list that is not all of it, or not understood, must not count as one in which a key is absent.
func TestListRefuses(t *testing.T) {
	for name, row := range map[string]struct{ body, want string }{
		"no list":     {`{"message":"` + canary + `"}`, "no list of keys"},
		"no array":    {`{"keys":{"` + canary + `":1}}`, "no list of keys"},
		"text":        {`"` + canary + `"`, "no list of keys"},
		"no id":       {`[{"id":"k1"},{"name":"` + canary + `"}]`, "item 1 of the list has no id"},
		"odd id":      {`[{"id":{"a":"` + canary + `"}}]`, "has no id"},
		"no object":   {`["` + canary + `"]`, "has no id"},
		"odd end":     {`[{"id":"k1","expires_at":"` + canary + `"}]`, "not a time"},
		"has_more":    {`{"data":[],"has_more":true}`, "goes on"},
		"cursor":      {`{"data":[],"next_cursor":"` + canary + `"}`, "goes on"},
		"next page":   {`{"data":[],"next_page":2}`, "goes on"},
		"links":       {`{"data":[],"links":{"next":"` + canary + `"}}`, "goes on"},
		"pagination":  {`{"data":[],"pagination":{"has_next":true}}`, "goes on"},
		"html":        {`<html>` + canary, "does not decode"},
		"empty":       {``, "empty"},
		"huge":        {`["` + strings.Repeat(canary, 1<<17) + `"]`, "larger than 1 MiB"},
		"nested deep": {strings.Repeat("[", 20000) + canary, "does not decode"},
	} {
		t.Run(name, func(t *testing.T) {
			infos, _, err := listed(t, issuer.REST{}, row.body)
			clean(t, err)
			assert.ErrorContains(t, err, row.want)
			assert.Nil(t, infos)
		})
	}
}

func TestListPages(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "7", r.FormValue("account"))
		switch r.FormValue("page") {
		case "":
			w.Header().Add("Link", `</first,really;?rel="next">; title="a, b; rel=next"; rel=first`)
			w.Header().Add("Link", `<?account=7&page=1>; rel="last", <?account=7&page=2>; title="x,y"; REL="prefetch Next"`)
		case "2":
			w.Header().Add("Link", `</keys?account=7&page=3>; rel=next`)
		case "3":
			w.Header().Add("Link", `<?account=7&page=2>; rel="prev"`)
		}
		fmt.Fprintf(w, `{"keys":[{"id":"k%s"}]}`, r.FormValue("page"))
	})
	infos, err := issuer.REST{URL: "http://unused.invalid", ListURL: url + "/keys?account=7"}.List(t.Context())
	require.NoError(t, err)
	require.Len(t, infos, 3)
	assert.Equal(t, []string{"k", "k2", "k3"}, []string{infos[0].Key.ID, infos[1].Key.ID, infos[2].Key.ID})
}

func TestListPagesRefuses(t *testing.T) {
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the authority went elsewhere") })
	for link, want := range map[string]string{
		"<" + elsewhere + "/" + canary + ">; rel=next": "not on the same host",
		"<//127.0.0.1:1/" + canary + ">; rel=next":     "not on the same host",
		"<%zz" + canary + ">; rel=next":                "not on the same host",
		"<>; rel=next":                                 "the same page",
	} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", link)
			io.WriteString(w, "[]")
		})
		_, err := issuer.REST{URL: url}.List(t.Context())
		clean(t, err)
		assert.ErrorContains(t, err, want)
	}

	pages := 0
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		pages++
		w.Header().Set("Link", fmt.Sprintf("<?page=%d>; rel=next", pages))
		io.WriteString(w, "[]")
	})
	_, err := issuer.REST{URL: url}.List(t.Context())
	assert.ErrorContains(t, err, "more than 100 pages")
	assert.Equal(t, 100, pages)
}

// FuzzList: whatever a provider answers, List neither panics nor returns half of what it understood, nor quotes it.
func FuzzList(f *testing.F) {
	for _, body := range []string{
		`[]`, `null`, `{}`, `{"keys":null}`, `[{"id":1}]`, `[{"id":"k","last_used_at":1e400}]`, `[[[[]]]]`, `{"a":{"b":[]}}`,
		`[{"id":"k1","description":"ci","created_at":1780584129.5,"expires_at":0,"last_used_at":0}]`,
	} {
		f.Add(body, ``)
	}
	for _, link := range []string{`<a>; rel=next`, `<a`, `<a>; rel="next`, `<>,<b>;rel="x next"`, `<a>;;=;rel`} {
		f.Add(`[]`, link)
	}
	f.Fuzz(func(t *testing.T, body, link string) {
		i := issuer.REST{URL: "http://example.com/keys", Items: "a.b,keys"}
		calls := 0
		i.Client = &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host != "example.com" {
				t.Fatal("the authority went elsewhere")
			}
			calls++
			resp := response(r, 200, body)
			if calls == 1 {
				resp.Header.Set("Link", link)
			}
			return resp, nil
		})}
		infos, err := i.List(t.Context())
		if err != nil && infos != nil {
			t.Fatal("half a list")
		}
		if calls > 2 {
			t.Fatal("more pages than links")
		}
		for _, info := range infos {
			if info.Key.ID == "" || !info.Key.Secret.IsZero() {
				t.Fatalf("not a key's identity: %v", info.Key)
			}
			if _, err := json.Marshal(info.Key); err != nil {
				t.Fatalf("a key that cannot be recorded: %v", err)
			}
		}
	})
}
