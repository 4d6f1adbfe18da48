// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

func hookKey(serial int64) rotation.Key {
	return rotation.Key{ID: "hook", Serial: serial, Generation: int(serial), Secret: secret.Random(16)}
}

func TestSenderSignsLateAndRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		older, newer := hookKey(1), hookKey(2)
		up, down := rotationtest.NewReceiver(older), rotationtest.NewReceiver(older)
		s := rotationtest.NewSender(up, down)
		s.Traits.RetryHorizon, s.Propagate = time.Hour, time.Minute
		require.True(t, s.Signing().IsZero())
		require.ErrorIs(t, s.Deliver(t.Context()), rotation.ErrRejected, "it signs with nothing yet")
		require.NoError(t, s.Activate(t.Context(), older))
		time.Sleep(time.Minute)
		require.Error(t, s.Repeat(t.Context()), "what was signed with nothing stays so")
		time.Sleep(time.Hour)
		require.NoError(t, s.Repeat(t.Context()), "and is given up")

		require.NoError(t, s.Deliver(t.Context()))
		down.Inject(rotationtest.Fault{Op: "Receive", From: time.Now(), Until: time.Now().Add(time.Minute)})
		require.NoError(t, s.Activate(t.Context(), newer))
		require.Error(t, s.Deliver(t.Context()), "one of them is down")
		require.Equal(t, 1, s.Signing().Generation)
		time.Sleep(time.Minute)
		require.Equal(t, 2, s.Signing().Generation)

		require.NoError(t, down.Deploy(t.Context(), rotation.DeployRequest{Accept: []rotation.Key{newer}}))
		require.ErrorIs(t, s.Repeat(t.Context()), rotation.ErrRejected, "it bears the signature of before")
		require.NoError(t, down.Deploy(t.Context(), rotation.DeployRequest{Accept: []rotation.Key{newer, older}}))
		require.NoError(t, s.Repeat(t.Context()))
		require.NoError(t, s.Repeat(t.Context()), "there is nothing left")
		require.Empty(t, down.Unmet())
		require.Equal(t, 6, down.Calls("Receive"))
	})
}

func TestReceiverForgetsWhatItCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		older, newer := hookKey(1), hookKey(2)
		r := rotationtest.NewReceiver(newer, older)
		time.Sleep(time.Minute)
		require.NoError(t, r.Receive(t.Context(), secret.Random(16), older.Secret), "signed with two")
		at := time.Now()
		u, err := r.Usage(t.Context(), older)
		require.NoError(t, err)
		require.True(t, u.LastUsed.Equal(at))
		require.True(t, u.Since.Equal(at.Add(-time.Minute)))

		time.Sleep(time.Minute)
		r.Restart()
		u, err = r.Usage(t.Context(), older)
		require.NoError(t, err)
		require.Zero(t, u.LastUsed)
		require.True(t, u.Since.Equal(at.Add(time.Minute)))
		require.Len(t, r.Accepts(), 2, "it goes on accepting")
	})
}

func TestWebhookFakesHaveFaults(t *testing.T) {
	r := rotationtest.NewReceiver()
	s := rotationtest.NewSender(r)
	assert.NotEqual(t, s.Identity(), rotationtest.NewSender(r).Identity())
	s.Inject(rotationtest.Fault{Op: "Activate", After: true})
	require.Len(t, s.Unmet(), 1)
	key := hookKey(1)
	require.Error(t, s.Activate(t.Context(), key))
	require.Equal(t, 1, s.Signing().Generation, "it happened and its answer was lost")
	require.Empty(t, s.Unmet())
	require.Equal(t, 1, s.Calls("Activate"))

	_, err := s.Issue(t.Context(), rotation.IssueRequest{})
	require.ErrorIs(t, err, rotation.ErrNotIssued)
	key.Secret = secret.Value{}
	require.ErrorContains(t, s.Activate(t.Context(), key), "timed out")
	require.NotErrorIs(t, r.Verify(t.Context(), key), rotation.ErrRejected, "that is no answer")
	require.Error(t, r.Deploy(t.Context(), rotation.DeployRequest{Accept: []rotation.Key{key}}))
	require.Panics(t, func() { s.Inject(rotationtest.Fault{Op: "Receive"}) })
	require.Panics(t, func() { r.Inject(rotationtest.Fault{Op: "Activate"}) })
	require.Panics(t, func() { rotationtest.NewSender() })
	require.Panics(t, func() { rotationtest.NewSender(r, nil) })
}
