// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awssecrets_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store/awssecrets"
	"github.com/handover-go/handover/store/awssecrets/internal/fakesm"
)

// intruder acts once, right before the first call for which on is true gets to the server.
type intruder struct {
	*fakesm.Server
	on  func(op, body string) bool
	act func()
}

func (i *intruder) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	op := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "secretsmanager.")
	if on := i.on; on != nil && on(op, string(body)) {
		i.on = nil
		i.act()
	}
	return i.Server.Do(r)
}

// moving is true for the move of a label.
func moving(label string) func(string, string) bool {
	return func(op, body string) bool {
		return op == "UpdateSecretVersionStage" && strings.Contains(body, `"`+label+`"`)
	}
}

// two are two processes at the same secret, of which the first one has an intruder.
func two(t *testing.T) (*fakesm.Server, *intruder, *awssecrets.Store, *awssecrets.Store) {
	fake := &fakesm.Server{}
	between := &intruder{Server: fake}
	return fake, between, open(t, fake, func(c *awssecrets.Config) { c.Client = clientOf(between, "") }), open(t, fake)
}

// A label that somebody else has moved since is a conflict, and nothing is overwritten.
func TestLabelMovesCompare(t *testing.T) {
	for _, label := range []string{"handover", "AWSCURRENT", "AWSPENDING"} {
		t.Run(label, func(t *testing.T) {
			fake, between, s, other := two(t)
			k1 := key(1, "value-one")
			require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, k1)))
			role, keys := rotation.RoleCurrent, []rotation.StoredKey{as(rotation.RoleCurrent, key(2, "value-two"))}
			if label == "AWSPENDING" {
				role, keys = rotation.RolePending, []rotation.StoredKey{as(rotation.RoleCurrent, k1), as(rotation.RolePending, key(2, "value-two"))}
			}
			between.on, between.act = moving(label), func() {
				if label == "AWSCURRENT" {
					fake.Edit(name, strings.Repeat("e", 32), "by hand")
					return
				}
				theirs := slices.Clone(keys)
				theirs[len(theirs)-1] = as(role, key(3, "by another process"))
				require.NoError(t, put(t, other, name, theirs...))
			}
			require.ErrorIs(t, put(t, s, name, keys...), rotation.ErrConflict)
			for _, seen := range []string{"AWSCURRENT", "AWSPENDING"} {
				text, _ := fake.Read(name, seen)
				assert.NotEqual(t, "value-two", text, seen)
			}
			v, err := s.Load(t.Context(), name)
			require.NoError(t, err)
			assert.Contains(t, v.Key(role).Secret.Reveal(), "by ")
		})
	}
}

// A move of AWSCURRENT that was held up does not come through behind another writer's Save, also where that one changes nothing that
// readers find.
func TestLateMoveOfCurrent(t *testing.T) {
	fake, between, a, b := two(t)
	k1, k2 := key(1, "value-one"), key(2, "value-two")
	require.NoError(t, put(t, b, name, as(rotation.RoleCurrent, k1), as(rotation.RolePending, k2)))
	between.on, between.act = moving("AWSCURRENT"), func() { // rolls back, and k2 is gone for good
		require.NoError(t, put(t, b, name, as(rotation.RoleCurrent, k1)))
	}
	require.ErrorIs(t, put(t, a, name, as(rotation.RoleCurrent, k2), as(rotation.RolePrevious, k1)), rotation.ErrConflict)
	text, _ := fake.Read(name, "AWSCURRENT")
	assert.Equal(t, "value-one", text)
	_, previous := fake.Read(name, "AWSPREVIOUS")
	assert.Empty(t, previous)
}

// The same where the other writer has gone forth and back since: AWSCURRENT stands on the same key again, and not on the same version.
func TestLateMoveAfterThereAndBack(t *testing.T) {
	fake, between, a, b := two(t)
	k1, k2 := key(1, "value-one"), key(2, "value-two")
	forth := []rotation.StoredKey{as(rotation.RoleCurrent, k2), as(rotation.RolePrevious, k1)}
	back := []rotation.StoredKey{as(rotation.RoleCurrent, k1), as(rotation.RolePending, k2)}
	for _, c := range []struct{ before, saved []rotation.StoredKey }{{back, forth}, {forth, back}} {
		require.NoError(t, put(t, b, name, c.before...))
		between.on, between.act = moving("AWSCURRENT"), func() {
			require.NoError(t, put(t, b, name, c.saved...))
			require.NoError(t, put(t, b, name, c.before...))
		}
		served, _ := fake.Read(name, "AWSCURRENT")
		require.ErrorIs(t, put(t, a, name, c.saved...), rotation.ErrConflict)
		text, _ := fake.Read(name, "AWSCURRENT")
		assert.Equal(t, served, text)
	}
}

// A Save that the document's label refuses has changed nothing that anybody reads.
func TestConflictWritesNothing(t *testing.T) {
	k1, k2, k3 := key(1, "value-one"), key(2, "value-two"), key(3, "value-three")
	for what, keys := range map[string][]rotation.StoredKey{
		"previous goes": {as(rotation.RoleCurrent, k2)},
		"pending comes": {as(rotation.RoleCurrent, k2), as(rotation.RolePrevious, k1), as(rotation.RolePending, key(4, "value-four"))},
	} {
		fake, between, a, b := two(t)
		require.NoError(t, put(t, b, name, as(rotation.RoleCurrent, k1)))
		require.NoError(t, put(t, b, name, as(rotation.RoleCurrent, k2), as(rotation.RolePrevious, k1)))
		between.on, between.act = func(op, _ string) bool { return op != "DescribeSecret" && op != "GetSecretValue" }, func() {
			require.NoError(t, put(t, b, name, as(rotation.RoleCurrent, k2), as(rotation.RolePrevious, k1), as(rotation.RolePending, k3)))
		}
		require.ErrorIs(t, put(t, a, name, keys...), rotation.ErrConflict, what)
		for label, want := range map[string]string{"AWSCURRENT": "value-two", "AWSPREVIOUS": "value-one", "AWSPENDING": "value-three"} {
			text, _ := fake.Read(name, label)
			assert.Equal(t, want, text, "%s: %s", what, label)
		}
	}
}

// The same where an earlier Save was not seen to end, and what readers find is put once more.
func TestConflictBehindAnInterruptedSave(t *testing.T) {
	fake, between, s, other := two(t)
	dying := open(t, fake, func(cfg *awssecrets.Config) { cfg.Client = once(fake) })
	k1, k2, k3 := key(1, "value-one"), key(2, "value-two"), key(3, "value-three")
	require.NoError(t, put(t, other, name, as(rotation.RoleCurrent, k2), as(rotation.RolePrevious, k1), as(rotation.RolePending, k3)))
	fake.Hook(diesAt("AWSCURRENT"))
	require.Error(t, put(t, dying, name, as(rotation.RoleCurrent, k3), as(rotation.RolePrevious, k2)))
	fake.Hook(nil)
	between.on, between.act = moving("handover"), func() { fake.Label(name, "handover", "") }
	require.ErrorIs(t, put(t, s, name, as(rotation.RoleCurrent, k2)), rotation.ErrConflict)
	for label, want := range map[string]string{"AWSCURRENT": "value-two", "AWSPREVIOUS": "value-one", "AWSPENDING": "value-three"} {
		text, _ := fake.Read(name, label)
		assert.Equal(t, want, text, label)
	}
}

// A value that a person puts into a secret without one, while the first Save is at it, stays.
func TestValuePutMeanwhile(t *testing.T) {
	for _, op := range []string{"PutSecretValue", "UpdateSecretVersionStage"} {
		fake, between, s, _ := two(t)
		fake.Change(name, func(*fakesm.Secret) {})
		between.on = func(called, _ string) bool { return called == op }
		between.act = func() { fake.Edit(name, strings.Repeat("e", 32), "by hand") }
		require.ErrorIs(t, put(t, s, name, as(rotation.RoleCurrent, key(1, "value-one"))), rotation.ErrConflict, op)
		text, _ := fake.Read(name, "AWSCURRENT")
		assert.Equal(t, "by hand", text, op)
		v, err := s.Load(t.Context(), name)
		require.NoError(t, err)
		assert.Equal(t, "by hand", v.Key(rotation.RoleCurrent).Secret.Reveal(), op)
		assert.Len(t, v.Keys, 1, op)
	}
}

// Whatever another writer saves, and before whichever call of a Save: what that one saved is what is stored and what readers find, for
// the Save is either over by then or has lost.
func TestOtherWriterAnywhere(t *testing.T) {
	for transition, c := range transitions {
		for n := 1; ; n++ {
			over := true
			for other, keys := range map[string][]rotation.StoredKey{
				"the same as before": c.before,
				"the same":           c.after,
				"another key":        {as(rotation.RoleCurrent, key(9, "value-nine"))},
				"no key":             {},
			} {
				what := fmt.Sprintf("%s, call %d, %s", transition, n, other)
				fake, between, a, b := two(t)
				if c.before != nil {
					require.NoError(t, put(t, b, name, c.before...))
				}
				loaded, err := a.Load(t.Context(), name)
				require.NoError(t, err)
				calls, acted := 0, false
				between.on = func(string, string) bool { calls++; return calls == n }
				between.act = func() {
					acted = true
					require.NoError(t, put(t, b, name, keys...), what)
				}
				err = a.Save(t.Context(), name, rotation.Versions{Keys: c.after, Stamp: "a", Revision: loaded.Revision})
				if !acted {
					require.NoError(t, err, what)
					continue
				}
				over = false
				if err != nil {
					require.ErrorIs(t, err, rotation.ErrConflict, what)
				}
				now, err := b.Load(t.Context(), name)
				require.NoError(t, err, what)
				require.True(t, covers(now, keys) && len(now.Keys) == len(keys), what)
				served := rotation.Versions{Keys: keys}.Key(rotation.RoleCurrent)
				text, _ := fake.Read(name, "AWSCURRENT")
				if served.IsZero() {
					require.Contains(t, text, "no current key", what)
				} else {
					require.Equal(t, served.Secret.Reveal(), text, what)
				}
				if now.Stamp != "" {
					follow(t, fake, rotation.Versions{Keys: keys}, what)
				}
			}
			if over {
				require.Greater(t, n, 5, transition)
				break
			}
		}
	}
}

// follow requires that the labels beside AWSCURRENT stand on v's keys.
func follow(t *testing.T, fake *fakesm.Server, v rotation.Versions, what string) {
	t.Helper()
	for label, role := range map[string]rotation.Role{"AWSPREVIOUS": rotation.RolePrevious, "AWSPENDING": rotation.RolePending} {
		text, _ := fake.Read(name, label)
		require.Equal(t, v.Key(role).Secret.Reveal(), text, "%s: %s", what, label)
	}
}
