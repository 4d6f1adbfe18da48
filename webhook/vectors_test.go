// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

// vector is a delivery that its sender, or its sender's library, has published with the secret.
type vector struct {
	Scheme, Source string
	Secret         string
	Now            int64
	URL, Query     string // of schemes that sign it
	Body           string
	Headers        map[string]string
}

func vectors(t testing.TB) []vector {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "vectors.json"))
	require.NoError(t, err)
	var all []vector
	require.NoError(t, json.Unmarshal(data, &all))
	require.NotEmpty(t, all)
	return all
}

// schemeOfVector knows the presets and a few schemes that only the vectors have.
func schemeOfVector(t testing.TB, name string) *webhook.Scheme {
	t.Helper()
	if s := presets()[name]; s != nil {
		return s
	}
	convoy := webhook.Convoy.Config()
	configs := map[string]webhook.SchemeConfig{
		"generic":                  {Header: "X-Signature"},
		"generic-hex-key":          {Header: "X-Signature", Key: webhook.KeyHex},
		"convoy-simple-512":        {Header: convoy.Header, Algorithm: webhook.HMACSHA512},
		"convoy-simple-512-base64": {Header: convoy.Header, Algorithm: webhook.HMACSHA512, Encoding: webhook.Base64},
	}
	convoy.Algorithm, convoy.Encoding, convoy.Tags = webhook.HMACSHA512, webhook.Base64, []string{"v2"}
	configs["convoy-v2"] = convoy
	c, ok := configs[name]
	require.True(t, ok, "no scheme of the name %s", name)
	return mustScheme(t, c)
}

func (c vector) header() http.Header {
	h := http.Header{}
	for name, value := range c.Headers {
		h.Set(name, value)
	}
	return h
}

// verify checks the vector as a body or, where the scheme needs it, as a request. An error of the constructor is a refusal.
func (c vector) verify(t testing.TB, h http.Header) error {
	t.Helper()
	s := schemeOfVector(t, c.Scheme)
	v, err := webhook.NewVerifierOfVector(webhook.Config{
		Scheme: s, URL: c.URL, Secrets: []webhook.Secret{{ID: "vector", Value: secret.New(c.Secret)}},
	})
	if err != nil {
		return err
	}
	if c.URL == "" {
		_, err := verify(v, h, c.Body)
		return err
	}
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(c.Body))
	r.URL.RawQuery, r.Header = c.Query, h
	_, _, err = v.VerifyRequest(r)
	return err
}

func TestVectors(t *testing.T) {
	seen := map[string]bool{}
	for i, c := range vectors(t) {
		seen[c.Scheme] = true
		t.Run(fmt.Sprintf("%d %s", i, c.Scheme), func(t *testing.T) {
			now := time.Unix(c.Now, 0)
			if c.Now == 0 {
				now = time.Now() // no time is signed
			}
			at(t, now, func(t *testing.T) {
				require.NoError(t, c.verify(t, c.header()), c.Source)
				c.refuseFlips(t)
			})
		})
	}
	for name := range presets() {
		switch name {
		case "forgejo", "gogs", "gitlab", "okta", "shopify", "zoom", "linear", "discord":
			// Nobody has published one: TestPresetsSignAsDocumented.
		default:
			assert.True(t, seen[name], "%s has no vector", name)
		}
	}
}

// refuseFlips changes one bit of everything that counts and expects a refusal.
func (c vector) refuseFlips(t *testing.T) {
	for i := range c.Body {
		changed := c
		changed.Body = flip(c.Body, i)
		if c.Scheme == "twilio" && sameForm(c.Body, changed.Body) {
			continue // another spelling of the same form
		}
		require.Error(t, changed.verify(t, c.header()), "body, byte %d", i)
	}
	for i := range c.Secret {
		changed := c
		changed.Secret = flip(c.Secret, i)
		if schemeOfVector(t, c.Scheme).Config().Key == webhook.KeyHex && strings.EqualFold(changed.Secret, c.Secret) {
			continue // hexadecimal in capitals
		}
		require.Error(t, changed.verify(t, c.header()), "secret, byte %d", i)
	}
	for i := range c.URL {
		changed := c
		changed.URL = flip(c.URL, i)
		require.Error(t, changed.verify(t, c.header()), "URL, byte %d", i)
	}
	for i := range c.Query {
		changed := c
		changed.Query = flip(c.Query, i)
		require.Error(t, changed.verify(t, c.header()), "query, byte %d", i)
	}
	for name, value := range c.Headers {
		if name == "Content-Type" {
			continue
		}
		from, to := c.counts(name, value)
		for i := from; i < to; i++ {
			h := c.header()
			h.Set(name, flip(value, i))
			require.Error(t, c.verify(t, h), "%s, byte %d", name, i)
		}
	}
}

// counts returns which part of a header's value must not change: all of it, but for lists in which others sign too.
func (c vector) counts(name, value string) (from, to int) {
	switch {
	case c.Scheme == "circleci":
		return 0, strings.Index(value, ",v2")
	case c.Scheme == "convoy", c.Scheme == "convoy-v2":
		mine := map[string]string{
			"older-expired-secret": "5b255b0b", "expired-secret": "9942b271", "new-secret": "d5589c4f", "secret": "c97c302e",
		}[c.Secret]
		if c.Scheme == "convoy-v2" {
			return strings.Index(value, "v2="), len(value)
		}
		from = strings.Index(value, mine)
		return from, from + 64
	case c.Secret == "SamplePrimaryKey" && strings.HasSuffix(name, "Secondary"),
		c.Secret == "SampleSecondaryKey" && strings.HasSuffix(name, "Primary"):
		return 0, 0
	}
	return 0, len(value)
}

// flip changes one bit of byte i, another one for each i.
func flip(s string, i int) string {
	b := []byte(s)
	b[i] ^= 1 << (i % 8)
	return string(b)
}

func sameForm(a, b string) bool {
	x, err1 := url.ParseQuery(a)
	y, err2 := url.ParseQuery(b)
	return err1 == nil && err2 == nil && x.Encode() == y.Encode()
}

// What verifies can be signed: the Signer writes the signature of the vector.
func TestVectorsAreWhatTheSignerWrites(t *testing.T) {
	for i, c := range vectors(t) {
		if strings.HasPrefix(c.Secret, "whpk_") {
			continue
		}
		s := schemeOfVector(t, c.Scheme)
		signer, err := webhook.NewSignerOfVector(s, webhook.Secret{ID: "vector", Value: secret.New(c.Secret)})
		require.NoError(t, err)
		when := time.Unix(c.Now, 0)
		h := http.Header{}
		switch {
		case c.URL != "":
			r := httptest.NewRequest(http.MethodPost, c.URL+"?"+c.Query, nil)
			r.URL, err = url.Parse(strings.TrimSuffix(c.URL+"?"+c.Query, "?"))
			require.NoError(t, err)
			r.Header.Set("Content-Type", c.Headers["Content-Type"])
			require.NoError(t, signer.SignRequest(r, "", when, []byte(c.Body)))
			h = r.Header
		case c.Scheme == "box":
			continue // signs the time in its own zone
		default:
			id := c.header().Get(s.Config().ID)
			require.NoError(t, signer.Sign(h, id, when, []byte(c.Body)))
		}
		for name, values := range h {
			assert.Subset(t, elements(c.header().Get(name)), elements(values[0]), "%d %s: %s", i, c.Scheme, name)
		}
	}
}

func elements(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ';' || r == ' ' })
}
