// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package servers

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMain(m *testing.M) { Main(m) }

func TestShared(t *testing.T) {
	var first *RedisServer
	t.Run("first", func(t *testing.T) { first = Shared(t, Redis) })
	t.Run("second", func(t *testing.T) {
		s := Shared(t, Redis)
		assert.Same(t, first, s)
		assert.NoError(t, s.ping(t.Context(), s.User, s.Password), "it ended with the first test")
	})
}
