// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/examples/internal/child"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// TestMain lets the test program play the roles, as the program itself does.
func TestMain(m *testing.M) {
	child.Play(roles)
	os.Exit(m.Run())
}

func TestEveryPromiseIsKept(t *testing.T) {
	if testing.Short() {
		t.Skip("rotations in real time take a while")
	}
	var story strings.Builder
	result, err := run(t.Context(), options{n: 12, seed: 7, story: io.MultiWriter(&story, t.Output())})
	require.NoError(t, err)
	assert.Empty(t, result.Broken)
	assert.Equal(t, 12, result.Rotated)
	assert.Len(t, result.Kills, 2)
	assert.Positive(t, result.CarriedOn)
	assert.Positive(t, result.Requests)
	assert.Zero(t, result.Rejected+result.Lost)
	assert.Positive(t, result.Events)
	assert.Len(t, result.Trails, len(replicas))
	assert.Contains(t, story.String(), "Every promise was kept.")
}

func TestTheJournalMayBeAFile(t *testing.T) {
	progress, db, err := world{Dir: t.TempDir()}.openJournal(t.Context())
	require.NoError(t, err)
	defer db.Close()
	assert.NoError(t, progress.Save(t.Context(), rotation.Entry{Credential: "mail-001"}))
}

func TestABrokenPromiseIsSeen(t *testing.T) {
	s := &stage{items: inventory(6), options: options{n: 6}}
	var err error
	s.provider, err = newProvider(s.items, secret.Random(32), 1)
	require.NoError(t, err)
	var r Result
	silent := s.provider.take(s.items)
	assert.Len(t, silent.silent, 9, "nobody has called the provider")
	r.promise(len(silent.silent) == 0, "every service calls the provider")
	a := map[string]rotation.Event{"1": {}, "2": {}}
	r.promise(len(missing(a, map[string]rotation.Event{"1": {}})) == 0, "every event is told")
	var text strings.Builder
	r.print(&text)
	assert.Contains(t, text.String(), "Broken promises:\n  every service calls the provider\n  every event is told\n")
}

func TestTheInventorySharesConsumers(t *testing.T) {
	uses := map[string][]string{}
	for _, item := range inventory(12) {
		for _, service := range item.services {
			uses[service] = append(uses[service], item.name)
		}
	}
	assert.Equal(t, []string{"payments-002", "crm-002", "shipping-002"}, uses["shop-002"])
	assert.Equal(t, []string{"maps-001"}, uses["maps-worker-001"])
}

func TestJSONHasTheDocumentedFields(t *testing.T) {
	data, err := json.Marshal(Result{Kills: []kill{{}}, Trails: []trails{{}}, Broken: []string{}})
	require.NoError(t, err)
	assert.JSONEq(t, `{
		"credentials": 0, "rotated": 0, "journal": "", "replicas": 0, "kills": [{"replica": "", "open": 0, "restarted": false}],
		"carried_on": 0, "issued": 0, "requests": 0, "rejected": 0, "lost": 0, "events": 0, "notices": 0,
		"trails": [{"replica": "", "events": 0, "checkpoints": 0, "healed": 0}], "seconds": 0, "broken": []
	}`, string(data))
}

func TestTheWindowIsOpen(t *testing.T) {
	for hour := range 24 {
		now := time.Date(2026, 11, 22, hour, 59, 30, 0, time.UTC)
		from, to, err := openWindow(now).Next(now)
		require.NoError(t, err)
		assert.False(t, from.After(now), "hour %d: from %v", hour, from)
		assert.Greater(t, to.Sub(now), 4*time.Hour, "hour %d: to %v", hour, to)
	}
}
