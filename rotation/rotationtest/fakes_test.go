// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

var (
	_ rotation.SecretStore = (*rotationtest.Store)(nil)
	_ rotation.Conditional = (*rotationtest.Store)(nil)
	_ rotation.Enumerator  = (*rotationtest.Store)(nil)
	_ rotation.Consumer    = (*rotationtest.Consumer)(nil)
	_ rotation.Observer    = (*rotationtest.Consumer)(nil)
	_ rotation.Verifier    = (*rotationtest.Consumer)(nil)
	_ rotation.Journal     = (*rotationtest.Journal)(nil)
)

func TestStore(t *testing.T) {
	s := rotationtest.NewStore()
	names, err := s.Names(t.Context())
	require.NoError(t, err)
	assert.Empty(t, names)
	for _, name := range []string{"b", "a"} {
		require.NoError(t, s.Save(t.Context(), name, rotation.Versions{}))
	}
	names, err = s.Names(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b"}, names)
	require.ErrorIs(t, s.Save(t.Context(), "a", rotation.Versions{}), rotation.ErrConflict)
	assert.Equal(t, 3, s.Calls("Save"))
}

func TestStoreSharesNoMemory(t *testing.T) {
	s := rotationtest.NewStore()
	state := func() rotation.Versions {
		return rotation.Versions{
			Keys:     []rotation.StoredKey{{Key: rotation.Key{ID: "a", Attributes: map[string]string{"user": "a"}}}},
			Metadata: map[string]string{"by": "a"},
		}
	}
	spoil := func(v rotation.Versions) {
		v.Keys[0].Key.Attributes["user"], v.Metadata["by"] = "b", "b"
		v.Keys[0].Key.ID = "b"
	}
	given := state()
	require.NoError(t, s.Save(t.Context(), "a", given))
	spoil(given)
	for range 2 {
		v, err := s.Load(t.Context(), "a")
		require.NoError(t, err)
		assert.True(t, v.Keys[0].Key.Equal(state().Keys[0].Key))
		assert.Equal(t, state().Metadata, v.Metadata)
		spoil(v)
	}
}

func TestStoreSavesAndLosesTheAnswer(t *testing.T) {
	s := rotationtest.NewStore()
	s.Inject(rotationtest.Fault{Op: "Save", After: true})
	v := rotation.Versions{Stamp: "mine"}
	require.Error(t, s.Save(t.Context(), "a", v))
	require.Error(t, s.Save(t.Context(), "a", v), "a conflict that nobody hears of")
	v, err := s.Load(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, "mine", v.Stamp)
	assert.NotEmpty(t, v.Revision)
}

func TestConsumer(t *testing.T) {
	p := rotationtest.NewProvider()
	c := rotationtest.NewConsumer(p)
	assert.True(t, c.Key().IsZero())
	seen, err := c.Observe(t.Context())
	require.NoError(t, err)
	assert.Empty(t, seen, "no instance, no evidence")
	old, key := p.Mint(), p.Mint()
	require.ErrorIs(t, c.Verify(t.Context(), old), rotation.ErrNotYet)

	old.Serial, old.Generation, old.Attributes = 7, 3, map[string]string{"user": "a"}
	require.NoError(t, c.Deploy(t.Context(), rotation.DeployRequest{Key: old}))
	old.Attributes["user"] = "b"
	assert.Equal(t, "a", c.Key().Attributes["user"], "it shares no memory")
	seen, err = c.Observe(t.Context())
	require.NoError(t, err)
	require.Len(t, seen, 1)
	assert.NotEmpty(t, seen[0].Name)
	assert.True(t, seen[0].Key.Equal(rotation.Key{ID: old.ID, Serial: 7, Generation: 3}))
	assert.WithinDuration(t, time.Now(), seen[0].AsOf, time.Minute)

	require.NoError(t, c.Verify(t.Context(), old))
	require.NoError(t, c.Verify(t.Context(), rotation.Key{ID: old.ID}), "by identity")
	require.ErrorIs(t, c.Verify(t.Context(), rotation.Key{ID: old.ID, Serial: 8}), rotation.ErrNotYet)
	require.ErrorIs(t, c.Verify(t.Context(), key), rotation.ErrNotYet)
	assert.Equal(t, 2, p.Calls("RoundTrip"))
	assert.Zero(t, p.Calls("Verify"))

	require.NoError(t, p.Revoke(t.Context(), old))
	require.ErrorIs(t, c.Verify(t.Context(), old), rotation.ErrRejected)
	require.NoError(t, c.Deploy(t.Context(), rotation.DeployRequest{Key: key}))
	assert.True(t, c.Key().Equal(key))
	require.NoError(t, c.Verify(t.Context(), key))

	p.Inject(rotationtest.Fault{Op: "RoundTrip"})
	err = c.Verify(t.Context(), key)
	require.Error(t, err)
	require.NotErrorIs(t, err, rotation.ErrRejected)
	assert.Equal(t, 2, c.Calls("Deploy"))
}

func TestConsumerRefusesWhatItCannotUse(t *testing.T) {
	c := rotationtest.NewConsumer(rotationtest.NewProvider())
	require.Error(t, c.Deploy(t.Context(), rotation.DeployRequest{Key: rotation.Key{ID: "a"}}))
	assert.Panics(t, func() { rotationtest.NewConsumer(nil) })
}

func TestConsumerFaults(t *testing.T) {
	p := rotationtest.NewProvider()
	c, down := rotationtest.NewConsumer(p), errors.New("down")
	c.Inject(rotationtest.Fault{Op: "Deploy", Call: 1, Err: rotation.ErrNotYet, After: true})
	c.Inject(rotationtest.Fault{Op: "Observe", Err: down})
	key := p.Mint()
	require.ErrorIs(t, c.Deploy(t.Context(), rotation.DeployRequest{Key: key}), rotation.ErrNotYet)
	assert.True(t, c.Key().Secret.Equal(key.Secret))
	_, err := c.Observe(t.Context())
	require.ErrorIs(t, err, down)
}

func TestJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, start := rotationtest.NewJournal(), time.Now()
		e, err := j.Load(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, rotation.Entry{}, e)

		data := []byte("one")
		require.NoError(t, j.Save(t.Context(), rotation.Entry{Credential: "a", Data: data, SavedAt: start.Add(-time.Hour)}))
		copy(data, "two")
		e, err = j.Load(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, "one", string(e.Data))
		assert.Equal(t, int64(1), e.Revision)
		assert.WithinDuration(t, start, e.SavedAt, 0)
		copy(e.Data, "two")
		e, err = j.Load(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, "one", string(e.Data))

		for _, revision := range []int64{0, 2} {
			require.ErrorIs(t, j.Save(t.Context(), rotation.Entry{Credential: "a", Revision: revision}), rotation.ErrConflict)
		}
		require.ErrorIs(t, j.Save(t.Context(), rotation.Entry{Credential: "b", Revision: 1}), rotation.ErrConflict)
		require.NoError(t, j.Save(t.Context(), e))
		assert.Equal(t, 5, j.Calls("Save"))
	})
}

func TestJournalDue(t *testing.T) {
	j, at := rotationtest.NewJournal(), time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	for name, due := range map[string]time.Time{
		"never": {}, "c": at.Add(2), "b": at.Add(1), "a": at.Add(1), "foreign": at, "later": at.Add(3),
	} {
		require.NoError(t, j.Save(t.Context(), rotation.Entry{Credential: name, Due: due, Data: []byte(name)}))
	}
	names := []string{"never", "a", "b", "c", "c", "later", "absent"}
	for limit, want := range map[int]string{-1: "[]", 0: "[]", 2: "[a b]", 9: "[a b c]"} {
		due, err := j.Due(t.Context(), names, at.Add(3), limit)
		require.NoError(t, err)
		var got []string
		for _, e := range due {
			got = append(got, e.Credential)
			clear(e.Data)
		}
		assert.Equal(t, want, fmt.Sprint(got))
	}
	e, err := j.Load(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, "a", string(e.Data), "it shares no memory")
}

// Values do not leave the fakes by accident: not in what printers show, and not in what a failed assertion shows, which looks
// into unexported fields and asks no method.
func TestFakesPrintNoValue(t *testing.T) {
	p := rotationtest.NewProvider()
	key := p.Mint()
	c, s := rotationtest.NewConsumer(p), rotationtest.NewStore()
	require.NoError(t, c.Deploy(t.Context(), rotation.DeployRequest{Key: key}))
	require.NoError(t, c.Verify(t.Context(), key))
	require.NoError(t, s.Save(t.Context(), "a", rotation.Versions{Keys: []rotation.StoredKey{{Key: key, Role: rotation.RoleCurrent}}}))
	dead := key
	dead.Secret = secret.Random(16)
	texts := []string{p.Verify(t.Context(), dead).Error(), c.Verify(t.Context(), dead).Error()}
	for _, fake := range []any{p, c, s, rotationtest.NewJournal()} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			texts = append(texts, fmt.Sprintf(verb, fake), fmt.Sprintf(verb, reflect.ValueOf(fake).Elem()), fmt.Sprintf(verb, struct{ any }{fake}))
		}
		data, _ := json.Marshal(fake)
		var diff recorder
		assert.Nil(&diff, fake)
		assert.Equal(&diff, fake, 1)
		require.Contains(t, diff.text, "mu:")
		texts = append(texts, string(data), diff.text)
	}
	for _, value := range []string{key.Secret.Reveal(), dead.Secret.Reveal()} {
		for _, text := range texts {
			assert.NotContains(t, text, value)
			assert.NotContains(t, text, hex.EncodeToString([]byte(value)))
		}
	}
}

// recorder keeps what a failed assertion says.
type recorder struct{ text string }

func (r *recorder) Errorf(format string, args ...any) { r.text += fmt.Sprintf(format, args...) }

func TestProviderTellsThePresentedKey(t *testing.T) {
	p := rotationtest.NewProvider()
	c := rotationtest.NewConsumer(p)
	assert.True(t, p.Presented().IsZero())
	first, second := p.Mint(), p.Mint()
	require.NoError(t, p.Verify(t.Context(), first))
	assert.True(t, p.Presented().IsZero(), "a probe is no service")
	for _, key := range []rotation.Key{first, second, first} {
		require.NoError(t, c.Deploy(t.Context(), rotation.DeployRequest{Key: key}))
		require.NoError(t, c.Verify(t.Context(), key))
		assert.True(t, p.Presented().Equal(key))
	}
	require.NoError(t, p.Revoke(t.Context(), second))
	require.NoError(t, c.Deploy(t.Context(), rotation.DeployRequest{Key: second}))
	require.ErrorIs(t, c.Verify(t.Context(), second), rotation.ErrRejected)
	assert.True(t, p.Presented().Equal(first), "what was refused does not count")
}
