// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package statuspage_test

import (
	"errors"
	"html"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/statuspage"
)

const marker = "MARK3R-s3cret"

// leaky is a part that holds a secret, as parts do, and whose address has one in places where addresses can have it.
type leaky struct {
	part
	Key   rotation.Key
	Token string
}

// No page and no JSON holds what a Key holds beside its name, or what an error's cause says.
func TestNoSecretIsShown(t *testing.T) {
	now := time.Now()
	s := inventory(now)
	key := rotation.Key{
		ID: "key-1", Name: "key-1", Generation: 1, Secret: secret.New(marker + "-value"),
		Attributes: map[string]string{"password": marker + "-attribute", marker + "-name": "x"},
	}
	cause := &rotation.Error{Evidence: "it is refused", Err: errors.New(marker + "-cause")}
	for i := range s.statuses {
		st := &s.statuses[i]
		st.Debts = []rotation.Debt{{ID: "debt/1", Key: key, Since: now, Problem: cause}}
		for _, r := range []*rotation.Record{st.Open, st.Last} {
			if r != nil {
				r.Problem = cause
				r.Consumers = []rotation.ConsumerRecord{{Name: "web", Problem: cause}}
			}
		}
		c := &s.credentials[i]
		p := leaky{part{identity: "https://user:" + marker + "-userinfo@api.example.com/keys?token=" + marker + "-query#" + marker}, key, marker + "-token"}
		c.Issuer, c.Store, c.Verifier = p, p, rotation.VerifierFunc(nil)
		c.Consumers = []rotation.Binding{{Name: "web", Consumer: p}}
	}
	s.err = errors.Join(errors.New(marker+"-error"), cause)
	h := newPage(t, statuspage.Config{Rotator: s})
	targets := []string{"", "?state=debt"}
	for _, c := range s.credentials {
		targets = append(targets, "?credential="+c.Name)
	}
	for _, target := range targets {
		for _, format := range []string{"html", "json"} {
			link := strings.TrimPrefix(target+"&format="+format, "?")
			w := get(t, h, "?"+link)
			require.Equal(t, http.StatusOK, w.Code, link)
			body := html.UnescapeString(w.Body.String())
			require.Contains(t, body, "it is refused", link)
			require.Contains(t, body, "https://api.example.com/keys", link)
			assert.NotContains(t, body, marker, link)
			assert.NotContains(t, body, "redacted", link)
		}
	}
}

// Names are chosen by people and programs that do not think of this page.
func TestHostileTexts(t *testing.T) {
	now := time.Now()
	for _, text := range []string{
		`<script>alert(1)</script>`,
		`"><img src=x onerror=alert(1)>`,
		`' onmouseover='alert(1)`,
		`javascript:alert(1)`,
		`</style><style>*{display:none}`,
		`{{.Title}} &amp; &lt;`,
		"\u202Egnp.exe\u202C \u05E9\u05DC\u05D5\u05DD",
		"bad\xff\xfe\x00bytes\r\n",
		strings.Repeat("long", 60),
		`../../?credential=a&b=c#d%20+`,
	} {
		s := &source{}
		e := &rotation.Error{Credential: text, Consumer: text, Evidence: text, Action: text, Diagnosis: rotation.Diagnosis(text)}
		r := &rotation.Record{
			ID: text, Strategy: rotation.Strategy(text), Phase: rotation.Phase(text), Outcome: rotation.Outcome(text), OldID: text, NewID: text,
			Reason: text, Actor: text, Trigger: text, Incident: text, Problem: e, BeganAt: now, EndedAt: now,
			Consumers: []rotation.ConsumerRecord{{Name: text, Proof: text, Problem: e}},
			Timeline:  []rotation.Moment{{At: now, Phase: rotation.Phase(text), Actor: text, Text: text}},
		}
		s.add(rotation.Status{
			Credential: text, Generation: 1, Open: r, Last: r, Debts: []rotation.Debt{{ID: text, Key: rotation.Key{ID: text}, Since: now, Problem: e}},
			Needs: []rotation.Need{{ID: text, Kind: rotation.NeedKind(text), Name: text, Text: text, Verbs: []rotation.Verb{rotation.Verb(text)}}},
		}, func(c *rotation.Credential) {
			c.Type, c.Risk, c.Scope, c.Contact = rotation.Type(text), rotation.Risk(text), rotation.Scope(text), text
			c.Issuer, c.Store = part{identity: text}, part{identity: text}
			c.Consumers = []rotation.Binding{{Name: text, Consumer: part{identity: text}}}
		})
		s.err = e
		h := newPage(t, statuspage.Config{Rotator: s, Title: text})
		overview := get(t, h, "")
		require.Equal(t, http.StatusOK, overview.Code, "%q", text)
		pages := []string{overview.Body.String(), get(t, h, "?q="+escaped("x"+strings.ToValidUTF8(text, ""))).Body.String(), get(t, h, "?credential="+escaped("no "+strings.ToValidUTF8(text, ""))).Body.String()}
		for _, link := range attributes(pages[0], "href") {
			if strings.HasPrefix(link, "?credential=") {
				w := get(t, h, link)
				require.Equal(t, http.StatusOK, w.Code, "%q: its link leads nowhere: %s", text, link)
				pages = append(pages, w.Body.String())
			}
		}
		require.Greater(t, len(pages), 3)
		for _, body := range pages {
			isHarmless(t, body, text)
			require.Contains(t, body, "</html>")
		}
		doc := document(t, h, "")
		require.Equal(t, strings.ToValidUTF8(text, "\uFFFD"), doc.Credentials[0].Name)
	}
}

// isHarmless checks that a page has no element and no attribute that could run, load or hide anything.
func isHarmless(t *testing.T, body, why string) {
	t.Helper()
	_, style, found := strings.Cut(body, "<style>")
	require.True(t, found)
	style, rest, _ := strings.Cut(style, "</style>")
	require.NotContains(t, style, "url(", "%q", why)
	require.NotContains(t, style, "@import", "%q", why)
	for _, part := range strings.Split(rest, "<")[1:] {
		tag, _, ended := strings.Cut(part, ">")
		tag = strings.ToLower(tag)
		bad := !ended
		for _, element := range []string{"script", "style", "img", "iframe", "object", "embed", "link", "base", "meta"} {
			bad = bad || strings.HasPrefix(tag, element)
		}
		outside := unquoted(tag)
		for _, attribute := range []string{" on", " style=", " src="} {
			bad = bad || strings.Contains(outside, attribute)
		}
		for _, link := range attributes("<"+tag, "href") {
			bad = bad || !strings.HasPrefix(link, "?") && !strings.HasPrefix(link, "#")
		}
		if bad {
			assert.Fail(t, "a tag that does harm", "%q: <%s>", why, tag)
		}
	}
}

// unquoted is a tag without the texts in quotes.
func unquoted(tag string) string {
	var b strings.Builder
	for i, part := range strings.Split(tag, `"`) {
		if i%2 == 0 {
			b.WriteString(part)
		}
	}
	return b.String()
}
