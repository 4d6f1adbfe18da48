// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package minio

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A server chooses the cipher. Real ones are met by the other tests; this is for all three.
func TestSeal(t *testing.T) {
	long := strings.Repeat("access keys ", 5000)
	for _, cipher := range []byte{argonAES, argonChaCha, pbkdf2AES} {
		head := make([]byte, headSize)
		rand.Read(head)
		head[saltSize] = cipher
		c, err := cipherOf("the secret", head)
		require.NoError(t, err)
		sealed := bytes.NewBuffer(bytes.Clone(head))
		w := c.EncryptWriter(sealed, head[saltSize+1:], nil)
		_, err = w.Write([]byte(`"` + long + `"`))
		require.NoError(t, err)
		require.NoError(t, w.Close())

		var text string
		require.NoError(t, open("the secret", sealed.Bytes(), &text))
		assert.Equal(t, long, text)
		assert.Error(t, open("another", sealed.Bytes(), &text))
		for _, n := range []int{0, headSize - 1, headSize, headSize + 1, sealed.Len() / 2, sealed.Len() - 1} {
			assert.Error(t, open("the secret", sealed.Bytes()[:n], &text), n)
		}
	}
	sealed, err := seal("the secret", map[string]int{"a": 1})
	require.NoError(t, err)
	var m map[string]int
	require.NoError(t, open("the secret", sealed, &m))
	assert.Equal(t, map[string]int{"a": 1}, m)
	sealed[saltSize] = 77
	assert.Error(t, open("the secret", sealed, &m))
	again, err := seal("the secret", map[string]int{"a": 1})
	require.NoError(t, err)
	assert.NotEqual(t, sealed[:saltSize], again[:saltSize])
	_, err = seal("the secret", func() {})
	assert.Error(t, err)
}
