// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bare is a store without any ability.
type bare struct{ rotation.SecretStore }

func mirrored() (m rotation.SecretStore, primary *hooked, copies [2]*hooked) {
	primary = &hooked{SecretStore: store.NewMemory(), identity: "primary"}
	copies[0] = &hooked{SecretStore: store.NewMemory(), identity: "first"}
	copies[1] = &hooked{SecretStore: store.NewMemory(), identity: "second"}
	return store.Mirror(primary, copies[0], copies[1]), primary, copies
}

func TestMirrorWritesEveryCopy(t *testing.T) {
	m, primary, copies := mirrored()
	for _, v := range []rotation.Versions{single("v"), testVersions(), single("w")} {
		save(t, m, v)
		for _, s := range []rotation.SecretStore{m, primary, copies[0], copies[1]} {
			requireSame(t, v, load(t, s))
		}
	}
	assert.Equal(t, load(t, primary).Revision, load(t, m).Revision)
}

func TestMirrorWritesThePrimaryFirst(t *testing.T) {
	m, primary, copies := mirrored()
	copies[0].beforeSave = func() { requireSame(t, single("v"), load(t, primary)) }
	save(t, m, single("v"))
	require.Nil(t, copies[0].beforeSave)

	down := errors.New("down")
	primary.saveErr = down
	next := single("w")
	next.Revision = load(t, m).Revision
	require.ErrorIs(t, m.Save(t.Context(), name, next), down)
	for _, c := range copies {
		requireSame(t, single("v"), load(t, c))
	}
}

func TestMirrorNamesTheCopyThatFails(t *testing.T) {
	m, primary, copies := mirrored()
	copies[0].saveErr = errors.New("internal: token abc")
	copies[1].saveErr = rotation.Manual("unlock the vault")
	err := m.Save(t.Context(), name, single("v"))
	require.ErrorIs(t, err, copies[0].saveErr)
	require.ErrorIs(t, err, rotation.ErrManual)
	require.EqualError(t, err, "store: mirror: copy 1 (first): internal: token abc; copy 2 (second): unlock the vault")
	var public rotation.PublicError
	require.ErrorAs(t, err, &public)
	assert.Equal(t, "store: mirror: copy 1 (first) failed; copy 2 (second): unlock the vault", public.Public())
	requireSame(t, single("v"), load(t, primary.SecretStore))
	assert.Equal(t, 1, copies[1].saves, "tried although the first failed")
}

// A copy missed a Save. Load says so by the missing stamp, to this process or any other, and saving again repairs it.
func TestMirrorRepairs(t *testing.T) {
	for what, fail := range map[string]func(c *hooked, err error){
		"save": func(c *hooked, err error) { c.saveErr = err },
		"load": func(c *hooked, err error) { c.loadErr = err },
	} {
		t.Run(what, func(t *testing.T) {
			_, primary, copies := mirrored()
			another := func() rotation.SecretStore { return store.Mirror(primary, copies[0], copies[1]) }
			save(t, another(), single("v"))
			down := errors.New("down")
			fail(copies[1], down)
			target := testVersions()
			target.Revision = load(t, another()).Revision
			require.ErrorIs(t, another().Save(t.Context(), name, target), down)
			requireSame(t, testVersions(), load(t, copies[0]))

			for range 2 { // with the copy down, then with it back and still behind
				got := load(t, another())
				assert.Empty(t, got.Stamp)
				got.Stamp = target.Stamp
				requireSame(t, target, got)
				fail(copies[1], nil)
			}
			requireSame(t, single("v"), load(t, copies[1]))

			save(t, another(), target)
			requireSame(t, target, load(t, another()))
			requireSame(t, target, load(t, copies[1]))
		})
	}
}

func TestMirrorSeesEveryDifference(t *testing.T) {
	m, _, copies := mirrored()
	save(t, m, testVersions())
	for what, change := range map[string]func(v *rotation.Versions){
		"stamp":       func(v *rotation.Versions) { v.Stamp = "other" },
		"metadata":    func(v *rotation.Versions) { v.Metadata = nil },
		"role":        func(v *rotation.Versions) { v.Keys[0].Role = rotation.RoleRetiring },
		"compromised": func(v *rotation.Versions) { v.Keys[0].Compromised = true },
		"missing":     func(v *rotation.Versions) { v.Keys = v.Keys[1:] },
		"more":        func(v *rotation.Versions) { v.Keys = append(v.Keys, v.Keys[2]) },
		"twice":       func(v *rotation.Versions) { v.Keys[3] = v.Keys[2] },
		"secret":      func(v *rotation.Versions) { v.Keys[2].Key = testKey(1, "other") },
	} {
		changed := testVersions()
		change(&changed)
		save(t, copies[1], changed)
		assert.Empty(t, load(t, m).Stamp, what)
		save(t, m, testVersions())
		requireSame(t, testVersions(), load(t, copies[1]))
	}
	reordered := testVersions()
	reordered.Keys[0], reordered.Keys[4] = reordered.Keys[4], reordered.Keys[0]
	save(t, copies[1], reordered)
	assert.NotEmpty(t, load(t, m).Stamp, "the order of the keys says nothing")
}

func TestMirrorReadsThePrimaryOnly(t *testing.T) {
	m, primary, copies := mirrored()
	save(t, m, single("v"))
	save(t, copies[0], single("written by hand"))
	got := load(t, m)
	assert.Equal(t, "v", got.Key(rotation.RoleCurrent).Secret.Reveal())
	primary.loadErr = errors.New("down")
	_, err := m.Load(t.Context(), name)
	require.ErrorIs(t, err, primary.loadErr)
}

// A writer is held up between the primary and the copy, and another one saves meanwhile.
func TestMirrorDoesNotPutAnOlderStateBack(t *testing.T) {
	for what, at := range map[string]func(c *hooked, f func()){
		"before the copy is loaded": func(c *hooked, f func()) { c.beforeLoad = f },
		"before the copy is saved":  func(c *hooked, f func()) { c.beforeSave = f },
	} {
		t.Run(what, func(t *testing.T) {
			m, primary, copies := mirrored()
			save(t, m, single("v1"))
			held := single("v2")
			held.Revision = load(t, m).Revision
			at(copies[0], func() { save(t, store.Mirror(primary, copies[0].SecretStore), single("v3")) })
			require.NoError(t, m.Save(t.Context(), name, held))
			requireSame(t, single("v3"), load(t, primary))
			requireSame(t, single("v3"), load(t, copies[0]))
			requireSame(t, single("v3"), load(t, copies[1]))
		})
	}
}

// Somebody writes a copy by hand at the wrong moment: the next attempt wins.
func TestMirrorRetriesAConflictOfACopy(t *testing.T) {
	m, _, copies := mirrored()
	copies[0].beforeSave = func() { save(t, copies[0].SecretStore, single("by hand")) }
	save(t, m, single("v"))
	requireSame(t, single("v"), load(t, copies[0]))
	assert.Equal(t, 2, copies[0].saves)
}

// ErrConflict promises that nothing was written, and the primary was.
func TestMirrorHidesTheConflictOfACopy(t *testing.T) {
	m, primary, copies := mirrored()
	copies[0].saveErr = rotation.ErrConflict
	err := m.Save(t.Context(), name, single("v"))
	require.ErrorContains(t, err, "copy 1 (first)")
	require.NotErrorIs(t, err, rotation.ErrConflict)
	requireSame(t, single("v"), load(t, primary))
	requireSame(t, single("v"), load(t, copies[1]))

	require.ErrorIs(t, m.Save(t.Context(), name, single("w")), rotation.ErrConflict, "that of the primary is not hidden")
}

func TestMirrorSharesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, primary, copies := mirrored()
		save(t, m, single("v"))
		copies[0].hang = true
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		v, err := m.Load(ctx, name)
		require.NoError(t, err)
		assert.Empty(t, v.Stamp)
		require.NoError(t, ctx.Err(), "there is time left for who asked")

		v = single("w")
		v.Revision = load(t, primary).Revision
		err = m.Save(ctx, name, v)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "copy 1 (first)")
		require.NotContains(t, err.Error(), "copy 2")
		requireSame(t, single("w"), load(t, copies[1]))
	})
}

func TestMirrorOfNothing(t *testing.T) {
	for text, m := range map[string]rotation.SecretStore{
		"primary is required": store.Mirror(nil, store.NewMemory()),
		"copy 2 is nil":       store.Mirror(store.NewMemory(), store.NewMemory(), nil),
		"copy 1 is nil":       store.Mirror(store.NewMemory(), store.Mirror(store.NewMemory(), nil)),
	} {
		_, err := m.Load(t.Context(), name)
		require.ErrorContains(t, err, text)
		require.ErrorContains(t, m.Save(t.Context(), name, single("v")), text)
		require.ErrorContains(t, m.(rotation.Checker).Check(t.Context()), text)
		_, err = m.(rotation.Enumerator).Names(t.Context())
		require.ErrorContains(t, err, text)
		require.ErrorContains(t, m.(interface{ Validate() error }).Validate(), text)
		assert.NotPanics(t, func() { m.(rotation.Identifier).Identity(); m.(rotation.Conditional).Conditional() })
	}
	alone := store.Mirror(store.NewMemory())
	save(t, alone, single("v"))
	requireSame(t, single("v"), load(t, alone))
}

func TestMirrorAbilitiesFollowThePrimary(t *testing.T) {
	m := store.Mirror(bare{store.NewMemory()}, store.NewMemory())
	assert.False(t, m.(rotation.Conditional).Conditional())
	_, err := m.(rotation.Enumerator).Names(t.Context())
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.NoError(t, m.(rotation.Checker).Check(t.Context()))
	assert.Contains(t, m.(rotation.Identifier).Identity(), "mirror of store_test.bare and memory ")

	m, _, _ = mirrored()
	assert.Equal(t, "mirror of primary and first and second", m.(rotation.Identifier).Identity())
}

// checked is a store with an opinion.
type checked struct {
	rotation.SecretStore
	err error
}

func (c checked) Check(context.Context) error { return c.err }

func TestMirrorChecksAll(t *testing.T) {
	down, full := errors.New("down"), errors.New("full")
	s := store.NewMemory()
	m := store.Mirror(checked{s, down}, checked{s, nil}, checked{s, errors.ErrUnsupported}, checked{s, full})
	err := m.(rotation.Checker).Check(t.Context())
	require.ErrorIs(t, err, down)
	require.ErrorIs(t, err, full)
	require.NotErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "primary (store_test.checked): down")
	require.ErrorContains(t, err, "copy 3 (store_test.checked): full")
}
