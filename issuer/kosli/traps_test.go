// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package kosli_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
)

// The command line reads the new value from "key", the documentation from "api_key". Whichever the service fills, it is not lost, and an
// answer with neither says which key has to be ended.
func TestKeyOrAPIKey(t *testing.T) {
	for _, field := range []string{"key", "api_key"} {
		i, _ := start(t, map[string]string{"POST " + keys: `201 {"id":"k1","` + field + `":"` + canary + `"}`})
		key, err := i.Issue(t.Context(), request)
		require.NoError(t, err, field)
		assert.Equal(t, canary, key.Secret.Reveal(), field)
	}
	i, _ := start(t, map[string]string{"POST " + keys: `201 {"id":"k1","value":"` + canary + `"}`})
	key, err := i.Issue(t.Context(), request)
	require.ErrorContains(t, err, "no secret")
	require.NotErrorIs(t, err, rotation.ErrNotIssued, "there is a key, whose value is lost")
	assert.Equal(t, "k1", key.ID, "which can be ended by its id")
	clean(t, err)
}

// Times are seconds with a fraction, and 0 or 0.0 is never.
func TestFloatTimes(t *testing.T) {
	i, f := start(t, nil)
	for never, want := range map[string]time.Time{
		"0": {}, "0.0": {}, "null": {}, "1780584130.25": time.UnixMilli(1780584130250).UTC(), "1.78058413025e9": time.UnixMilli(1780584130250).UTC(),
	} {
		f.answer = map[string]string{
			"POST " + keys: `201 {"id":"k1","key":"` + canary + `","created_at":1780584129.501,"expires_at":` + never + `}`,
			"GET " + keys:  `200 [{"id":"k1","description":"x","created_at":1780584129.501,"expires_at":` + never + `,"last_used_at":` + never + `}]`,
		}
		key, err := i.Issue(t.Context(), request)
		require.NoError(t, err)
		assert.True(t, key.ExpiresAt.Equal(want), "%s: %v", never, key.ExpiresAt)
		assert.Equal(t, int64(1780584129501), key.IssuedAt.UnixMilli())
		infos, err := i.List(t.Context())
		require.NoError(t, err)
		assert.True(t, infos[0].Key.ExpiresAt.Equal(want), "%s: %v", never, infos[0].Key.ExpiresAt)
		assert.True(t, infos[0].Usage.LastUsed.Equal(want), "%s: %v", never, infos[0].Usage.LastUsed)
	}
}

// A revoked key is answered with a JSON string, not an object, and not always.
func TestRevokedIsNoObject(t *testing.T) {
	for _, body := range []string{`200 "revoked"`, "200 revoked", "200 ", "204 "} {
		i, _ := start(t, map[string]string{"DELETE " + keys + "/k1": body})
		require.NoError(t, i.Revoke(t.Context(), rotation.Key{ID: "k1"}), body)
	}
}

// The service answers 409 while somebody else holds its lock. The command line repeats such a call, so that a 409 may be the answer to
// the repetition of one that had its effect: it says neither that a key was made nor that one is gone.
func TestLockSaysNothing(t *testing.T) {
	const locked = `409 {"message":"` + canary + `"}`
	i, f := start(t, map[string]string{"POST " + keys: locked, "DELETE " + keys + "/k1": locked, "POST " + keys + "/k%2F0/rotate": locked})
	for _, grace := range []time.Duration{0, time.Hour} {
		i.Grace = grace
		_, err := i.Issue(t.Context(), request)
		require.ErrorIs(t, err, rotation.ErrConflict)
		require.NotErrorIs(t, err, rotation.ErrNotIssued)
		clean(t, err)
	}
	require.ErrorIs(t, i.Revoke(t.Context(), rotation.Key{ID: "k1"}), rotation.ErrConflict)
	f.answer["DELETE "+keys+"/k1"] = `200 "revoked"`
	require.NoError(t, i.Revoke(t.Context(), rotation.Key{ID: "k1"}), "the lock passes")
}

// A key that has ended cannot be rotated, and in an emergency it may have ended before its successor is made.
func TestRotationOfADeadKeyCreates(t *testing.T) {
	i, f := start(t, map[string]string{
		"POST " + keys + "/k%2F0/rotate": `404 {"message":"` + canary + `"}`,
		"POST " + keys:                   `201 {"id":"k1","key":"` + canary + `"}`,
	})
	i.Grace = time.Hour
	key, err := i.Issue(t.Context(), request)
	require.NoError(t, err)
	assert.Equal(t, "k1", key.ID)
	require.Len(t, f.got, 2)
	assert.Equal(t, "POST "+keys+` Bearer admin {"description":"kosli-v2-abc"}`, f.got[1])
}
