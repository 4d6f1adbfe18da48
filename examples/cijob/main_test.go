// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
)

// TestMain lets the test program be a run, as the program itself is.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "-once") {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestOneRotationOverSeveralRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("a rotation in real time takes a while")
	}
	var story strings.Builder
	result, err := play(t.Context(), io.MultiWriter(&story, t.Output()))
	require.NoError(t, err)
	assert.Empty(t, result.Broken)
	assert.True(t, result.Rotated)
	assert.Greater(t, result.Runs, 1)
	assert.Positive(t, result.Requests)
	assert.Zero(t, result.Rejected+result.Lost)
	assert.Contains(t, story.String(), "on the way from generation 1 to 2, in phase ")
	assert.Contains(t, story.String(), "waits for time: ")
	assert.Contains(t, story.String(), "come back in ")
	assert.Contains(t, story.String(), "generation 2, nothing to do")
}

func TestARunWithoutItsSettingsSaysWhichIsMissing(t *testing.T) {
	_, err := newRotator(func(string) string { return "" })
	assert.EqualError(t, err, "CIJOB_PROVIDER is not set: run this example without -once, or set what job.go names")
}

func TestTheReportSaysWhatIsWaitedFor(t *testing.T) {
	var text strings.Builder
	tell(&text, rotation.Status{
		Credential: gateway, Generation: 4, Next: time.Now().Add(90 * time.Minute),
		Open:  &rotation.Record{Phase: rotation.PhaseSoak, Generation: 5},
		Needs: []rotation.Need{{Kind: rotation.NeedQuiet, Text: "it is still used"}},
	})
	assert.Equal(t, `payment-gateway-api: on the way from generation 4 to 5, in phase soak
  waits for quiet: it is still used
  come back in 1h30m0s or later
`, text.String())
}

func TestJSONHasTheDocumentedFields(t *testing.T) {
	data, err := json.Marshal(Result{Broken: []string{}})
	require.NoError(t, err)
	assert.JSONEq(t, `{"runs": 0, "rotated": false, "requests": 0, "rejected": 0, "lost": 0, "seconds": 0, "broken": []}`, string(data))
}
