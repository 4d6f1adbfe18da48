// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

// peer is a package of Node and the scheme it has.
type peer struct {
	name   string
	scheme *webhook.Scheme
	list   bool // a delivery may have several signatures
}

var peers = []peer{
	{"standardwebhooks", webhook.Standard, true},
	{"svix", webhook.Svix, true},
	{"stripe", webhook.Stripe, true},
	{"@octokit/webhooks-methods", webhook.GitHub, false},
}

const (
	newer     = "whsec_bmV3ZXJuZXdlcm5ld2VybmV3ZXJuZXdlcm5ld2Vy"
	older     = "whsec_b2xkZXJvbGRlcm9sZGVyb2xkZXJvbGRlcm9sZGVy"
	foreign   = "whsec_Zm9yZWlnbmZvcmVpZ25mb3JlaWduZm9yZWlnbmZv"
	messageID = "msg_2b0yDcT9vRrXqJfZ5sKmLwNe"
)

var bodies = []string{
	`{"test":2432232314}`,
	"{\r\n\t\"name\": \"Gr\u00fc\u00dfe \U0001f680 \u65e5\u672c\", \"escaped\": \"\\u0000\" }\n",
	`{"long":"` + strings.Repeat("0123456789abcdef", 4096) + `"}`,
}

// signers are the sets of secrets that p signs with.
func (p peer) signers() [][]string {
	if p.list {
		return [][]string{{newer}, {older}, {newer, older}}
	}
	return [][]string{{newer}, {older}}
}

func secrets(texts []string) (out []webhook.Secret) {
	for _, text := range texts {
		out = append(out, webhook.Secret{ID: text[6:12], Value: secret.New(text)})
	}
	return out
}

// accepts is our verdict on a delivery.
func accepts(t *testing.T, p peer, known []string, j job) error {
	t.Helper()
	v, err := webhook.NewVerifier(webhook.Config{Scheme: p.scheme, Secrets: secrets(known)})
	require.NoError(t, err)
	h := http.Header{}
	for name, value := range j.Headers {
		h.Set(name, value)
	}
	_, err = v.Verify(t.Context(), h, []byte(j.Body))
	return err
}

// changed returns j with one bit of body or headers changed, once for each byte of them.
func changed(j job) (out []job) {
	flip := func(text string, i int) string { return text[:i] + string(text[i]^1) + text[i+1:] }
	for i := range j.Body {
		c := j
		c.Body = flip(j.Body, i)
		out = append(out, c)
	}
	for name, value := range j.Headers {
		for i := range value {
			c := j
			c.Headers = map[string]string{}
			for other, text := range j.Headers {
				c.Headers[other] = text
			}
			c.Headers[name] = flip(value, i)
			out = append(out, c)
		}
	}
	return out
}

func TestNodeSignsAndWeVerify(t *testing.T) {
	var jobs []job
	var from []peer
	at := time.Now().Unix()
	for _, p := range peers {
		for _, body := range bodies {
			for _, signers := range p.signers() {
				jobs = append(jobs, job{Package: p.name, Secrets: signers, ID: messageID, At: at, Body: body})
				from = append(from, p)
			}
		}
	}
	refused := 0
	for i, headers := range runNode[map[string]string](t, jobs) {
		j, p := jobs[i], from[i]
		j.Headers = headers
		what := fmt.Sprintf("%s, signed with %d, body %.20q", p.name, len(j.Secrets), j.Body)
		require.NoError(t, accepts(t, p, []string{newer, older}, j), what)
		for _, known := range []string{newer, older, foreign} {
			err := accepts(t, p, []string{known}, j)
			if slices.Contains(j.Secrets, known) {
				require.NoError(t, err, what)
			} else {
				require.ErrorIs(t, err, webhook.ErrMismatch, what)
			}
		}
		if j.Body != bodies[0] || len(j.Secrets) > 1 {
			continue
		}
		for _, c := range changed(j) {
			refused++
			assert.Errorf(t, accepts(t, p, []string{newer, older}, c), "%s: %v %q", p.name, c.Headers, c.Body)
		}
	}
	t.Logf("%d deliveries of Node accepted, %d with one bit changed refused", len(jobs), refused)
}

func TestWeSignAndNodeVerifies(t *testing.T) {
	var jobs []job
	var want []bool
	add := func(j job, known []string, accepted bool) {
		j.Secrets = known
		jobs, want = append(jobs, j), append(want, accepted)
	}
	for _, p := range peers {
		for _, body := range bodies {
			for _, signers := range p.signers() {
				j := sign(t, p, signers, body)
				for _, known := range []string{newer, older, foreign} {
					add(j, []string{known}, slices.Contains(signers, known))
				}
				if !p.list { // Octokit verifies with several
					add(j, []string{newer, older}, true)
					add(j, []string{foreign, signers[0]}, true)
				}
				if body == bodies[0] && len(signers) == 1 {
					for _, c := range changed(j) {
						add(c, signers, false)
					}
				}
			}
		}
	}
	refused := 0
	for i, accepted := range runNode[bool](t, jobs) {
		assert.Equalf(t, want[i], accepted, "%s: %v %.40q", jobs[i].Package, jobs[i].Headers, jobs[i].Body)
		if !want[i] {
			refused++
		}
	}
	t.Logf("Node accepted %d of our deliveries and refused %d that are changed or of another secret", len(jobs)-refused, refused)
}

// sign makes a delivery of ours.
func sign(t *testing.T, p peer, signers []string, body string) job {
	t.Helper()
	signer, err := webhook.NewSigner(p.scheme, secrets(signers)...)
	require.NoError(t, err)
	h := http.Header{}
	require.NoError(t, signer.Sign(h, messageID, time.Now(), []byte(body)))
	j := job{Package: p.name, Body: body, Headers: map[string]string{}}
	for name := range h {
		require.Len(t, h[name], 1)
		j.Headers[strings.ToLower(name)] = h.Get(name)
	}
	return j
}
