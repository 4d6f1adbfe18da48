// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/audit"
	"github.com/handover-go/handover/internal/filelock"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

var began = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func event(n int) rotation.Event {
	return rotation.Event{
		ID: fmt.Sprintf("payment/w1/1/%d", n), At: began.Add(time.Duration(n) * time.Second), Kind: rotation.EventDeployed,
		Level: slog.LevelInfo, Credential: "payment", Rotation: "payment-4", Phase: rotation.PhaseDeploy, Generation: 4,
		Consumer: "checkout", Actor: "ci", Text: fmt.Sprintf("checkout <%d> was told", n),
	}
}

// needTrails skips a test where the system has no lock for a trail.
func needTrails(t testing.TB) {
	t.Helper()
	if !filelock.Supported {
		t.Skip("no flock")
	}
}

func open(t testing.TB, cfg audit.Config) *audit.Trail {
	t.Helper()
	needTrails(t)
	trail, err := audit.Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { trail.Close() })
	return trail
}

func deliver(t testing.TB, trail *audit.Trail, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		require.NoError(t, trail.Deliver(context.Background(), event(n)))
	}
}

func newKey(t testing.TB) (secret.Value, ed25519.PublicKey) {
	t.Helper()
	key := secret.Random(32)
	public, err := audit.PublicKey(key)
	require.NoError(t, err)
	return key, public
}

// pages are the lines of a trail by file, each with its newline.
type pages map[string][]string

func readPages(t testing.TB, dir string) pages {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "trail-*.jsonl"))
	require.NoError(t, err)
	p := pages{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		p[filepath.Base(name)] = slices.Collect(strings.Lines(string(data)))
	}
	return p
}

func (p pages) names() []string { return slices.Sorted(maps.Keys(p)) }

func (p pages) last() string { return slices.Max(p.names()) }

func (p pages) clone() pages {
	q := maps.Clone(p)
	for name := range q {
		q[name] = slices.Clone(q[name])
	}
	return q
}

func (p pages) fs() fstest.MapFS {
	out := fstest.MapFS{}
	for name, lines := range p {
		out[name] = &fstest.MapFile{Data: []byte(strings.Join(lines, ""))}
	}
	return out
}

func (p pages) write(t testing.TB, dir string) {
	t.Helper()
	for name, lines := range p {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(strings.Join(lines, "")), 0o600))
	}
}

var envelope = regexp.MustCompile(`^\{"v":1,"seq":(\d+),"at":"([^"]*)","prev":"([0-9a-f]{64})",(.*),"hash":"([0-9a-f]{64})"\}\n$`)

// forge computes the chain anew, as somebody without the key can: lines keep their content, and get the sequence, prev and hash
// that they need. It is written from the description in the package comment, not with the code of the package.
func forge(t testing.TB, p pages) pages {
	t.Helper()
	out, seq, prev := pages{}, 0, strings.Repeat("0", 64)
	for _, name := range p.names() {
		for _, line := range p[name] {
			m := envelope.FindStringSubmatch(line)
			require.NotNil(t, m, line)
			seq++
			body := `{"v":1,"seq":` + strconv.Itoa(seq) + `,"at":"` + m[2] + `","prev":"` + prev + `",` + m[4]
			sum := sha256.Sum256([]byte(body))
			prev = hex.EncodeToString(sum[:])
			out[name] = append(out[name], body+`,"hash":"`+prev+"\"}\n")
		}
	}
	return out
}

// resign gives each checkpoint a signature of another key.
func resign(t testing.TB, p pages, key ed25519.PrivateKey) pages {
	t.Helper()
	sig := regexp.MustCompile(`"key":"[0-9a-f]{64}","sig":"[0-9a-f]{128}"`)
	out := p.clone()
	for _, name := range p.names() {
		for i := range out[name] {
			if !strings.Contains(out[name][i], `"checkpoint":{`) {
				continue
			}
			// The signature covers prev, so that lines before have to be in their last form.
			out = forge(t, out)
			line := sig.ReplaceAllLiteralString(out[name][i], `"key":"`+hex.EncodeToString(key.Public().(ed25519.PublicKey))+`","sig":""`)
			body := line[:strings.Index(line, `,"sig":""`)]
			signature := ed25519.Sign(key, []byte("handover audit checkpoint\n"+body))
			out[name][i] = strings.Replace(line, `"sig":""`, `"sig":"`+hex.EncodeToString(signature)+`"`, 1)
		}
	}
	return forge(t, out)
}

// kindsOf are the kinds of the lines, in order.
func kindsOf(t testing.TB, lines []string) []string {
	t.Helper()
	var out []string
	for _, line := range lines {
		m := envelope.FindStringSubmatch(line)
		if m == nil {
			out = append(out, "torn")
			continue
		}
		k, _, _ := strings.Cut(m[4][1:], `"`)
		out = append(out, k)
	}
	return out
}

// brokenAt wants err to name the line.
func brokenAt(t testing.TB, err error, file string, line int, why ...any) {
	t.Helper()
	var broken *audit.BrokenError
	require.ErrorAs(t, err, &broken, why...)
	require.Equal(t, fmt.Sprintf("%s:%d", file, line), fmt.Sprintf("%s:%d", broken.File, broken.Line), append(why, broken.Why)...)
}

// eventsOf are the IDs of the events in the trail, in order, after all of it was checked.
func eventsOf(t testing.TB, dir string, want audit.Expect) []string {
	t.Helper()
	var ids []string
	for e, err := range audit.Events(os.DirFS(dir), want) {
		require.NoError(t, err)
		ids = append(ids, e.ID)
	}
	return ids
}

func idsOf(from, to int) []string {
	var ids []string
	for n := from; n <= to; n++ {
		ids = append(ids, event(n).ID)
	}
	return ids
}

func head(t testing.TB, dir string) audit.Head {
	t.Helper()
	r, err := audit.Check(os.DirFS(dir), audit.Expect{})
	require.NoError(t, err)
	return r.Head
}

func joined(p pages) []byte {
	var b bytes.Buffer
	for _, name := range p.names() {
		for _, line := range p[name] {
			b.WriteString(line)
		}
	}
	return b.Bytes()
}

// rehash makes a line of what its hash covers.
func rehash(body string) string {
	sum := sha256.Sum256([]byte(body))
	return body + `,"hash":"` + hex.EncodeToString(sum[:]) + "\"}\n"
}
