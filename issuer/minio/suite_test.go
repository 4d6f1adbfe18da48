// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package minio_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/handover-go/handover/issuer/minio"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
)

func TestIssuerSuite(t *testing.T) {
	s := start(t)
	cfg := s.config(t)
	cfg.Policy = getObject
	i := newIssuer(t, cfg)
	rotationtest.IssuerSuite{Issuer: i, Verifier: i}.Run(t)
}

func TestVerifierSuite(t *testing.T) {
	s := start(t)
	cfg := s.config(t)
	i := newIssuer(t, cfg)
	live, dead := issue(t, i, rotation.Key{}), issue(t, i, rotation.Key{})
	if err := i.Revoke(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	suite := rotationtest.VerifierSuite{Verifier: i, Live: live, Dead: dead}
	denied := `<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>`
	for _, down := range []through{
		answering(http.StatusForbidden, nil, "<html>blocked</html>"),
		answering(http.StatusForbidden, nil, denied),
		answering(http.StatusForbidden, nil, `{"Code":"RequestTimeTooSkewed"}`),
		answering(http.StatusBadGateway, nil, "bad gateway"),
		answering(http.StatusTooManyRequests, http.Header{"Retry-After": {"60"}}, ""),
		answering(http.StatusFound, http.Header{"Location": {s.URL}}, ""),
		answering(http.StatusOK, nil, "<html>sign in</html>"),
		answering(http.StatusOK, nil, `{"status":"up"}`),
	} {
		cfg.Transport = down
		suite.Down = append(suite.Down, newIssuer(t, cfg))
	}
	cfg.URL, cfg.Transport = "http://127.0.0.1:1", nil
	suite.Down = append(suite.Down, newIssuer(t, cfg))
	suite.Run(t)
}

// Schedules share the server and have a user each. The policy is copied. Most of the time goes into the keys by which both sides seal
// what they send: Argon2, 64 MiB each time, one at a time in a process.
func TestSimulate(t *testing.T) {
	s := start(t)
	i := newIssuer(t, s.config(t))
	issue(t, i, rotation.Key{})
	began := time.Now()
	issue(t, i, rotation.Key{})
	patient := 5 * time.Since(began) // four schedules wait for each other, on a machine that may be slow
	rotationtest.Simulate(t, rotationtest.Simulation{
		RealClock: true, CallTimeout: max(800*time.Millisecond, patient), Sample: 1,
		Issuer: func(_ context.Context, w *rotationtest.World) (rotation.Issuer, rotation.Verifier, error) {
			cfg := s.config(t)
			cfg.Transport = shared
			i, err := minio.New(cfg)
			return i, i, err
		},
	})
}

// shared is closed by nobody: its idle connections end with the process.
var shared = http.DefaultTransport.(*http.Transport).Clone()

const getObject = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::b/*"]}]}`
