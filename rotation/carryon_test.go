// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/store"
)

// shortLived is a process that dies when it has recorded an incident, before one of its credentials knows of it.
type shortLived struct {
	rotation.Journal
	late string // the credential
	dead atomic.Bool
}

var errDead = errors.New("the process is dead")

func (m *shortLived) Load(ctx context.Context, name string) (rotation.Entry, error) {
	if m.dead.Load() {
		return rotation.Entry{}, errDead
	}
	return m.Journal.Load(ctx, name)
}

func (m *shortLived) Save(ctx context.Context, e rotation.Entry) error {
	for e.Credential == m.late && !m.dead.Load() {
		time.Sleep(time.Millisecond)
	}
	if m.dead.Load() {
		return errDead
	}
	err := m.Journal.Save(ctx, e)
	if strings.HasPrefix(e.Credential, "handover/incident/") {
		m.dead.Store(true)
	}
	return err
}

// dyingProvider is the provider as the process that dies sees it.
type dyingProvider struct {
	*rotationtest.Provider
	process *shortLived
}

func (p dyingProvider) Revoke(ctx context.Context, key rotation.Key) error {
	if p.process.dead.Load() {
		return errDead
	}
	return p.Provider.Revoke(ctx, key)
}

// orphaned is an incident over two credentials whose process died before the second one knew of it.
func orphaned(t *testing.T, in rotation.Incident) (w *world, second rotation.Credential, r *rotation.Rotator) {
	w = newWorld(t, 0)
	second = w.cred
	second.Name = "reporting-db"
	require.NoError(t, store.Seed(t.Context(), w.store, second.Name, w.provider.Mint()))
	r = w.rotator()
	require.NoError(t, r.Register(second))
	_, err := r.Sweep(t.Context())
	require.NoError(t, err)
	m := &shortLived{Journal: w.journal, late: second.Name}
	cfg := w.cfg
	cfg.Journal = m
	doomed := []rotation.Credential{w.cred, second}
	for i := range doomed {
		doomed[i].Issuer = dyingProvider{w.provider, m}
	}
	cfg.Credentials = doomed
	first, err := rotation.New(cfg)
	require.NoError(t, err)
	_, err = first.Emergency(rotation.WithActor(t.Context(), "ann"), in)
	require.Error(t, err)
	require.True(t, m.dead.Load())
	return w, second, r
}

// Whoever sweeps carries on what the process of the caller did not come to.
func TestAnEmergencyIsCarriedOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, second, r := orphaned(t, rotation.Incident{Reference: "INC-1", Credentials: []string{name, "reporting-db"}})
		st, err := r.Status(t.Context(), second.Name)
		require.NoError(t, err)
		require.Nil(t, st.Open, "nobody has told it")
		report, err := r.Incident(t.Context(), "INC-1")
		require.NoError(t, err)
		require.Contains(t, missing(report), second.Name)
		w.runs(r, time.Hour)
		report, err = r.Incident(t.Context(), "INC-1")
		require.NoError(t, err)
		require.True(t, report.Done(), "%s", report)
		require.Len(t, report.Records, 2)
		require.Equal(t, "ann", report.Records[1].Actor, "who called, and not who carried it on")
		saves := w.journal.Calls("Save")
		w.runs(r, time.Hour)
		require.Equal(t, saves, w.journal.Calls("Save"), "nothing is left to carry on")
	})
}

// Where a new key was made in the meantime nothing is killed without asking: a person decides, and the report says so.
func TestAnEmergencyThatCameTooLateIsNotCarriedOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, second, r := orphaned(t, rotation.Incident{Reference: "INC-1", Credentials: []string{name, "reporting-db"}})
		time.Sleep(time.Minute)
		_, err := r.Rotate(t.Context(), second.Name, rotation.Trigger{})
		require.NoError(t, err)
		require.NoError(t, r.Wait(t.Context(), second.Name))
		doc, err := w.store.Load(t.Context(), second.Name)
		require.NoError(t, err)
		w.runs(r, time.Hour)
		require.Contains(t, w.provider.Live(), doc.Key(rotation.RoleCurrent).ID)
		report, err := r.Incident(t.Context(), "INC-1")
		require.NoError(t, err)
		require.False(t, report.Done())
		require.Equal(t, []string{second.Name}, missing(report))
	})
}

// A process that does not know the credential leaves it to one that does, and writes nothing meanwhile.
func TestAnEmergencyIsCarriedOnWhereItIsKnown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, second, r := orphaned(t, rotation.Incident{Reference: "INC-1", Credentials: []string{name, "reporting-db"}})
		other := w.rotator()
		w.runs(other, time.Hour)
		saves := w.journal.Calls("Save")
		w.runs(other, time.Hour)
		require.Equal(t, saves, w.journal.Calls("Save"))
		w.runs(r, time.Hour)
		report, err := r.Incident(t.Context(), "INC-1")
		require.NoError(t, err)
		require.True(t, report.Done(), "%s: %s", second.Name, report)
	})
}

// missing are the names of the credentials that an incident has not reached.
func missing(report rotation.IncidentReport) []string {
	var names []string
	for _, g := range report.Missing {
		names = append(names, g.Credential)
	}
	return names
}
