// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEveryPromiseIsKept(t *testing.T) {
	if testing.Short() {
		t.Skip("three rotations in real time take a while")
	}
	var story strings.Builder
	result, err := run(t.Context(), 42, io.MultiWriter(&story, t.Output()))
	require.NoError(t, err)
	assert.Empty(t, result.broken)
	assert.Contains(t, story.String(), legend)
	for act, counts := range map[string]map[string]Count{"standard": result.Standard, "roll-back": result.RollBack} {
		require.Len(t, counts, 3)
		for name, c := range counts {
			assert.Zero(t, c.Lost, "%s: %s", act, name)
			assert.Equal(t, c.Sent, c.VerifiedOld+c.VerifiedNew, "%s: %s", act, name)
			assert.Positive(t, c.VerifiedOld, "%s: %s", act, name)
			assert.Positive(t, c.VerifiedNew, "%s: %s", act, name)
			assert.Positive(t, c.Refused, "%s: %s", act, name)
			assert.Equal(t, c.Forged, c.Refused, "%s: %s", act, name)
		}
	}
	require.Len(t, result.Emergency, 3)
	for name, c := range result.Emergency {
		assert.Positive(t, c.LeakedVerified, name)
		assert.Less(t, c.LeakedVerified, c.Leaked, name)
		assert.Equal(t, c.Forged, c.Refused, name)
	}
}

func TestJSONHasTheDocumentedFields(t *testing.T) {
	data, err := json.Marshal(Result{Standard: map[string]Count{"github": {}}})
	require.NoError(t, err)
	assert.JSONEq(t, `{
		"standard": {"github": {
			"sent": 0, "verified_old": 0, "verified_new": 0, "lost": 0, "forged": 0, "refused": 0,
			"leaked": 0, "leaked_verified": 0, "leaked_ms": 0, "outage_ms": 0
		}},
		"rollback": null,
		"emergency": null
	}`, string(data))
}

// The ledger is what the promises stand on: it has to notice each way in which they can be broken.
func TestTheLedgerNotices(t *testing.T) {
	l := newLedger()
	at := place{0, "github"}
	fine, lost, twice := l.send("github", payment, 1), l.send("github", payment, 2), l.send("github", payment, 2)
	elsewhere := l.send("stripe", payment, 1)
	for _, e := range []event{fine, lost, twice, elsewhere} {
		l.tried(e, e == lost)
		l.done(e)
	}
	l.book("github", fine, "1-1")
	l.book("github", twice, "2-2")
	l.book("github", twice, "2-2")
	l.book("github", elsewhere, "1-1")
	l.forgedOne("github", true)
	l.forgedOne("github", false)
	act, err := l.turn()
	require.NoError(t, err)
	require.Zero(t, act)

	c := l.count(at, "1", 1)
	assert.Equal(t, 3, c.Sent)
	assert.Equal(t, 1, c.VerifiedOld)
	assert.Equal(t, 1, c.VerifiedNew)
	assert.Equal(t, 1, c.Lost)
	assert.Equal(t, 1, c.strange, "it was signed with the secret that came")
	assert.Equal(t, 1, c.twice)
	assert.Equal(t, 1, c.booked, "an event of another endpoint is forged here")
	assert.Equal(t, 2, c.Forged)
	assert.Equal(t, 1, c.Refused)

	var r Result
	r.lossless("standard", map[string]Count{"github": c})
	r.forgeries(0, "github", c)
	assert.Len(t, r.broken, 4, "%s", r.broken)
}

func TestOutageLastsUntilAllIsWell(t *testing.T) {
	begin := time.Now()
	events := func(answers string) (out []*sent) {
		for i, answer := range answers {
			out = append(out, &sent{tried: begin.Add(time.Duration(i) * time.Second), refused: answer == 'x'})
		}
		return out
	}
	for answers, want := range map[string]time.Duration{"": 0, "...": 0, ".x.": time.Second, ".x.x..": 3 * time.Second, "..x": 0, "xx": time.Second} {
		assert.Equal(t, want, outage(events(answers)), "%q", answers)
	}
}
