// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awssecrets_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store/awssecrets"
	"github.com/handover-go/handover/store/awssecrets/internal/fakesm"
)

// A rotation as readers see it: AWSCURRENT moves when the new key is promoted and at no other time, and AWSPREVIOUS with it.
func TestLabelsInARotation(t *testing.T) {
	fake := &fakesm.Server{}
	s := open(t, fake)
	k1, k2 := key(1, "value-one"), key(2, "value-two")
	see := func(when, current, pending, previous string) {
		t.Helper()
		for label, want := range map[string]string{"AWSCURRENT": current, "AWSPENDING": pending, "AWSPREVIOUS": previous} {
			got, _ := fake.Read(name, label)
			assert.Equal(t, want, got, "%s: %s", when, label)
		}
	}
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, k1)))
	see("seeded", "value-one", "", "")
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, k1), as(rotation.RolePending, k2)))
	see("issued", "value-one", "value-two", "")
	require.NoError(t, put(t, s, name, as(rotation.RolePrevious, k1), as(rotation.RoleCurrent, k2)))
	see("promoted", "value-two", "", "value-one")
	require.NoError(t, put(t, s, name, as(rotation.RoleRetiring, k1), as(rotation.RoleCurrent, k2)))
	see("retiring", "value-two", "", "")
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, k2)))
	see("finished", "value-two", "", "")
}

// Without a stage PutSecretValue would move AWSCURRENT to whatever is written.
func TestEveryVersionIsPutWithALabel(t *testing.T) {
	fake := &fakesm.Server{}
	puts := 0
	fake.Hook(func(op string, in map[string]any) *fakesm.Failure {
		if op == "PutSecretValue" {
			puts++
			stages, _ := in["VersionStages"].([]any)
			assert.Len(t, stages, 1)
		}
		return nil
	})
	s := open(t, fake)
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, key(1, "one")), as(rotation.RolePending, key(2, "two"))))
	require.NoError(t, put(t, s, name, as(rotation.RolePrevious, key(1, "one")), as(rotation.RoleCurrent, key(2, "two"))))
	require.Greater(t, puts, 3)
}

// Versions without a label may go at any time. No key depends on one.
func TestCollectedVersionsAreNotMissed(t *testing.T) {
	fake := &fakesm.Server{}
	s := open(t, fake)
	k1, k2 := key(1, "value-one"), key(2, "value-two")
	for _, state := range [][]rotation.StoredKey{
		{as(rotation.RoleCurrent, k1)},
		{as(rotation.RoleCurrent, k1), as(rotation.RolePending, k2)},
		{as(rotation.RolePrevious, k1), as(rotation.RoleCurrent, k2)},
		{as(rotation.RoleRetiring, k1), as(rotation.RoleCurrent, k2)},
		{as(rotation.RoleCurrent, k1), as(rotation.RolePending, k2)}, // back: the version of k1 is gone by now
		{as(rotation.RoleCurrent, k1)},
	} {
		require.NoError(t, put(t, s, name, state...))
		fake.Collect(name)
		v, err := s.Load(t.Context(), name)
		require.NoError(t, err)
		require.Len(t, v.Keys, len(state))
		current, _ := fake.Read(name, "AWSCURRENT")
		require.Equal(t, v.Key(rotation.RoleCurrent).Secret.Reveal(), current)
	}
}

// A process that dies between the document and AWSPENDING leaves a key under AWSPENDING that is in no document. It does not stand
// there for ever: AWS begins no rotation while it does.
func TestPendingOfADeadProcess(t *testing.T) {
	fake := &fakesm.Server{}
	s := open(t, fake, func(cfg *awssecrets.Config) { cfg.Client = once(fake) })
	k1 := key(1, "value-one")
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, k1), as(rotation.RolePending, key(2, "value-two"))))
	fake.Hook(diesAt("AWSPENDING"))
	require.Error(t, put(t, s, name, as(rotation.RoleCurrent, k1)))
	fake.Hook(nil)
	text, _ := fake.Read(name, "AWSPENDING")
	require.Equal(t, "value-two", text)
	v, err := s.Load(t.Context(), name)
	require.NoError(t, err)
	require.Len(t, v.Keys, 1)
	assert.Empty(t, v.Stamp, "the engine is to write again")
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, k1)))
	_, id := fake.Read(name, "AWSPENDING")
	assert.Empty(t, id)
}

// A process that dies behind the move of AWSCURRENT leaves the key that was served under AWSPREVIOUS, where AWS has put it. It may be
// a compromised one: the engine is told to write again.
func TestCompromisedUnderPrevious(t *testing.T) {
	fake := &fakesm.Server{}
	s := open(t, fake, func(cfg *awssecrets.Config) { cfg.Client = once(fake) })
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, key(1, "leaked"))))
	after := []rotation.StoredKey{
		as(rotation.RoleCurrent, key(2, "value-two")), {Key: key(1, "leaked"), Role: rotation.RoleRetiring, Compromised: true},
	}
	fake.Hook(diesAt("AWSPREVIOUS"))
	require.Error(t, put(t, s, name, after...))
	fake.Hook(nil)
	text, _ := fake.Read(name, "AWSPREVIOUS")
	require.Equal(t, "leaked", text)
	v, err := s.Load(t.Context(), name)
	require.NoError(t, err)
	assert.Equal(t, "value-two", v.Key(rotation.RoleCurrent).Secret.Reveal())
	assert.Empty(t, v.Stamp)
	require.NoError(t, put(t, s, name, after...))
	v, err = s.Load(t.Context(), name)
	require.NoError(t, err)
	assert.Equal(t, "stamp", v.Stamp)
	_, id := fake.Read(name, "AWSPREVIOUS")
	assert.Empty(t, id)
}

// The same where a pending key was replaced by another one.
func TestReplacedPendingOfADeadProcess(t *testing.T) {
	fake := &fakesm.Server{}
	s := open(t, fake, func(cfg *awssecrets.Config) { cfg.Client = once(fake) })
	k1 := key(1, "value-one")
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, k1), as(rotation.RolePending, key(2, "value-two"))))
	fake.Hook(diesAt("AWSPENDING"))
	require.Error(t, put(t, s, name, as(rotation.RoleCurrent, k1), as(rotation.RolePending, key(3, "value-three"))))
	fake.Hook(nil)
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, k1)))
	_, id := fake.Read(name, "AWSPENDING")
	assert.Empty(t, id)
}

// A process that dies before it takes AWSPENDING away leaves it on the current version. That one does not become current again: a move
// that was held up would compare well.
func TestCurrentIsNeverAnOldVersion(t *testing.T) {
	fake := &fakesm.Server{}
	s := open(t, fake, func(cfg *awssecrets.Config) { cfg.Client = once(fake) })
	k1, k2 := key(1, "value-one"), key(2, "value-two")
	before := []rotation.StoredKey{as(rotation.RoleCurrent, k1), as(rotation.RolePending, k2)}
	after := []rotation.StoredKey{as(rotation.RoleCurrent, k2), as(rotation.RolePrevious, k1)}
	require.NoError(t, put(t, s, name, before...))
	fake.Hook(diesAt("AWSPENDING"))
	require.Error(t, put(t, s, name, after...))
	fake.Hook(nil)
	_, first := fake.Read(name, "AWSCURRENT")
	_, pending := fake.Read(name, "AWSPENDING")
	require.Equal(t, first, pending)
	require.NoError(t, put(t, s, name, before...))
	require.NoError(t, put(t, s, name, after...))
	text, second := fake.Read(name, "AWSCURRENT")
	assert.Equal(t, "value-two", text)
	assert.NotEqual(t, first, second)
}

// What was interrupted and is saved again goes on where it was: AWSCURRENT moves once.
func TestSaveAfterADeathMovesOnce(t *testing.T) {
	fake := &fakesm.Server{}
	s := open(t, fake, func(cfg *awssecrets.Config) { cfg.Client = once(fake) })
	k1, k2 := key(1, "value-one"), key(2, "value-two")
	after := []rotation.StoredKey{as(rotation.RoleCurrent, k2), as(rotation.RolePrevious, k1)}
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, k1), as(rotation.RolePending, k2)))
	_, before := fake.Read(name, "AWSCURRENT")
	fake.Hook(diesAt("AWSCURRENT"))
	require.Error(t, put(t, s, name, after...))
	fake.Hook(nil)
	require.NoError(t, put(t, s, name, after...))
	_, previous := fake.Read(name, "AWSPREVIOUS")
	assert.Equal(t, before, previous)
}

// diesAt has the process die right before it moves a label.
func diesAt(label string) func(string, map[string]any) *fakesm.Failure {
	dead := false
	return func(op string, in map[string]any) *fakesm.Failure {
		dead = dead || op == "UpdateSecretVersionStage" && in["VersionStage"] == label
		if !dead {
			return nil
		}
		return &fakesm.Failure{Status: http.StatusInternalServerError, Code: "InternalServiceError"}
	}
}

// Bytes that a person has put are nobody's key, and stop nothing once they are current no more.
func TestBytesUnderPrevious(t *testing.T) {
	fake := &fakesm.Server{}
	s := open(t, fake)
	k1, k2 := key(1, "value-one"), key(2, "value-two")
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, k2), as(rotation.RolePrevious, k1)))
	fake.EditBinary(name, strings.Repeat("b", 32), []byte{1, 2, 3})
	fake.Edit(name, strings.Repeat("c", 32), "value-two")
	v, err := s.Load(t.Context(), name)
	require.NoError(t, err)
	assert.Empty(t, v.Stamp)
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, k2), as(rotation.RolePrevious, k1)))
	text, _ := fake.Read(name, "AWSPREVIOUS")
	assert.Equal(t, "value-one", text)
}

// What somebody else has put under AWSPENDING stays.
func TestForeignPending(t *testing.T) {
	fake := &fakesm.Server{}
	s := open(t, fake)
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, key(1, "value-one"))))
	id := strings.Repeat("f", 32)
	fake.Put(name, "AWSPENDING", id, "theirs")
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, key(1, "value-one"))))
	_, now := fake.Read(name, "AWSPENDING")
	assert.Equal(t, id, now)
}

// AWSPREVIOUS stands on the previous key also where AWSCURRENT was elsewhere meanwhile, and where both keys come at once.
func TestPreviousIsTheReplacedKey(t *testing.T) {
	fake := &fakesm.Server{}
	s := open(t, fake)
	both := []rotation.StoredKey{as(rotation.RolePrevious, key(1, "value-one")), as(rotation.RoleCurrent, key(2, "value-two"))}
	require.NoError(t, put(t, s, name, both...))
	text, _ := fake.Read(name, "AWSPREVIOUS")
	assert.Equal(t, "value-one", text)
	fake.Edit(name, strings.Repeat("e", 32), "by hand")
	require.NoError(t, put(t, s, name, both...))
	for label, want := range map[string]string{"AWSCURRENT": "value-two", "AWSPREVIOUS": "value-one"} {
		text, _ := fake.Read(name, label)
		assert.Equal(t, want, text, label)
	}
}

// RotateSecret makes AWSPENDING stand on a version without a value, and expects it there. It is neither taken away nor passed over.
func TestVersionThatAWSBegan(t *testing.T) {
	fake := &fakesm.Server{}
	s := open(t, fake)
	k1, k2 := key(1, "value-one"), key(2, "value-two")
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, k1)))
	token := strings.Repeat("7", 36)
	fake.Begin(name, token)
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, k1)))
	_, id := fake.Read(name, "AWSPENDING")
	require.Equal(t, token, id, "a claim of the store leaves it")
	require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, k1), as(rotation.RolePending, k2)))
	text, id := fake.Read(name, "AWSPENDING")
	require.Equal(t, []string{"value-two", token}, []string{text, id})
	require.NoError(t, put(t, s, name, as(rotation.RolePrevious, k1), as(rotation.RoleCurrent, k2)))
	text, id = fake.Read(name, "AWSCURRENT")
	require.Equal(t, []string{"value-two", token}, []string{text, id})
}
