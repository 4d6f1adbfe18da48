// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/webhook"
)

var benchSizes = []int{100, 1 << 10, 16 << 10, 256 << 10}

const benchID = "msg_p5jXN8AQM9LWM0D4loKWxJek"

// benchScheme is a scheme with what it signs in front of the body.
type benchScheme struct {
	scheme *webhook.Scheme
	before func(at time.Time) string
}

func benchSchemes() []benchScheme {
	return []benchScheme{
		{webhook.GitHub, func(time.Time) string { return "" }},
		{webhook.Shopify, func(time.Time) string { return "" }},
		{webhook.Slack, func(at time.Time) string { return fmt.Sprintf("v0:%d:", at.Unix()) }},
		{webhook.Stripe, func(at time.Time) string { return fmt.Sprintf("%d.", at.Unix()) }},
		{webhook.Standard, func(at time.Time) string { return fmt.Sprintf("%s.%d.", benchID, at.Unix()) }},
	}
}

// versusFloor runs op and the floor in turns and reports the ratio of the fastest turns, which the rest of the machine disturbs
// least. The floor is one pass of an HMAC that was keyed before over the same signed bytes, compared with the right result.
func versusFloor(b *testing.B, signed []byte, op func()) {
	mac := hmac.New(sha256.New, []byte(benchSecrets()[0].Value.Reveal()))
	want := floorSum(mac, nil, signed)
	sum := make([]byte, 0, sha256.Size)
	floor := func() {
		sum = floorSum(mac, sum[:0], signed)
		if !hmac.Equal(sum, want) {
			b.Fatal("the floor is wrong")
		}
	}
	inTurns(b, "xfloor", len(signed), floor, op)
}

// inTurns reports how long op takes, and how much longer than floor.
func inTurns(b *testing.B, unit string, size int, floor, op func()) {
	turn := func(n int, f func()) float64 {
		begin := time.Now()
		for range n {
			f()
		}
		return float64(time.Since(begin))
	}
	n := max(1, 20_000/(size+200))
	turn(n, floor)
	turn(n, op)
	b.ReportAllocs()
	fastest, fastestFloor, total := math.Inf(1), math.Inf(1), 0.0
	b.ResetTimer()
	for done := 0; done < b.N; done += n {
		n := min(n, b.N-done)
		took := turn(n, op)
		total += took
		fastest = min(fastest, took/float64(n))
		fastestFloor = min(fastestFloor, turn(n, floor)/float64(n))
	}
	b.ReportMetric(total/float64(b.N), "ns/op") // without the floor
	b.ReportMetric(fastest, "min-ns/op")
	b.ReportMetric(fastest/fastestFloor, unit)
}

func floorSum(mac hash.Hash, sum, signed []byte) []byte {
	mac.Reset()
	mac.Write(signed)
	return mac.Sum(sum)
}

func benchSecrets() []webhook.Secret {
	return []webhook.Secret{
		{ID: "new", Value: secret.New("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")},
		{ID: "old", Value: secret.New("wSaLaL2oIZPLI8DPUjwTrqYKG8r9QKfM")},
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, s := range benchSchemes() {
		for _, size := range benchSizes {
			for _, c := range []struct {
				name    string
				secrets []webhook.Secret // of the verifier
				signer  webhook.Secret
			}{
				{"one secret", benchSecrets()[:1], benchSecrets()[0]},
				{"two, the old one signs", benchSecrets(), benchSecrets()[1]},
			} {
				b.Run(fmt.Sprintf("%s/%d/%s", s.scheme, size, c.name), func(b *testing.B) {
					body := make([]byte, size)
					at := time.Now()
					h := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"bench"}}
					signer := mustSigner(b, s.scheme, c.signer)
					if err := signer.Sign(h, benchID, at, body); err != nil {
						b.Fatal(err)
					}
					v := mustVerifier(b, webhook.Config{Scheme: s.scheme, Secrets: c.secrets})
					ctx := b.Context()
					versusFloor(b, append([]byte(s.before(at)), body...), func() {
						if _, err := v.Verify(ctx, h, body); err != nil {
							b.Fatal(err)
						}
					})
				})
			}
		}
	}
}

func BenchmarkSign(b *testing.B) {
	for _, s := range benchSchemes() {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("%s/%d", s.scheme, size), func(b *testing.B) {
				body := make([]byte, size)
				at := time.Now()
				signer := mustSigner(b, s.scheme, benchSecrets()[0])
				dst := make([]byte, 0, 256)
				versusFloor(b, append([]byte(s.before(at)), body...), func() {
					var err error
					if dst, err = signer.AppendSignature(dst[:0], benchID, at, body); err != nil {
						b.Fatal(err)
					}
				})
			})
		}
	}
}

// BenchmarkReadBody compares with a pooled bytes.Buffer that has no limit.
func BenchmarkReadBody(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			source := bytes.NewReader(make([]byte, size))
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.Body, r.ContentLength = io.NopCloser(source), int64(size)
			pool := sync.Pool{New: func() any { return new(bytes.Buffer) }}
			mine := sync.Pool{New: func() any { return new([]byte) }}
			inTurns(b, "xpooled", size, func() {
				source.Reset(source0(size))
				buf := pool.Get().(*bytes.Buffer)
				buf.Reset()
				if n, err := buf.ReadFrom(r.Body); err != nil || n != int64(size) {
					b.Fatal(n, err)
				}
				pool.Put(buf)
			}, func() {
				source.Reset(source0(size))
				buf := mine.Get().(*[]byte)
				if err := webhook.ReadBody(r, 1<<20, buf); err != nil || len(*buf) != size {
					b.Fatal(len(*buf), err)
				}
				mine.Put(buf)
			})
		})
	}
}

var zeros = make([]byte, 256<<10)

func source0(size int) []byte { return zeros[:size] }

// BenchmarkRefuse is the cost of what has no plausible signature: as long as can be, and no hash.
func BenchmarkRefuse(b *testing.B) {
	big := make([]byte, 1<<20)
	mac := macHex(secretText, "")
	for name, text := range map[string]string{
		"no signature": "", "unknown versions": strings.Repeat("v2="+mac+",", 60), "empty elements": strings.Repeat(",", 4<<10),
		"short ones": strings.Repeat("v1=,", 1<<10), "too many": strings.Repeat("v1="+mac+",", 60), "too long": strings.Repeat("x", 64<<10),
	} {
		b.Run(name, func(b *testing.B) {
			v := mustVerifier(b, webhook.Config{Scheme: webhook.Stripe, Secrets: benchSecrets()})
			h := header("Stripe-Signature", text)
			n := webhook.CountPasses(v)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), h, big); err == nil {
					b.Fatal("verified")
				}
			}
			if n.Load() != 0 {
				b.Fatal("hashed")
			}
		})
	}
}

func mustVerifier(t testing.TB, c webhook.Config) *webhook.Verifier {
	t.Helper()
	v, err := webhook.NewVerifier(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func mustSigner(t testing.TB, s *webhook.Scheme, secrets ...webhook.Secret) *webhook.Signer {
	t.Helper()
	signer, err := webhook.NewSigner(s, secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}
