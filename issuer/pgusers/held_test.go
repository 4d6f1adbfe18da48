// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package pgusers_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer/pgusers"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// byHand gives a user a password as a person does.
func (w *world) byHand(t testing.TB, user, password string) rotation.Key {
	t.Helper()
	w.do(t, "ALTER ROLE "+quoted(user)+" LOGIN PASSWORD '"+password+"'")
	return rotation.Key{ID: user, Secret: secret.New(password)}
}

func identity(key rotation.Key) rotation.Key {
	key.Secret = secret.Value{}
	return key
}

// A person sets a password in the place of a key that was issued: the key is dead since, and its revocation ends nothing. So it is
// with the comment left, where the key's value tells, and without the comment, where nothing else is needed.
func TestHandPasswordInTheKeysPlace(t *testing.T) {
	for name, c := range map[string]struct {
		unmark bool
		of     func(rotation.Key) rotation.Key
	}{
		"the comment left":                       {false, func(k rotation.Key) rotation.Key { return k }},
		"no comment":                             {true, func(k rotation.Key) rotation.Key { return k }},
		"no comment, and the value is not known": {true, identity},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			i, a, _ := w.pair(t)
			key := mustIssue(t, i, rotation.Key{})
			hand := w.byHand(t, a, "by hand")
			if c.unmark {
				w.do(t, "COMMENT ON ROLE "+quoted(a)+" IS NULL")
			}
			old := c.of(key)
			require.ErrorIs(t, i.Disable(t.Context(), old), rotation.ErrNotFound)
			require.ErrorIs(t, i.Enable(t.Context(), old), rotation.ErrNotFound)
			require.NoError(t, i.Revoke(t.Context(), old))
			w.accepts(t, hand)
			require.NoError(t, i.Revoke(t.Context(), hand))
			w.refuses(t, hand)
		})
	}
}

// The users of a server that was copied have lost their comments: a key is found by its value.
func TestLostComment(t *testing.T) {
	w := start(t)
	i, a, _ := w.pair(t)
	key := mustIssue(t, i, rotation.Key{})
	w.do(t, "COMMENT ON ROLE "+quoted(a)+" IS NULL")
	require.NoError(t, i.Disable(t.Context(), key))
	w.refuses(t, key)
	require.NoError(t, i.Enable(t.Context(), key))
	w.do(t, "COMMENT ON ROLE "+quoted(a)+" IS NULL")
	require.NoError(t, i.Revoke(t.Context(), key))
	w.refuses(t, key)
}

// A key that was made by hand goes, and the next one made by hand in its place is not what its revocation ends.
func TestTwoHandPasswords(t *testing.T) {
	w := start(t)
	i, _, b := w.pair(t)
	one := w.byHand(t, b, "one")
	two := w.byHand(t, b, "two")
	require.NoError(t, i.Revoke(t.Context(), one), "nothing was issued here yet")
	w.accepts(t, two)
	require.NoError(t, i.Revoke(t.Context(), two))
	w.refuses(t, two)
	three := w.byHand(t, b, "three")
	require.NoError(t, i.Revoke(t.Context(), two))
	w.accepts(t, three)
	require.ErrorContains(t, i.Revoke(t.Context(), identity(two)), "it cannot be told", "two, or three")
	w.accepts(t, three)
}

// Without its value nobody can tell a key that was made by hand from what was issued in its place. That is no reason to say that it is gone.
func TestNamelessKeyInAMarkedPlace(t *testing.T) {
	w := start(t)
	i, a, _ := w.pair(t)
	key := mustIssue(t, i, rotation.Key{})
	require.EqualError(t, i.Revoke(t.Context(), rotation.Key{ID: a}), `pgusers: Revoke: the comment of user "`+a+`" says "[handover: key `+key.Name+
		`]", and it cannot be told whether the user holds a password that was set by hand since: if it does, COMMENT ON ROLE "`+a+`" IS NULL`)
	w.accepts(t, key)
}

// The second revocation of a key without an ID finds it gone.
func TestRevokeTwiceWithoutID(t *testing.T) {
	w := start(t)
	i, _, b := w.pair(t)
	w.byHand(t, b, "chosen by a person")
	seeded := rotation.Key{Secret: secret.New("chosen by a person")}
	next := mustIssue(t, i, seeded)
	require.NoError(t, i.Revoke(t.Context(), seeded))
	require.NoError(t, i.Revoke(t.Context(), seeded))
	require.ErrorIs(t, i.Disable(t.Context(), seeded), rotation.ErrNotFound)
	w.accepts(t, next)
}

// A password that has run out is refused like a wrong one, and its place is freed all the same.
func TestRevokeAfterTheDeadline(t *testing.T) {
	w := start(t)
	i, a, _ := w.pair(t)
	key := mustIssue(t, i, rotation.Key{})
	w.do(t, "ALTER ROLE "+quoted(a)+" VALID UNTIL '2001-01-01'")
	require.NoError(t, i.Revoke(t.Context(), key))
	require.Equal(t, a, mustIssue(t, i, rotation.Key{}).ID)
}

// An administrator with one connection does not wait for itself.
func TestOneConnection(t *testing.T) {
	w := start(t)
	i, _, _ := w.pair(t)
	w.admin.SetMaxOpenConns(1)
	key := mustIssue(t, i, rotation.Key{})
	require.NoError(t, i.Disable(t.Context(), key))
	require.NoError(t, i.Enable(t.Context(), key))
	require.NoError(t, i.Revoke(t.Context(), key))
	w.refuses(t, key)
}

// Where everybody is let in without a password a login tells nothing, and the comment does.
func TestTrustTellsNothing(t *testing.T) {
	w := start(t)
	_, a, b := w.pair(t)
	i, err := pgusers.New(pgusers.Config{DB: open(t, w.Socket("postgres")), Server: w.Addr, Users: []string{a, b}})
	require.NoError(t, err)
	key := mustIssue(t, i, rotation.Key{})
	wrong := rotation.Key{ID: a, Secret: secret.New("wrong")}
	require.ErrorContains(t, i.Revoke(t.Context(), wrong), "it cannot be told")
	w.accepts(t, key)
	require.NoError(t, i.Revoke(t.Context(), key))
	w.refuses(t, key)
}

// A person changes the password and puts it into a store that tells the user and no ID (k8ssecret and awssecrets with Fields). When
// that is adopted the key before is dead already: its revocation must not end the one that is in use.
func TestAdoptedHandPassword(t *testing.T) {
	for name, unmark := range map[string]bool{"the comment left": false, "no comment": true} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			i, _, _ := w.pair(t)
			s := serve(t, w, i, 50*time.Millisecond)
			s.rotate(t)
			loaded, err := s.store.Load(t.Context(), "orders-db")
			require.NoError(t, err)
			ours := loaded.Key(rotation.RoleCurrent)
			w.byHand(t, ours.ID, "by hand")
			if unmark {
				w.do(t, "COMMENT ON ROLE "+quoted(ours.ID)+" IS NULL")
			}
			hand := rotation.Key{Secret: secret.New("by hand"), Attributes: map[string]string{"user": ours.ID}}
			for n := range loaded.Keys {
				loaded.Keys[n].Role = rotation.RolePending
			}
			loaded.Keys = append(loaded.Keys, rotation.StoredKey{Key: hand, Role: rotation.RoleCurrent})
			require.NoError(t, s.store.Save(t.Context(), "orders-db", loaded))

			st, _ := s.rotator.Rotate(t.Context(), "orders-db", rotation.Trigger{ID: "after the hand"})
			require.Len(t, st.Needs, 1)
			st, err = s.rotator.Resolve(t.Context(), "orders-db", rotation.Answer{Need: st.Needs[0].ID, Verb: rotation.VerbAdopt, Reason: "by hand"})
			require.Eventually(t, func() bool {
				w.accepts(t, hand)
				if st.Open != nil {
					st, err = s.rotator.Advance(t.Context(), "orders-db")
				}
				return st.Open == nil
			}, time.Minute, 20*time.Millisecond, "%v", err)
			w.accepts(t, hand)
		})
	}
}
