// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package ldap_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/issuer/ldap"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

func TestIssuerSuite(t *testing.T) {
	t.Run("SSHA", func(t *testing.T) {
		i := newIssuer(t, start(t).config())
		rotationtest.IssuerSuite{Issuer: i, Verifier: i}.Run(t)
	})
	t.Run("SSHA512", func(t *testing.T) {
		c := startWith(t, servers.LDAPOptions{Access: rules, Modules: []string{"pw-sha2"}}).config()
		c.Hash = ldap.SSHA512
		i := newIssuer(t, c)
		rotationtest.IssuerSuite{Issuer: i, Verifier: i}.Run(t)
	})
}

func TestVerifierSuite(t *testing.T) {
	up, down, paused, alone := start(t), start(t), start(t), start(t)
	i := newIssuer(t, up.config())
	dead := issue(t, i)
	require.NoError(t, i.Revoke(t.Context(), dead))
	down.Stop()
	off := newIssuer(t, down.config())
	paused.Pause()
	deaf := newIssuer(t, paused.config())
	nobody := up.config()
	nobody.AdminPassword = secret.Random(16) // whether the entry is locked cannot be seen
	two := up.config()
	two.Replicas = []string{alone.URL}
	alone.set(t, "userPassword", dead.Secret.Reveal())
	rotationtest.VerifierSuite{
		Verifier: i, Live: issue(t, i), Dead: dead,
		Down: []rotation.Verifier{
			off,
			rotation.VerifierFunc(func(_ context.Context, key rotation.Key) error { return deaf.Verify(soon(t), key) }),
			newIssuer(t, two),
		},
	}.Run(t)
	err := newIssuer(t, nobody).Verify(t.Context(), dead)
	require.ErrorIs(t, err, rotation.ErrDenied)
	require.NotErrorIs(t, err, rotation.ErrRejected)
}

func TestSimulate(t *testing.T) {
	d := start(t)
	rotationtest.Simulate(t, rotationtest.Simulation{
		RealClock: true,
		Issuer: func(_ context.Context, w *rotationtest.World) (rotation.Issuer, rotation.Verifier, error) {
			c := d.config()
			c.DN = "uid=" + w.Credential + "," + base // schedules run side by side, each with an entry of its own
			if err := d.addPerson(c.DN, ""); err != nil {
				return nil, nil, err
			}
			i, err := ldap.New(c)
			return i, i, err
		},
	})
}
