// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/audit"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

func reported(id string, used time.Time) rotation.KeyInfo {
	return rotation.KeyInfo{
		Key:    rotation.Key{ID: id, IssuedAt: began.Add(-90 * 24 * time.Hour), Secret: secret.New("s3cr3t-canary")},
		Scopes: []string{"read"},
		Usage:  rotation.Usage{LastUsed: used, AsOf: used.Add(time.Hour), Source: "203.0.113.7"},
	}
}

func TestKeyHistory(t *testing.T) {
	rec := rotation.Record{
		ID: "payment-4", Credential: "payment", Strategy: rotation.Emergency, Outcome: rotation.Rotated, OldID: "key-3", NewID: "key-4",
		Generation: 4, Reason: "in a public repository", Actor: "ada", Incident: "INC-7",
		RevokedAt: began.Add(time.Minute), DeadAt: began.Add(2 * time.Minute),
	}
	foreign := event(9)
	foreign.Rotation = "payment-3"
	seen := []rotation.KeyInfo{reported("key-3", began.Add(-time.Hour)), reported("key-3", began.Add(-9*time.Hour)), {Key: rotation.Key{ID: "key-3"}, Disabled: true}}
	h, err := audit.NewKeyHistory(seen, rec, []rotation.Event{event(1), foreign, event(2)})
	require.NoError(t, err)
	require.Equal(t, began.Add(-9*time.Hour), h.FirstUsed)
	require.Equal(t, began.Add(-time.Hour), h.LastUsed)
	require.Zero(t, h.Generation, "the rotation's is that of the new key")
	require.Equal(t, []rotation.Event{event(1), event(2)}, h.Events)

	var out strings.Builder
	require.NoError(t, h.Write(&out))
	require.NotContains(t, out.String(), "canary")
	var back audit.KeyHistory
	require.NoError(t, json.Unmarshal([]byte(out.String()), &back))
	require.Equal(t, h, back)
	var doc map[string]any
	require.NoError(t, json.Unmarshal([]byte(out.String()), &doc))
	delete(doc, "events")
	require.Equal(t, map[string]any{
		"version": 1.0, "credential": "payment", "key_id": "key-3", "scopes": []any{"read"}, "issued_at": "2025-12-01T09:00:00Z",
		"first_used": "2026-03-01T00:00:00Z", "last_used": "2026-03-01T08:00:00Z", "rotation": "payment-4", "strategy": "emergency",
		"outcome": "rotated", "reason": "in a public repository", "actor": "ada", "incident": "INC-7",
		"revoked_at": "2026-03-01T09:01:00Z", "dead_at": "2026-03-01T09:02:00Z",
		"reports": []any{
			map[string]any{"last_used": "2026-03-01T08:00:00Z", "as_of": "2026-03-01T09:00:00Z", "source": "203.0.113.7"},
			map[string]any{"last_used": "2026-03-01T00:00:00Z", "as_of": "2026-03-01T01:00:00Z", "source": "203.0.113.7"},
			map[string]any{"disabled": true},
		},
	}, doc)

	h, err = audit.NewKeyHistory([]rotation.KeyInfo{reported("key-4", time.Time{})}, rec, nil)
	require.NoError(t, err)
	require.Equal(t, 4, h.Generation)
	require.Zero(t, h.LastUsed)

	full := errors.New("full")
	require.ErrorIs(t, h.Write(writerFunc(func([]byte) (int, error) { return 0, full })), full)
}

func TestKeyHistoryNamesItsMistakes(t *testing.T) {
	for want, seen := range map[string][]rotation.KeyInfo{
		"no report":         nil,
		"has no ID":         {reported("", began)},
		"key-3 and key-4":   {reported("key-3", began), reported("key-4", began)},
		"is of no rotation": {reported("key-3", began)},
	} {
		rec := rotation.Record{ID: "payment-4"}
		if want == "is of no rotation" {
			rec = rotation.Record{}
		}
		_, err := audit.NewKeyHistory(seen, rec, nil)
		require.ErrorContains(t, err, want)
	}
}
