// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/audit"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

var (
	_ rotation.Sink        = (*audit.Trail)(nil)
	_ rotation.Identifier  = (*audit.Trail)(nil)
	_ rotation.PublicError = (*audit.BrokenError)(nil)
)

func TestConfigNamesItsMistakes(t *testing.T) {
	needTrails(t)
	_, err := audit.Open(audit.Config{Key: secret.New("abc"), Every: -1})
	for _, want := range []string{"Config.Dir is required", "Config.Key: key has to be 32 bytes", "Config.Every is negative"} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "abc")
	_, err = audit.PublicKey(secret.Value{})
	require.ErrorContains(t, err, "32 bytes")
	_, err = audit.Open(audit.Config{Dir: filepath.Join(t.TempDir(), "no", "such")})
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.Implements(t, (*rotation.PublicError)(nil), err)
}

func TestTrail(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "trail")
	key, public := newKey(t)
	trail := open(t, audit.Config{Dir: dir, Key: key, Every: 4})
	require.Equal(t, "audit trail "+dir, trail.Identity())
	deliver(t, trail, 1, 10)
	require.Equal(t, "audit trail all", open(t, audit.Config{Dir: filepath.Join(t.TempDir(), "another"), Name: "all"}).Identity())
	require.NoError(t, trail.Close())
	require.NoError(t, trail.Close())
	require.ErrorIs(t, trail.Deliver(context.Background(), event(11)), fs.ErrClosed)

	p := readPages(t, dir)
	require.Equal(t, []string{"trail-000000001.jsonl"}, p.names())
	require.Equal(t, []string{
		"begin", "event", "event", "event", "event", "checkpoint", "event", "event", "event", "event", "checkpoint",
		"event", "event", "checkpoint",
	}, kindsOf(t, p[p.last()]))
	require.Equal(t, p, forge(t, p), "the format is what the package comment says")

	r, err := audit.Check(os.DirFS(dir), audit.Expect{Keys: []ed25519.PublicKey{public}, Every: 4, Known: trail.Head()})
	require.NoError(t, err)
	require.Equal(t, trail.Head(), r.Head)
	require.Equal(t, trail.Head(), r.Signed)
	require.Equal(t, []int64{14, 10, 3, 0, 0}, []int64{r.Lines, r.Events, r.Checkpoints, r.Healed, r.Unsigned})

	n := 0
	for e, err := range audit.Events(os.DirFS(dir), audit.Expect{}) {
		require.NoError(t, err)
		n++
		require.Equal(t, event(n), e)
		if n == 7 {
			break
		}
	}
	require.Equal(t, 7, n)

	again := open(t, audit.Config{Dir: dir})
	require.Equal(t, trail.Head(), again.Head())
	require.NoError(t, again.Close())
	require.Equal(t, p, readPages(t, dir), "opening and closing alone writes nothing")
}

func TestEveryLineIsOneJSONObject(t *testing.T) {
	dir := t.TempDir()
	key, _ := newKey(t)
	trail := open(t, audit.Config{Dir: dir, Key: key})
	e := event(1)
	e.Text = "two\nlines, a \"quote\", </tag>, \x00 \xff and \u2028"
	require.NoError(t, trail.Deliver(context.Background(), e))
	require.NoError(t, trail.Close())
	lines := readPages(t, dir)["trail-000000001.jsonl"]
	require.Len(t, lines, 3)
	for _, line := range lines {
		require.True(t, json.Valid([]byte(line)), line)
	}
	_, err := audit.Check(os.DirFS(dir), audit.Expect{})
	require.NoError(t, err)
}

func TestZeroTrail(t *testing.T) {
	var trail audit.Trail
	require.ErrorContains(t, trail.Deliver(context.Background(), event(1)), "not made by Open")
	require.NoError(t, trail.Close())
	require.Zero(t, trail.Head())
}

func TestRepeatedDeliveries(t *testing.T) {
	dir := t.TempDir()
	trail := open(t, audit.Config{Dir: dir, MaxBytes: 2000})
	deliver(t, trail, 1, 6)
	deliver(t, trail, 4, 9)
	require.NoError(t, trail.Close())
	trail = open(t, audit.Config{Dir: dir, MaxBytes: 2000})
	deliver(t, trail, 8, 10)
	require.Equal(t, idsOf(1, 10), eventsOf(t, dir, audit.Expect{}))

	other := event(10)
	other.Text = "the same number, another content"
	require.NoError(t, trail.Deliver(context.Background(), other))
	for range 2 {
		require.NoError(t, trail.Deliver(context.Background(), rotation.Event{Text: "without an id"}))
	}
	require.Equal(t, append(idsOf(1, 10), other.ID, "", ""), eventsOf(t, dir, audit.Expect{}))
}

func TestRecentEventsAreBounded(t *testing.T) {
	trail := open(t, audit.Config{Dir: t.TempDir(), SkipSync: true, MaxBytes: -1})
	deliver(t, trail, 1, audit.RecentRoom+1)
	before := trail.Head()
	deliver(t, trail, 2, 2)
	require.Equal(t, before, trail.Head())
	deliver(t, trail, 1, 1)
	require.NotEqual(t, before, trail.Head(), "the oldest is forgotten")
	before = trail.Head()
	deliver(t, trail, 1, 1)
	require.Equal(t, before, trail.Head())
}

func TestOneWriter(t *testing.T) {
	dir := t.TempDir()
	first := open(t, audit.Config{Dir: dir})
	_, err := audit.Open(audit.Config{Dir: dir})
	require.ErrorIs(t, err, rotation.ErrConflict)
	require.ErrorContains(t, err, "has a writer already")
	require.NoError(t, first.Close())
	open(t, audit.Config{Dir: dir})
}

func TestConcurrentDeliver(t *testing.T) {
	dir := t.TempDir()
	key, public := newKey(t)
	trail := open(t, audit.Config{Dir: dir, Key: key, Every: 10, MaxBytes: 20_000})
	const writers, each = 32, 12
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := range each {
				e := event(n)
				e.ID = fmt.Sprintf("%d/%d", w, n)
				assert.NoError(t, trail.Deliver(context.Background(), e))
				trail.Head()
			}
		})
	}
	wg.Wait()
	require.NoError(t, trail.Close())
	next := map[string]int{}
	for _, id := range eventsOf(t, dir, audit.Expect{Keys: []ed25519.PublicKey{public}, Every: 10, Known: trail.Head()}) {
		w, n, _ := strings.Cut(id, "/")
		require.Equal(t, fmt.Sprint(next[w]), n, "in order for each")
		next[w]++
	}
	require.Len(t, next, writers)
	for _, n := range next {
		require.Equal(t, each, n)
	}
	require.Greater(t, len(readPages(t, dir)), 3)
}

func TestDeliverGivesUpWithItsContext(t *testing.T) {
	trail := open(t, audit.Config{Dir: t.TempDir()})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, trail.Deliver(ctx, event(1)), context.Canceled)

	held, release := make(chan struct{}, 9), make(chan struct{})
	trail.Wrap(func(h audit.Handle) audit.Handle {
		return &faulty{Handle: h, onSync: func() error {
			held <- struct{}{}
			<-release
			return nil
		}}
	})
	done := make(chan error)
	go func() { done <- trail.Deliver(context.Background(), event(1)) }()
	<-held
	ctx, cancel = context.WithCancel(context.Background())
	waiting := make(chan error)
	go func() { waiting <- trail.Deliver(ctx, event(2)) }()
	cancel()
	require.ErrorIs(t, <-waiting, context.Canceled)
	close(release)
	require.NoError(t, <-done)
}

func TestFilesBySize(t *testing.T) {
	dir := t.TempDir()
	key, public := newKey(t)
	cfg := audit.Config{Dir: dir, Key: key, Every: 100, MaxBytes: 3000}
	trail := open(t, cfg)
	deliver(t, trail, 1, 20)
	require.NoError(t, trail.Close())
	trail = open(t, cfg)
	deliver(t, trail, 21, 40)
	require.NoError(t, trail.Close())
	p := readPages(t, dir)
	require.Greater(t, len(p), 5)
	for _, name := range p.names() {
		kinds := kindsOf(t, p[name])
		require.Equal(t, "begin", kinds[0])
		require.Equal(t, "checkpoint", kinds[len(kinds)-1], "each file ends signed")
		size := len(strings.Join(p[name], ""))
		require.Less(t, size, 4000)
		if name != p.last() {
			require.GreaterOrEqual(t, size, 3000)
		}
	}
	want := audit.Expect{Keys: []ed25519.PublicKey{public}, Known: trail.Head()}
	require.Equal(t, idsOf(1, 40), eventsOf(t, dir, want))
}

func TestFilesByDay(t *testing.T) {
	needTrails(t)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		trail, err := audit.Open(audit.Config{Dir: dir, Daily: true})
		require.NoError(t, err)
		deliver(t, trail, 1, 3)
		time.Sleep(23*time.Hour + 59*time.Minute)
		deliver(t, trail, 4, 5)
		time.Sleep(2 * time.Minute)
		deliver(t, trail, 6, 7)
		require.NoError(t, trail.Close())
		time.Sleep(24 * time.Hour)
		trail, err = audit.Open(audit.Config{Dir: dir, Daily: true})
		require.NoError(t, err)
		deliver(t, trail, 8, 8)
		require.NoError(t, trail.Close())
	})
	p := readPages(t, dir)
	require.Equal(t, []string{"begin", "event", "event", "event", "event", "event"}, kindsOf(t, p["trail-000000001.jsonl"]))
	require.Equal(t, []string{"begin", "event", "event"}, kindsOf(t, p["trail-000000002.jsonl"]))
	require.Equal(t, []string{"begin", "event"}, kindsOf(t, p["trail-000000003.jsonl"]))
	require.Len(t, p, 3)
	require.Equal(t, idsOf(1, 8), eventsOf(t, dir, audit.Expect{}))
}

func TestOldFilesMayBeMovedAway(t *testing.T) {
	dir := t.TempDir()
	key, public := newKey(t)
	cfg := audit.Config{Dir: dir, Key: key, Every: 5, MaxBytes: 3000}
	trail := open(t, cfg)
	deliver(t, trail, 1, 30)
	require.NoError(t, trail.Close())
	p := readPages(t, dir)
	first, err := audit.CheckReader(strings.NewReader(strings.Join(p["trail-000000001.jsonl"], "")), audit.Expect{})
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(dir, "trail-000000001.jsonl")))

	_, err = audit.Check(os.DirFS(dir), audit.Expect{})
	brokenAt(t, err, "trail-000000002.jsonl", 1)
	want := audit.Expect{Keys: []ed25519.PublicKey{public}, Every: 5, Known: trail.Head(), From: first.Head}
	_, err = audit.Check(os.DirFS(dir), want)
	require.NoError(t, err)
	want.From.Hash = strings.Repeat("a", 64)
	_, err = audit.Check(os.DirFS(dir), want)
	brokenAt(t, err, "trail-000000002.jsonl", 1)
	want.From, want.Known = first.Head, first.Head
	_, err = audit.Check(os.DirFS(dir), want)
	brokenAt(t, err, "trail-000000002.jsonl", 1, "a known head before the beginning")

	for _, name := range p.names()[1 : len(p)-1] { // all but the last
		require.NoError(t, os.Remove(filepath.Join(dir, name)))
	}
	trail = open(t, cfg)
	deliver(t, trail, 31, 60)
	require.NoError(t, trail.Close())
	require.Greater(t, len(readPages(t, dir)), 2)
}

func TestNoSecretGetsIn(t *testing.T) {
	const canary = "s3cr3t-canary"
	dir := t.TempDir()
	trail := open(t, audit.Config{Dir: dir})
	e := event(1)
	e.Problem = &rotation.Error{
		Credential: "payment", Phase: rotation.PhaseIssue, Diagnosis: rotation.NewKeyRejected, Evidence: "401",
		Err: fmt.Errorf("call with %s: %w", canary, errors.Join(rotation.ErrDenied, errors.New("Authorization: Bearer "+canary))),
	}
	require.NoError(t, trail.Deliver(context.Background(), e))
	require.NoError(t, trail.Close())
	text := string(joined(readPages(t, dir)))
	require.NotContains(t, text, canary)
	require.Contains(t, text, rotation.ErrDenied.Error(), "what may be recorded is")
	require.Contains(t, text, `"evidence":"401"`)

	var log strings.Builder
	sink := audit.Slog{Handler: jsonHandler(&log)}
	require.NoError(t, sink.Deliver(context.Background(), e))
	require.NotContains(t, log.String(), canary)
	require.Contains(t, log.String(), rotation.ErrDenied.Error())
}
