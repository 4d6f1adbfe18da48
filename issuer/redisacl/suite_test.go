// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package redisacl_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/internal/servers"
	"github.com/handover-go/handover/issuer/redisacl"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

func TestIssuerSuite(t *testing.T) {
	t.Run("one node", func(t *testing.T) {
		i := newIssuer(t, start(t))
		rotationtest.IssuerSuite{Issuer: i, Verifier: i}.Run(t)
	})
	t.Run("three nodes that save in different ways", func(t *testing.T) {
		i, err := redisacl.New(redisacl.Config{User: app, AllowVolatile: true, Nodes: clients(
			startAt(t, servers.RedisACLFile), startAt(t, servers.RedisConfig), startAt(t, servers.RedisMemory),
		)})
		require.NoError(t, err)
		rotationtest.IssuerSuite{Issuer: i, Verifier: i}.Run(t)
	})
}

func TestVerifierSuite(t *testing.T) {
	up, down, paused := start(t), start(t), start(t)
	i := newIssuer(t, up)
	dead := issue(t, i)
	require.NoError(t, i.Revoke(t.Context(), dead))
	down.Stop()
	off := newIssuer(t, down)
	paused.Pause()
	deaf := newIssuer(t, paused)
	half := newIssuer(t, up, start(t))
	rotationtest.VerifierSuite{
		Verifier: i, Live: issue(t, i), Dead: dead,
		Down: []rotation.Verifier{
			off,
			rotation.VerifierFunc(func(_ context.Context, key rotation.Key) error { return deaf.Verify(soon(t), key) }),
			swallowing(t, up),
		},
	}.Run(t)
	require.NotErrorIs(t, half.Verify(t.Context(), issue(t, i)), rotation.ErrRejected)
}

func TestSimulate(t *testing.T) {
	places := []*place{start(t), start(t)}
	rotationtest.Simulate(t, rotationtest.Simulation{
		RealClock: true,
		// Each schedule rotates a user of its own: closing the connections of one must not reach another schedule's.
		Issuer: func(ctx context.Context, w *rotationtest.World) (rotation.Issuer, rotation.Verifier, error) {
			c := redisacl.Config{User: w.Credential}
			for _, p := range places {
				if err := p.root.ACLSetUser(ctx, w.Credential, "on", "~app:*", "+@all").Err(); err != nil {
					return nil, nil, err
				}
				c.Nodes = append(c.Nodes, p.admin)
			}
			i, err := redisacl.New(c)
			return i, i, err
		},
	})
}
