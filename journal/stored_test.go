// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

var due = time.Date(2026, 3, 4, 5, 6, 7, 123456789, time.UTC)

// goldenMetadata is the format that was released as version 1: it has to be read for ever.
func goldenMetadata() map[string]string {
	return map[string]string{
		"journal": "1", "credential": "payments", "revision": "7", "due": "2026-03-04T05:06:07.123456789Z",
		"saved_at": "2026-03-01T00:00:00.5Z", "data": "eyJ2IjoxfQ==",
	}
}

func TestStoredFormat(t *testing.T) {
	s := &store{saved: map[string]rotation.Versions{"payments/handover": {Metadata: goldenMetadata(), Revision: "r1"}}}
	j := journal.InStore(s)
	e, err := j.Load(t.Context(), "payments")
	require.NoError(t, err)
	assert.Equal(t, rotation.Entry{
		Credential: "payments", Revision: 7, Due: due, Data: []byte(`{"v":1}`),
		SavedAt: time.Date(2026, 3, 1, 0, 0, 0, 5e8, time.UTC),
	}, e)

	require.NoError(t, j.Save(t.Context(), e))
	v := s.saved["payments/handover"]
	assert.Empty(t, v.Keys)
	written := v.Metadata
	assert.NotEqual(t, goldenMetadata()["saved_at"], written["saved_at"])
	expected := goldenMetadata()
	expected["revision"], expected["saved_at"] = "8", written["saved_at"]
	assert.Equal(t, expected, written)

	require.NoError(t, j.Save(t.Context(), rotation.Entry{Credential: "payments", Revision: 8}))
	assert.NotContains(t, s.saved["payments/handover"].Metadata, "due")
}

func TestStoredMalformed(t *testing.T) {
	for name, change := range map[string]func(map[string]string){
		"no format":         func(m map[string]string) { delete(m, "journal") },
		"newer format":      func(m map[string]string) { m["journal"] = "2" },
		"other credential":  func(m map[string]string) { m["credential"] = "canary" },
		"no revision":       func(m map[string]string) { delete(m, "revision") },
		"revision zero":     func(m map[string]string) { m["revision"] = "0" },
		"negative revision": func(m map[string]string) { m["revision"] = "-1" },
		"revision text":     func(m map[string]string) { m["revision"] = "canary" },
		"huge revision":     func(m map[string]string) { m["revision"] = "9223372036854775808" },
		"due":               func(m map[string]string) { m["due"] = "canary" },
		"empty due":         func(m map[string]string) { m["due"] = "" },
		"no saved_at":       func(m map[string]string) { delete(m, "saved_at") },
		"data":              func(m map[string]string) { m["data"] = "canary!" },
		"no data":           func(m map[string]string) { delete(m, "data") },
	} {
		t.Run(name, func(t *testing.T) {
			meta := goldenMetadata()
			change(meta)
			s := &store{saved: map[string]rotation.Versions{"payments/handover": {Metadata: meta, Revision: "r1"}}}
			j := journal.InStore(s)
			_, err := j.Load(t.Context(), "payments")
			require.Error(t, err)
			assert.NotContains(t, err.Error(), "canary")
			var public rotation.PublicError
			assert.ErrorAs(t, err, &public)

			// It is not written over, by whatever revision.
			for _, revision := range []int64{0, 1, 7} {
				err = j.Save(t.Context(), rotation.Entry{Credential: "payments", Revision: revision})
				require.Error(t, err)
				assert.NotErrorIs(t, err, rotation.ErrConflict)
			}
			assert.Equal(t, "r1", s.saved["payments/handover"].Revision)

			// It keeps nobody else waiting.
			require.NoError(t, j.Save(t.Context(), rotation.Entry{Credential: "b", Due: due}))
			entries, err := j.Due(t.Context(), []string{"payments", "b"}, due.Add(1), 9)
			require.ErrorContains(t, err, "payments")
			require.Len(t, entries, 1)
			assert.Equal(t, "b", entries[0].Credential)
		})
	}
}

// TestStoredKeys meets a credential that is named like a journal entry.
func TestStoredKeys(t *testing.T) {
	key := rotation.StoredKey{Key: rotation.Key{ID: "k1", Secret: secret.New("canary")}, Role: rotation.RoleCurrent}
	s := &store{saved: map[string]rotation.Versions{"a/handover": {Keys: []rotation.StoredKey{key}, Revision: "r1"}}}
	j := journal.InStore(s)
	_, err := j.Load(t.Context(), "a")
	require.ErrorContains(t, err, "another credential")
	require.Error(t, j.Save(t.Context(), rotation.Entry{Credential: "a"}))
	assert.Equal(t, "r1", s.saved["a/handover"].Revision)
}

// TestStoredEmptied writes where a store keeps a revision of what was deleted.
func TestStoredEmptied(t *testing.T) {
	s := &store{saved: map[string]rotation.Versions{"a/handover": {Revision: "r1"}}}
	j := journal.InStore(s)
	e, err := j.Load(t.Context(), "a")
	require.NoError(t, err)
	assert.Zero(t, e)
	require.NoError(t, j.Save(t.Context(), rotation.Entry{Credential: "a"}))
}

// TestStoredOverlap has another writer between the Load and the Save of one Save.
func TestStoredOverlap(t *testing.T) {
	for _, revision := range []int64{0, 1} {
		s := &store{}
		j, other := journal.InStore(s), journal.InStore(s)
		if revision == 1 {
			require.NoError(t, j.Save(t.Context(), rotation.Entry{Credential: "a"}))
		}
		s.between = func() {
			s.between = nil
			require.NoError(t, other.Save(t.Context(), rotation.Entry{Credential: "a", Revision: revision, Data: []byte("other")}))
		}
		err := j.Save(t.Context(), rotation.Entry{Credential: "a", Revision: revision, Data: []byte("ours")})
		require.ErrorIs(t, err, rotation.ErrConflict)
		e, err := j.Load(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, "other", string(e.Data))
	}
}

func TestStoredStoreFails(t *testing.T) {
	down := errors.New("down")
	s := &store{err: down}
	j := journal.InStore(s)
	_, err := j.Load(t.Context(), "a")
	require.ErrorIs(t, err, down)
	require.ErrorIs(t, j.Save(t.Context(), rotation.Entry{Credential: "a"}), down)
	entries, err := j.Due(t.Context(), []string{"a"}, due, 9)
	require.ErrorIs(t, err, down)
	assert.Empty(t, entries)
	require.ErrorIs(t, j.Check(t.Context()), down)
}

func TestStoredSetup(t *testing.T) {
	none := journal.InStore(nil)
	_, err := none.Load(t.Context(), "a")
	_, dueErr := none.Due(t.Context(), []string{"a"}, due, 1)
	for _, err := range []error{err, dueErr, none.Save(t.Context(), rotation.Entry{Credential: "a"}), none.Validate(), none.Check(t.Context())} {
		require.ErrorContains(t, err, "InStore: store is required")
		assert.Equal(t, 1, strings.Count(err.Error(), "journal: "))
	}
	assert.False(t, none.Conditional())
	assert.NotPanics(t, func() { none.Identity() })

	s := &store{}
	j := journal.InStore(s)
	assert.True(t, j.Conditional())
	assert.Equal(t, "journal in test store", j.Identity())
	require.NoError(t, j.Validate())
	require.NoError(t, j.Check(t.Context()))

	s.unconditional = true
	assert.False(t, j.Conditional())
	require.ErrorContains(t, j.Check(t.Context()), "does not compare revisions")

	plain := journal.InStore(struct{ rotation.SecretStore }{s}) // has no abilities
	assert.False(t, plain.Conditional())
	assert.NotEqual(t, "journal in test store", plain.Identity())
}

// FuzzStoredEntry reads what anybody with access to the store can have written there.
func FuzzStoredEntry(f *testing.F) {
	golden := goldenMetadata()
	f.Add("1", "payments", golden["revision"], golden["due"], golden["saved_at"], golden["data"])
	f.Fuzz(func(t *testing.T, format, credential, revision, due, savedAt, data string) {
		meta := map[string]string{
			"journal": format, "credential": credential, "revision": revision, "saved_at": savedAt, "data": data,
		}
		if due != "absent" {
			meta["due"] = due
		}
		s := &store{saved: map[string]rotation.Versions{"payments/handover": {Metadata: meta, Revision: "r1"}}}
		j := journal.InStore(s)
		e, err := j.Load(t.Context(), "payments")
		if err != nil {
			assert.Zero(t, e)
			if len(data) > 8 {
				assert.NotContains(t, err.Error(), data)
			}
			return
		}
		n, err := strconv.ParseInt(revision, 10, 64)
		require.NoError(t, err)
		require.Equal(t, n, e.Revision)
		decoded, err := base64.StdEncoding.DecodeString(data)
		require.NoError(t, err)
		require.Equal(t, string(decoded), string(e.Data))
		require.Equal(t, "payments", e.Credential)
		if e.Revision == 1<<63-1 {
			return
		}
		require.NoError(t, j.Save(t.Context(), e))
		again, err := j.Load(t.Context(), "payments")
		require.NoError(t, err)
		e.Revision, e.SavedAt = e.Revision+1, again.SavedAt
		require.Equal(t, e, again)
	})
}
