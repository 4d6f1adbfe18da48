// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/examples/internal/child"
)

// TestMain lets the test program play the roles, as the program itself does.
func TestMain(m *testing.M) {
	child.Play(roles)
	os.Exit(m.Run())
}

func TestEveryPromiseIsKept(t *testing.T) {
	if testing.Short() {
		t.Skip("three rotations in real time take a while")
	}
	var story strings.Builder
	result, err := run(t.Context(), 42, io.MultiWriter(&story, t.Output()))
	require.NoError(t, err)
	assert.Contains(t, story.String(), legend)
	assert.Positive(t, result.foreseen)
	assert.Empty(t, result.broken)
	assert.True(t, result.Standard.Finished)
	assert.NotEmpty(t, result.Standard.KilledAt)
	assert.Zero(t, result.Standard.Rejected)
	assert.True(t, result.RollBack.RolledBack)
	assert.Zero(t, result.RollBack.Rejected)
	assert.Contains(t, result.Emergency.Incident, "INC-2026-0042")
	assert.Positive(t, result.Emergency.OutageMS, "somebody presents the leaked key until a moment after its death")
}

func TestTheTableTellsWhatWasForeseen(t *testing.T) {
	var text strings.Builder
	Result{Emergency: Emergency{Requests: 466, OutageMS: 165}, foreseen: 37}.table(&text)
	assert.Regexp(t, `(?m)^emergency +466 +37 \(foreseen\) .*longest outage 165 ms$`, text.String())
	assert.Contains(t, text.String(), outages)
}

func TestJSONHasTheDocumentedFields(t *testing.T) {
	data, err := json.Marshal(Result{})
	require.NoError(t, err)
	assert.JSONEq(t, `{
		"standard": {"requests": 0, "rejected": 0, "killed_at": "", "finished": false},
		"rollback": {"requests": 0, "rejected": 0, "rolled_back": false},
		"emergency": {"requests": 0, "revoke_ms": 0, "outage_ms": 0, "incident": ""}
	}`, string(data))
}
