// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package gitea_test

import (
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/consumer"
	"github.com/handover-go/handover/journal"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store"
)

// Gitea is killed when it has made the token and before it has said so, in a rotation: that token is ended, and another one made.
func TestKilledBeforeTheAnswer(t *testing.T) {
	s := start(t)
	cfg := s.config(t)
	i := newIssuer(t, cfg)
	old := issue(t, i, rotation.Key{})
	lost := ""
	cfg.Transport = through(func(r *http.Request) (*http.Response, error) {
		resp, err := shared.RoundTrip(r)
		if err != nil || resp.StatusCode != http.StatusCreated || lost != "" {
			return resp, err
		}
		_ = resp.Body.Close()
		infos := list(t, i) // by id
		lost = infos[len(infos)-1].Key.ID
		s.Kill()
		return nil, errors.New("connection reset")
	})
	const name = "ci"
	values := store.NewMemory()
	require.NoError(t, store.Seed(t.Context(), values, name, old))
	service, err := consumer.Follow(t.Context(), consumer.Source{Store: values, Credential: name, Every: 100 * time.Millisecond})
	require.NoError(t, err)
	defer service.Close()
	r, err := rotation.New(rotation.Config{
		Journal: journal.NewMemory(), Store: values, Logger: slog.New(slog.DiscardHandler), ClockSkew: -1, CallTimeout: 3 * time.Second,
		Policy: rotation.Policy{Overlap: time.Second, Quiet: time.Second, Patience: time.Second},
		Credentials: []rotation.Credential{{
			Name: name, Type: rotation.APIKey, Issuer: newIssuer(t, cfg),
			Consumers: []rotation.Binding{{Name: "service", Consumer: service}},
		}},
	})
	require.NoError(t, err)
	defer s.Start()
	_, err = r.Rotate(t.Context(), name, rotation.Trigger{Reason: "test"})
	require.ErrorContains(t, err, "it is not known whether a new key was made")
	require.NotEmpty(t, lost)
	s.Start()
	var st rotation.Status
	require.Eventually(t, func() bool {
		st, err = r.Advance(t.Context(), name)
		return err == nil && st.Open == nil
	}, 3*time.Minute, 100*time.Millisecond, "%+v", st)
	assert.Equal(t, rotation.Rotated, st.Last.Outcome)
	infos := list(t, i)
	require.Len(t, infos, 1)
	assert.Equal(t, st.Last.NewID, infos[0].Key.ID)
	assert.NotEqual(t, lost, infos[0].Key.ID)
}
