// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// publicURL is Config.URL, divided.
type publicURL struct {
	base string // without query; empty: none
	path bool   // base has one
}

func (v *Verifier) setURL(text string) error {
	signs := slices.ContainsFunc(v.scheme.before, isURL) || slices.ContainsFunc(v.scheme.after, isURL)
	if !signs {
		if text != "" {
			return wrongConfig("URL", "scheme %s signs no URL", v.scheme)
		}
		return nil
	}
	if text == "" {
		return wrongConfig("URL", "is required: scheme %s signs it", v.scheme)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Opaque != "":
		return wrongConfig("URL", "is not an absolute http or https URL")
	case strings.ContainsAny(text, "?#"):
		return wrongConfig("URL", "has to be without query and fragment")
	}
	v.url = publicURL{base: text, path: u.Path != ""}
	return nil
}

func isURL(p part) bool { return p.kind == partURL }

// fillRequest sets in d what the scheme signs of the request beside headers and body.
func (v *Verifier) fillRequest(d *delivery, r *http.Request, body []byte) error {
	d.request = &requestParts{method: r.Method, url: v.url.of(r)}
	if !v.scheme.signsForm() {
		return nil
	}
	var ok bool
	if d.request.form, ok = signedForm(r.Header, r.URL, body); !ok {
		return ErrMalformed
	}
	return nil
}

// of is the URL that the sender of r used. The query is what was signed, so it may come from r.
func (p publicURL) of(r *http.Request) string {
	if p.base == "" {
		return ""
	}
	text := p.base
	if !p.path {
		// RequestURI is as it was sent, URL may have been changed on the way to the handler.
		path := r.RequestURI
		if !strings.HasPrefix(path, "/") {
			path = r.URL.EscapedPath()
		}
		path, _, _ = strings.Cut(path, "?")
		text += path
	}
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		text += "?" + r.URL.RawQuery
	}
	return text
}

func (s *Scheme) signsForm() bool {
	isForm := func(p part) bool { return p.kind == partForm }
	return slices.ContainsFunc(s.before, isForm) || slices.ContainsFunc(s.after, isForm)
}

const bodyHash = "bodySHA256"

// signedForm is what {form} stands for: every value of every name. What is there twice, name and value, is signed once, as
// Twilio's own libraries do. A body that is no form is signed by its hash in the URL.
func signedForm(h http.Header, u *url.URL, body []byte) (string, bool) {
	if hash, ok := single(u.RawQuery, bodyHash); !ok {
		return "", false
	} else if hash != "" {
		sum := sha256.Sum256(body)
		return "", strings.EqualFold(hash, hex.EncodeToString(sum[:])) // both are public
	}
	if len(body) == 0 {
		return "", true
	}
	if !isForm(h) {
		return "", false
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return "", false
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		all := values[name]
		slices.Sort(all)
		for _, value := range slices.Compact(all) {
			b.WriteString(name)
			b.WriteString(value)
		}
	}
	return b.String(), true
}

// isForm reports whether the one Content-Type is that of a form.
func isForm(h http.Header) bool {
	values := h["Content-Type"]
	if len(values) != 1 {
		return false
	}
	mime, _, _ := strings.Cut(values[0], ";")
	return strings.EqualFold(trim(mime), "application/x-www-form-urlencoded")
}

// single returns the value of a parameter that may be there once.
func single(query, name string) (string, bool) {
	if !strings.Contains(query, name) {
		return "", true
	}
	values, err := url.ParseQuery(query)
	if err != nil || len(values[name]) > 1 {
		return "", false
	}
	return values.Get(name), true
}

// addBodyHash adds the hash of the body to the URL, on a copy of it.
func addBodyHash(r *http.Request, body []byte) {
	sum := sha256.Sum256(body)
	u := *r.URL
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += bodyHash + "=" + hex.EncodeToString(sum[:])
	r.URL = &u
}
