// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package gitea_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/issuer/gitea"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

func TestIssuerSuite(t *testing.T) {
	s := start(t)
	i := newIssuer(t, s.config(t))
	rotationtest.IssuerSuite{Issuer: i, Verifier: i}.Run(t)
}

// The user himself, with his password; more tokens than a page holds.
func TestIssuerSuiteOfTheUser(t *testing.T) {
	s := start(t)
	cfg := s.config(t)
	many := newIssuer(t, cfg)
	for range 51 { // many of them in the same second
		issue(t, many, rotation.Key{})
	}
	for range 5 {
		require.Len(t, list(t, many), 51)
	}
	cfg.User, cfg.Admin = userName(), ""
	cfg.Password = secret.New(s.CreateUser(cfg.User))
	i := newIssuer(t, cfg)
	require.NoError(t, i.Check(t.Context()))
	rotationtest.IssuerSuite{Issuer: i, Verifier: i}.Run(t)
}

func TestVerifierSuite(t *testing.T) {
	s := start(t)
	cfg := s.config(t)
	i := newIssuer(t, cfg)
	live, dead := issue(t, i, rotation.Key{}), issue(t, i, rotation.Key{})
	require.NoError(t, i.Revoke(t.Context(), dead))
	suite := rotationtest.VerifierSuite{Verifier: i, Live: live, Dead: dead}
	for _, down := range []through{
		answering(http.StatusUnauthorized, nil, "<html>sign in to the proxy</html>"),
		answering(http.StatusUnauthorized, inJSON, `{"message":"invalid username, password or token"}`), // the list gets that too
		answering(http.StatusForbidden, inJSON, `{"message":"forbidden"}`),
		answering(http.StatusForbidden, nil, "<html>blocked</html>"),
		answering(http.StatusBadGateway, nil, "bad gateway"),
		answering(http.StatusTooManyRequests, http.Header{"Retry-After": {"60"}}, ""),
		answering(http.StatusFound, http.Header{"Location": {s.URL}}, ""),
		answering(http.StatusOK, inJSON, `{"login":"somebody-else"}`),
		answering(http.StatusOK, nil, "<html>sign in</html>"),
	} {
		cfg.Transport = down
		suite.Down = append(suite.Down, newIssuer(t, cfg))
	}
	cfg.URL, cfg.Transport = "http://127.0.0.1:1", nil
	suite.Down = append(suite.Down, newIssuer(t, cfg))
	suite.Run(t)
}

// Schedules share the server and have a user each. The scopes are copied.
func TestSimulate(t *testing.T) {
	s := start(t)
	var configs sync.Map // by credential
	rotationtest.Simulate(t, rotationtest.Simulation{
		RealClock: true, CallTimeout: 600 * time.Millisecond, Sample: 2,
		Issuer: func(_ context.Context, w *rotationtest.World) (rotation.Issuer, rotation.Verifier, error) {
			cfg := s.config(t)
			configs.Store(w.Credential, cfg)
			cfg.Scopes = nil
			i, err := gitea.New(cfg)
			return i, i, err
		},
		Current: func(ctx context.Context, w *rotationtest.World) (rotation.Key, error) {
			cfg, _ := configs.Load(w.Credential)
			i, err := gitea.New(cfg.(gitea.Config))
			if err != nil {
				return rotation.Key{}, err
			}
			return i.Issue(ctx, request(rotation.Key{}))
		},
	})
}
