// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store"
)

// sealed is plain as a File of format 1 holds it, made without the code under test.
func sealed(t *testing.T, plain []byte) []byte {
	t.Helper()
	key, err := hex.DecodeString(fileKey.Reveal())
	require.NoError(t, err)
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	aead, err := cipher.NewGCM(block)
	require.NoError(t, err)
	header := []byte("handover store\x01")
	nonce := []byte("twelve bytes")
	return aead.Seal(slices.Concat(header, nonce), nonce, plain, header)
}

// FuzzFile opens a file with any content, under the right seal or without one: it is refused as it is, with an error that
// quotes nothing, or every name in it can be read, or refused, and written without a change to the others.
func FuzzFile(f *testing.F) {
	const canary = "canary-7f3Kq9ZxW2pL"
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		content := data
		if seal {
			content = sealed(t, data)
		}
		path := filepath.Join(t.TempDir(), "store")
		require.NoError(t, os.WriteFile(path, content, 0o600))
		s, err := store.OpenFile(path, fileKey)
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip(err)
		}
		if err != nil {
			require.ErrorContains(t, err, path)
			require.NotContains(t, err.Error(), canary)
			after, err := os.ReadFile(path)
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, after), "a file that was refused was changed")
			return
		}
		require.True(t, seal, "a file that nobody sealed")
		var want struct {
			Names map[string]struct{ Versions json.RawMessage }
		}
		require.NoError(t, json.Unmarshal(data, &want))
		names, err := s.Names(t.Context())
		require.NoError(t, err)
		require.ElementsMatch(t, slices.Collect(maps.Keys(want.Names)), names)

		before := map[string]rotation.Versions{}
		for _, name := range names {
			v, err := s.Load(t.Context(), name)
			if err != nil {
				require.NotContains(t, err.Error(), canary)
				continue
			}
			var members map[string]json.RawMessage
			require.NoError(t, json.Unmarshal(want.Names[name].Versions, &members), "taken for a bare value")
			require.Contains(t, members, "handover", "taken for a bare value")
			before[name] = v
		}
		for name, v := range before {
			require.NoError(t, s.Save(t.Context(), name, v))
			require.ErrorIs(t, s.Save(t.Context(), name, v), rotation.ErrConflict)
			break // one tells of all
		}
		for name, v := range before {
			again, err := s.Load(t.Context(), name)
			require.NoError(t, err)
			requireSame(t, v, again)
		}
		after, err := s.Names(t.Context())
		require.NoError(t, err)
		require.Equal(t, names, after)
	})
}
