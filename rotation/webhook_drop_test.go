// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotation_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
)

// meddled is a store in which somebody changes something just before a write, once.
type meddled struct {
	rotation.SecretStore
	p      *post
	before func(rotation.Versions) bool // which write
	change func(*rotation.Versions)
	done   bool
}

func (m *meddled) Conditional() bool { return true }

func (m *meddled) Save(ctx context.Context, name string, v rotation.Versions) error {
	if !m.done && m.before(v) {
		m.done = true
		now := m.p.versions()
		m.change(&now)
		require.NoError(m.p.t, m.SecretStore.Save(ctx, name, now))
	}
	return m.SecretStore.Save(ctx, name, v)
}

// meets rotates over a store that is meddled with, to an end after which everything is fine.
func (p *post) meets(m *meddled, want rotation.Outcome) {
	p.t.Helper()
	p.cfg.Store = m
	r := p.rotator()
	p.rotate(r)
	st := p.ends(r)
	require.True(p.t, m.done)
	require.Equal(p.t, want, st.Last.Outcome, "%s", st.Last)
	p.fine(p.paces(r, 3*time.Hour))
}

// Between the intent to have the old secret forgotten and the first write of it, the store comes back from a backup: the new value
// is lost, and the intent was about another store. The sender goes back to the old secret, which every receiver still accepts.
func TestWebhookDropMeetsABackup(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		backup := p.versions()
		forgets := func(v rotation.Versions) bool {
			return slices.ContainsFunc(v.Keys, func(k rotation.StoredKey) bool { return k.Role == rotation.RoleRetiring })
		}
		m := &meddled{SecretStore: p.store, p: p, before: forgets, change: func(v *rotation.Versions) { v.Keys, v.Stamp = backup.Keys, backup.Stamp }}
		p.meets(m, rotation.RolledBack)
		require.True(t, p.current().Secret.Equal(p.seeded.Secret))
	})
}

// The store comes back from a backup when the old secret has been proven dead, and serves it again. Whoever follows the store accepts
// it: it is a debt until every receiver refuses it once more.
func TestWebhookBackupServesADeadSecret(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPost(t, 2)
		var debts []string
		p.cfg.Sinks = []rotation.Sink{sinkFunc(func(_ context.Context, e rotation.Event) error {
			if e.Kind == rotation.EventDebt {
				debts = append(debts, e.Text)
			}
			return nil
		})}
		var backup rotation.Versions
		m := &meddled{SecretStore: p.store, p: p, before: func(v rotation.Versions) bool {
			if len(v.Keys) == 2 && backup.Keys == nil {
				backup = p.versions()
			}
			return backup.Keys != nil && len(v.Keys) == 1
		}}
		m.change = func(v *rotation.Versions) {
			v.Keys, v.Stamp = slices.Clone(v.Keys), backup.Stamp
			for i := range v.Keys {
				v.Keys[i].Role = map[bool]rotation.Role{true: rotation.RolePending, false: rotation.RoleCurrent}[v.Keys[i].Role == rotation.RoleCurrent]
			}
		}
		p.meets(m, rotation.Rotated)
		require.NotEmpty(t, debts)
		require.Contains(t, debts[0], "served it again")
	})
}
