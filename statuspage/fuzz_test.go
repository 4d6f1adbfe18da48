// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package statuspage_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/statuspage"
)

// Whatever the query and the accepted form are, the answer is whole, of the form that it says, and no failure of the page.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"", "state=open&q=a", "credential=soaking", "page=2&limit=3&sort=due", "format=json", "q=%3Cscript%3E", "%", "a;b", "page=-9223372036854775809", "limit=1e3", "state=open&state=held", "q=\x00"} {
		f.Add(seed, "text/html")
		f.Add(seed, "application/json;q=0.9, text/html;q=NaN")
	}
	h := newPage(f, statuspage.Config{Rotator: inventory(time.Now()), Fresh: time.Hour})
	f.Fuzz(func(t *testing.T, query, accept string) {
		w := get(t, h, "/", func(r *http.Request) { r.URL = &url.URL{Path: "/", RawQuery: query}; r.Header.Set("Accept", accept) })
		if w.Code != http.StatusOK && w.Code != http.StatusBadRequest && w.Code != http.StatusNotFound {
			t.Fatalf("%d for %q", w.Code, query)
		}
		if strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
			if !json.Valid(w.Body.Bytes()) {
				t.Fatalf("no JSON for %q: %s", query, w.Body)
			}
			return
		}
		if !strings.HasSuffix(strings.TrimSpace(w.Body.String()), "</html>") {
			t.Fatalf("half a page for %q", query)
		}
		isHarmless(t, w.Body.String(), query)
	})
}
