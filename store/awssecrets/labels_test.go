// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awssecrets_test

import (
	"bytes"
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

// A label that somebody else has moved since is a conflict, and nothing is overwritten.
func TestLabelMovesCompare(t *testing.T) {
	for _, label := range []string{"handover", "AWSCURRENT", "AWSPENDING"} {
		t.Run(label, func(t *testing.T) {
			fake := &fakesm.Server{}
			between := &intruder{Server: fake}
			s := open(t, fake, func(cfg *awssecrets.Config) { cfg.Client = clientOf(between, "") })
			k1 := key(1, "value-one")
			require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, k1)))
			role, keys := rotation.RoleCurrent, []rotation.StoredKey{as(rotation.RoleCurrent, key(2, "value-two"))}
			if label == "AWSPENDING" {
				role, keys = rotation.RolePending, []rotation.StoredKey{as(rotation.RoleCurrent, k1), as(rotation.RolePending, key(2, "value-two"))}
			}
			between.label, between.act = label, func() {
				if label == "AWSCURRENT" {
					fake.Edit(name, strings.Repeat("e", 32), "by hand")
					return
				}
				theirs := slices.Clone(keys)
				theirs[len(theirs)-1] = as(role, key(3, "by another process"))
				require.NoError(t, put(t, open(t, fake), name, theirs...))
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

// A process that dies between AWSPENDING and the document leaves a key under AWSPENDING that is in no document. It does not stand
// there for ever: AWS begins no rotation while it does.
func TestPendingOfADeadProcess(t *testing.T) {
	for n := range 4 {
		fake := &fakesm.Server{}
		s := open(t, fake, func(cfg *awssecrets.Config) { cfg.Client = once(fake) })
		k1 := key(1, "value-one")
		require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, k1)))
		moved := 0
		fake.Hook(func(op string, in map[string]any) *fakesm.Failure {
			if moved > 0 || in["VersionStage"] == "AWSPENDING" {
				moved++
			}
			if moved > n+1 {
				return &fakesm.Failure{Status: http.StatusInternalServerError, Code: "InternalServiceError"}
			}
			return nil
		})
		err := put(t, s, name, as(rotation.RoleCurrent, k1), as(rotation.RolePending, key(2, "value-two")))
		fake.Hook(nil)
		if n < 2 {
			require.Error(t, err)
			text, _ := fake.Read(name, "AWSPENDING")
			require.Equal(t, "value-two", text)
		}
		require.NoError(t, put(t, s, name, as(rotation.RoleCurrent, k1)))
		_, id := fake.Read(name, "AWSPENDING")
		assert.Empty(t, id, n)
	}
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

// intruder acts once, right before a label is moved.
type intruder struct {
	*fakesm.Server
	label string
	act   func()
}

func (i *intruder) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if act := i.act; act != nil && bytes.Contains(body, []byte(`"`+i.label+`"`)) {
		i.act = nil
		act()
	}
	return i.Server.Do(r)
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
