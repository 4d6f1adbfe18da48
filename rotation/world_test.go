// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
)

// world is one credential with fakes around it, in a synctest bubble.
type world struct {
	t         *testing.T
	provider  *rotationtest.Provider
	store     *rotationtest.Store
	journal   *rotationtest.Journal
	consumers []*rotationtest.Consumer
	cfg       rotation.Config
	cred      rotation.Credential
	seeded    rotation.Key
}

const name = "payment-gateway-api"

// newWorld seeds a key that every consumer uses.
func newWorld(t *testing.T, consumers int, change ...func(*world)) *world {
	w := &world{
		t:        t,
		provider: rotationtest.NewProvider(),
		store:    rotationtest.NewStore(),
		journal:  rotationtest.NewJournal(),
	}
	w.seeded = w.provider.Mint()
	require.NoError(t, store.Seed(t.Context(), w.store, name, w.seeded))
	w.cred = rotation.Credential{Name: name, Type: rotation.APIKey, Issuer: w.provider}
	for i := range consumers {
		c := rotationtest.NewConsumer(w.provider)
		w.consumers = append(w.consumers, c)
		w.cred.Consumers = append(w.cred.Consumers, rotation.Binding{Name: fmt.Sprint("c", i), Consumer: c})
	}
	w.cfg = rotation.Config{
		Journal: w.journal, Store: w.store, Actor: "tester",
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for _, f := range change {
		f(w)
	}
	return w
}

// rotator is another process on the same world.
func (w *world) rotator() *rotation.Rotator {
	cfg := w.cfg
	cfg.Credentials = []rotation.Credential{w.cred}
	r, err := rotation.New(cfg)
	require.NoError(w.t, err)
	return r
}

// met has this library see once that the seeded key is accepted: from then on a refusal says that it has died.
func (w *world) met() {
	time.Sleep(time.Second) // it was issued just now, and is looked at from then on
	st, err := w.rotator().Advance(context.Background(), name)
	require.NoError(w.t, err)
	require.False(w.t, st.CheckedAt.IsZero())
}

func (w *world) versions() rotation.Versions {
	v, err := w.store.Load(context.Background(), name)
	require.NoError(w.t, err)
	return v
}

func (w *world) current() rotation.Key { return w.versions().Key(rotation.RoleCurrent) }

// within drives until the rotation has ended, for at most d.
func (w *world) within(r *rotation.Rotator, d time.Duration) rotation.Status {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), d)
	defer cancel()
	_ = r.Wait(ctx, name)
	st, err := r.Status(w.t.Context(), name)
	require.NoError(w.t, err)
	if st.Open != nil {
		w.t.Logf("still open after %v:\n%s\nneeds: %+v", d, st.Open, st.Needs)
	}
	require.Nil(w.t, st.Open, "still open after %v", d)
	return st
}
