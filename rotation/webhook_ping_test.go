// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
)

// Somebody puts the sender back on the old secret in the last minute of the quiet time, when no delivery comes any more that could
// show it: the test delivery does, before anybody forgets the old secret.
func TestWebhookSenderIsPutBackAtTheLastMoment(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		r := p.rotator()
		st := p.rotate(r)
		for st.Open.Phase != rotation.PhaseSoak || len(st.Needs) == 0 {
			st = p.paces(r, time.Minute)
		}
		time.Sleep(time.Until(st.Open.BeganAt.Add(time.Hour)) - time.Second)
		require.NoError(t, p.sender.Activate(t.Context(), p.seeded))
		p.paces(r, 10*time.Minute)
		require.Empty(t, p.losses())
		p.accept(2, 1)
	})
}
