// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package bench_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

var sizes = []struct {
	name  string
	bytes int
}{{"100B", 100}, {"1KiB", 1 << 10}, {"16KiB", 16 << 10}, {"256KiB", 256 << 10}}

// The secrets are of the form that all senders here accept. Stripe, GitHub and Slack take the text as the key.
var newest, older, foreign = secretText("n"), secretText("o"), secretText("f")

func secretText(letter string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, 32)))
}

func secrets(texts ...string) (out []webhook.Secret) {
	for i, text := range texts {
		out = append(out, webhook.Secret{ID: strconv.Itoa(i), Value: secret.New(text)})
	}
	return out
}

// mode is which secrets there are, newest first, and which one signs.
type mode struct {
	name   string
	known  []string
	signer string
}

var (
	one      = mode{"one", []string{newest}, newest}
	rotation = mode{"rotation", []string{newest, older}, older}
	forged   = mode{"forged", []string{newest, older}, foreign}
)

func (m mode) genuine() bool { return m.signer != foreign }

// expect is f, or in forged the opposite of it.
func (m mode) expect(f func() error) func() error {
	if m.genuine() {
		return f
	}
	return refusing(f)
}

const messageID = "msg_2b0yDcT9vRrXqJfZ5sKmLwNe"

// delivery is a body, its headers, and what was signed.
type delivery struct {
	header http.Header
	body   []byte
	signed []byte
	key    []byte // of the floor
	mac    []byte
}

// body is a JSON object of n bytes that Stripe and GitHub could send.
func body(n int) []byte {
	const head, tail = `{"id":"evt_1","object":"event","type":"ping","note":"`, `"}`
	return []byte(head + strings.Repeat("x", n-len(head)-len(tail)) + tail)
}

// deliver signs a body with the sender's secret, now.
func deliver(tb testing.TB, scheme *webhook.Scheme, text string, body []byte) *delivery {
	tb.Helper()
	signer, err := webhook.NewSigner(scheme, secrets(text)...)
	require.NoError(tb, err)
	now := time.Now()
	d := &delivery{header: http.Header{}, body: body, key: []byte(text)}
	require.NoError(tb, signer.Sign(d.header, messageID, now, body))
	switch scheme {
	case webhook.GitHub:
		d.signed = body
	case webhook.Stripe:
		d.signed = fmt.Appendf(nil, "%d.%s", now.Unix(), body)
	case webhook.Slack:
		d.signed = fmt.Appendf(nil, "v0:%d:%s", now.Unix(), body)
	case webhook.Standard, webhook.Svix:
		d.signed = fmt.Appendf(nil, "%s.%d.%s", messageID, now.Unix(), body)
		d.key, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
		require.NoError(tb, err)
	default:
		tb.Fatalf("what does %s sign?", scheme)
	}
	d.mac = keyed(d.key).Sum(nil, d.signed)
	return d
}

var errRefused = errors.New("refused")

// floor is what nobody can do without: one pass over what was signed, with a hash that has its key already.
func (d *delivery) floor() func() error {
	mac, sum := keyed(d.key), make([]byte, 0, sha256.Size)
	return func() error {
		if !hmac.Equal(mac.Sum(sum, d.signed), d.mac) {
			return errRefused
		}
		return nil
	}
}

// keyedHash is an HMAC that is used again and again.
type keyedHash struct{ hash.Hash }

func keyed(key []byte) keyedHash { return keyedHash{hmac.New(sha256.New, key)} }

// Sum appends the MAC of text to dst.
func (h keyedHash) Sum(dst, text []byte) []byte {
	h.Reset()
	h.Write(text)
	return h.Hash.Sum(dst)
}

// request returns a request that brings the delivery, anew with each call. It is the same one, as in a server that has read its
// header.
func (d *delivery) request() func() *http.Request {
	body := &rewound{bytes.NewReader(d.body)}
	header := d.header.Clone()
	header.Set("Content-Type", "application/json")
	header.Set("X-Github-Event", "push")
	r := &http.Request{
		Method: http.MethodPost, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: "hooks.example.com", Header: header,
		ContentLength: int64(len(d.body)),
	}
	return func() *http.Request {
		_, _ = body.Seek(0, 0)
		r.Body = body
		return r
	}
}

// rewound is a body that can be read again.
type rewound struct{ *bytes.Reader }

// Close does nothing.
func (*rewound) Close() error { return nil }
